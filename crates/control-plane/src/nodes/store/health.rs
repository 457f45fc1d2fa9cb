//! What nodes and their agents say about themselves, and what follows for their status.

use protocol::identity::AgentKind;
use protocol::ids::NodeId;
use protocol::report::{Heartbeat, HostFacts, MeshReport};
use protocol::spec::Generation;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::checks;
use crate::bus::{self, Topic};
use crate::nodes::health::config::NodeHealth;
use crate::nodes::health::connected;

/// A replica that has not said for so long that it holds a connection is gone, and the connection with it.
pub const PRESENCE_LASTS_S: f64 = 60.0;

/// Settles the status of one node, an agent of which came just now.
pub async fn refresh(
    conn: &mut PgConnection,
    config: &NodeHealth,
    id: NodeId,
    came: AgentKind,
) -> sqlx::Result<()> {
    settle(conn, config, Some(id), &format!("its {came} agent is connected")).await
}

/// Settles the status of all nodes.
pub async fn refresh_all(conn: &mut PgConnection, config: &NodeHealth) -> sqlx::Result<()> {
    sqlx::query!(
        "update agents set connected_to = null
         where connected_to is not null and last_seen_at < now() - make_interval(secs => $1)",
        PRESENCE_LASTS_S
    )
    .execute(&mut *conn)
    .await?;
    settle(conn, config, None, "an agent of it is connected").await
}

async fn settle(
    conn: &mut PgConnection,
    config: &NodeHealth,
    only: Option<NodeId>,
    reason: &str,
) -> sqlx::Result<()> {
    for node in checks::changed(conn, config, only).await? {
        if node.present {
            connected(conn, &node, reason.to_owned()).await?;
        } else {
            checks::lose(conn, node.id).await?;
        }
    }
    Ok(())
}

/// This replica still holds these connections. Returns the ones that are another replica's by now, or that nobody
/// should hold any more.
pub async fn hold(
    conn: &mut PgConnection,
    replica: Uuid,
    held: &[(NodeId, AgentKind)],
) -> sqlx::Result<Vec<(NodeId, AgentKind)>> {
    let nodes: Vec<Uuid> = held.iter().map(|(node, _)| node.0).collect();
    let kinds: Vec<String> = held.iter().map(|(_, kind)| kind.to_string()).collect();
    let rows = sqlx::query!(
        r#"with held as (select * from unnest($2::uuid[], $3::text[]) as held (node_id, kind)),
              kept as (
                  update agents set last_seen_at = now(), connected_to = $1
                  from held join nodes on nodes.id = held.node_id
                  where agents.node_id = held.node_id and agents.kind = held.kind and nodes.revoked_at is null
                    and (agents.connected_to is null or agents.connected_to = $1)
                  returning agents.node_id, agents.kind
              )
           select held.node_id as "node_id!: NodeId", held.kind as "kind!: AgentKind" from held
           where not exists (select 1 from kept where kept.node_id = held.node_id and kept.kind = held.kind)"#,
        replica,
        &nodes,
        &kinds
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.node_id, row.kind)).collect())
}

/// This replica stops: none of its connections is left.
pub async fn let_go(conn: &mut PgConnection, replica: Uuid) -> sqlx::Result<()> {
    sqlx::query!("update agents set connected_to = null where connected_to = $1", replica)
        .execute(conn)
        .await?;
    Ok(())
}

/// The agent is there, and its clock is as just measured.
pub async fn heartbeat(
    conn: &mut PgConnection,
    node: NodeId,
    kind: AgentKind,
    heartbeat: &Heartbeat,
    offset_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with agent as (
             update agents set heartbeat = $3, heartbeat_at = now(), last_seen_at = now(),
                    clock_offset_ms = $4, clock_measured_at = now()
             where node_id = $1 and kind = $2
         )
         update nodes set last_seen_at = now() where id = $1",
        node as _,
        kind as _,
        Json(heartbeat) as _,
        offset_ms
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The host is no longer what it was.
pub async fn host(conn: &mut PgConnection, node: NodeId, facts: &HostFacts) -> sqlx::Result<()> {
    note_host(conn, node, facts).await?;
    bus::say(conn, Topic::Nodes, node).await
}

/// Takes facts of the host in. Each agent knows a part of it: what one leaves out, another has said.
pub(super) async fn note_host(conn: &mut PgConnection, node: NodeId, facts: &HostFacts) -> sqlx::Result<()> {
    let facts = serde_json::to_value(facts).expect("plain data");
    sqlx::query!("update nodes set host = host || jsonb_strip_nulls($2) where id = $1", node as _, facts)
        .execute(conn)
        .await?;
    Ok(())
}

/// A generation is in force on an agent. Roll-outs, drains and challenges wait for this.
pub async fn applied(
    conn: &mut PgConnection,
    node: NodeId,
    kind: AgentKind,
    generation: Generation,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update agents set applied_generation = $3, applied_at = now(), last_seen_at = now()
         where node_id = $1 and kind = $2",
        node as _,
        kind as _,
        generation
    )
    .execute(&mut *conn)
    .await?;
    bus::say(conn, Topic::Nodes, node).await
}

pub async fn mesh_report(conn: &mut PgConnection, node: NodeId, report: &MeshReport) -> sqlx::Result<()> {
    let silent: Vec<String> =
        report.peers.iter().filter(|peer| !peer.answers()).map(|peer| peer.public_key.clone()).collect();
    sqlx::query!(
        "update agents set report = $2, silent_peers = $3, reported_at = now(), last_seen_at = now()
         where node_id = $1 and kind = 'mesh'",
        node as _,
        Json(report) as _,
        &silent
    )
    .execute(&mut *conn)
    .await?;
    if !silent.is_empty() || report.peers.iter().any(|peer| peer.via.is_some()) {
        bus::say(conn, Topic::Mesh, node).await?;
    }
    Ok(())
}
