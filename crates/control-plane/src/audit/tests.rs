use protocol::ids::OrganizationId;
use serde_json::json;
use sqlx::PgPool;

use super::{record_of, record_system};
use crate::http::permission::MemberRole;
use crate::testing::{Client, TestApp};

async fn seen(by: &Client) -> Vec<String> {
    let page = by.get("/api/v1/audit?limit=200").await.expect(200);
    let items = page["items"].as_array().expect("items").iter();
    items.map(|event| event["action"].as_str().expect("action").to_owned()).collect()
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_concerns_an_app_is_seen_in_its_organization_alone(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let (owner, stranger) = (app.owner().await, app.member("other", MemberRole::Owner).await);
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    let mut conn = app.app.db.acquire().await.expect("connection");
    let acme: OrganizationId = sqlx::query_scalar("select id from organizations where slug = 'acme'")
        .fetch_one(&mut *conn)
        .await
        .expect("organization");
    let detail = json!({ "variable": "TOKEN" });
    record_of(&mut conn, acme, "node:w1", "secret.scrubbed", "app:hello", detail).await.expect("recorded");
    record_system(&mut conn, "node:w1", "node.update", "node:w1", json!({})).await.expect("recorded");
    // A mistake of ours must not show one organization's app to another.
    record_system(&mut conn, "system", "app.remove", "app:hello", json!({})).await.expect("recorded");
    assert_eq!(seen(&owner).await, ["node.update", "secret.scrubbed", "app.create"]);
    assert_eq!(seen(&stranger).await, ["node.update"]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_deeds_of_a_user_stay_with_the_organization_when_the_user_is_gone(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let (owner, admin) = (app.owner().await, app.member("acme", MemberRole::Admin).await);
    let stranger = app.member("other", MemberRole::Owner).await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    sqlx::query(
        "delete from users using audit_events
         where users.id = audit_events.user_id and action = 'app.create'",
    )
    .execute(&app.app.db)
    .await
    .expect("gone");
    assert_eq!((seen(&admin).await, seen(&stranger).await), (vec!["app.create".to_owned()], Vec::new()));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_reset_password_is_seen_where_the_user_is_a_member(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let (owner, stranger) = (app.owner().await, app.member("other", MemberRole::Owner).await);
    let email: String = sqlx::query_scalar(
        "select email from users join members on members.user_id = users.id
         join organizations on organizations.id = organization_id where slug = 'acme'",
    )
    .fetch_one(&app.app.db)
    .await
    .expect("user");
    let mut conn = app.app.db.acquire().await.expect("connection");
    let target = format!("user:{email}");
    record_system(&mut conn, "system", "user.reset-password", &target, json!({})).await.expect("recorded");
    assert_eq!(seen(&owner).await, ["user.reset-password"]);
    assert_eq!(seen(&stranger).await, [""; 0]);
}
