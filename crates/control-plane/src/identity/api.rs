use axum::Json;
use axum::extract::State;
use axum::http::header::{HeaderMap, SET_COOKIE, USER_AGENT};
use axum::http::{HeaderName, Method, StatusCode};
use protocol::ids::UserId;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{SESSION_DAYS, Session, password, setup, store, tokens};
use crate::app::{App, AppState};
use crate::http::caller::{self, COOKIE_NAME, Caller, Via};
use crate::http::extract::Requester;
use crate::http::{Body, Code, Error, Permission, Result, guard, public};
use crate::{audit, digest};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    let login = "by e-mail address and password, with limits by address and by account";
    OpenApiRouter::new()
        .routes(guard(app, Permission::Account, routes!(read_session, log_out)))
        .routes(public(login, routes!(log_in)))
        .merge(setup::router())
        .merge(tokens::router(app))
}

/// Who is signed in.
#[utoipa::path(get, path = "/session", tag = "identity", responses((status = 200, body = Session)))]
async fn read_session(State(app): State<AppState>, caller: Caller) -> Result<Json<Session>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(session_of(&app, &mut conn, caller.user_id).await?))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginRequest {
    email: String,
    password: String,
}

/// Signs in. A session that the browser still had ends.
#[utoipa::path(post, path = "/session", tag = "identity", request_body = LoginRequest, responses((status = 200, body = Session)))]
async fn log_in(
    State(app): State<AppState>,
    requester: Requester,
    headers: HeaderMap,
    Body(request): Body<LoginRequest>,
) -> Result<([(HeaderName, String); 1], Json<Session>)> {
    caller::refuse_cross_site(&Method::POST, &headers)?;
    let user = authenticate(&app, requester, &request.email, request.password).await?;
    let mut tx = app.db.begin().await?;
    if let Some(old) = caller::cookie(&headers) {
        store::delete_session_by_digest(&mut tx, &digest::of_token(old)).await?;
    }
    let session = session_of(&app, &mut tx, user).await?;
    let (cookie, caller) = start_session(&mut tx, &session, requester, &headers).await?;
    audit::record(&mut tx, &caller, "session.create", &format!("user:{}", caller.email), json!({})).await?;
    tx.commit().await?;
    Ok(([cookie], Json(session)))
}

/// Signs out.
#[utoipa::path(delete, path = "/session", tag = "identity", responses((status = 204)))]
async fn log_out(
    State(app): State<AppState>,
    caller: Caller,
) -> Result<(StatusCode, [(HeaderName, String); 1])> {
    if let Via::Session(id) = caller.via {
        let mut tx = app.db.begin().await?;
        store::delete_session(&mut tx, id).await?;
        audit::record(&mut tx, &caller, "session.delete", &format!("user:{}", caller.email), json!({}))
            .await?;
        tx.commit().await?;
    }
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie("", 0))]))
}

pub(super) async fn session_of(app: &App, conn: &mut PgConnection, user: UserId) -> Result<Session> {
    store::session_of(conn, user, &app.config.proxy.subdomain_base).await?.ok_or_else(|| {
        Error::new(Code::Forbidden, "you are in no organization any more").hint("Ask its owner to invite you")
    })
}

/// Checks an e-mail address and password. Takes as long for an unknown account as for a wrong password.
pub(super) async fn authenticate(
    app: &App,
    requester: Requester,
    email: &str,
    password: String,
) -> Result<UserId> {
    app.limits.password_by_address.check(&requester.key())?;
    let account_key: String = email.trim().to_lowercase().chars().take(254).collect();
    app.limits.password_by_account.check(&account_key)?;
    // None could have been set.
    if password.len() > 1024 || email.len() > 254 {
        return Err(credentials_wrong());
    }
    let mut conn = app.db.acquire().await?;
    let account = store::account(&mut conn, email.trim()).await?;
    drop(conn);
    let (user, hash) = account.unzip();
    let _slot = app.limits.hashing().await;
    let right = password::verify(password, hash).await?;
    user.filter(|_| right).ok_or_else(credentials_wrong)
}

fn credentials_wrong() -> Error {
    Error::new(Code::CredentialsWrong, "the e-mail address or the password is wrong").hint(
        "If nobody can sign in, `wisehosting-control-plane admin reset-password EMAIL` on its host sets a new password",
    )
}

/// Makes a session; the cookie that carries it, and the caller that it makes.
pub(super) async fn start_session(
    conn: &mut PgConnection,
    session: &Session,
    requester: Requester,
    headers: &HeaderMap,
) -> Result<((HeaderName, String), Caller)> {
    let token = digest::new_token("whs_");
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let agent: String = agent.chars().take(200).collect();
    let digest = digest::of_token(&token);
    let id = store::create_session(conn, session.user.id, &digest, &agent, requester.address).await?;
    let caller = Caller {
        user_id: session.user.id,
        email: session.user.email.clone(),
        name: session.user.name.clone(),
        organization_id: session.organization.id,
        role: session.organization.role,
        via: Via::Session(id),
        address: requester.address,
    };
    Ok(((SET_COOKIE, cookie(&token, SESSION_DAYS * 24 * 3600)), caller))
}

fn cookie(token: &str, seconds: i32) -> String {
    format!("{COOKIE_NAME}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax")
}
