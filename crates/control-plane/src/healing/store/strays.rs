//! SQL of containers that nobody knows.

use chrono::{DateTime, Utc};
use protocol::ids::{InstanceId, NodeId};
use protocol::report::Stray;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

/// A container with our label on a node that no desired state of its worker ever had.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Stray)]
pub struct StrayView {
    /// Podman's id.
    pub container: String,
    /// Empty for one of another organization's app.
    pub name: String,
    /// The instance that it says it is of.
    pub instance: Option<InstanceId>,
    /// Slug of the app that it says it is of; null when that is another organization's.
    pub app: Option<String>,
    /// Podman's word.
    pub state: String,
    pub reason: String,
    pub found_at: DateTime<Utc>,
    /// When it is removed.
    pub remove_at: DateTime<Utc>,
}

impl StrayView {
    /// The names of containers have those of their apps in them.
    pub fn hide_app(&mut self) {
        self.app = None;
        self.name.clear();
    }
}

/// All of a node, the oldest first.
pub async fn list(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Vec<StrayView>> {
    sqlx::query_as!(
        StrayView,
        r#"select container, name, instance_id as "instance: InstanceId", app, state, reason, found_at, remove_at
           from strays where node_id = $1 order by found_at, container"#,
        node as _
    )
    .fetch_all(conn)
    .await
}

/// What the worker sees now, in place of what it saw before.
pub async fn replace(conn: &mut PgConnection, node: NodeId, strays: &[Stray]) -> sqlx::Result<()> {
    let text = |of: fn(&Stray) -> &String| strays.iter().map(|stray| of(stray).clone()).collect::<Vec<_>>();
    let time = |of: fn(&Stray) -> DateTime<Utc>| strays.iter().map(of).collect::<Vec<_>>();
    let instances: Vec<Option<Uuid>> = strays.iter().map(|stray| stray.instance_id.map(|id| id.0)).collect();
    let apps: Vec<Option<String>> = strays.iter().map(|stray| stray.app.clone()).collect();
    let containers = text(|stray| &stray.container);
    sqlx::query!("delete from strays where node_id = $1 and container <> all($2)", node as _, &containers)
        .execute(&mut *conn)
        .await?;
    if strays.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into strays (node_id, container, name, instance_id, app, state, reason, found_at, remove_at)
         select $1, * from unnest($2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[],
                                  $8::timestamptz[], $9::timestamptz[])
         on conflict (node_id, container) do update
         set name = excluded.name, state = excluded.state, reason = excluded.reason, remove_at = excluded.remove_at",
        node as _,
        &containers,
        &text(|stray| &stray.name),
        &instances as &[Option<Uuid>],
        &apps as &[Option<String>],
        &text(|stray| &stray.state),
        &text(|stray| &stray.reason),
        &time(|stray| stray.found_at),
        &time(|stray| stray.remove_at)
    )
    .execute(conn)
    .await?;
    Ok(())
}
