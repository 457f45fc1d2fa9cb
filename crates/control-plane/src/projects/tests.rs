use serde_json::json;
use sqlx::PgPool;

use crate::http::permission::MemberRole;
use crate::testing::TestApp;

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
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

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn another_organization_sees_none_of_them_and_may_use_the_same_slug(pool: PgPool) {
    let app = TestApp::new(pool).await;
    app.owner().await.post("/api/v1/projects", json!({ "slug": "shop" })).await.expect(201);
    let other = app.member("other", MemberRole::Owner).await;
    let list = other.get("/api/v1/projects").await.expect(200);
    assert_eq!(list["items"].as_array().expect("array").len(), 1, "{list}");
    other.post("/api/v1/projects", json!({ "slug": "shop" })).await.expect(201);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
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
