use std::net::IpAddr;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use chrono::Utc;
use daemon::address::is_public;
use protocol::ids::AppId;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::name::{self, Reserved};
use super::records::{Target, records};
use super::store::{Due, Row};
use super::{COUNT_LIMIT, Domain, State, check, judge, paths, store};
use crate::app::{App, AppState};
use crate::apps::store::App as AppRow;
use crate::bus::{self, Topic};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::page::Page;
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::{apps, audit, digest};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppRead, routes!(list_domains)))
        .routes(guard(app, Permission::AppWrite, routes!(add_domain)))
        .routes(guard(app, Permission::AppRead, routes!(read_domain)))
        .routes(guard(app, Permission::AppWrite, routes!(move_domain)))
        .routes(guard(app, Permission::AppWrite, routes!(remove_domain)))
        .routes(guard(app, Permission::AppWrite, routes!(verify_domain)))
        .routes(guard(app, Permission::AppWrite, routes!(put_domain_path)))
        .routes(guard(app, Permission::AppWrite, routes!(remove_domain_path)))
}

/// The app's domains, the first added first.
#[utoipa::path(get, path = "/apps/{app}/domains", tag = "domains", params(("app" = String, Path, description = "Id or slug")), responses((status = 200, body = Page<Domain>)))]
async fn list_domains(
    Shared(app): Shared<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Page<Domain>>> {
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    Ok(Json(Page::whole(views(&app, &mut conn, found.id, None).await?)))
}

/// A host name for an app.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct DomainRequest {
    /// Such as `www.example.com`, `bücher.example` or `*.example.com`.
    hostname: String,
}

/// Adds a domain. It is served as soon as the record that the answer names is in the DNS.
#[utoipa::path(post, path = "/apps/{app}/domains", tag = "domains", params(("app" = String, Path, description = "Id or slug")),
    request_body = DomainRequest, responses((status = 201, body = Domain)))]
async fn add_domain(
    Shared(app): Shared<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(request): Body<DomainRequest>,
) -> Result<(StatusCode, Json<Domain>)> {
    let hostname = name::normal(&request.hostname)?;
    let mut tx = app.db.begin().await?;
    let found = apps::api::hold(&mut tx, &caller, &key).await?;
    check_allowed(&app, &mut tx, &hostname).await?;
    store::lock(&mut tx, &hostname).await?;
    check_free(&mut tx, &caller, &found, &hostname).await?;
    if store::count(&mut tx, found.id).await? >= COUNT_LIMIT {
        return Err(Error::invalid("hostname", format!("the app has {COUNT_LIMIT} domains already"))
            .hint("Remove one that is not used any more, or use a wildcard"));
    }
    let (token, expires_at) = (digest::new_token(""), Utc::now() + judge::PENDING);
    store::insert(&mut tx, found.id, &hostname, &token, &caller.email, expires_at).await?;
    record(&mut tx, &caller, &found.slug, "domain.add", json!({ "domain": hostname })).await?;
    bus::say(&mut tx, Topic::Domains, found.id).await?;
    let view = view(&app, &mut tx, found.id, &hostname).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// One domain, by its name.
#[utoipa::path(get, path = "/apps/{app}/domains/{hostname}", tag = "domains", params(("app" = String, Path, description = "Id or slug"), ("hostname" = String, Path)), responses((status = 200, body = Domain)))]
async fn read_domain(
    Shared(app): Shared<AppState>,
    caller: Caller,
    Path((key, hostname)): Path<(String, String)>,
) -> Result<Json<Domain>> {
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    Ok(Json(view(&app, &mut conn, found.id, &name::normal(&hostname)?).await?))
}

/// Looks for the record now, as the control plane does from time to time by itself. Takes up to 8 seconds.
#[utoipa::path(post, path = "/apps/{app}/domains/{hostname}/verify", tag = "domains", params(("app" = String, Path, description = "Id or slug"), ("hostname" = String, Path)), responses((status = 200, body = Domain)))]
async fn verify_domain(
    Shared(app): Shared<AppState>,
    caller: Caller,
    Path((key, hostname)): Path<(String, String)>,
) -> Result<Json<Domain>> {
    app.limits.domain_checks.check(&caller.organization_id)?;
    let (app_id, due) = {
        let mut conn = app.db.acquire().await?;
        let found = apps::api::find(&mut conn, &caller, &key).await?;
        let row = row(&mut conn, found.id, &name::normal(&hostname)?).await?;
        (found.id, Due { id: row.id, hostname: row.hostname, token: row.token })
    };
    check::look(&app, &due).await?;
    let mut conn = app.db.acquire().await?;
    Ok(Json(view(&app, &mut conn, app_id, &due.hostname).await?))
}

/// Where a domain is to lead.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct DomainMove {
    /// Id or slug of the app.
    app: String,
}

