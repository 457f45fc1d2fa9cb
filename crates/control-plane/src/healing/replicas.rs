//! Apps with fewer instances than they should have, and nothing under way that would bring them: the release that serves
//! gets the missing ones. So an exclusive app is back after a deployment that ended its instance and then failed.

use protocol::ids::{AppId, DeploymentId};
use serde_json::json;
use sqlx::PgConnection;
use tracing::info;

use super::store;
use crate::bus::{self, Topic};
use crate::deployments::{self, Kind};
use crate::{apps, audit, releases};

/// Begins a deployment for each.
pub async fn fill(conn: &mut PgConnection) -> anyhow::Result<()> {
    for short in store::short_of_replicas(conn).await? {
        // Deployments of an app take turns at its row.
        let Some(of) = apps::store::lock(conn, short.app).await? else { continue };
        if deployments::store::unfinished(conn, of.id).await?.is_some() {
            continue;
        }
        let Some(live) = releases::store::current(conn, of.id).await? else { continue };
        let message = format!("{} of {} instances are missing", short.wanted - short.there, short.wanted);
        begin(conn, &of, &live, &message).await?;
        info!(app.id = %of.id, app = of.slug, "{message}");
    }
    Ok(())
}

async fn begin(
    conn: &mut PgConnection,
    of: &apps::store::App,
    live: &releases::store::Snapshot,
    message: &str,
) -> anyhow::Result<()> {
    let new = deployments::store::New {
        id: DeploymentId::new(),
        app_id: of.id,
        kind: Kind::Scale,
        source: None,
        settings: &live.settings.0,
        variables: &live.variables,
        build_variables: None,
        release_id: Some(live.id),
        replaces: None,
        message,
        created_by: "system",
    };
    let number = deployments::store::insert(conn, &new).await?;
    let detail = json!({
        "app": of.slug, "number": number, "kind": new.kind, "message": message, "release": live.number,
        "from": live.number,
    });
    let organization = apps::store::organization(conn, of.id).await?;
    let target = format!("deployment:{}", new.id);
    audit::record_of(conn, organization, "system", "deployment.create", &target, detail).await?;
    Ok(bus::say(conn, Topic::Deployments, new.id).await?)
}

/// An app that should have more instances.
#[derive(Debug)]
pub struct Short {
    pub app: AppId,
    pub wanted: i64,
    pub there: i64,
}
