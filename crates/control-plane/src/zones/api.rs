//! `/api/v1/zones`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::identity::Role;
use protocol::ids::NodeId;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::store::{self, Row, Settings};
use super::{Mode, Zone, rules};
use crate::app::{App, AppState};
use crate::bus::{self, Topic};
use crate::certificates::imports;
use crate::generations::{self, Consumer};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::page::Page;
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::{audit, nodes};

const COUNT_LIMIT: usize = 100;
/// Of a direct zone, as the worker's ingress listens by default.
const PORT: u16 = 8080;

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::ProjectRead, routes!(list_zones)))
        .routes(guard(app, Permission::NodeWrite, routes!(create_zone)))
        .routes(guard(app, Permission::NodeWrite, routes!(update_zone)))
        .routes(guard(app, Permission::NodeWrite, routes!(delete_zone)))
        .merge(super::place::router(app))
}

/// All zones, with the DNS records that they need.
#[utoipa::path(get, path = "/zones", tag = "zones", responses((status = 200, body = Page<Zone>)))]
async fn list_zones(State(app): State<AppState>) -> Result<Json<Page<Zone>>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(Page::whole(views(&app, &mut conn).await?)))
}

async fn views(app: &App, conn: &mut PgConnection) -> Result<Vec<Zone>> {
    let nodes = nodes::store::all(conn).await?;
    let apps = store::apps(conn).await?;
    let zones = store::list(conn).await?.into_iter().map(|row| {
        let answers = |node: &&nodes::store::Known| match row.mode {
            Mode::Proxy => node.roles.contains(&Role::Proxy),
            Mode::Direct => row.worker_id == Some(node.id),
        };
        let hosts = nodes.iter().filter(answers);
        let records =
            rules::records(&row.suffix, hosts.map(|node| (node.name.as_str(), node.endpoint.as_deref())));
        let warning = (row.mode == Mode::Direct)
            .then(|| rules::warning(row.worker.as_deref(), row.ingress, row.polled))
            .flatten();
        Zone {
            id: row.id,
            mode: row.mode,
            worker: row.worker,
            port: row.port.and_then(|port| u16::try_from(port).ok()),
            is_default: row.is_default,
            is_configured: row.suffix == app.config.proxy.subdomain_base,
            apps: apps.get(&row.id).copied().unwrap_or_default(),
            resolver: row.resolver,
            warning,
            records,
            suffix: row.suffix,
        }
    });
    Ok(zones.collect())
}

async fn view(app: &App, conn: &mut PgConnection, suffix: &str) -> Result<Zone> {
    let zones = views(app, conn).await?;
    zones.into_iter().find(|zone| zone.suffix == suffix).ok_or_else(|| absent(suffix))
}

pub(super) fn absent(suffix: &str) -> Error {
    Error::not_found(format_args!("zone {suffix}")).field("zone").hint("`wh zone ls` lists the zones")
}

/// The zone with this suffix, or that of new apps, for an app that comes into it: it stays until the transaction ends.
pub async fn enter(conn: &mut PgConnection, suffix: Option<&str>) -> Result<Row> {
    let zone = find(conn, suffix).await?;
    if store::hold(conn, zone.id).await? { Ok(zone) } else { Err(absent(&zone.suffix)) }
}