/// Gives the domain to another app of the organization. What was shown stays shown, so that it is served without a pause.
#[utoipa::path(patch, path = "/apps/{app}/domains/{hostname}", tag = "domains", params(("app" = String, Path, description = "Id or slug"), ("hostname" = String, Path)), request_body = DomainMove, responses((status = 200, body = Domain)))]
async fn move_domain(
    Shared(app): Shared<AppState>,
    caller: Caller,
    Path((key, hostname)): Path<(String, String)>,
    Body(request): Body<DomainMove>,
) -> Result<Json<Domain>> {
    let mut tx = app.db.begin().await?;
    let (from, row) = hold(&mut tx, &caller, &key, &hostname).await?;
    let to = apps::api::find(&mut tx, &caller, &request.app).await.map_err(|error| error.field("app"))?;
    if store::count(&mut tx, to.id).await? >= COUNT_LIMIT {
        return Err(Error::invalid("app", format!("that app has {COUNT_LIMIT} domains already")));
    }
    let paths = store::paths(&mut tx, from.id).await?;
    if paths.iter().any(|(domain, _)| *domain == row.id)
        && store::project(&mut tx, from.id).await? != store::project(&mut tx, to.id).await?
    {
        return Err(Error::invalid("app", "that app is of another project than those of the domain's paths")
            .hint("Remove the paths first"));
    }
    store::hand_over(&mut tx, row.id, to.id).await?;
    let detail = json!({ "domain": row.hostname, "from": from.slug, "to": to.slug });
    for slug in [&from.slug, &to.slug] {
        record(&mut tx, &caller, slug, "domain.move", detail.clone()).await?;
    }
    serve(&mut tx, &row).await?;
    for id in [from.id, to.id] {
        bus::say(&mut tx, Topic::Domains, id).await?;
    }
    let view = view(&app, &mut tx, to.id, &row.hostname).await?;
    tx.commit().await?;
    Ok(Json(view))
}

