use protocol::ids::DomainId;
use sqlx::PgPool;

use super::{crowded, store};
use crate::hub::tests::Mesh;

async fn add(pool: &PgPool, host: &str, state: &str, options: &str) -> DomainId {
    let id = DomainId::new();
    sqlx::query(
        "insert into domains (id, app_id, hostname, token, state, route_options, created_by)
         select $1, id, $2, '', $3, $4::jsonb, 'ada' from apps",
    )
    .bind(id)
    .bind(host)
    .bind(state)
    .bind(options)
    .execute(pool)
    .await
    .expect("domain");
    id
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn verified_domains_are_host_names_of_their_app_and_change_its_options_key_by_key(pool: PgPool) {
    let mesh = Mesh::new(pool.clone()).await;
    let (app, _, _) = mesh.queue_build("hello").await;
    let db = &mesh.test.app.db;
    for statement in [
        "update apps set route_options = '{\"compress\": true, \"sticky\": true}'",
        "update deployments set state = 'live'",
    ] {
        sqlx::query(statement).execute(db).await.expect(statement);
    }
    let own = add(db, "www.example.com", "verified", r#"{"sticky": false}"#).await;
    add(db, "pending.example.com", "pending", "{}").await;
    add(db, "lapsed.example.com", "lapsed", "{}").await;
    let mut conn = db.acquire().await.expect("connection");
    let served = store::served(&mut conn).await.expect("served");
    let [hello] = served.as_slice() else { panic!("{served:?}") };
    assert_eq!((hello.app_id, hello.stopped, hello.starting), (app, false, false));
    assert!(hello.options.compress && hello.options.sticky);
    let domain = hello.sites.iter().find(|site| site.domain == Some(own)).expect("the verified one");
    assert!(domain.options.compress && !domain.options.sticky);
    assert_eq!(hello.sites.len(), 2, "and the app's own name");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn proxies_do_not_answer_for_the_names_of_a_direct_zone(pool: PgPool) {
    let mesh = Mesh::new(pool.clone()).await;
    mesh.queue_build("hello").await;
    let db = &mesh.test.app.db;
    for statement in ["update deployments set state = 'live'", "update zones set mode = 'direct'"] {
        sqlx::query(statement).execute(db).await.expect(statement);
    }
    let mut conn = db.acquire().await.expect("connection");
    let served = store::served(&mut conn).await.expect("served");
    assert!(served[0].sites.is_empty(), "{served:?}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_table_can_be_looked_at_with_who_has_it_and_without_the_values_of_options(pool: PgPool) {
    let mesh = Mesh::new(pool.clone()).await;
    mesh.queue_build("hello").await;
    let proxy = mesh.join("p1", &["proxy"]).await;
    let db = &mesh.test.app.db;
    for statement in [
        "update deployments set state = 'live'",
        r#"update apps set route_options = '{"request_headers": {"set": {"x-key": "hunter2"}}}'"#,
        "insert into generations (consumer, generation) values ('routes', 7)
         on conflict (consumer) do update set generation = 7",
        "insert into agents (node_id, kind, applied_generation) select id, 'proxy', 6 from nodes",
    ] {
        sqlx::query(statement).execute(db).await.expect(statement);
    }
    let owner = mesh.test.owner().await;
    let table = owner.get("/api/v1/routes").await.expect(200);
    assert_eq!((&table["generation"], &table["total"]), (&7.into(), &1.into()), "{table}");
    assert_eq!(table["routes"][0]["hosts"][0], "hello.route.example.com");
    assert_eq!(table["routes"][0]["options"][0], "request_headers");
    assert!(!table.to_string().contains("hunter2"), "{table}");
    let consumer = &table["consumers"][0];
    assert_eq!(consumer["node"], proxy.identity.name.as_str());
    assert_eq!((&consumer["applied_generation"], &consumer["connected"]), (&6.into(), &false.into()));
    let none = owner.get("/api/v1/routes?search=nobody").await.expect(200);
    assert_eq!((none["routes"].as_array().expect("list").len(), &none["total"]), (0, &1.into()));
}

#[test]
fn only_a_traefik_with_too_many_routes_is_warned_of() {
    assert_eq!(crowded(Some("builtin"), 10_000), None);
    assert_eq!(crowded(None, 10_000), None);
    assert_eq!(crowded(Some("traefik"), 1000), None);
    assert!(crowded(Some("traefik"), 1001).is_some_and(|warning| warning.contains("1001 routes")));
}
