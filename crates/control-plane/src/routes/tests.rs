use protocol::ids::DomainId;
use sqlx::PgPool;

use super::store;
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
