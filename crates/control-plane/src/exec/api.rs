use axum::Json;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use protocol::exec::MAX_FRAME;
use protocol::ids::ExecId;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Exec, ExecRequest, Place, check, choose, fresh, relay, store};
use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::config::Limits;
use crate::http::caller::{self, Caller};
use crate::http::extract::Path;
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::nodes::health::breaker;
use crate::{apps, audit, network};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppExec, routes!(create_exec))).routes(guard(
        app,
        Permission::AppExec,
        routes!(attach_exec),
    ))
}

/// A session in one of the app's instances, or in a container of its own. It is attached to within 30 seconds.
#[utoipa::path(post, path = "/apps/{app}/exec", tag = "exec", params(("app" = String, Path, description = "Id or slug")), request_body = ExecRequest, responses((status = 201, body = Exec)))]
async fn create_exec(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(request): Body<ExecRequest>,
) -> Result<(StatusCode, Json<Exec>)> {
    check(&request)?;
    let mut tx = app.db.begin().await?;
    let found = apps::api::find(&mut tx, &caller, &key).await?;
    let (place, node, release) = if request.fresh {
        let fresh::Choice { release, number, node } = fresh::choose(&mut tx, &found).await?;
        (Place::Fresh(release), node, number)
    } else {
        let instances = apps::store::instances(&mut tx, found.id).await?;
        let instance = choose(&found.slug, instances, request.instance)?;
        (Place::Instance(instance.id), instance.node, instance.release)
    };
    breaker::admit(&app, &mut tx, node.id).await?;
    let open = store::count_open(&mut tx, caller.organization_id, found.id).await?;
    check_room(&app.config.limits, &found.slug, &open, place)?;
    let exec = Exec { id: ExecId::new(), instance: place.instance(), node: node.name, release };
    store::insert(&mut tx, &caller, &found, (place, node.id), exec.id, &request).await?;
    if request.fresh {
        // The worker may have no container of the project yet, and so not know what it may reach.
        network::store::app_changed(&mut tx, found.id).await?;
        bus::say(&mut tx, Topic::Instances, found.id).await?;
    }
    let detail = json!({
        "session": exec.id, "instance": exec.instance, "fresh": request.fresh, "release": release,
        "node": exec.node, "command": request.command, "terminal": request.terminal.is_some(),
    });
    audit::record(&mut tx, &caller, "exec.start", &format!("app:{}", found.slug), detail).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(exec)))
}

fn check_room(limits: &Limits, app: &str, open: &store::Open, place: Place) -> Result<()> {
    let (all, fresh) = (limits.exec_sessions, limits.run_sessions);
    if open.all >= i64::from(all) {
        let message = format!("the organization has {all} sessions in instances already");
        return Err(Error::new(Code::TooMany, message)
            .hint("End one; the limit is limits.exec_sessions of the control plane"));
    }
    if place.release().is_some() && open.fresh >= i64::from(fresh) {
        let message = format!("{app} has {fresh} programs in containers of their own already");
        return Err(Error::new(Code::TooMany, message)
            .hint("End one; the limit is limits.run_sessions of the control plane"));
    }
    Ok(())
}

/// Attaches to a session of one's own, once: a WebSocket. Binary frames carry bytes behind one that names the channel (0
/// input, 1 output, 2 error output; an empty frame ends the input), text frames are JSON: `resize` from the client, at the
/// end `exit` or `failed` to it.
#[utoipa::path(get, path = "/exec/{id}", tag = "exec", params(("id" = ExecId, Path)), responses((status = 101, description = "The session")))]
async fn attach_exec(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<ExecId>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response> {
    // A GET, which the check of changes lets pass, and no fetch, which CORS would stop.
    caller::refuse_foreign_socket(&caller, &headers)?;
    let socket = socket.map_err(|rejection| {
        Error::new(Code::BadRequest, format!("this is the address of a WebSocket: {rejection}"))
    })?;
    let mut conn = app.db.acquire().await?;
    let session = store::attach(&mut conn, &caller, id).await?;
    drop(conn);
    let session = session.ok_or_else(|| {
        Error::not_found("such session of yours that waits")
            .hint("Sessions are attached to once, within 30 seconds")
    })?;
    let socket = socket.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME);
    Ok(socket.on_upgrade(move |socket| relay::run(app, caller, session, socket)))
}
