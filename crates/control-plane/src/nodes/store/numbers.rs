//! SQL of how hosts are doing.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::NodeId;
use protocol::numbers::Space;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::nodes::numbers::NodeNow;
use crate::nodes::numbers::config::NodeNumbers;
use crate::nodes::numbers::live::Minute;
use crate::nodes::numbers::series::NodePoint;
use crate::traffic::hour;

/// After its end an hour gets no more: minutes wait no longer while they cannot be stored.
const LATE: TimeDelta = TimeDelta::minutes(15);
/// Rows deleted at once.
const ROWS: i64 = 10_000;

/// Stores minutes of many hosts at once. A host that changed its control plane within one told both.
pub async fn insert(conn: &mut PgConnection, minutes: &[Minute]) -> sqlx::Result<()> {
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let spaces = |of: fn(&Minute) -> Space| -> (Vec<i64>, Vec<i64>) {
        minutes.iter().map(of).map(|space| (number(space.used_bytes), number(space.total_bytes))).unzip()
    };
    let (memory_used, memory_total) = spaces(|minute| minute.memory);
    let (swap_used, swap_total) = spaces(|minute| minute.swap);
    let (root_used, root_total) = spaces(|minute| minute.root);
    let (containers_used, containers_total): (Vec<_>, Vec<_>) = minutes
        .iter()
        .map(|minute| {
            minute.containers.map(|space| (number(space.used_bytes), number(space.total_bytes))).unzip()
        })
        .unzip();
    let nodes: Vec<Uuid> = minutes.iter().map(|minute| minute.node.0).collect();
    let times: Vec<DateTime<Utc>> = minutes.iter().map(|minute| minute.at).collect();
    let floats = |of: fn(&Minute) -> f32| minutes.iter().map(of).collect::<Vec<f32>>();
    let received: Vec<i64> = minutes.iter().map(|minute| number(minute.received_bytes)).collect();
    let sent: Vec<i64> = minutes.iter().map(|minute| number(minute.sent_bytes)).collect();
    sqlx::query!(
        "insert into node_minutes as held (node_id, at, cpu, cpu_most, load, memory_used, memory_total, swap_used,
                                           swap_total, root_used, root_total, containers_used, containers_total,
                                           received_bytes, sent_bytes)
         select distinct on (told.node_id, told.at) told.* from unnest(
             $1::uuid[], $2::timestamptz[], $3::real[], $4::real[], $5::real[], $6::bigint[], $7::bigint[],
             $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
             $15::bigint[]
         ) as told (node_id, at, cpu, cpu_most, load, memory_used, memory_total, swap_used, swap_total, root_used,
                    root_total, containers_used, containers_total, received_bytes, sent_bytes)
         join nodes on nodes.id = told.node_id
         order by told.node_id, told.at
         on conflict (node_id, at) do update
         set cpu_most = greatest(held.cpu_most, excluded.cpu_most),
             received_bytes = held.received_bytes + excluded.received_bytes,
             sent_bytes = held.sent_bytes + excluded.sent_bytes",
        &nodes,
        &times,
        &floats(|minute| minute.cpu),
        &floats(|minute| minute.cpu_most),
        &floats(|minute| minute.load),
        &memory_used,
        &memory_total,
        &swap_used,
        &swap_total,
        &root_used,
        &root_total,
        &containers_used as &[Option<i64>],
        &containers_total as &[Option<i64>],
        &received,
        &sent
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds up every hour that gets no more.
pub async fn roll_up(db: &PgPool, now: DateTime<Utc>) -> sqlx::Result<()> {
    let closed = hour(now - LATE);
    loop {
        let next = sqlx::query_scalar!(
            "select min(at) from node_minutes
             where at >= coalesce((select max(at) + interval '1 hour' from node_hours), '-infinity')"
        )
        .fetch_one(db)
        .await?;
        let Some(next) = next.map(hour).filter(|next| *next < closed) else { return Ok(()) };
        sqlx::query!(
            "insert into node_hours
             select node_id, $1, avg(cpu)::real, max(cpu_most), avg(load)::real, max(memory_used), max(memory_total),
                    max(swap_used), max(swap_total), max(root_used), max(root_total), max(containers_used),
                    max(containers_total), least(sum(received_bytes), 9223372036854775807)::bigint,
                    least(sum(sent_bytes), 9223372036854775807)::bigint
             from node_minutes where at >= $1 and at < $1 + interval '1 hour' group by node_id
             on conflict (node_id, at) do nothing",
            next
        )
        .execute(db)
        .await?;
    }
}

/// Deletes what the configuration does not want kept, in batches, so that nobody waits for long.
pub async fn sweep(db: &PgPool, config: &NodeNumbers) -> sqlx::Result<()> {
    let (hours, days) = (i32::from(config.minutes_kept_h), i32::from(config.hours_kept_days));
    loop {
        let minutes = sqlx::query!(
            "delete from node_minutes where ctid = any(array(
                 select ctid from node_minutes where at < now() - make_interval(hours => $1) limit $2))",
            hours,
            ROWS
        )
        .execute(db)
        .await?;
        let of_hours = sqlx::query!(
            "delete from node_hours where ctid = any(array(
                 select ctid from node_hours where at < now() - make_interval(days => $1) limit $2))",
            days,
            ROWS
        )
        .execute(db)
        .await?;
        if minutes.rows_affected() + of_hours.rows_affected() == 0 {
            return Ok(());
        }
    }
}

