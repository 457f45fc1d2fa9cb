//! The instances of an app: what is wanted of each, and what was last seen.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use protocol::ids::{InstanceId, NodeId};
use protocol::job::{Failure, ProbeEvidence};
use protocol::report::{InstanceState, InstanceStats};
use protocol::spec::{Isolation, Resources};
use serde::Serialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::power::{self, Answer};
use super::unenforced::Unenforced;
use super::{api, store};
use crate::app::AppState;
use crate::deployments::create;
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::page::Page;
use crate::http::{Error, Permission, Result, guard};

pub(super) fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(list_instances))).routes(guard(
        app,
        Permission::AppDeploy,
        routes!(restart_instance),
    ))
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
    /// As its worker saw it last.
    pub state: InstanceState,
    /// Where it listens on the mesh.
    pub address: Option<String>,
    pub restarts: u32,
    pub exit_code: Option<i32>,
    pub started_at: Option<DateTime<Utc>>,
    /// When its worker last said how it is.
    pub observed_at: Option<DateTime<Utc>>,
    /// Since when nobody knows how it is; null while what was seen is younger than 45 s.
    pub unknown_since: Option<DateTime<Utc>>,
    pub probe: Option<ProbeEvidence>,
    pub failure: Option<Failure>,
    /// What its release lets it use.
    pub resources: Resources,
    pub isolation: Isolation,
    /// Which of that nothing enforces on its node.
    pub unenforced: Vec<Unenforced>,
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
    let mut instances = store::instances(&mut conn, found.id).await?;
    for instance in &mut instances {
        instance.stats = app.hub.stats(instance.id);
    }
    Ok(Json(Page::whole(instances)))
}

/// Replaces one instance by a new one of the same release; the others are left alone. It serves until the new one does,
/// then its requests end, and then it does.
#[utoipa::path(post, path = "/apps/{app}/instances/{instance}/restart", tag = "apps", params(("app" = String, Path, description = "Id or slug"), ("instance" = InstanceId, Path)), responses((status = 202, body = power::AppChanged)))]
async fn restart_instance(
    State(app): State<AppState>,
    caller: Caller,
    Path((key, id)): Path<(String, InstanceId)>,
) -> Answer {
    let mut tx = app.db.begin().await?;
    let found = api::hold(&mut tx, &caller, &key).await?;
    power::check_started(&found)?;
    let instances = store::instances(&mut tx, found.id).await?;
    let instance = instances.into_iter().find(|instance| instance.id == id).ok_or_else(|| {
        Error::not_found(format!("instance {id} of {}", found.slug)).hint("`wh ps` lists them")
    })?;
    let made = create::replace(&app, &mut tx, &caller, &found, &instance).await?;
    let detail = json!({ "deployment": made.number, "instance": id, "node": instance.node.name });
    power::record(&mut tx, &caller, &found, "app.restart", detail).await?;
    power::answer(&app, tx, &caller, &found, Some(made)).await
}
