//! SQL of the census. It only reads.

use protocol::identity::AgentKind;
use protocol::ids::NodeId;
use sqlx::PgConnection;

/// A tunnel in use says something at least every 25 s and makes a handshake every 2 minutes.
const SILENT_AFTER_S: i64 = 180;

/// A node that has joined.
#[derive(Debug)]
pub struct Node {
    pub id: NodeId,
    pub name: String,
    pub online: bool,
    /// Checks in a row that found nobody.
    pub failures: i32,
    /// Its clock against ours, as newly measured as any agent's.
    pub clock_offset_s: Option<f64>,
    /// Peers of its tunnel; absent when its mesh agent has never said.
    pub peers: Option<i64>,
    /// Peers without a handshake for a while; a relayed one needs none.
    pub silent: i64,
    /// Peers that are reached through another node.
    pub relayed: i64,
}

pub async fn nodes(conn: &mut PgConnection) -> sqlx::Result<Vec<Node>> {
    sqlx::query_as!(
        Node,
        r#"select nodes.id, name, status = 'online' as "online!", check_failures as failures,
                  (select clock_offset_ms::float8 / 1000 from agents
                   where node_id = nodes.id and clock_measured_at is not null
                   order by clock_measured_at desc limit 1) as clock_offset_s,
                  jsonb_array_length(report -> 'peers')::bigint as peers,
                  (select count(*) from jsonb_array_elements(report -> 'peers') as peer
                   where peer ->> 'via' is null
                     and coalesce((peer ->> 'handshake_age_s')::bigint > $1, true)) as "silent!",
                  (select count(*) from jsonb_array_elements(report -> 'peers') as peer
                   where peer ->> 'via' is not null) as "relayed!"
           from nodes left join agents on node_id = nodes.id and kind = 'mesh'
           where removed_at is null and status <> 'joining'"#,
        SILENT_AFTER_S
    )
    .fetch_all(conn)
    .await
}

/// An agent that has connected at least once.
#[derive(Debug)]
pub struct Agent {
    pub node: String,
    pub kind: AgentKind,
    pub connected: bool,
}

pub async fn agents(conn: &mut PgConnection) -> sqlx::Result<Vec<Agent>> {
    sqlx::query_as!(
        Agent,
        r#"select name as node, kind, connected_to is not null as "connected!"
           from agents join nodes on nodes.id = node_id where removed_at is null"#
    )
    .fetch_all(conn)
    .await
}

/// How many instances are in each state.
pub async fn instances(conn: &mut PgConnection) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(
        r#"select state.state as "state!",
                  (select count(*) from instances where instances.state = state.state) as "count!"
           from unnest(array['pending', 'pulling', 'starting', 'healthy', 'unhealthy', 'exited', 'failed', 'stopped'])
               as state (state)"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.state, row.count)).collect())
}

/// How many deployments ended in the last hour, by how. A later one superseding it does not make it less live.
pub async fn finished_deployments(conn: &mut PgConnection) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(
        r#"select outcome.outcome as "outcome!",
                  (select count(*) from deployments
                   where finished_at > now() - interval '1 hour'
                     and case state when 'superseded' then 'live' else state end = outcome.outcome) as "count!"
           from unnest(array['live', 'failed', 'cancelled']) as outcome (outcome)"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.outcome, row.count)).collect())
}

/// The certificate of a host that is routed.
#[derive(Debug)]
pub struct Certificate {
    pub host: String,
    /// Unix time; absent before the first was issued.
    pub ends_at: Option<f64>,
    /// Consecutive orders that failed.
    pub failures: i32,
}

pub async fn certificates(conn: &mut PgConnection) -> sqlx::Result<Vec<Certificate>> {
    sqlx::query_as!(
        Certificate,
        r#"select host as "host!", extract(epoch from not_after)::float8 as ends_at, failures as "failures!"
           from certificates where source = 'acme' and host in (select host from wanted_certificates)
           union all
           select names[1], extract(epoch from max(not_after))::float8, 0 from imported_certificates group by names[1]"#
    )
    .fetch_all(conn)
    .await
}
