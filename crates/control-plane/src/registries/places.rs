//! `GET /v1/images/<id>/places`: where a worker gets an image that no worker has, with the login for it.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use protocol::identity::AgentKind;
use protocol::registry::ImagePlace;

use super::store;
use crate::app::AppState;
use crate::http::extract::Path;
use crate::http::{Error, Result};
use crate::hub::token::Agent;

pub fn mesh_router() -> Router<AppState> {
    Router::new().route("/v1/images/{id}/places", get(read_places))
}

/// Of an image that the calling worker is to have, and of no other.
async fn read_places(
    State(app): State<AppState>,
    agent: Agent,
    Path(id): Path<String>,
) -> Result<Json<Vec<ImagePlace>>> {
    if agent.kind != AgentKind::Worker {
        return Err(Error::not_found(format_args!("image {id} for an agent of this kind")));
    }
    let mut conn = app.db.acquire().await?;
    Ok(Json(store::places(&mut conn, &app.vault, agent.node.id, &id).await?))
}
