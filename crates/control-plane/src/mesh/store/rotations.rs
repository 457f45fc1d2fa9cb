//! SQL of rotations: nodes that are asked for another key of their tunnel.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use protocol::ids::NodeId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::mesh::rotations::Rotation;

/// All of nodes that may have a tunnel, the longest asked first.
pub async fn all(conn: &mut PgConnection) -> sqlx::Result<Vec<Rotation>> {
    sqlx::query_as!(
        Rotation,
        r#"select node_id as "node: NodeId", mesh_rotations.rotation, asked_at, next_key, told_at
           from mesh_rotations join nodes on id = node_id
           where removed_at is null and revoked_at is null order by asked_at, node_id"#
    )
    .fetch_all(conn)
    .await
}

/// The node's, held until the transaction ends.
pub async fn lock(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Option<Rotation>> {
    sqlx::query_as!(
        Rotation,
        r#"select node_id as "node: NodeId", rotation, asked_at, next_key, told_at
           from mesh_rotations where node_id = $1 for update"#,
        node as _
    )
    .fetch_optional(conn)
    .await
}

/// Asks for another key, unless it is asked for already; `false` then.
pub async fn ask(conn: &mut PgConnection, node: NodeId, rotation: Uuid) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into mesh_rotations (node_id, rotation) values ($1, $2) on conflict do nothing",
        node as _,
        rotation
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Nodes whose key is older than so many days and that are not asked for another one.
pub async fn aged(conn: &mut PgConnection, days: u32) -> sqlx::Result<Vec<(NodeId, String)>> {
    let rows = sqlx::query!(
        r#"select id as "id: NodeId", name from nodes
           where removed_at is null and revoked_at is null and status <> 'joining'
             and coalesce(public_key_since, created_at) < now() - make_interval(days => $1)
             and not exists (select from mesh_rotations where node_id = id)
           order by name"#,
        i32::try_from(days).unwrap_or(i32::MAX)
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

/// Notes the key that the host has made; `false` when it is some node's already.
pub async fn announce(conn: &mut PgConnection, node: NodeId, next_key: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update mesh_rotations set next_key = $2, told_at = null
         where node_id = $1 and not exists (select from nodes where public_key = $2)
           and not exists (select from mesh_rotations as other where next_key = $2)",
        node as _,
        next_key
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The host may use its key.
pub async fn tell(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<()> {
    sqlx::query!("update mesh_rotations set told_at = now() where node_id = $1", node as _)
        .execute(conn)
        .await?;
    Ok(())
}

/// The host uses its key: it is the node's from now on.
pub async fn end(conn: &mut PgConnection, node: NodeId, key: &str) -> sqlx::Result<()> {
    sqlx::query!("update nodes set public_key = $2, public_key_since = now() where id = $1", node as _, key)
        .execute(&mut *conn)
        .await?;
    forget(conn, node).await.map(drop)
}

/// Asks for no key any more; `false` when it was not asked for.
pub async fn forget(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<bool> {
    let done = sqlx::query!("delete from mesh_rotations where node_id = $1", node as _).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}

/// Since when each node has its key.
pub async fn ages(conn: &mut PgConnection) -> sqlx::Result<HashMap<NodeId, DateTime<Utc>>> {
    let rows = sqlx::query!(
        r#"select id as "id: NodeId", coalesce(public_key_since, created_at) as "since!"
           from nodes where removed_at is null"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.since)).collect())
}
