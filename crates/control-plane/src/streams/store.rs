//! SQL of streams.

use std::collections::{BTreeSet, HashMap};

use protocol::ids::{AppId, InstanceId, NodeId};
use protocol::stream::{MAX_PROBLEMS, StreamOptions, StreamProblem, StreamProtocol, StreamReport};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::view::{Facts, Row, StreamIssue};
use crate::bus::{self, Topic};
use crate::plan::streams::Published;

/// Characters of a problem that are kept.
const PROBLEM_LENGTH: usize = 500;

/// Makes this transaction the only one that gives ports away.
pub async fn lock(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('wisehosting streams'))").execute(conn).await?;
    Ok(())
}

/// Whose each port is.
pub async fn taken(conn: &mut PgConnection) -> sqlx::Result<Vec<(u16, StreamProtocol, AppId)>> {
    let rows = sqlx::query!(
        r#"select port, protocol as "protocol: StreamProtocol", app_id as "app_id: AppId" from streams"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (port(row.port), row.protocol, row.app_id)).collect())
}

/// Adds a stream, or changes the options of the one that is there. Whose the port is has been looked at.
pub async fn put(
    conn: &mut PgConnection,
    app: AppId,
    (port, protocol): (u16, StreamProtocol),
    options: &StreamOptions,
    by: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into streams (protocol, port, app_id, options, created_by) values ($1, $2, $3, $4, $5)
         on conflict (port, protocol) do update set options = excluded.options",
        protocol as _,
        i32::from(port),
        app as _,
        Json(options) as _,
        by
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether there was one.
pub async fn remove(
    conn: &mut PgConnection,
    app: AppId,
    (port, protocol): (u16, StreamProtocol),
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "delete from streams where port = $1 and protocol = $2 and app_id = $3",
        i32::from(port),
        protocol as _,
        app as _
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The app's streams, by port.
pub async fn of_app(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<Row>> {
    let rows = sqlx::query!(
        r#"select protocol as "protocol: StreamProtocol", port, options as "options: Json<StreamOptions>",
                  created_by, created_at
           from streams where app_id = $1 order by port, protocol"#,
        app as _
    )
    .fetch_all(conn)
    .await?;
    let row = rows.into_iter().map(|row| Row {
        protocol: row.protocol,
        port: port(row.port),
        options: row.options.0,
        created_by: row.created_by,
        created_at: row.created_at,
    });
    Ok(row.collect())
}

/// What proxies say of the app's streams.
pub async fn issues(
    conn: &mut PgConnection,
    app: AppId,
) -> sqlx::Result<HashMap<(u16, StreamProtocol), Vec<StreamIssue>>> {
    let rows = sqlx::query!(
        r#"select stream_problems.port, stream_problems.protocol as "protocol: StreamProtocol", name, problem, at
           from stream_problems
           join streams on streams.port = stream_problems.port and streams.protocol = stream_problems.protocol
           join nodes on nodes.id = node_id
           where app_id = $1 and removed_at is null order by name"#,
        app as _
    )
    .fetch_all(conn)
    .await?;
    let mut issues: HashMap<_, Vec<StreamIssue>> = HashMap::new();
    for row in rows {
        let issue = StreamIssue { node: row.name, problem: row.problem, since: row.at };
        issues.entry((port(row.port), row.protocol)).or_default().push(issue);
    }
    Ok(issues)
}

/// What matters of the app.
pub async fn facts(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Facts> {
    sqlx::query_as!(
        Facts,
        r#"select case when zones.mode = 'proxy' then apps.slug || '.' || zones.suffix else (
                      select hostname from domains
                      where app_id = apps.id and state = 'verified' and hostname not like '*%'
                      order by created_at, hostname limit 1
                  ) end as host,
                  (select count(*) from instances where app_id = apps.id and in_rotation
                      and state = 'healthy') as "serving!",
                  (select count(*) from instances where app_id = apps.id and in_rotation
                      and state = 'healthy' and publishes_udp) as "serving_udp!",
                  (select count(*) from agents join nodes on nodes.id = agents.node_id
                      where agents.kind = 'proxy' and removed_at is null) as "proxies!"
           from apps join zones on zones.id = apps.zone_id where apps.id = $1"#,
        app as _
    )
    .fetch_one(conn)
    .await
}

/// The streams that proxies serve, and the instances that are published for UDP as well.
pub async fn published(conn: &mut PgConnection) -> sqlx::Result<(Vec<Published>, BTreeSet<InstanceId>)> {
    let rows = sqlx::query!(
        r#"select protocol as "protocol: StreamProtocol", port, app_id as "app_id: AppId",
                  options as "options: Json<StreamOptions>"
           from streams order by port, protocol"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let streams = rows.into_iter().map(|row| Published {
        protocol: row.protocol,
        port: port(row.port),
        app_id: row.app_id,
        options: row.options.0,
    });
    let udp = sqlx::query_scalar!(
        r#"select id as "id: InstanceId" from instances where in_rotation and publishes_udp"#
    )
    .fetch_all(conn)
    .await?;
    Ok((streams.collect(), udp.into_iter().collect()))
}

/// Takes in all that a proxy cannot listen on.
pub async fn take_report(conn: &mut PgConnection, node: NodeId, report: &StreamReport) -> sqlx::Result<()> {
    let told: Vec<&StreamProblem> = report.problems.iter().take(MAX_PROBLEMS).collect();
    let ports: Vec<i32> = told.iter().map(|problem| problem.port.into()).collect();
    let protocols: Vec<String> = told.iter().map(|problem| problem.protocol.to_string()).collect();
    let texts: Vec<String> =
        told.iter().map(|problem| problem.problem.chars().take(PROBLEM_LENGTH).collect()).collect();
    let apps: Vec<AppId> = sqlx::query_scalar!(
        r#"with told as (
               select distinct on (port, protocol) port, protocol, problem
               from unnest($2::int[], $3::text[], $4::text[]) as told (port, protocol, problem)
           ), gone as (
               delete from stream_problems as known where node_id = $1
                 and not exists (select from told where told.port = known.port and told.protocol = known.protocol)
               returning port, protocol
           ), changed as (
               insert into stream_problems as known (node_id, port, protocol, problem)
               select $1, port, protocol, problem from told
               on conflict (node_id, port, protocol) do update set problem = excluded.problem, at = now()
               where known.problem <> excluded.problem
               returning port, protocol
           )
           select distinct app_id as "app_id: AppId" from streams
           join (select * from gone union select * from changed) as touched
             on touched.port = streams.port and touched.protocol = streams.protocol"#,
        node as _,
        &ports,
        &protocols,
        &texts
    )
    .fetch_all(&mut *conn)
    .await?;
    for app in apps {
        bus::say(conn, Topic::Apps, app).await?;
    }
    Ok(())
}

/// Ports are checked by the schema.
fn port(number: i32) -> u16 {
    u16::try_from(number).unwrap_or_default()
}
