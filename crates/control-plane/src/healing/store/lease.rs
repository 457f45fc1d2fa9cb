//! SQL of leases.

use std::time::Duration;

use chrono::{DateTime, Utc};
use protocol::ids::{AppId, DeploymentId, InstanceId, NodeId};
use protocol::report::InstanceState;
use sqlx::PgConnection;

/// What a node was granted.
#[derive(Debug)]
pub struct Granted {
    pub instances: Vec<InstanceId>,
    /// For how long the longest of its grants may hold that may hold still.
    pub longest: Duration,
    /// Counts those.
    pub long: i64,
}

/// Counts one more grant to the node, and names the instances that it may run. Whoever waits for the end of one of them
/// takes turns at the node's row, see [`settled`].
pub async fn grant(conn: &mut PgConnection, node: NodeId, ttl: Duration) -> sqlx::Result<Granted> {
    // An answer with a longer time may hold still where the configuration changed, see [`shorten`].
    let row = sqlx::query!(
        r#"insert into worker_leases (node_id, serial, ttl_ms, renewed_at) values ($1, 1, $2, now())
           on conflict (node_id) do update
           set serial = worker_leases.serial + 1, renewed_at = now(),
               ttl_ms = greatest(worker_leases.ttl_ms, excluded.ttl_ms),
               shorter = worker_leases.shorter + (excluded.ttl_ms < worker_leases.ttl_ms)::int
           returning ttl_ms, serial - shorter as "long!""#,
        node as _,
        millis(ttl)
    )
    .fetch_one(&mut *conn)
    .await?;
    // A statement of its own: it sees what was committed before the row above was free.
    let instances = sqlx::query_scalar!(
        r#"select id as "id: InstanceId" from instances where node_id = $1 and wanted and exclusive order by id"#,
        node as _
    )
    .fetch_all(conn)
    .await?;
    let longest = Duration::from_millis(u64::try_from(row.ttl_ms).unwrap_or_default());
    Ok(Granted { instances, longest, long: row.long })
}

/// None of the node's grants holds for longer than that any more.
pub async fn shorten(conn: &mut PgConnection, node: NodeId, ttl: Duration) -> sqlx::Result<()> {
    sqlx::query!("update worker_leases set ttl_ms = $2 where node_id = $1", node as _, millis(ttl))
        .execute(conn)
        .await?;
    Ok(())
}

fn millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)
}

/// How many grants the node has had, and for how long the longest of them may hold. From here to the end of the
/// transaction it gets no other, and those that it got later know what was committed before.
pub async fn settled(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<(i64, Duration)> {
    let row = sqlx::query!(
        "insert into worker_leases (node_id) values ($1)
         on conflict (node_id) do update set node_id = excluded.node_id returning serial, ttl_ms",
        node as _
    )
    .fetch_one(conn)
    .await?;
    Ok((row.serial, Duration::from_millis(u64::try_from(row.ttl_ms).unwrap_or_default())))
}

/// Forgets exclusive instances of nodes that were removed so long ago that no lease can hold.
pub async fn forget(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from instances using nodes
         where nodes.id = node_id and not wanted and removed_at < now() - interval '3 hours'"
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many grants each missing node has had.
pub async fn of_missing(conn: &mut PgConnection) -> sqlx::Result<Vec<(NodeId, i64)>> {
    let rows = sqlx::query!(
        r#"select node_id as "node: NodeId", serial from worker_leases join nodes on nodes.id = node_id
           where missing_since is not null or removed_at > now() - interval '3 hours'"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.node, row.serial)).collect())
}

/// When the node was granted a lease last.
pub async fn renewed_at(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Option<DateTime<Utc>>> {
    let found = sqlx::query_scalar!("select renewed_at from worker_leases where node_id = $1", node as _)
        .fetch_optional(conn)
        .await?;
    Ok(found.flatten())
}

/// An instance of another deployment that may still run.
#[derive(Debug)]
pub struct Other {
    pub id: InstanceId,
    pub on: NodeId,
    pub node: String,
    pub wanted: bool,
    /// It was made under the promise that it is the only one, and stops with its worker's lease.
    pub exclusive: bool,
    pub node_gone: bool,
}

/// The app's instances apart from those that the deployment wants, which their workers have not said to have ended.
pub async fn others(
    conn: &mut PgConnection,
    app: AppId,
    deployment: DeploymentId,
) -> sqlx::Result<Vec<Other>> {
    sqlx::query_as!(
        Other,
        r#"select instances.id as "id: InstanceId", node_id as "on: NodeId", nodes.name as node, wanted, exclusive,
                  missing_since is not null or removed_at is not null as "node_gone!"
           from instances join nodes on nodes.id = node_id
           where app_id = $1 and task is null and not (deployment_id = $2 and wanted)
             and (wanted or state <> $3) order by instances.id"#,
        app as _,
        deployment as _,
        InstanceState::Stopped as _
    )
    .fetch_all(conn)
    .await
}