/// Removes the domain. It is not served any more from that moment on.
#[utoipa::path(delete, path = "/apps/{app}/domains/{hostname}", tag = "domains", params(("app" = String, Path, description = "Id or slug"), ("hostname" = String, Path)), responses((status = 204)))]
async fn remove_domain(
    Shared(app): Shared<AppState>,
    caller: Caller,
    Path((key, hostname)): Path<(String, String)>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let (found, row) = hold(&mut tx, &caller, &key, &hostname).await?;
    store::remove(&mut tx, row.id).await?;
    let detail = json!({ "domain": row.hostname, "state": row.standing.state });
    record(&mut tx, &caller, &found.slug, "domain.remove", detail).await?;
    serve(&mut tx, &row).await?;
    bus::say(&mut tx, Topic::Domains, found.id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A path of a domain that is to lead elsewhere.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct DomainPathRequest {
    /// A prefix such as `/api`: it and all below it.
    path: String,
    /// Id or slug of an app of the same project.
    app: String,
    /// Whether that app is to see the path without the prefix.
    #[serde(default)]
    strip_prefix: bool,
}

/// Lets a path of the domain lead to another app, in place of where it led.
#[utoipa::path(post, path = "/apps/{app}/domains/{hostname}/paths", tag = "domains", params(("app" = String, Path, description = "Id or slug"), ("hostname" = String, Path)), request_body = DomainPathRequest, responses((status = 200, body = Domain)))]
async fn put_domain_path(
    Shared(app): Shared<AppState>,
    caller: Caller,
    Path((key, hostname)): Path<(String, String)>,
    Body(request): Body<DomainPathRequest>,
) -> Result<Json<Domain>> {
    let path = paths::normal(&request.path)?;
    let mut tx = app.db.begin().await?;
    let (found, row) = hold(&mut tx, &caller, &key, &hostname).await?;
    let to = apps::api::find(&mut tx, &caller, &request.app).await.map_err(|error| error.field("app"))?;
    if store::project(&mut tx, found.id).await? != store::project(&mut tx, to.id).await? {
        return Err(Error::invalid("app", format!("{} is of another project", to.slug))
            .hint("Paths lead to apps of the same project"));
    }
    store::put_path(&mut tx, row.id, &path, to.id, request.strip_prefix).await?;
    let view = view(&app, &mut tx, found.id, &row.hostname).await?;
    if view.paths.len() > paths::COUNT_LIMIT {
        return Err(Error::invalid("path", format!("the domain has {} paths already", paths::COUNT_LIMIT)));
    }
    let detail =
        json!({ "domain": row.hostname, "path": path, "app": to.slug, "strip_prefix": request.strip_prefix });
    record(&mut tx, &caller, &found.slug, "domain.path", detail).await?;
    serve(&mut tx, &row).await?;
    bus::say(&mut tx, Topic::Domains, found.id).await?;
    tx.commit().await?;
    Ok(Json(view))
}

/// Lets the path lead to the domain's own app again.
#[utoipa::path(delete, path = "/apps/{app}/domains/{hostname}/paths/{path}", tag = "domains", params(("app" = String, Path, description = "Id or slug"), ("hostname" = String, Path), ("path" = Uuid, Path, description = "Id")), responses((status = 204)))]
async fn remove_domain_path(
    Shared(app): Shared<AppState>,
    caller: Caller,
    Path((key, hostname, id)): Path<(String, String, Uuid)>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let (found, row) = hold(&mut tx, &caller, &key, &hostname).await?;
    let path = store::remove_path(&mut tx, row.id, id).await?.ok_or_else(|| Error::not_found("such path"))?;
    let detail = json!({ "domain": row.hostname, "path": path });
    record(&mut tx, &caller, &found.slug, "domain.path-end", detail).await?;
    serve(&mut tx, &row).await?;
    bus::say(&mut tx, Topic::Domains, found.id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The app and its domain, held until the transaction ends.
async fn hold(conn: &mut PgConnection, caller: &Caller, key: &str, hostname: &str) -> Result<(AppRow, Row)> {
    let hostname = name::normal(hostname)?;
    let found = apps::api::hold(conn, caller, key).await?;
    store::lock(conn, &hostname).await?;
    let row = row(conn, found.id, &hostname).await?;
    Ok((found, row))
}

async fn row(conn: &mut PgConnection, app: AppId, hostname: &str) -> Result<Row> {
    store::list(conn, app, Some(hostname)).await?.pop().ok_or_else(|| unknown(hostname))
}

fn unknown(hostname: &str) -> Error {
    Error::not_found(format!("domain {hostname} of this app")).hint("`wh domain ls` lists its domains")
}

/// What is served changes at once; of a domain that is not served, nothing does.
async fn serve(conn: &mut PgConnection, row: &Row) -> sqlx::Result<()> {
    if row.standing.state == State::Verified {
        check::lead(conn, &row.hostname).await?;
    }
    Ok(())
}

async fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    slug: &str,
    action: &str,
    detail: serde_json::Value,
) -> sqlx::Result<()> {
    audit::record(conn, caller, action, &format!("app:{slug}"), detail).await
}

async fn check_allowed(app: &App, conn: &mut PgConnection, hostname: &str) -> Result<()> {
    let zones = store::zones(conn).await?;
    let dashboard = app.config.api_server.base_url.host_str().unwrap_or_default();
    name::check(hostname, Reserved { dashboard, zones: &zones, private_names: app.config.dns.private_names })
}

/// A name belongs to one app of the organization. What others have is not told: the DNS decides about that.
async fn check_free(conn: &mut PgConnection, caller: &Caller, app: &AppRow, hostname: &str) -> Result<()> {
    let Some(holder) = store::holder(conn, caller.organization_id, hostname).await? else { return Ok(()) };
    let slug = &holder.slug;
    let taken = |message: String| Error::new(Code::DomainTaken, message).field("hostname");
    Err(if holder.app_id == app.id {
        taken(format!("the app has {hostname} already")).hint("`wh domain ls` lists its domains")
    } else if holder.deleted {
        taken(format!("the deleted app {slug} keeps {hostname}"))
            .hint(format!("Undelete it and move the domain: `wh apps undelete {slug}`"))
    } else {
        taken(format!("{hostname} leads to the app {slug}"))
            .hint(format!("Move it: `wh domain move {hostname} {} --app {slug}`", app.slug))
    })
}

async fn view(app: &App, conn: &mut PgConnection, id: AppId, hostname: &str) -> Result<Domain> {
    views(app, conn, id, Some(hostname)).await?.pop().ok_or_else(|| unknown(hostname))
}

async fn views(app: &App, conn: &mut PgConnection, id: AppId, hostname: Option<&str>) -> Result<Vec<Domain>> {
    let rows = store::list(conn, id, hostname).await?;
    let mut addresses = store::proxy_addresses(conn).await?;
    addresses.retain(|address| app.config.dns.private_names || is_public(*address));
    let led = store::paths(conn, id).await?;
    let views = rows.into_iter().map(|row| {
        let own = led.iter().filter(|(domain, _)| *domain == row.id).map(|(_, path)| path.clone()).collect();
        shown(row, &addresses, own)
    });
    Ok(views.collect())
}

fn shown(row: Row, addresses: &[IpAddr], paths: Vec<paths::DomainPath>) -> Domain {
    let target = Target { host: &row.app_host, at_proxies: row.at_proxies, addresses };
    let standing = row.standing;
    Domain {
        records: records(&row.hostname, &row.token, &target),
        unicode: name::unicode(&row.hostname),
        id: row.id,
        hostname: row.hostname,
        app: row.app,
        state: standing.state,
        verified_at: standing.verified_at,
        checked_at: row.checked_at,
        error: row.error,
        next_check_at: row.next_check_at,
        missing_since: standing.missing_since,
        lapses_at: standing.missing_since.map(|since| since + judge::MISSING),
        expires_at: row.expires_at,
        certificate: row.certificate,
        paths,
        created_by: row.created_by,
        created_at: standing.created_at,
    }
}
