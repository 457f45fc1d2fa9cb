use axum::body::Body;
use axum::http::Request;
use sqlx::PgPool;

use crate::http;
use crate::testing::TestApp;

async fn get(test: &TestApp, token: &str, tag: Option<&str>) -> axum::response::Response {
    use tower::ServiceExt;
    let mut request =
        Request::get("/v1/traefik/proxy-config").header("authorization", format!("Bearer {token}"));
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    let router = http::mesh_router(&test.app, None);
    router.oneshot(request.body(Body::empty()).expect("request")).await.expect("infallible")
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_same_table_has_the_same_tag_and_only_that_tag_is_not_modified(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let token = "proxy-token-for-tests";
    assert_eq!(get(&test, "wrong", None).await.status(), 401);
    let first = get(&test, token, None).await;
    assert_eq!(first.status(), 200);
    let tag = first.headers()["etag"].to_str().expect("text").to_owned();
    let body = axum::body::to_bytes(first.into_body(), 1024).await.expect("body");
    assert_eq!(&body[..], b"{}");
    assert!(tag.starts_with('"'), "strong: {tag}");
    assert_eq!(get(&test, token, Some(&tag)).await.status(), 304);
    assert_eq!(get(&test, token, Some("\"other\"")).await.status(), 200);
}
