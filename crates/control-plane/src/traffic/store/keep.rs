//! Minutes become hours, and what has had its time goes: in batches, each by itself, so that nobody waits for long and a
//! pass that is cut off was not for nothing.

use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::AppId;
use sqlx::PgPool;
use sqlx::postgres::PgQueryResult;

use crate::traffic::config::Traffic;
use crate::traffic::hour;
use crate::traffic::intake::SKEW;

/// Apps whose hour is added up at once.
const APPS: i64 = 500;
/// Rows deleted at once.
const ROWS: i64 = 10_000;
/// Paths of an app and hour that stay once the hour is over.
const PATHS: i64 = 25;
/// The longest time that is shown, days.
const PATHS_DAYS: i32 = 30;
/// After so long nobody sends a report again, days.
const RUNS_DAYS: i32 = 2;

/// Adds up every hour that can get no more.
pub async fn roll_up(db: &PgPool, now: DateTime<Utc>) -> sqlx::Result<()> {
    // A report may be as old as clocks may be off, and then takes a moment to be stored.
    let closed = hour(now - SKEW * 2);
    while let Some(next) = next_hour(db).await?.filter(|next| *next < closed) {
        while add_up(db, next).await? {}
        sqlx::query!(
            "delete from traffic_paths where at = $1 and (app_id, path) in (
                 select app_id, path from (
                     select app_id, path, row_number() over (partition by app_id order by requests desc, path) as place
                     from traffic_paths where at = $1
                 ) as ranked where place > $2
             )",
            next,
            PATHS
        )
        .execute(db)
        .await?;
        sqlx::query!(
            "insert into traffic_rolled_up (until) values ($1) on conflict (id) do update set until = excluded.until",
            next + TimeDelta::hours(1)
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// The hour to add up next, if there is one: the first with minutes that is not behind what is done.
async fn next_hour(db: &PgPool) -> sqlx::Result<Option<DateTime<Utc>>> {
    let first = sqlx::query_scalar!(
        "select min(at) from traffic_minutes
         where at >= coalesce((select until from traffic_rolled_up), '-infinity')"
    )
    .fetch_one(db)
    .await?;
    Ok(first.map(hour))
}

/// Adds up the hour for the next apps; `false` when there are no more. An hour that is there is whole.
async fn add_up(db: &PgPool, at: DateTime<Utc>) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        "insert into traffic_hours (app_id, at, requests, received_bytes, sent_bytes, connections,
                                    upstream_errors, latency)
         select app_id, $1, traffic_sum(requests), least(sum(received_bytes), 9223372036854775807)::bigint,
                least(sum(sent_bytes), 9223372036854775807)::bigint,
                least(sum(connections), 9223372036854775807)::bigint,
                least(sum(upstream_errors), 9223372036854775807)::bigint, traffic_sum(latency)
         from traffic_minutes
         where at >= $1 and at < $1 + interval '1 hour' and app_id in (
             select distinct app_id from traffic_minutes as open
             where at >= $1 and at < $1 + interval '1 hour'
               and not exists (select from traffic_hours where traffic_hours.app_id = open.app_id and at = $1)
             order by app_id limit $2
         )
         group by app_id
         on conflict (app_id, at) do nothing",
        at,
        APPS
    )
    .execute(db)
    .await?;
    Ok(added.rows_affected() > 0)
}

/// Deletes the rows of a table that are older than some days.
macro_rules! delete_older {
    ($db:expr, $table:literal, $days:expr) => {
        in_batches(|| {
            sqlx::query!(
                "delete from "
                    + $table
                    + " where ctid = any(array(select ctid from "
                    + $table
                    + " where at < now() - make_interval(days => $1) limit $2))",
                $days,
                ROWS
            )
            .execute($db)
        })
        .await?
    };
}

/// Deletes what the configuration does not want kept.
pub async fn sweep(db: &PgPool, config: &Traffic) -> sqlx::Result<()> {
    let (hours, days) = (i32::from(config.minutes_kept_h), i32::from(config.hours_kept_days));
    // None before it is part of an hour.
    in_batches(|| {
        sqlx::query!(
            "delete from traffic_minutes where ctid = any(array(
                 select ctid from traffic_minutes
                 where at < now() - make_interval(hours => $1) and at < (select until from traffic_rolled_up)
                 limit $2))",
            hours,
            ROWS
        )
        .execute(db)
    })
    .await?;
    delete_older!(db, "traffic_hours", days);
    delete_older!(db, "traffic_paths", PATHS_DAYS);
    sqlx::query!("delete from traffic_sources where reported_at < now() - make_interval(days => $1)", days)
        .execute(db)
        .await?;
    sqlx::query!("delete from traffic_reports where taken_at < now() - make_interval(days => $1)", RUNS_DAYS)
        .execute(db)
        .await?;
    sweep_requests(db, config).await
}

async fn sweep_requests(db: &PgPool, config: &Traffic) -> sqlx::Result<()> {
    let (days, kept) = (i32::from(config.requests_kept_days), i64::from(config.requests_per_app));
    delete_older!(db, "traffic_requests", days);
    let full: Vec<AppId> = sqlx::query_scalar!(
        r#"select app_id from traffic_requests group by app_id having count(*) > $1"#,
        kept
    )
    .fetch_all(db)
    .await?;
    for app in full {
        // Failed ones and others by turns: neither drives out the other.
        in_batches(|| {
            sqlx::query!(
                "delete from traffic_requests where id = any(array(
                     select id from (
                         select id, row_number() over (partition by status >= 500 order by at desc, id desc) as place
                         from traffic_requests where app_id = $1
                     ) as ranked order by place, id desc offset $2 limit $3))",
                app as _,
                kept,
                ROWS
            )
            .execute(db)
        })
        .await?;
    }
    Ok(())
}

/// Until one finds nothing more.
async fn in_batches<F>(batch: impl Fn() -> F) -> sqlx::Result<()>
where
    F: Future<Output = sqlx::Result<PgQueryResult>>,
{
    while batch().await?.rows_affected() > 0 {}
    Ok(())
}