fn bytes(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn space(used: i64, total: i64) -> Space {
    Space { used_bytes: bytes(used), total_bytes: bytes(total) }
}

/// From a time on: by the hour as far as that is added up and wanted, by the minute after it.
pub async fn rows(
    conn: &mut PgConnection,
    node: NodeId,
    from: DateTime<Utc>,
    hours: bool,
) -> sqlx::Result<Vec<NodePoint>> {
    let rows = sqlx::query!(
        r#"with rolled_up as (
               select coalesce((select max(at) + interval '1 hour' from node_hours where $3), '-infinity') as until
           )
           select at as "at!", cpu as "cpu!", cpu_most as "cpu_most!", load as "load!", memory_used as "memory_used!",
                  memory_total as "memory_total!", swap_used as "swap_used!", swap_total as "swap_total!",
                  root_used as "root_used!", root_total as "root_total!", containers_used, containers_total,
                  received_bytes as "received_bytes!", sent_bytes as "sent_bytes!"
           from (
               select node_hours.* from node_hours, rolled_up where node_id = $1 and at >= $2 and at < until
               union all
               select node_minutes.* from node_minutes, rolled_up where node_id = $1 and at >= $2 and at >= until
           ) as told"#,
        node as _,
        from,
        hours
    )
    .fetch_all(conn)
    .await?;
    let point = rows.into_iter().map(|row| NodePoint {
        at: row.at,
        cpu_percent: row.cpu,
        cpu_most_percent: row.cpu_most,
        load: row.load,
        memory: space(row.memory_used, row.memory_total),
        swap: space(row.swap_used, row.swap_total),
        root: space(row.root_used, row.root_total),
        containers: row.containers_used.zip(row.containers_total).map(|(used, total)| space(used, total)),
        received_bytes: bytes(row.received_bytes),
        sent_bytes: bytes(row.sent_bytes),
    });
    Ok(point.collect())
}

/// The last minute of each of the nodes, if it was lately: what is known of those that tell another replica.
pub async fn newest(conn: &mut PgConnection, nodes: &[Uuid]) -> sqlx::Result<HashMap<NodeId, NodeNow>> {
    let rows = sqlx::query!(
        r#"select node.id as "id!: NodeId", told.*
           from unnest($1::uuid[]) as node (id) cross join lateral (
               select at, cpu, load, memory_used, memory_total, swap_used, swap_total, root_used, root_total,
                      containers_used, containers_total, received_bytes, sent_bytes
               from node_minutes where node_id = node.id and at > now() - interval '6 minutes'
               order by at desc limit 1
           ) as told"#,
        nodes
    )
    .fetch_all(conn)
    .await?;
    let now = rows.into_iter().map(|row| {
        let now = NodeNow {
            at: row.at,
            cpu_percent: row.cpu,
            load: row.load,
            memory: space(row.memory_used, row.memory_total),
            swap: space(row.swap_used, row.swap_total),
            root: space(row.root_used, row.root_total),
            containers: row.containers_used.zip(row.containers_total).map(|(used, total)| space(used, total)),
            received_per_s: Some(bytes(row.received_bytes) / 60),
            sent_per_s: Some(bytes(row.sent_bytes) / 60),
            uptime_s: None,
        };
        (row.id, now)
    });
    Ok(now.collect())
}
