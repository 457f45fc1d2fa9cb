use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::ids::AppId;
use protocol::stream::{StreamOptions, StreamProtocol};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::check::Wanted;
use super::{COUNT_LIMIT, StreamList, StreamView, store};
use crate::app::{App, AppState};
use crate::apps::api::{find, hold};
use crate::apps::store::App as AppRow;
use crate::audit;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::routes::settings::store::sites;

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppRead, routes!(list_streams)))
        .routes(guard(app, Permission::AppWrite, routes!(add_stream)))
        .routes(guard(app, Permission::AppWrite, routes!(put_stream, remove_stream)))
}

/// The app's streams: ports of the proxies that lead to it past HTTP.
#[utoipa::path(get, path = "/apps/{app}/streams", tag = "streams", params(("app" = String, Path, description = "Id or slug")), responses((status = 200, body = StreamList)))]
async fn list_streams(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<StreamList>> {
    let mut conn = app.db.acquire().await?;
    let found = find(&mut conn, &caller, &key).await?;
    Ok(Json(StreamList {
        items: views(&mut conn, found.id).await?,
        ports: app.config.proxy.stream_ports.to_string(),
    }))
}

/// A stream to add.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct StreamRequest {
    protocol: StreamProtocol,
    /// One of the ports for streams; a free one when absent.
    port: Option<u16>,
    #[serde(default)]
    options: Wanted,
}

/// Adds a stream that leads to the app's own port. It is served by every proxy within a second.
#[utoipa::path(post, path = "/apps/{app}/streams", tag = "streams", params(("app" = String, Path, description = "Id or slug")), request_body = StreamRequest, responses((status = 201, body = StreamView)))]
async fn add_stream(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(request): Body<StreamRequest>,
) -> Result<(StatusCode, Json<StreamView>)> {
    let mut tx = app.db.begin().await?;
    let found = hold(&mut tx, &caller, &key).await?;
    let place = match request.port {
        Some(port) => (port, request.protocol),
        None => (free_port(&app, &mut tx).await?, request.protocol),
    };
    let options = understood(&mut tx, found.id, place.1, request.options).await?;
    if allowed(&app, &mut tx, &found, place).await? {
        return Err(taken(place.0, "this app has a stream there already"));
    }
    let view = keep(&mut tx, &caller, &found, place, &options, "stream.add").await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Adds the stream at this very port, or sets all options of the one that is there.
#[utoipa::path(put, path = "/apps/{app}/streams/{protocol}/{port}", tag = "streams", params(("app" = String, Path, description = "Id or slug"), ("protocol" = StreamProtocol, Path), ("port" = u16, Path)), request_body = Wanted, responses((status = 200, body = StreamView)))]
async fn put_stream(
    State(app): State<AppState>,
    caller: Caller,
    Path((key, protocol, port)): Path<(String, StreamProtocol, u16)>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<StreamView>> {
    let mut tx = app.db.begin().await?;
    let found = hold(&mut tx, &caller, &key).await?;
    let options = understood(&mut tx, found.id, protocol, wanted).await?;
    let known = allowed(&app, &mut tx, &found, (port, protocol)).await?;
    let action = if known { "stream.update" } else { "stream.add" };
    let view = keep(&mut tx, &caller, &found, (port, protocol), &options, action).await?;
    tx.commit().await?;
    Ok(Json(view))
}

/// Removes the stream. Nobody is let in from that moment on; who is connected has 30 seconds.
#[utoipa::path(delete, path = "/apps/{app}/streams/{protocol}/{port}", tag = "streams", params(("app" = String, Path, description = "Id or slug"), ("protocol" = StreamProtocol, Path), ("port" = u16, Path)), responses((status = 204)))]
async fn remove_stream(
    State(app): State<AppState>,
    caller: Caller,
    Path((key, protocol, port)): Path<(String, StreamProtocol, u16)>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let found = hold(&mut tx, &caller, &key).await?;
    if !store::remove(&mut tx, found.id, (port, protocol)).await? {
        return Err(Error::not_found(format!("stream {port}/{protocol} of this app"))
            .hint("`wh stream ls` lists its streams"));
    }
    let detail = json!({ "protocol": protocol, "port": port });
    audit::record(&mut tx, &caller, "stream.remove", &format!("app:{}", found.slug), detail).await?;
    say(&mut tx, found.id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn understood(
    conn: &mut PgConnection,
    app: AppId,
    protocol: StreamProtocol,
    wanted: Wanted,
) -> Result<StreamOptions> {
    let sites = sites(conn, app).await?.into_iter().map(|site| site.host);
    let hosts: Vec<String> = sites.filter(|host| !host.starts_with('*')).collect();
    wanted.options(protocol, &hosts)
}

/// From here on the transaction is the only one that gives ports away.
async fn free_port(app: &App, conn: &mut PgConnection) -> Result<u16> {
    store::lock(conn).await?;
    let taken: BTreeSet<u16> = store::taken(conn).await?.into_iter().map(|(port, ..)| port).collect();
    app.config.proxy.stream_ports.free(&taken)
}

/// Whether the app has this very stream; an error when it may not have it.
async fn allowed(
    app: &App,
    conn: &mut PgConnection,
    found: &AppRow,
    (port, protocol): (u16, StreamProtocol),
) -> Result<bool> {
    store::lock(conn).await?;
    let all = store::taken(conn).await?;
    if all.iter().any(|(other, _, app)| *other == port && *app != found.id) {
        return Err(taken(port, "it is another app's"));
    }
    let own: Vec<_> = all.iter().filter(|(.., app)| *app == found.id).collect();
    if own.iter().any(|(other, spoken, _)| (*other, *spoken) == (port, protocol)) {
        return Ok(true);
    }
    app.config.proxy.stream_ports.check(port, &app.config)?;
    if own.len() >= COUNT_LIMIT {
        return Err(Error::invalid("port", format!("the app has {COUNT_LIMIT} streams already"))
            .hint("Remove one that is not used any more"));
    }
    Ok(false)
}

fn taken(port: u16, why: &str) -> Error {
    Error::new(Code::PortTaken, format!("port {port} is taken: {why}"))
        .field("port")
        .hint("Take another port, or leave it out and get a free one")
}

async fn keep(
    conn: &mut PgConnection,
    caller: &Caller,
    found: &AppRow,
    (port, protocol): (u16, StreamProtocol),
    options: &StreamOptions,
    action: &str,
) -> Result<StreamView> {
    store::put(conn, found.id, (port, protocol), options, &caller.email).await?;
    let detail = json!({ "protocol": protocol, "port": port, "options": options });
    audit::record(conn, caller, action, &format!("app:{}", found.slug), detail).await?;
    say(conn, found.id).await?;
    let views = views(conn, found.id).await?;
    let own = views.into_iter().find(|view| (view.port, view.protocol) == (port, protocol));
    own.ok_or_else(|| anyhow::anyhow!("a stream is not there after it was stored").into())
}

async fn say(conn: &mut PgConnection, app: AppId) -> sqlx::Result<()> {
    generations::raise(conn, Consumer::Routes).await?;
    bus::say(conn, Topic::Apps, app).await
}

async fn views(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<StreamView>> {
    let facts = store::facts(conn, app).await?;
    let mut issues = store::issues(conn, app).await?;
    let view = |row: super::view::Row| {
        let problems = issues.remove(&(row.port, row.protocol)).unwrap_or_default();
        StreamView::new(row, &facts, problems)
    };
    Ok(store::of_app(conn, app).await?.into_iter().map(view).collect())
}
