use std::time::Duration;

use anyhow::Context;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::files::{Kind, Way};
use protocol::ids::InstanceId;
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use tokio_stream::StreamExt;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::link::Target;
use super::{Meter, Place, check_path};
use crate::app::AppState;
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::{Code, Error, Permission, Result, guard};
use crate::{apps, audit, exec};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppExec, routes!(read_files)))
        .routes(guard(app, Permission::AppExec, routes!(write_files)))
        .routes(guard(app, Permission::AppExec, routes!(find_file)))
}

/// A client that sends nothing for this long has gone.
const PATIENCE: Duration = Duration::from_mins(1);
/// For an answer that is short.
const QUICK: Duration = Duration::from_secs(30);

/// What is at a path, and in which instance that was seen.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct FoundFile {
    instance: InstanceId,
    kind: Kind,
}

/// A file or folder of an instance as a tar, in which its name is the first part of every path.
#[utoipa::path(get, path = "/apps/{app}/files", tag = "exec", params(("app" = String, Path, description = "Id or slug"), Place), responses((status = 200, body = Vec<u8>, content_type = "application/x-tar")))]
async fn read_files(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Query(place): Query<Place>,
) -> Result<Response> {
    let slot = app.limits.upload()?;
    let mut tx = app.db.begin().await?;
    let target = find(&mut tx, &caller, &key, place).await?;
    write_down(&mut tx, &caller, "files.read", &target).await?;
    tx.commit().await?;
    let answer = target.request(&app, Way::Out, "/files").await?.send().await;
    let answer = target.check(&app, answer).await?;
    let tar = Meter::default().cap(answer.bytes_stream(), app.config.limits.copy_bytes).map(move |chunk| {
        let _held = &slot;
        chunk
    });
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], Body::from_stream(tar)).into_response())
}

/// Unpacks a tar into a folder of an instance. Files that are there are replaced; they belong to the container's user.
#[utoipa::path(put, path = "/apps/{app}/files", tag = "exec", params(("app" = String, Path, description = "Id or slug"), Place), request_body(content = Vec<u8>, content_type = "application/x-tar"), responses((status = 204)))]
async fn write_files(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Query(place): Query<Place>,
    body: Body,
) -> Result<StatusCode> {
    let _slot = app.limits.upload()?;
    let mut tx = app.db.begin().await?;
    let target = find(&mut tx, &caller, &key, place).await?;
    write_down(&mut tx, &caller, "files.write", &target).await?;
    tx.commit().await?;
    let (meter, limit) = (Meter::default(), app.config.limits.copy_bytes);
    let sent = body.into_data_stream().timeout(PATIENCE).map(|part| match part {
        Ok(part) => part.map_err(axum::BoxError::from),
        Err(quiet) => Err(axum::BoxError::from(quiet)),
    });
    let tar = reqwest::Body::wrap_stream(meter.cap(Box::pin(sent), limit));
    let answer = target.request(&app, Way::In, "/files").await?.body(tar).send().await;
    if meter.passed() > limit {
        return Err(Error::new(Code::ArchiveTooLarge, format!("a copy has at most {limit} bytes"))
            .hint("The limit is limits.copy_bytes of the control plane"));
    }
    target.check(&app, answer).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a path of an instance is a folder, a file, or not there.
#[utoipa::path(get, path = "/apps/{app}/files/kind", tag = "exec", params(("app" = String, Path, description = "Id or slug"), Place), responses((status = 200, body = FoundFile)))]
async fn find_file(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Query(place): Query<Place>,
) -> Result<Json<FoundFile>> {
    let mut conn = app.db.acquire().await?;
    let target = find(&mut conn, &caller, &key, place).await?;
    drop(conn);
    let answer = target.request(&app, Way::Out, "/files/kind").await?.timeout(QUICK).send().await;
    let said = target.check(&app, answer).await?.json().await;
    let kind = said.context("the worker tells no kind of file")?;
    Ok(Json(FoundFile { instance: target.instance.id, kind }))
}

async fn find(conn: &mut PgConnection, caller: &Caller, key: &str, place: Place) -> Result<Target> {
    check_path(&place.path)?;
    let found = apps::api::find(conn, caller, key).await?;
    let instances = apps::store::instances(conn, found.id).await?;
    let instance = exec::choose(&found.slug, instances, place.instance)?;
    Ok(Target::new(found.slug, instance, place))
}

async fn write_down(conn: &mut PgConnection, caller: &Caller, action: &str, target: &Target) -> Result<()> {
    let Target { app, instance, path } = target;
    let detail = json!({ "instance": instance.id, "node": instance.node.name, "path": path });
    audit::record(conn, caller, action, &format!("app:{app}"), detail).await?;
    Ok(())
}
