use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};

use super::store;
use crate::db::MIGRATIONS;
use crate::http::permission::MemberRole;
use crate::network;
use crate::testing::{Client, TestApp};

/// A project `shop` beside the one that is there.
async fn world(pool: PgPool) -> (TestApp, Client) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/projects", json!({ "slug": "shop", "name": "The shop" })).await.expect(201);
    (app, owner)
}

async fn make_app(client: &Client, slug: &str) {
    client.post("/api/v1/apps", json!({ "slug": slug, "project": "shop" })).await.expect(201);
}

/// Message and remedy.
fn told(refused: &Value) -> String {
    assert_eq!(refused["field"], "project", "{refused}");
    format!("{} – {}", refused["message"], refused["hint"])
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_project_is_made_once_and_listed(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    let made =
        owner.post("/api/v1/projects", json!({ "slug": "shop", "name": "The shop" })).await.expect(201);
    assert_eq!(made["name"], "The shop");
    let again = owner.post("/api/v1/projects", json!({ "slug": "shop" })).await.expect(409);
    assert_eq!((&again["code"], &again["field"]), (&json!("slug_taken"), &json!("slug")));
    let list = owner.get("/api/v1/projects").await.expect(200);
    assert_eq!(list["items"][1]["slug"], "shop");
    assert_eq!(list["next"], json!(null));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn another_organization_sees_none_of_them_and_may_use_the_same_slug(pool: PgPool) {
    let app = TestApp::new(pool).await;
    app.owner().await.post("/api/v1/projects", json!({ "slug": "shop" })).await.expect(201);
    let other = app.member("other", MemberRole::Owner).await;
    let list = other.get("/api/v1/projects").await.expect(200);
    assert_eq!(list["items"].as_array().expect("array").len(), 1, "{list}");
    other.post("/api/v1/projects", json!({ "slug": "shop" })).await.expect(201);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn lists_come_in_pages(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    for slug in ["one", "two"] {
        owner.post("/api/v1/projects", json!({ "slug": slug })).await.expect(201);
    }
    let mut path = "/api/v1/projects?limit=1".to_owned();
    let mut slugs = Vec::new();
    loop {
        let page = owner.get(&path).await.expect(200);
        slugs.extend(page["items"].as_array().expect("items").iter().map(|item| item["slug"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/projects?limit=1&cursor={next}");
    }
    assert_eq!(slugs, ["default", "one", "two"]);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn the_list_counts_the_apps_of_each_project_and_those_that_can_come_back(pool: PgPool) {
    let (_app, owner) = world(pool).await;
    for slug in ["till", "db", "old"] {
        make_app(&owner, slug).await;
    }
    owner.delete("/api/v1/apps/old?confirm=old").await.expect(200);
    let list = owner.get("/api/v1/projects").await.expect(200);
    let counts = list["items"].as_array().expect("items").iter();
    let counts: Vec<_> =
        counts.map(|project| (project["apps"].as_i64(), project["deleted_apps"].as_i64())).collect();
    assert_eq!(counts, [(Some(0), Some(0)), (Some(2), Some(1))]);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_project_is_renamed_and_keeps_its_slug(pool: PgPool) {
    let (app, owner) = world(pool).await;
    let path = "/api/v1/projects/shop";
    let renamed = owner.patch(path, json!({ "name": " Le magasin " })).await.expect(200);
    assert_eq!((&renamed["name"], &renamed["slug"]), (&json!("Le magasin"), &json!("shop")));
    owner.patch(path, json!({ "name": "Le magasin" })).await.expect(200);
    let events = owner.get("/api/v1/audit").await.expect(200);
    assert_eq!(events["items"][0]["action"], "project.update");
    assert_eq!(events["items"][1]["action"], "project.create", "what changes nothing is not told");
    assert_eq!(owner.patch(path, json!({ "name": " " })).await.expect(422)["field"], "name");
    owner.patch(path, json!({ "slug": "store" })).await.expect(422);
    let unknown = owner.patch("/api/v1/projects/none", json!({ "name": "None" })).await.expect(404);
    assert!(told(&unknown).contains("wh project ls"), "{unknown}");
    let other = app.member("other", MemberRole::Owner).await;
    other.patch(path, json!({ "name": "Mine" })).await.expect(404);
    app.member("acme", MemberRole::Developer).await.patch(path, json!({ "name": "Mine" })).await.expect(403);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_project_with_apps_stays_until_they_are_gone_for_good(pool: PgPool) {
    let (app, owner) = world(pool.clone()).await;
    let path = "/api/v1/projects/shop";
    make_app(&owner, "till").await;
    let refused = owner.delete(path).await.expect(409);
    assert_eq!(refused["code"], "project_in_use");
    assert!(told(&refused).contains("has 1 app\"") && told(&refused).contains("wh apps rm"), "{refused}");
    owner.delete("/api/v1/apps/till?confirm=till").await.expect(200);
    let refused = owner.delete(path).await.expect(409);
    assert!(told(&refused).contains("1 deleted app") && told(&refused).contains("--deleted"), "{refused}");
    let old = "update apps set deleted_at = now() - interval '8 days'";
    sqlx::query(old).execute(&pool).await.expect("an old tombstone");
    crate::tombstones::sweep(&app.app).await.expect("sweep");
    app.member("acme", MemberRole::Developer).await.delete(path).await.expect(403);
    app.member("other", MemberRole::Owner).await.delete(path).await.expect(404);
    owner.delete(path).await.expect(204);
    assert!(told(&owner.delete(path).await.expect(404)).contains("wh project ls"));
    assert_eq!(owner.get("/api/v1/audit").await.expect(200)["items"][0]["action"], "project.delete");
    let refused = owner.post("/api/v1/apps", json!({ "slug": "till", "project": "shop" })).await.expect(404);
    assert!(told(&refused).contains("wh project create"), "{refused}");
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn the_last_project_of_an_organization_stays(pool: PgPool) {
    let (_app, owner) = world(pool).await;
    owner.delete("/api/v1/projects/default").await.expect(204);
    let refused = owner.delete("/api/v1/projects/shop").await.expect(409);
    assert_eq!(refused["code"], "project_in_use");
    assert!(told(&refused).contains("wh project create"), "{refused}");
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn of_two_last_projects_that_are_removed_at_once_one_stays(pool: PgPool) {
    let (_app, owner) = world(pool).await;
    let (one, two) =
        tokio::join!(owner.delete("/api/v1/projects/default"), owner.delete("/api/v1/projects/shop"));
    let mut statuses = [one.status, two.status].map(|status| status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn grants_go_with_their_project_and_change_nothing_for_the_workers(pool: PgPool) {
    let (_app, owner) = world(pool.clone()).await;
    owner.post("/api/v1/apps", json!({ "slug": "desk" })).await.expect(201);
    for (from, to) in [("default", "shop"), ("shop", "default")] {
        let path = format!("/api/v1/projects/{from}/network/grants");
        owner.post(&path, json!({ "project": to })).await.expect(200);
    }
    let mut conn = pool.acquire().await.expect("connection");
    let before = reached(&mut conn).await;
    owner.delete("/api/v1/projects/shop").await.expect(204);
    assert_eq!(reached(&mut conn).await, before);
    let network = owner.get("/api/v1/projects/default/network").await.expect(200);
    assert_eq!(network["grants"], json!([]));
    let left = "select count(*) from environments";
    assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(&pool).await.expect("environments"), 1);
}

/// What `default` reaches.
async fn reached(conn: &mut PgConnection) -> Vec<String> {
    let id = sqlx::query_scalar("select id from projects where slug = 'default'");
    let id = id.fetch_one(&mut *conn).await.expect("default");
    let reached = network::store::reached(conn, &[protocol::ids::ProjectId(id)]).await.expect("reached");
    reached.into_iter().map(|one| one.app).collect()
}

/// Whatever comes into the project or leaves it meanwhile, nobody is told of an error of the server's.
#[sqlx::test(migrator = "MIGRATIONS")]
async fn an_app_that_is_made_while_its_project_is_removed_is_in_it_or_refused(pool: PgPool) {
    let (_app, owner) = world(pool.clone()).await;
    let organization = sqlx::query_scalar("select organization_id from projects where slug = 'shop'");
    let organization = protocol::ids::OrganizationId(organization.fetch_one(&pool).await.expect("acme"));
    let soon = Duration::from_millis(200);

    // The app is first: the removal waits, and finds it.
    let mut making = pool.begin().await.expect("transaction");
    let environment = store::enter(&mut making, organization, "shop").await.expect("sql").expect("shop");
    let (removed, ()) = tokio::join!(owner.delete("/api/v1/projects/shop"), async {
        tokio::time::sleep(soon).await;
        sqlx::query(
            "insert into apps (id, environment_id, zone_id, slug, settings)
             select $1, $2, id, 'till', '{}' from zones limit 1",
        )
        .bind(protocol::ids::AppId::new())
        .bind(environment)
        .execute(&mut *making)
        .await
        .expect("an app");
        making.commit().await.expect("commit");
    });
    assert!(told(&removed.expect(409)).contains("1 app"));

    // The removal is first: whoever makes an app or a grant waits, and is refused.
    sqlx::query("delete from apps").execute(&pool).await.expect("no apps");
    let mut removing = pool.begin().await.expect("transaction");
    store::close(&mut removing, organization, "shop").await.expect("close");
    let (made, granted, fenced, ()) = tokio::join!(
        owner.post("/api/v1/apps", json!({ "slug": "till", "project": "shop" })),
        owner.post("/api/v1/projects/default/network/grants", json!({ "project": "shop" })),
        owner.send(
            axum::http::Method::PUT,
            "/api/v1/projects/shop/network/egress",
            Some(json!({ "egress": [] }))
        ),
        async {
            tokio::time::sleep(soon).await;
            sqlx::query("delete from projects where slug = 'shop'")
                .execute(&mut *removing)
                .await
                .expect("gone");
            removing.commit().await.expect("commit");
        }
    );
    for refused in [made, granted, fenced] {
        assert!(told(&refused.expect(404)).contains("wh project ls"));
    }
}
