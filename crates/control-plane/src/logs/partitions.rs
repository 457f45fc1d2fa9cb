//! The days of `instance_log`: made ahead, dropped whole when their time is over.

use chrono::{Days, NaiveDate};
use sqlx::{AssertSqlSafe, PgPool};
use tracing::warn;

/// Days that lines are kept.
const KEPT: u64 = 14;
/// Days that are made ahead, so that a control plane that is away for a while loses nothing: lines of a day without a
/// partition go to `instance_log_default`.
const AHEAD: u64 = 3;

/// Makes the partitions of `today` and the next days, and drops what is older than two weeks.
pub async fn keep(db: &PgPool, today: NaiveDate) -> sqlx::Result<()> {
    for day in today.iter_days().take(usize::try_from(AHEAD).unwrap_or(usize::MAX) + 1) {
        make(db, day).await?;
    }
    let Some(oldest) = today.checked_sub_days(Days::new(KEPT)) else { return Ok(()) };
    let partitions = sqlx::query_scalar!(
        r#"select inhrelid::regclass::text as "name!" from pg_inherits where inhparent = 'instance_log'::regclass"#
    )
    .fetch_all(db)
    .await?;
    for day in partitions.iter().filter_map(|name| day_of(name)).filter(|day| *day < oldest) {
        // The name is made of a date alone.
        sqlx::query(AssertSqlSafe(format!("drop table if exists {}", name_of(day)))).execute(db).await?;
    }
    sqlx::query!("delete from instance_log_default where at < now() - interval '14 days'")
        .execute(db)
        .await?;
    Ok(())
}

async fn make(db: &PgPool, day: NaiveDate) -> sqlx::Result<()> {
    let Some(next) = day.succ_opt() else { return Ok(()) };
    let statement = format!(
        "create table if not exists {} partition of instance_log for values from ('{day} 00:00+00') to ('{next} 00:00+00')",
        name_of(day)
    );
    match sqlx::query(AssertSqlSafe(statement)).execute(db).await {
        Ok(_) => Ok(()),
        // A host whose clock runs ahead has written lines of that day already: they are in the default partition, and
        // so will be the rest of that day.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("23514") => {
            warn!(%day, "lines of this day came too early; check the clocks of the workers");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn name_of(day: NaiveDate) -> String {
    format!("instance_log_{}", day.format("%Y%m%d"))
}

fn day_of(name: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(name.strip_prefix("instance_log_")?, "%Y%m%d").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn names(db: &PgPool) -> Vec<String> {
        sqlx::query_scalar(
            "select inhrelid::regclass::text from pg_inherits
             where inhparent = 'instance_log'::regclass order by 1",
        )
        .fetch_all(db)
        .await
        .expect("partitions")
    }

    #[sqlx::test(migrator = "crate::db::MIGRATIONS")]
    async fn days_are_made_ahead_and_dropped_after_two_weeks(db: PgPool) {
        let day = |text: &str| text.parse::<NaiveDate>().expect("date");
        keep(&db, day("2026-11-01")).await.expect("first");
        assert_eq!(names(&db).await.len(), 5, "four days and the default");
        keep(&db, day("2026-11-16")).await.expect("later");
        assert_eq!(names(&db).await[..2], ["instance_log_20261102", "instance_log_20261103"]);
    }

    #[sqlx::test(migrator = "crate::db::MIGRATIONS")]
    async fn lines_that_came_too_early_do_not_stop_the_others(db: PgPool) {
        sqlx::query(
            "insert into instance_log (app_id, instance_id, release, seq, at, stream, text)
             values (gen_random_uuid(), gen_random_uuid(), 1, 1, '2026-11-03 10:00+00', 'stdout', 'early')",
        )
        .execute(&db)
        .await
        .expect("line");
        keep(&db, "2026-11-02".parse().expect("date")).await.expect("goes on");
        assert!(!names(&db).await.contains(&"instance_log_20261103".to_owned()));
        assert!(names(&db).await.contains(&"instance_log_20261104".to_owned()));
    }
}
