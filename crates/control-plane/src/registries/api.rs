use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::ids::OrganizationId;
use protocol::job::RegistryLogin;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{COUNT_LIMIT, Registry, check_login, checked_host, setting, store};
use crate::app::AppState;
use crate::generations::{self, Consumer};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::page::Page;
use crate::http::{Body, Error, Permission, Result, guard};
use crate::{audit, images};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::RegistryRead, routes!(list_registries)))
        .routes(guard(app, Permission::RegistryWrite, routes!(put_registry)))
        .routes(guard(app, Permission::RegistryWrite, routes!(delete_registry)))
        .merge(setting::router(app))
}

/// The registries that the organization is logged in to. Passwords are never shown.
#[utoipa::path(get, path = "/registries", tag = "registries", responses((status = 200, body = Page<Registry>)))]
async fn list_registries(State(app): State<AppState>, caller: Caller) -> Result<Json<Page<Registry>>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(Page::whole(store::list(&mut conn, caller.organization_id, None).await?)))
}

/// A login to a registry.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RegistryRequest {
    /// Host and perhaps port, as in the names of images.
    host: String,
    username: String,
    /// Or a token of the registry.
    password: String,
}

/// Stores a login, in place of an earlier one for the same host. Builds that are sent from now on use it.
#[utoipa::path(post, path = "/registries", tag = "registries", request_body = RegistryRequest, responses((status = 200, body = Registry)))]
async fn put_registry(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<RegistryRequest>,
) -> Result<Json<Registry>> {
    let RegistryRequest { host, username, password } = request;
    let login = RegistryLogin { host: checked_host(&host)?, username, password };
    check_login(&login.username, &login.password)?;
    let mut tx = app.db.begin().await?;
    store::put(&mut tx, &app.vault, caller.organization_id, &login, &caller.email).await?;
    if store::count(&mut tx, caller.organization_id).await? > COUNT_LIMIT {
        return Err(Error::invalid("host", format!("there are {COUNT_LIMIT} logins already"))
            .hint("Remove one that is not used any more"));
    }
    let detail = json!({ "username": login.username });
    audit::record(&mut tx, &caller, "registry.login", &format!("registry:{}", login.host), detail).await?;
    let stored = stored(&mut tx, caller.organization_id, &login.host).await?;
    tx.commit().await?;
    Ok(Json(stored))
}

pub(super) async fn stored(
    conn: &mut PgConnection,
    organization: OrganizationId,
    host: &str,
) -> Result<Registry> {
    store::find(conn, organization, host).await?.ok_or_else(|| absent(host))
}

pub(super) fn absent(host: &str) -> Error {
    Error::not_found(format!("login to {host}")).hint("`wh registry ls` lists the logins")
}

/// Forgets a login. Images that are on the workers or in the registry stay there.
#[utoipa::path(delete, path = "/registries/{host}", tag = "registries", params(("host" = String, Path)), responses((status = 204)))]
async fn delete_registry(
    State(app): State<AppState>,
    caller: Caller,
    Path(host): Path<String>,
) -> Result<StatusCode> {
    let host = checked_host(&host)?;
    let mut tx = app.db.begin().await?;
    if stored(&mut tx, caller.organization_id, &host).await?.images_path.is_some() {
        return Err(Error::invalid("host", "built images are kept there")
            .hint("End that first: `wh registry use --none`"));
    }
    for node in images::registry::store::ordered_nodes(&mut tx, caller.organization_id, &host).await? {
        generations::raise(&mut tx, Consumer::Worker(node)).await?;
    }
    store::delete(&mut tx, caller.organization_id, &host).await?;
    audit::record(&mut tx, &caller, "registry.logout", &format!("registry:{host}"), json!({})).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
