//! What people look at.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use protocol::identity::AgentKind;
use protocol::ids::AppId;
use serde::Serialize;
use sqlx::PgConnection;

use crate::traffic::cursor::Cursor;
use crate::traffic::hour;
use crate::traffic::numbers::Row;
use crate::traffic::requests::{Accessed, Filter};

/// What was counted from a time on: by the hour as far as that is added up and wanted, by the minute after it.
pub async fn rows(
    conn: &mut PgConnection,
    app: AppId,
    from: DateTime<Utc>,
    hours: bool,
) -> sqlx::Result<Vec<Row>> {
    // One statement, and so one moment: what is added up meanwhile counts once.
    sqlx::query_as!(
        Row,
        r#"with rolled_up as (
               select coalesce((select until from traffic_rolled_up where $3), '-infinity') as until
           )
           select at as "at!", requests as "requests!", received_bytes as "received_bytes!",
                  sent_bytes as "sent_bytes!", connections as "connections!", upstream_errors as "upstream_errors!", latency as "latency!"
           from (
               select traffic_hours.* from traffic_hours, rolled_up
               where app_id = $1 and at >= $2 and at < until
               union all
               select traffic_minutes.* from traffic_minutes, rolled_up
               where app_id = $1 and at >= $2 and at >= until
           ) as counted"#,
        app as _,
        from,
        hours
    )
    .fetch_all(conn)
    .await
}

/// The requests for one path.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TrafficPath)]
pub struct Path {
    /// With `*` for the names of single things.
    pub path: String,
    pub requests: i64,
    /// Of them those that were answered with 500 and above.
    pub errors: i64,
    pub mean_ms: f64,
}

/// Paths of one answer.
const PATHS: i64 = 20;

/// The paths with the most requests since the hour of a time.
pub async fn paths(conn: &mut PgConnection, app: AppId, from: DateTime<Utc>) -> sqlx::Result<Vec<Path>> {
    sqlx::query_as!(
        Path,
        r#"select path, sum(requests)::bigint as "requests!", sum(errors)::bigint as "errors!",
                  (sum(took_us) / greatest(sum(requests), 1) / 1000)::float8 as "mean_ms!"
           from traffic_paths where app_id = $1 and at >= $2
           group by path order by sum(requests) desc, path limit $3"#,
        app as _,
        hour(from),
        PATHS
    )
    .fetch_all(conn)
    .await
}

/// An agent that reports of an app.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TrafficSource)]
pub struct Source {
    /// Name of its host.
    pub node: String,
    pub agent: AgentKind,
    pub reported_at: DateTime<Utc>,
}

pub async fn sources(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<Source>> {
    sqlx::query_as!(
        Source,
        r#"select nodes.name as node, agent as "agent: AgentKind", reported_at
           from traffic_sources join nodes on nodes.id = node_id
           where app_id = $1 order by nodes.name, agent"#,
        app as _
    )
    .fetch_all(conn)
    .await
}

/// Requests of an app that fit, the newest first, and where the next page begins.
pub async fn requests(
    conn: &mut PgConnection,
    app: AppId,
    filter: &Filter,
) -> sqlx::Result<(Vec<Accessed>, Option<Cursor>)> {
    let (least_status, most_status) = filter.status.unzip();
    let mut rows = sqlx::query!(
        r#"select id, at, method, host, path, status, took_us::float8 / 1000 as "took_ms!", received_bytes, sent_bytes,
                  client, protocol, tls, user_agent, referer, upstream, node
           from traffic_requests
           where app_id = $1 and ($2::timestamptz is null or (at, id) < ($2, $3::bigint))
             and ($4::int is null or status between $4 and $5::int)
             and ($6::text is null or method = $6) and ($7::text is null or starts_with(path, $7))
             and ($8::text is null or host = $8) and ($9::inet is null or client && $9)
             and ($10::bigint is null or took_us > $10)
           order by at desc, id desc limit $11"#,
        app as _,
        filter.before.map(|cursor| cursor.at),
        filter.before.map(|cursor| cursor.id),
        least_status,
        most_status,
        filter.method,
        filter.path,
        filter.host,
        filter.client as _,
        filter.slower_than_us,
        filter.limit + 1
    )
    .fetch_all(conn)
    .await?;
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| Cursor { at: row.at, id: row.id });
    let items = rows.into_iter().map(|row| Accessed {
        id: row.id.to_string(),
        at: row.at,
        method: row.method,
        host: row.host,
        path: row.path,
        status: row.status,
        took_ms: row.took_ms,
        received_bytes: row.received_bytes,
        sent_bytes: row.sent_bytes,
        client: row.client.map(shown),
        protocol: row.protocol,
        tls: row.tls,
        user_agent: row.user_agent,
        referer: row.referer,
        upstream: row.upstream,
        node: row.node,
    });
    Ok((items.collect(), next))
}

/// The time of the app's oldest request.
pub async fn kept_since(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("select min(at) from traffic_requests where app_id = $1", app as _)
        .fetch_one(conn)
        .await
}

/// An address, or a network where no more is kept of one.
fn shown(client: IpNet) -> String {
    if client.prefix_len() == client.max_prefix_len() {
        client.addr().to_string()
    } else {
        client.to_string()
    }
}