/// The zone with this suffix, or that of new apps.
pub async fn find(conn: &mut PgConnection, suffix: Option<&str>) -> Result<Row> {
    let zones = store::list(conn).await?;
    let fits = |zone: &Row| match suffix {
        None => zone.is_default,
        Some(suffix) => zone.suffix == suffix,
    };
    zones.into_iter().find(fits).ok_or_else(|| match suffix {
        Some(suffix) => absent(suffix),
        None => anyhow::anyhow!("no zone is the one of new apps").into(),
    })
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ZoneRequest {
    suffix: String,
    /// `direct` with a worker, else `proxy`, when absent.
    mode: Option<Mode>,
    /// Id or name of the worker that a direct zone points at.
    worker: Option<String>,
    /// At which visitors reach a direct zone; 8080 when absent. 443 says that something in front speaks HTTPS.
    port: Option<u16>,
    /// Of the Traefiks that serve the zone: it orders the certificates of its apps' names, and nobody else does. Empty or
    /// `none` for none.
    resolver: Option<String>,
    /// New apps get it.
    #[serde(default)]
    default: bool,
}

/// Adds a zone. Its DNS has to point at the proxies, or at the worker.
#[utoipa::path(post, path = "/zones", tag = "zones", request_body = ZoneRequest, responses((status = 201, body = Zone)))]
async fn create_zone(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<ZoneRequest>,
) -> Result<(StatusCode, Json<Zone>)> {
    let suffix = rules::checked(&request.suffix)?;
    let mut tx = app.db.begin().await?;
    store::lock(&mut tx).await?;
    let zones = store::list(&mut tx).await?;
    rules::check_apart(&suffix, zones.iter().map(|zone| zone.suffix.as_str()))?;
    if zones.len() >= COUNT_LIMIT {
        return Err(Error::invalid("suffix", format!("there are {COUNT_LIMIT} zones already")));
    }
    if store::has_domains(&mut tx, &suffix).await? {
        return Err(Error::invalid("suffix", format!("apps have domains of their own in {suffix}"))
            .hint("Remove these domains first: names of a zone are given by the apps' own names"));
    }
    let implied = if request.worker.is_some() { Mode::Direct } else { Mode::Proxy };
    let mode = request.mode.unwrap_or(implied);
    let resolver = request.resolver.as_deref().unwrap_or_default();
    let settings = settled(&mut tx, mode, request.worker.as_deref(), request.port, resolver).await?;
    check_imports(&mut tx, &suffix, &settings).await?;
    let id = store::insert(&mut tx, &suffix, &settings).await?;
    if request.default {
        store::make_default(&mut tx, id).await?;
    }
    let detail = json!({ "mode": mode, "worker": request.worker, "resolver": settings.resolver,
                         "default": request.default });
    audit::record(&mut tx, &caller, "zone.create", &format!("zone:{suffix}"), detail).await?;
    generations::raise(&mut tx, Consumer::Routes).await?;
    let made = view(&app, &mut tx, &suffix).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn settled(
    conn: &mut PgConnection,
    mode: Mode,
    worker: Option<&str>,
    port: Option<u16>,
    resolver: &str,
) -> Result<Settings> {
    let resolver = rules::resolver(resolver)?;
    match (mode, worker) {
        (Mode::Direct, _) if resolver.is_some() => {
            Err(Error::invalid("resolver", "a direct zone has no certificates: its worker speaks plain HTTP"))
        }
        (Mode::Proxy, Some(_)) => Err(Error::invalid("worker", "only a direct zone points at a worker")),
        (Mode::Proxy, None) if port.is_some() => {
            Err(Error::invalid("port", "only a direct zone has a port: proxies are at 80 and 443"))
        }
        (Mode::Proxy, None) => Ok(Settings { mode, worker_id: None, port: None, resolver }),
        (Mode::Direct, None) => {
            Err(Error::invalid("worker", "a direct zone needs the worker that it points at")
                .hint("`wh node ls` lists the nodes"))
        }
        (Mode::Direct, Some(worker)) => {
            let port = port.unwrap_or(PORT);
            if port == 0 {
                return Err(Error::invalid("port", "port must be between 1 and 65535"));
            }
            let worker_id = Some(find_worker(conn, worker).await?);
            Ok(Settings { mode, worker_id, port: Some(port.into()), resolver: None })
        }
    }
}

/// A Traefik that is given a certificate for all names of the zone has its resolver order nothing for them.
async fn check_imports(conn: &mut PgConnection, suffix: &str, settings: &Settings) -> Result<()> {
    if settings.resolver.is_none() {
        return Ok(());
    }
    let Some(organization) = imports::store::bringer(conn, suffix).await? else { return Ok(()) };
    let message = format!(
        "the organization {organization} has imported a certificate for *.{suffix}, in place of which no resolver orders any"
    );
    Err(Error::invalid("resolver", message).hint("Have it removed first: `wh cert remove`"))
}

/// The worker that a request names in `worker`, by id or name.
pub async fn find_worker(conn: &mut PgConnection, worker: &str) -> Result<NodeId> {
    let node = nodes::api::find(conn, worker).await.map_err(|error| error.field("worker"))?;
    if !node.roles.contains(&Role::Worker) {
        return Err(Error::invalid("worker", format!("{} is no worker", node.name)));
    }
    Ok(node.id)
}

/// What changes; what is absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ZonePatch {
    mode: Option<Mode>,
    worker: Option<String>,
    port: Option<u16>,
    /// Of the Traefiks that serve the zone; empty or `none` for none: the control plane has certificates ordered again.
    resolver: Option<String>,
    /// New apps get this zone. `false` changes nothing: choose another one instead.
    #[serde(default)]
    default: bool,
}

/// Changes who answers for a zone, or makes it that of new apps. Its DNS has to follow.
#[utoipa::path(patch, path = "/zones/{zone}", tag = "zones", params(("zone" = String, Path, description = "Suffix")),
    request_body = ZonePatch, responses((status = 200, body = Zone)))]
