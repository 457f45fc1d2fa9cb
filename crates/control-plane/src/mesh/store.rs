//! SQL of the mesh.

pub mod rotations;

use std::collections::HashMap;
use std::net::SocketAddr;

use ipnet::Ipv4Net;
use protocol::ids::NodeId;
use protocol::report::MeshReport;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::relays::Relayed;
use super::{FRESH, Side};
use crate::nodes::{Status, roles, v4};
use crate::plan::mesh::Ways;

/// All nodes with what their mesh agents reported last, by name.
pub async fn sides(conn: &mut PgConnection) -> sqlx::Result<Vec<Side>> {
    some(conn, None).await
}

/// These nodes, and all that may relay between them.
pub async fn sides_for_relays(
    conn: &mut PgConnection,
    only: impl IntoIterator<Item = &NodeId>,
) -> sqlx::Result<Vec<Side>> {
    let only: Vec<Uuid> = only.into_iter().map(|id| id.0).collect();
    some(conn, Some(&only)).await
}

async fn some(conn: &mut PgConnection, only: Option<&[Uuid]>) -> sqlx::Result<Vec<Side>> {
    let rows = sqlx::query!(
        r#"select id, name, roles, mesh_address, public_key, endpoint, status as "status: Status",
                  host ->> 'wireguard' as wireguard, reported_at as "reported_at?",
                  report as "report?: Json<MeshReport>"
           from nodes left join agents on node_id = id and kind = 'mesh'
           where removed_at is null and revoked_at is null
             and ($1::uuid[] is null or id = any($1) or roles && array['control-plane', 'proxy'])
           order by name"#,
        only as _
    )
    .fetch_all(conn)
    .await?;
    let side = rows.into_iter().map(|row| Side {
        id: row.id,
        name: row.name,
        roles: roles(&row.roles),
        mesh_address: v4(row.mesh_address),
        public_key: row.public_key,
        endpoint: row.endpoint,
        status: row.status,
        wireguard: row.wireguard,
        reported_at: row.reported_at,
        report: row.report.map(|report| report.0),
    });
    Ok(side.collect())
}

/// Notes the pool; `false` when it is the one that was known.
pub async fn set_pool(conn: &mut PgConnection, cidr: Ipv4Net) -> sqlx::Result<bool> {
    let cidr = ipnet::IpNet::V4(cidr.trunc());
    let before =
        sqlx::query_scalar!("select cidr from mesh_pool for update").fetch_optional(&mut *conn).await?;
    if before == Some(cidr) {
        return Ok(false);
    }
    sqlx::query!(
        "insert into mesh_pool (cidr) values ($1) on conflict (single) do update set cidr = excluded.cidr",
        cidr
    )
    .execute(conn)
    .await?;
    Ok(true)
}

/// Names of nodes whose addresses are not in the pool.
pub async fn outside(conn: &mut PgConnection, cidr: Ipv4Net) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "select name from nodes where removed_at is null and not mesh_address << $1 order by name",
        ipnet::IpNet::V4(cidr.trunc())
    )
    .fetch_all(conn)
    .await
}

/// The ways between nodes beside the declared endpoints.
pub async fn ways(conn: &mut PgConnection) -> sqlx::Result<Ways> {
    let rows = sqlx::query!("select node_id, endpoints from mesh_candidates").fetch_all(&mut *conn).await?;
    let candidates: HashMap<NodeId, Vec<SocketAddr>> =
        rows.into_iter().map(|row| (row.node_id, addresses(&row.endpoints))).collect();
    let relayed = sqlx::query_as!(
        Relayed,
        "select a, b, relay, returns, since from mesh_relays where relay is not null order by a, b"
    )
    .fetch_all(&mut *conn)
    .await?;
    let rotations = rotations::all(conn).await?;
    Ok(Ways { candidates, relayed, rotations })
}

fn addresses(endpoints: &[String]) -> Vec<SocketAddr> {
    endpoints.iter().filter_map(|endpoint| endpoint.parse().ok()).collect()
}

/// Pairs of nodes that both report, of which one does not hear the other.
pub async fn silent_pairs(conn: &mut PgConnection) -> sqlx::Result<Vec<(NodeId, NodeId)>> {
    let rows = sqlx::query!(
        r#"select distinct least(mine.node_id, other.node_id) as "a!: NodeId",
                  greatest(mine.node_id, other.node_id) as "b!: NodeId"
           from agents as mine
           join nodes on public_key = any(mine.silent_peers) and removed_at is null and revoked_at is null
           join agents as other on other.node_id = nodes.id and other.kind = 'mesh'
           where mine.kind = 'mesh' and mine.silent_peers <> '{}' and mine.node_id <> other.node_id
             and least(mine.reported_at, other.reported_at) > now() - make_interval(secs => $1)"#,
        FRESH.as_seconds_f64()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.a, row.b)).collect())
}

/// All pairs that are relayed, or were a while ago, held until the transaction ends.
pub async fn lock_relayed(conn: &mut PgConnection) -> sqlx::Result<Vec<Relayed>> {
    sqlx::query_as!(Relayed, "select a, b, relay, returns, since from mesh_relays order by a, b for update")
        .fetch_all(conn)
        .await
}

/// Relays the pair from now on, or lets it go directly again, which is counted.
pub async fn set_relay(
    conn: &mut PgConnection,
    a: NodeId,
    b: NodeId,
    relay: Option<NodeId>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into mesh_relays (a, b, relay) values ($1, $2, $3)
         on conflict (a, b) do update set relay = excluded.relay, since = now(),
             returns = mesh_relays.returns + case when excluded.relay is null then 1 else 0 end",
        a as _,
        b as _,
        relay as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn forget_relay(conn: &mut PgConnection, a: NodeId, b: NodeId) -> sqlx::Result<()> {
    sqlx::query!("delete from mesh_relays where a = $1 and b = $2", a as _, b as _).execute(conn).await?;
    Ok(())
}

/// Notes where else a node may be dialled; `false` when that was known.
pub async fn set_candidates(
    conn: &mut PgConnection,
    node: NodeId,
    endpoints: &[SocketAddr],
) -> sqlx::Result<bool> {
    let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    let done = sqlx::query!(
        "insert into mesh_candidates as old (node_id, endpoints)
         select $1::uuid, $2::text[]
         where $2::text[] <> '{}' or exists (select from mesh_candidates as known where known.node_id = $1)
         on conflict (node_id) do update set endpoints = excluded.endpoints
         where old.endpoints <> excluded.endpoints",
        node as _,
        &endpoints
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
