//! A report comes in. Rows are taken in the order of their keys, so that reports beside each other wait and do not
//! lock each other up.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use protocol::identity::AgentKind;
use protocol::ids::{AppId, NodeId};
use protocol::traffic::{AccessSample, Latency, TrafficReport};
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::nodes::store::Known;
use crate::traffic::config::Traffic;
use crate::traffic::intake::{self, Counted};
use crate::traffic::{hour, minute};

/// Paths of an app and hour from which on the least ones go.
const PATHS_HELD: i64 = 200;
/// Those that stay then.
const PATHS_KEPT: i64 = 100;

/// Takes a report in, once. What it says of apps that the agent does not answer for is left out.
pub async fn report(
    conn: &mut PgConnection,
    config: &Traffic,
    node: &Known,
    kind: AgentKind,
    report: TrafficReport,
) -> sqlx::Result<()> {
    if !is_new(conn, node.id, kind, &report).await? {
        return Ok(());
    }
    let (at, mut by_slug) = intake::of_report(report, Utc::now());
    let slugs: Vec<String> = by_slug.keys().cloned().collect();
    let known = apps(conn, node.id, kind, &slugs).await?;
    let counted: Vec<(AppId, Counted)> =
        known.into_iter().filter_map(|(slug, id)| Some((id, by_slug.remove(&slug)?))).collect();
    sources(conn, node.id, kind, at, &counted).await?;
    minutes(conn, at, &counted).await?;
    paths(conn, at, &counted).await?;
    requests(conn, config, node, &counted).await
}

/// Whether it is above the last one of its run, which it is from now on.
async fn is_new(
    conn: &mut PgConnection,
    node: NodeId,
    kind: AgentKind,
    report: &TrafficReport,
) -> sqlx::Result<bool> {
    let noted = sqlx::query!(
        "insert into traffic_reports as last (node_id, agent, run, number) values ($1, $2, $3, $4)
         on conflict (node_id, agent, run) do update set number = excluded.number, taken_at = now()
         where last.number < excluded.number",
        node as _,
        kind as _,
        report.run,
        intake::number(report)
    )
    .execute(conn)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Those of the apps that the agent may tell of, by id: a proxy of all, a worker's ingress of those in its zones.
async fn apps(
    conn: &mut PgConnection,
    node: NodeId,
    kind: AgentKind,
    slugs: &[String],
) -> sqlx::Result<Vec<(String, AppId)>> {
    let of_worker = (kind == AgentKind::Ingress).then_some(node);
    let rows = sqlx::query!(
        "select apps.slug, apps.id from apps join zones on zones.id = apps.zone_id
         where apps.slug = any($1) and ($2::uuid is null or zones.mode = 'direct' and zones.worker_id = $2)
         order by apps.id",
        slugs,
        of_worker as _
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.slug, row.id)).collect())
}

fn ids(counted: &[(AppId, Counted)]) -> Vec<AppId> {
    counted.iter().map(|(id, _)| *id).collect()
}

