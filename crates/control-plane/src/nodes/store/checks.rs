//! SQL of checks: which nodes are due, what came of it, and how nodes went and came back.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use protocol::identity::AgentKind;
use protocol::ids::NodeId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::health::config::NodeHealth;
use super::super::health::rule::{Heard, Standing};
use super::super::health::troubles::Ailing;
use super::super::health::{News, Transition};
use super::super::ports::Ports;
use super::super::{Status, roles};
use crate::bus::{self, Topic};
use crate::http::page::PageQuery;

/// A node whose row is locked.
#[derive(Debug)]
pub struct Watched {
    pub id: NodeId,
    pub name: String,
    pub standing: Standing,
    pub missing_since: Option<DateTime<Utc>>,
    pub checked_at: Option<DateTime<Utc>>,
    /// Whether an agent of it is connected and its heartbeats arrive.
    pub present: bool,
}

struct WatchedRow {
    id: NodeId,
    name: String,
    status: Status,
    check_failures: i32,
    missing_since: Option<DateTime<Utc>>,
    checked_at: Option<DateTime<Utc>>,
    present: bool,
}

impl From<WatchedRow> for Watched {
    fn from(row: WatchedRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            standing: Standing { status: row.status, failures: row.check_failures },
            missing_since: row.missing_since,
            checked_at: row.checked_at,
            present: row.present,
        }
    }
}

/// One node, unless it is removed.
pub async fn lock(conn: &mut PgConnection, config: &NodeHealth, id: NodeId) -> sqlx::Result<Option<Watched>> {
    let row = sqlx::query_as!(
        WatchedRow,
        r#"select id, name, status as "status: Status", check_failures, missing_since, checked_at,
                  exists (select from agents where node_id = nodes.id and connected_to is not null
                          and coalesce(greatest(heartbeat_at, connected_at), now()) > now() - make_interval(secs => $2))
                      as "present!"
           from nodes where id = $1 and removed_at is null for update"#,
        id as _,
        f64::from(config.heartbeat_patience_s)
    );
    Ok(row.fetch_optional(conn).await?.map(Watched::from))
}

/// The nodes, or that one, that are there and do not count as it, or the other way round.
pub async fn changed(
    conn: &mut PgConnection,
    config: &NodeHealth,
    only: Option<NodeId>,
) -> sqlx::Result<Vec<Watched>> {
    let rows = sqlx::query_as!(
        WatchedRow,
        r#"select id, name, status as "status: Status", check_failures, missing_since, checked_at, present as "present!"
           from nodes, lateral (
               select exists (select from agents where node_id = nodes.id and connected_to is not null
                              and coalesce(greatest(heartbeat_at, connected_at), now()) > now() - make_interval(secs => $2))
                   as present
           ) as seen
           where removed_at is null and ($1::uuid is null or id = $1)
             and case when present then status <> 'online' or missing_since is not null or check_failures > 0
                 else missing_since is null and status <> 'joining' end
           order by id for update of nodes"#,
        only as _,
        f64::from(config.heartbeat_patience_s)
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Watched::from).collect())
}

/// Nobody on the node is connected any more: it is to be asked.
pub async fn lose(conn: &mut PgConnection, id: NodeId) -> sqlx::Result<()> {
    sqlx::query!("update nodes set missing_since = now(), next_check_at = now() where id = $1", id as _)
        .execute(&mut *conn)
        .await?;
    bus::say(conn, Topic::Nodes, id).await
}

/// Takes news of a node in.
pub async fn save(conn: &mut PgConnection, node: &Watched, news: &News) -> sqlx::Result<()> {
    let Standing { status, failures } = news.standing;
    let (here, heard) = (news.heard == Heard::Connected, news.heard != Heard::Nothing);
    sqlx::query!(
        "update nodes
         set status = $2, status_since = case when status = $2 then status_since else now() end, check_failures = $3,
             check_error = $4, checked_at = case when $5 then now() else checked_at end,
             last_seen_at = case when $6 then now() else last_seen_at end,
             next_check_at = now() + make_interval(secs => $7),
             missing_since = case when $8 or $2 = 'joining' then null else coalesce(missing_since, now()) end
         where id = $1",
        node.id as _,
        status.as_str(),
        failures,
        news.error,
        news.was_asked,
        heard,
        news.wait_s,
        here
    )
    .execute(&mut *conn)
    .await?;
    if status != node.standing.status {
        sqlx::query!(
            "insert into node_transitions (id, node_id, from_status, to_status, reason) values ($1, $2, $3, $4, $5)",
            Uuid::now_v7(),
            node.id as _,
            node.standing.status.as_str(),
            status.as_str(),
            news.reason
        )
        .execute(&mut *conn)
        .await?;
    }
    bus::say(conn, Topic::Nodes, node.id).await
}

