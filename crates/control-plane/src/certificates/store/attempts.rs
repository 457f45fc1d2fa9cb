//! SQL of attempts: what was ordered, how, and what became of it. The budget is counted here.

use protocol::ids::JobId;
use protocol::job::{ChallengeKind, Failure};
use protocol::report::LogLine;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::certificates::config::Budget;
use crate::certificates::order::{FAILED_CHECKS, Kind, Last, Spent};

/// Lines of one order's log.
const LINES: i64 = 200;

/// An order that goes out.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub host: String,
    pub names: Vec<String>,
    pub domain: String,
    pub directory: String,
    pub staging: bool,
    pub kind: Kind,
    pub challenge: ChallengeKind,
    pub replaces: bool,
}

pub async fn begin(conn: &mut PgConnection, job: JobId, attempt: &Attempt) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into certificate_attempts (id, job_id, host, names, domain, directory, staging, kind, challenge, replaces)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        Uuid::now_v7(),
        job as _,
        attempt.host,
        &attempt.names,
        attempt.domain,
        attempt.directory,
        attempt.staging,
        attempt.kind as _,
        attempt.challenge.as_str(),
        attempt.replaces
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The attempt of a job; none for an order of an earlier release.
pub async fn of_job(conn: &mut PgConnection, job: JobId) -> sqlx::Result<Option<Attempt>> {
    sqlx::query_as!(
        Attempt,
        r#"select host, names, domain, directory, staging, kind as "kind: Kind",
                  challenge as "challenge: ChallengeKind", replaces
           from certificate_attempts where job_id = $1"#,
        job as _
    )
    .fetch_optional(conn)
    .await
}

/// Adds lines that are not there yet.
pub async fn log(conn: &mut PgConnection, job: JobId, lines: &[LogLine]) -> sqlx::Result<()> {
    for line in lines.iter().filter(|line| line.seq <= LINES) {
        sqlx::query!(
            "update certificate_attempts set log = log || $2::text where job_id = $1 and cardinality(log) < $3",
            job as _,
            line.text,
            i32::try_from(line.seq).unwrap_or(i32::MAX)
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// The job is over: `issued`, `failed` or `cancelled`.
pub async fn end(
    conn: &mut PgConnection,
    job: JobId,
    outcome: &str,
    failure: Option<&Failure>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update certificate_attempts as attempt
         set outcome = $2, code = $3, problem = $4, hint = $5, finished_at = now(), node_id = jobs.node_id,
             node_name = nodes.name
         from jobs left join nodes on nodes.id = jobs.node_id
         where attempt.job_id = $1 and jobs.id = $1",
        job as _,
        outcome,
        failure.map(|failure| &failure.code),
        failure.map(|failure| &failure.message),
        failure.and_then(|failure| failure.hint.as_ref())
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The newest order of a name that has ended.
pub async fn last(conn: &mut PgConnection, host: &str) -> sqlx::Result<Option<Last>> {
    sqlx::query_as!(
        Last,
        r#"select challenge as "challenge: ChallengeKind", code from certificate_attempts
           where host = $1 and outcome in ('issued', 'failed') order by at desc limit 1"#,
        host
    )
    .fetch_optional(conn)
    .await
}

/// What of the budget is used up for `attempt`. CAs count by account, so every directory has its own.
pub async fn spent(conn: &mut PgConnection, attempt: &Attempt, budget: &Budget) -> sqlx::Result<Spent> {
    let before_last = |limit: u32| i64::from(limit) - 1;
    let checks = FAILED_CHECKS.map(str::to_owned);
    sqlx::query_as!(
        Spent,
        r#"select
            (select at from certificate_attempts
             where domain = $1 and directory = $2 and outcome in ('running', 'issued') and not replaces
               and at > now() - interval '7 days'
             order by at desc offset $5 limit 1) as domain,
            (select at from certificate_attempts
             where host = $3 and names = $4 and directory = $2 and outcome in ('running', 'issued')
               and not replaces and at > now() - interval '7 days'
             order by at desc offset $6 limit 1) as same_names,
            (select at from certificate_attempts
             where host = $3 and directory = $2 and outcome = 'failed' and code = any($9)
               and at > now() - interval '1 hour'
             order by at desc offset $7 limit 1) as failures,
            (select at from certificate_attempts
             where directory = $2 and at > now() - interval '3 hours'
             order by at desc offset $8 limit 1) as orders"#,
        attempt.domain,
        attempt.directory,
        attempt.host,
        &attempt.names,
        before_last(budget.domain),
        before_last(budget.same_names),
        before_last(budget.failures),
        before_last(budget.orders),
        &checks[..]
    )
    .fetch_one(conn)
    .await
}

/// Whether the name is one of those that the running order `job` is for.
pub async fn is_for(conn: &mut PgConnection, job: JobId, name: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from certificate_attempts
                          where job_id = $1 and ($2 = any(names) or '*.' || $2 = any(names))) as "exists!""#,
        job as _,
        name
    )
    .fetch_one(conn)
    .await
}

/// Forgets what nobody counts or reads any more.
pub async fn sweep(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("delete from certificate_attempts where at < now() - interval '90 days'")
        .execute(conn)
        .await?;
    Ok(())
}