async fn sources(
    conn: &mut PgConnection,
    node: NodeId,
    kind: AgentKind,
    at: DateTime<Utc>,
    counted: &[(AppId, Counted)],
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into traffic_sources (app_id, node_id, agent, reported_at)
         select app_id, $2, $3, $4 from unnest($1::uuid[]) as app_id order by app_id
         on conflict (app_id, node_id, agent) do update set reported_at = excluded.reported_at",
        &ids(counted) as _,
        node as _,
        kind as _,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn minutes(
    conn: &mut PgConnection,
    at: DateTime<Utc>,
    counted: &[(AppId, Counted)],
) -> sqlx::Result<()> {
    let bytes = |of: fn(&Counted) -> i64| counted.iter().map(|(_, app)| of(app)).collect::<Vec<i64>>();
    // Postgres has no arrays of arrays of differing owners: these lie behind each other.
    let requests: Vec<i32> = counted.iter().flat_map(|(_, app)| app.requests).collect();
    let latency: Vec<i32> = counted.iter().flat_map(|(_, app)| app.latency.iter().copied()).collect();
    sqlx::query!(
        "insert into traffic_minutes as held
             (app_id, at, requests, received_bytes, sent_bytes, connections, upstream_errors, latency)
         select app_id, $2, ($3::int[])[(n - 1) * 5 + 1 : n * 5], received, sent, connections, errors,
                ($4::int[])[(n - 1) * $5 + 1 : n * $5]
         from unnest($1::uuid[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
             with ordinality as app (app_id, received, sent, connections, errors, n)
         order by app_id
         on conflict (app_id, at) do update set
             requests = traffic_add(held.requests, excluded.requests),
             received_bytes = held.received_bytes + excluded.received_bytes,
             sent_bytes = held.sent_bytes + excluded.sent_bytes,
             connections = held.connections + excluded.connections,
             upstream_errors = held.upstream_errors + excluded.upstream_errors,
             latency = traffic_add(held.latency, excluded.latency)",
        &ids(counted) as _,
        minute(at),
        &requests,
        &latency,
        i64::try_from(Latency::BUCKETS).unwrap_or(i64::MAX),
        &bytes(|app| app.received_bytes),
        &bytes(|app| app.sent_bytes),
        &bytes(|app| app.connections),
        &bytes(|app| app.upstream_errors)
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn paths(conn: &mut PgConnection, at: DateTime<Utc>, counted: &[(AppId, Counted)]) -> sqlx::Result<()> {
    let rows =
        || counted.iter().flat_map(|(id, app)| app.paths.iter().map(move |(path, of)| (*id, path, of)));
    let at = hour(at);
    let (apps, texts): (Vec<AppId>, Vec<String>) = rows().map(|(id, path, _)| (id, path.clone())).unzip();
    let new: Vec<AppId> = sqlx::query_scalar!(
        r#"insert into traffic_paths as held (app_id, at, path, requests, errors, took_us)
           select app_id, $2, path, requests, errors, took_us
           from unnest($1::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
               as row (app_id, path, requests, errors, took_us)
           order by app_id, path
           on conflict (app_id, at, path) do update set
               requests = held.requests + excluded.requests,
               errors = held.errors + excluded.errors,
               took_us = held.took_us + excluded.took_us
           returning case when xmax = 0 then app_id end as "app_id: AppId""#,
        &apps as _,
        at,
        &texts,
        &rows().map(|(.., of)| of.requests).collect::<Vec<_>>(),
        &rows().map(|(.., of)| of.errors).collect::<Vec<_>>(),
        &rows().map(|(.., of)| of.took_us).collect::<Vec<_>>()
    )
    .fetch_all(&mut *conn)
    .await?
    .into_iter()
    .flatten()
    .collect();
    if new.is_empty() { Ok(()) } else { fewer_paths(conn, at, &new).await }
}

/// Apps that got a path and have too many now lose the least ones, without waiting for another report that does the same.
async fn fewer_paths(conn: &mut PgConnection, at: DateTime<Utc>, apps: &[AppId]) -> sqlx::Result<()> {
    sqlx::query!(
        "with full_ones as (
             select app_id from traffic_paths where app_id = any($1) and at = $2
             group by app_id having count(*) > $3
         ), ranked as (
             select app_id, path, row_number() over (partition by app_id order by requests desc, path) as place
             from traffic_paths join full_ones using (app_id) where at = $2
         ), least as (
             select app_id, at, path from traffic_paths
             where at = $2 and (app_id, path) in (select app_id, path from ranked where place > $4)
             for update skip locked
         )
         delete from traffic_paths using least
         where traffic_paths.app_id = least.app_id and traffic_paths.at = least.at
           and traffic_paths.path = least.path",
        apps as _,
        at,
        PATHS_HELD,
        PATHS_KEPT
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn requests(
    conn: &mut PgConnection,
    config: &Traffic,
    node: &Known,
    counted: &[(AppId, Counted)],
) -> sqlx::Result<()> {
    let rows =
        counted.iter().flat_map(|(app, counted)| counted.samples.iter().map(move |sample| (*app, sample)));
    let rows: Vec<Request<'_>> = rows.map(|(app, sample)| Request::new(app, config, sample)).collect();
    if rows.is_empty() || config.requests_per_app == 0 {
        return Ok(());
    }
    sqlx::query!(
        "insert into traffic_requests (app_id, at, method, host, path, status, took_us, received_bytes, sent_bytes,
             client, protocol, tls, user_agent, referer, upstream, node)
         select app_id, at, method, host, path, status, took_us, received_bytes, sent_bytes,
                client, protocol, tls, user_agent, referer, upstream, $2
         from jsonb_to_recordset($1) as row (app_id uuid, at timestamptz, method text, host text, path text,
             status int, took_us bigint, received_bytes bigint, sent_bytes bigint, client inet, protocol text,
             tls boolean, user_agent text, referer text, upstream text)",
        Json(rows) as _,
        node.name
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A row of `traffic_requests`: as many columns as it has, an array of each would be long to read.
#[derive(Serialize)]
struct Request<'a> {
    app_id: AppId,
    client: Option<IpNet>,
    at: DateTime<Utc>,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    status: u16,
    took_us: u64,
    received_bytes: u64,
    sent_bytes: u64,
    protocol: &'a str,
    tls: bool,
    user_agent: Option<&'a str>,
    referer: Option<&'a str>,
    upstream: Option<SocketAddr>,
}

impl<'a> Request<'a> {
    fn new(app_id: AppId, config: &Traffic, sample: &'a AccessSample) -> Self {
        Self {
            app_id,
            client: config.client_addresses.reduce(sample.client),
            at: sample.at,
            method: &sample.method,
            host: &sample.host,
            path: &sample.path,
            status: sample.status,
            took_us: sample.took_us,
            received_bytes: sample.received_bytes,
            sent_bytes: sample.sent_bytes,
            protocol: &sample.protocol,
            tls: sample.tls,
            user_agent: sample.user_agent.as_deref(),
            referer: sample.referer.as_deref(),
            upstream: sample.upstream,
        }
    }
}
