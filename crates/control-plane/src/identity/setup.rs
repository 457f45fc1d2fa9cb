//! The first-run page: whoever has the code from the control plane's host becomes the owner.

use axum::Json;
use axum::extract::State;
use axum::http::header::HeaderMap;
use axum::http::{HeaderName, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Session, api, check_email, check_password, password, slug_of, store};
use crate::app::AppState;
use crate::apps::rules;
use crate::http::caller;
use crate::http::extract::Requester;
use crate::http::{Body, Code, Error, Result, public};
use crate::{audit, digest, projects};

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(public("says only whether there is a user", routes!(read_setup))).routes(
        public("by a setup code, with a limit by address; closed after the first time", routes!(set_up)),
    )
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SetupState {
    /// Whether nobody has set this control plane up yet.
    needed: bool,
}

/// Whether the first-run page is open.
#[utoipa::path(get, path = "/setup", tag = "identity", responses((status = 200, body = SetupState)))]
async fn read_setup(State(app): State<AppState>) -> Result<Json<SetupState>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(SetupState { needed: !store::has_users(&mut conn).await? }))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SetupRequest {
    /// From `wisehosting-control-plane admin setup-code`.
    code: String,
    email: String,
    name: String,
    /// At least 12 characters.
    password: String,
    organization: String,
}

/// Makes the first user, its organization and the project `default`, and signs in.
#[utoipa::path(post, path = "/setup", tag = "identity", request_body = SetupRequest, responses((status = 201, body = Session)))]
async fn set_up(
    State(app): State<AppState>,
    requester: Requester,
    headers: HeaderMap,
    Body(request): Body<SetupRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Session>)> {
    caller::refuse_cross_site(&Method::POST, &headers)?;
    app.limits.setup.check(&requester.key())?;
    let code = digest::of_token(request.code.trim());
    let mut conn = app.db.acquire().await?;
    check_open(&mut conn, &code).await?;
    drop(conn);
    check(&request)?;
    let hash = {
        let _slot = app.limits.hashing().await;
        password::hash(request.password.clone()).await?
    };

    let mut tx = app.db.begin().await?;
    store::lock_setup(&mut tx).await?;
    check_open(&mut tx, &code).await?;
    store::delete_setup_codes(&mut tx).await?;
    let user = store::create_user(&mut tx, request.email.trim(), request.name.trim(), &hash).await?;
    let name = request.organization.trim();
    let organization = store::create_organization(&mut tx, &slug_of(name), name, user).await?;
    projects::store::create(&mut tx, organization, "default", "Default").await?;
    let session = api::session_of(&app, &mut tx, user).await?;
    let (cookie, caller) = api::start_session(&mut tx, &session, requester, &headers).await?;
    let target = format!("organization:{}", session.organization.slug);
    audit::record(&mut tx, &caller, "organization.create", &target, json!({})).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, [cookie], Json(session)))
}

async fn check_open(conn: &mut PgConnection, code: &[u8]) -> Result<()> {
    if store::has_users(conn).await? {
        return Err(
            Error::new(Code::SetupClosed, "this control plane is set up already").hint("Sign in instead")
        );
    }
    if !store::is_setup_code(conn, code).await? {
        return Err(Error::new(Code::SetupCodeWrong, "the setup code is wrong or has expired")
            .field("code")
            .hint(
                "Run `wisehosting-control-plane admin setup-code` on the control plane's host for a new one",
            ));
    }
    Ok(())
}

fn check(request: &SetupRequest) -> Result<()> {
    check_email(request.email.trim())?;
    rules::check_text("name", request.name.trim(), 1, 100)?;
    check_password(&request.password)?;
    rules::check_text("organization", request.organization.trim(), 1, 100)
}
