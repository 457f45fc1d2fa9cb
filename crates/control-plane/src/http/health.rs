//! `/health` and `/healthz`: this process answers. `/readyz`: it can do its work.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::app::AppState;

pub fn router() -> Router<AppState> {
    let health = || async { Json(json!({ "status": "ok" })) };
    Router::new().route("/health", get(health)).route("/healthz", get(health)).merge(ready_router())
}

pub fn ready_router() -> Router<AppState> {
    Router::new().route("/readyz", get(ready))
}

async fn ready(State(app): State<AppState>) -> (StatusCode, Json<Value>) {
    let answer = sqlx::query!("select 1 as one").fetch_one(&app.db).await;
    if answer.is_ok() {
        return (StatusCode::OK, Json(json!({ "status": "ok" })));
    }
    let body = json!({ "status": "unavailable", "reason": "the database does not answer" });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body))
}