/// A node that is to be asked.
#[derive(Debug)]
pub struct Due {
    pub id: NodeId,
    pub mesh_address: std::net::Ipv4Addr,
    pub roles: Vec<protocol::identity::Role>,
    pub ports: Ports,
    /// Another one than in [`Watched`] when it was asked meanwhile.
    pub checked_at: Option<DateTime<Utc>>,
}

/// Missing nodes whose check is due, the longest first, at most `limit`.
pub async fn due(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query!(
        r#"select id as "id: NodeId", mesh_address as "mesh_address: IpNet", roles, checked_at,
                  (host ->> 'worker_port')::int as worker_port, (host ->> 'proxy_port')::int as proxy_port
           from nodes
           where removed_at is null and missing_since is not null and coalesce(next_check_at, now()) <= now()
           order by next_check_at nulls first, id limit $1"#,
        limit
    )
    .fetch_all(conn)
    .await?;
    let due = rows.into_iter().map(|row| Due {
        id: row.id,
        mesh_address: super::v4(row.mesh_address),
        roles: roles(&row.roles),
        ports: Ports::told(row.worker_port, row.proxy_port),
        checked_at: row.checked_at,
    });
    Ok(due.collect())
}

/// How a node stands, for those who would dial it.
#[derive(Debug)]
pub struct Known {
    pub name: String,
    pub status: Status,
    pub status_since: DateTime<Utc>,
    pub missing_since: Option<DateTime<Utc>>,
    pub error: Option<String>,
}

pub async fn standing(conn: &mut PgConnection, id: NodeId) -> sqlx::Result<Option<Known>> {
    sqlx::query_as!(
        Known,
        r#"select name, status as "status: Status", status_since, missing_since, check_error as error
           from nodes where id = $1 and removed_at is null"#,
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// Nodes that are gone, or whose clock is off by so many milliseconds.
pub async fn ailing(conn: &mut PgConnection, offset_ms: i64) -> sqlx::Result<Vec<Ailing>> {
    sqlx::query_as!(
        Ailing,
        r#"select name, status as "status: Status", missing_since, check_error as error, clock_offset_ms as "clock_offset_ms?"
           from nodes left join lateral (
               select clock_offset_ms from agents where node_id = nodes.id and clock_measured_at is not null
               order by clock_measured_at desc limit 1
           ) as clock on true
           where removed_at is null and revoked_at is null
             and (status in ('offline', 'unreachable') or abs(clock_offset_ms) >= $1)
           order by name"#,
        offset_ms
    )
    .fetch_all(conn)
    .await
}

/// One page of how the node went and came back, the newest first.
pub async fn history(
    conn: &mut PgConnection,
    node: NodeId,
    page: &PageQuery,
) -> sqlx::Result<Vec<Transition>> {
    sqlx::query_as!(
        Transition,
        r#"select id, at, from_status as "from: Status", to_status as "to: Status", reason
           from node_transitions where node_id = $1 and ($2::uuid is null or id < $2)
           order by id desc limit $3"#,
        node as _,
        page.cursor,
        page.limit() + 1
    )
    .fetch_all(conn)
    .await
}

/// Forgets what is older than `days`.
pub async fn sweep(conn: &mut PgConnection, days: u16) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from node_transitions where at < now() - make_interval(days => $1)",
        i32::from(days)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The agent's clock, as just measured.
pub async fn clock(
    conn: &mut PgConnection,
    node: NodeId,
    kind: AgentKind,
    offset_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update agents set clock_offset_ms = $3, clock_measured_at = now() where node_id = $1 and kind = $2",
        node as _,
        kind as _,
        offset_ms
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A message of the agent was refused.
pub async fn refused(
    conn: &mut PgConnection,
    node: NodeId,
    kind: AgentKind,
    reason: &str,
    offset_ms: Option<i64>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update agents set refusal = $3, refused_at = now(), clock_offset_ms = coalesce($4, clock_offset_ms),
                clock_measured_at = case when $4::bigint is null then clock_measured_at else now() end
         where node_id = $1 and kind = $2",
        node as _,
        kind as _,
        reason,
        offset_ms
    )
    .execute(&mut *conn)
    .await?;
    bus::say(conn, Topic::Nodes, node).await
}