async fn update_zone(
    State(app): State<AppState>,
    caller: Caller,
    Path(suffix): Path<String>,
    Body(patch): Body<ZonePatch>,
) -> Result<Json<Zone>> {
    let mut tx = app.db.begin().await?;
    store::lock(&mut tx).await?;
    let zone = find(&mut tx, Some(&suffix)).await?;
    let before = Settings {
        mode: zone.mode,
        worker_id: zone.worker_id,
        port: zone.port,
        resolver: zone.resolver.clone(),
    };
    let after = patched(&mut tx, &zone, &patch).await?;
    if after != before {
        check_imports(&mut tx, &suffix, &after).await?;
        store::update(&mut tx, zone.id, &after).await?;
        generations::raise(&mut tx, Consumer::Routes).await?;
        bus::say(&mut tx, Topic::Certificates, &suffix).await?;
    }
    if patch.default {
        store::make_default(&mut tx, zone.id).await?;
    }
    if after != before || patch.default && !zone.is_default {
        let detail = json!({ "mode": after.mode, "worker": patch.worker, "resolver": after.resolver,
                             "default": patch.default });
        audit::record(&mut tx, &caller, "zone.update", &format!("zone:{suffix}"), detail).await?;
    }
    let changed = view(&app, &mut tx, &suffix).await?;
    tx.commit().await?;
    Ok(Json(changed))
}

async fn patched(conn: &mut PgConnection, zone: &Row, patch: &ZonePatch) -> Result<Settings> {
    let implied = if patch.worker.is_some() { Mode::Direct } else { zone.mode };
    let mode = patch.mode.unwrap_or(implied);
    if mode == Mode::Proxy {
        let resolver = patch.resolver.as_deref().or(zone.resolver.as_deref()).unwrap_or_default();
        return settled(conn, mode, patch.worker.as_deref(), patch.port, resolver).await;
    }
    let worker = patch.worker.as_deref().or(zone.worker.as_deref());
    let port = patch.port.or(zone.port.and_then(|port| u16::try_from(port).ok()));
    settled(conn, mode, worker, port, patch.resolver.as_deref().unwrap_or_default()).await
}

/// Removes a zone that no app is in.
#[utoipa::path(delete, path = "/zones/{zone}", tag = "zones", params(("zone" = String, Path, description = "Suffix")),
    responses((status = 204)))]
async fn delete_zone(
    State(app): State<AppState>,
    caller: Caller,
    Path(suffix): Path<String>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    store::lock(&mut tx).await?;
    store::close(&mut tx, &suffix).await?;
    let zone = find(&mut tx, Some(&suffix)).await?;
    let in_use = |message: String| Error::new(Code::ZoneInUse, message).field("zone");
    if suffix == app.config.proxy.subdomain_base {
        return Err(in_use(format!("{suffix} is the zone of the configuration (`proxy.subdomain_base`)")));
    }
    if zone.is_default {
        return Err(in_use(format!("new apps get the zone {suffix}"))
            .hint("Choose another one for them first: `wh zone set SUFFIX --default`"));
    }
    if let Some(apps) = store::apps(&mut tx).await?.get(&zone.id) {
        return Err(in_use(format!("{apps} apps are in the zone {suffix}"))
            .hint("Move them first: `wh zone move SUFFIX --app APP`; a deleted app counts until it is gone for good"));
    }
    store::delete(&mut tx, zone.id).await?;
    audit::record(&mut tx, &caller, "zone.delete", &format!("zone:{suffix}"), json!({})).await?;
    generations::raise(&mut tx, Consumer::Routes).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
