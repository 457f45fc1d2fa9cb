//! The instances of an app: what is wanted of each, and what was last seen.

use std::net::{IpAddr, SocketAddr};

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use ipnet::IpNet;
use protocol::ids::{AppId, InstanceId, NodeId};
use protocol::job::{Failure, ProbeEvidence};
use protocol::report::{InstanceReport, InstanceState, InstanceStats};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api;
use crate::app::AppState;
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::page::Page;
use crate::http::{Permission, Result, guard};

pub(super) fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(list_instances)))
}

/// One container of a release on one node.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Instance {
    pub id: InstanceId,
    pub node: NodeRef,
    /// Number of its release.
    pub release: i32,
    /// Whether it should run.
    pub wanted: bool,
    /// Whether requests are sent to it.
    pub in_rotation: bool,
    pub state: InstanceState,
    /// Where it listens on the mesh.
    pub address: Option<String>,
    pub restarts: u32,
    pub exit_code: Option<i32>,
    pub started_at: Option<DateTime<Utc>>,
    /// When its worker last said how it is.
    pub observed_at: Option<DateTime<Utc>>,
    pub probe: Option<ProbeEvidence>,
    pub failure: Option<Failure>,
    /// Null unless its worker is connected to the control plane that answers.
    pub stats: Option<InstanceStats>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct NodeRef {
    pub id: NodeId,
    pub name: String,
}

/// The instances of an app, newest release first.
#[utoipa::path(get, path = "/apps/{app}/instances", tag = "apps", params(("app" = String, Path, description = "Id or slug")), responses((status = 200, body = Page<Instance>)))]
async fn list_instances(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Page<Instance>>> {
    let mut conn = app.db.acquire().await?;
    let found = api::find(&mut conn, &caller, &key).await?;
    let mut instances = list(&mut conn, found.id).await?;
    for instance in &mut instances {
        instance.stats = app.hub.stats(instance.id);
    }
    Ok(Json(Page::whole(instances)))
}

async fn list(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<Instance>> {
    let rows = sqlx::query!(
        "select instances.id, instances.node_id, nodes.name, nodes.mesh_address, releases.number, wanted, in_rotation,
                instances.state, host_port, report, observed_at
         from instances
         join nodes on nodes.id = instances.node_id
         join releases on releases.id = instances.release_id
         where instances.app_id = $1
         order by releases.number desc, instances.id limit 1000",
        app as _
    )
    .fetch_all(conn)
    .await?;
    let instances = rows.into_iter().map(|row| {
        // A report of another version may not parse; then only the state is known.
        let report = row.report.and_then(|report| serde_json::from_value::<InstanceReport>(report).ok());
        Instance {
            id: row.id,
            node: NodeRef { id: row.node_id, name: row.name },
            release: row.number,
            wanted: row.wanted,
            in_rotation: row.in_rotation,
            state: row.state,
            address: address(row.mesh_address, row.host_port),
            restarts: report.as_ref().map_or(0, |report| report.restarts),
            exit_code: report.as_ref().and_then(|report| report.exit_code),
            started_at: report.as_ref().and_then(|report| report.started_at),
            observed_at: row.observed_at,
            probe: report.as_ref().and_then(|report| report.probe.clone()),
            failure: report.and_then(|report| report.failure),
            stats: None,
        }
    });
    Ok(instances.collect())
}

fn address(node: IpNet, port: i32) -> Option<String> {
    let node: IpAddr = node.addr();
    Some(SocketAddr::new(node, u16::try_from(port).ok()?).to_string())
}
