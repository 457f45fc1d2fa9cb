//! API tokens, for `wh` and for programs.

use axum::Json;
use axum::extract::State;
use axum::http::header::HeaderMap;
use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use protocol::ids::{TokenId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Token, api, store};
use crate::app::{App, AppState};
use crate::apps::rules;
use crate::http::caller::{self, Caller, Via};
use crate::http::extract::{Path, Query, Requester};
use crate::http::page::{Page, PageQuery};
use crate::http::{Body, Error, Permission, Result, guard, public};
use crate::{audit, digest};

pub(super) fn router(app: &AppState) -> OpenApiRouter<AppState> {
    let create =
        "by session or token, or by e-mail address and password with limits by address and by account";
    OpenApiRouter::new()
        .routes(guard(app, Permission::Account, routes!(list_tokens)))
        .routes(public(create, routes!(create_token)))
        .routes(guard(app, Permission::Account, routes!(delete_token)))
}

/// The caller's tokens.
#[utoipa::path(get, path = "/tokens", tag = "identity", params(PageQuery), responses((status = 200, body = Page<Token>)))]
async fn list_tokens(
    State(app): State<AppState>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Token>>> {
    let mut conn = app.db.acquire().await?;
    let items = store::list_tokens(&mut conn, caller.user_id, page.cursor, page.limit()).await?;
    Ok(Json(Page::new(items, page.limit(), |token| token.id.0)))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    name: String,
    /// 1 to 3650; without it the token does not end by itself.
    expires_in_days: Option<i32>,
    /// With `password`, instead of being signed in.
    email: Option<String>,
    password: Option<String>,
}

/// A token as shown once.
#[derive(Serialize, utoipa::ToSchema)]
struct NewToken {
    id: TokenId,
    name: String,
    token: String,
    expires_at: Option<DateTime<Utc>>,
}

/// Makes a token of the caller. Its secret is in the answer and never again.
#[utoipa::path(post, path = "/tokens", tag = "identity", request_body = TokenRequest, responses((status = 201, body = NewToken)))]
async fn create_token(
    State(app): State<AppState>,
    requester: Requester,
    headers: HeaderMap,
    Body(request): Body<TokenRequest>,
) -> Result<(StatusCode, Json<NewToken>)> {
    rules::check_text("name", request.name.trim(), 1, 100)?;
    if request.expires_in_days.is_some_and(|days| !(1..=3650).contains(&days)) {
        return Err(Error::invalid("expires_in_days", "expires_in_days must be between 1 and 3650"));
    }
    let caller = match (request.email, request.password) {
        (Some(email), Some(password)) => {
            let user = api::authenticate(&app, requester, &email, password).await?;
            caller_of(&app, user, requester).await?
        }
        (None, None) => caller::identify(&app, &Method::POST, &headers, requester.address).await?,
        (None, Some(_)) => return Err(Error::invalid("email", "email must come with password")),
        (Some(_), None) => return Err(Error::invalid("password", "password must come with email")),
    };
    let secret = digest::new_token("wht_");
    let mut tx = app.db.begin().await?;
    let digest = digest::of_token(&secret);
    let token =
        store::create_token(&mut tx, caller.user_id, request.name.trim(), &digest, request.expires_in_days)
            .await?;
    audit::record(&mut tx, &caller, "token.create", &format!("token:{}", token.name), json!({})).await?;
    tx.commit().await?;
    let Token { id, name, expires_at, .. } = token;
    Ok((StatusCode::CREATED, Json(NewToken { id, name, token: secret, expires_at })))
}

/// The caller that a checked password makes. Its token does not exist yet.
async fn caller_of(app: &App, user: UserId, requester: Requester) -> Result<Caller> {
    let mut conn = app.db.acquire().await?;
    let session = api::session_of(app, &mut conn, user).await?;
    Ok(Caller {
        user_id: user,
        email: session.user.email,
        name: session.user.name,
        organization_id: session.organization.id,
        role: session.organization.role,
        via: Via::Password,
        address: requester.address,
    })
}

/// Ends one of the caller's tokens.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "identity", params(("id" = TokenId, Path)), responses((status = 204)))]
async fn delete_token(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<TokenId>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let name = store::delete_token(&mut tx, caller.user_id, id)
        .await?
        .ok_or_else(|| Error::not_found("token of yours with this id"))?;
    audit::record(&mut tx, &caller, "token.delete", &format!("token:{name}"), json!({})).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
