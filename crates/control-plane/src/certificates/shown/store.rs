use chrono::{DateTime, Utc};
use protocol::ids::OrganizationId;
use sqlx::PgConnection;

use super::reissue::Past;
use super::state::{Facts, days_left};
use super::{Attempt, CertificateView, Server, Source, Trouble, remedy};
use crate::bus::{self, Topic};

/// A certificate, and the row that it is stored in, which another name of it may have given its name.
#[derive(Debug)]
pub struct Shown {
    pub view: CertificateView,
    pub row: Option<String>,
    /// An order waits or runs, or was asked for.
    pub busy: bool,
}

/// The certificates of the organization's host names that are served or have one, and of the dashboard's own; or that of
/// one host.
#[expect(clippy::too_many_lines, reason = "one query and the row it makes")]
pub async fn list(
    conn: &mut PgConnection,
    organization: OrganizationId,
    host: Option<&str>,
    has_ca: bool,
) -> sqlx::Result<Vec<Shown>> {
    let rows = sqlx::query!(
        r#"with named as (
               select distinct on (name) name, certificates.host from certificates, unnest(names || host) as name
               order by name, name = certificates.host desc
           ),
           hosts as (
               select host, app from owned_hosts where organization_id = $1
               union all
               select host, null from fronts
           )
           select hosts.host as "host!", hosts.app as "app?", certificates.host as "row?",
                  certificates.source as "source?", certificates.names as "names?", certificates.issuer,
                  certificates.not_before, certificates.not_after, certificates.staging as "staging?",
                  certificates.challenge, certificates.failures as "failures?", certificates.retry_at as "retry_at?",
                  certificates.renew_at, certificates.reissue as "reissue?", certificates.error,
                  certificates.updated_at as "updated_at?",
                  exists (select from jobs where jobs.host = certificates.host and state in ('queued', 'running')) as "ordering!",
                  last.at as "last_at?", last.directory as "directory?", last.code, last.problem, last.hint
           from hosts
           left join named as own on own.name = hosts.host
           left join named as wild on own.name is null and wild.name = '*.' || substr(hosts.host, strpos(hosts.host, '.') + 1)
           left join certificates on certificates.host = coalesce(own.host, wild.host)
           left join lateral (
               select coalesce(finished_at, at) as at, directory, code, problem, hint from certificate_attempts
               where certificate_attempts.host = certificates.host and outcome = 'failed' and certificates.failures > 0
               order by certificate_attempts.at desc limit 1
           ) as last on true
           where ($2::text is null or hosts.host = $2)
             and (certificates.host is not null or hosts.app is null
                  or exists (select from served_hosts where served_hosts.host = hosts.host))
           order by hosts.host"#,
        organization as _,
        host
    )
    .fetch_all(conn)
    .await?;
    let now = Utc::now();
    let shown = rows.into_iter().map(|row| {
        let failures = row.failures.unwrap_or(0);
        let facts = Facts {
            source: if row.source.as_deref() == Some("imported") { Source::Imported } else { Source::Acme },
            issuer: row.issuer,
            not_before: row.not_before,
            not_after: row.not_after,
            staging: row.staging.unwrap_or(false),
            failures,
            retry_at: row.retry_at,
            renew_at: row.renew_at,
            asked: row.reissue.unwrap_or(false),
            ordering: row.ordering,
            has_ca,
            host: row.row.clone().unwrap_or_else(|| row.host.clone()),
        };
        let problem = match (row.problem, row.error) {
            (Some(message), _) => Some(Trouble {
                at: row.last_at.unwrap_or(now),
                hint: remedy(
                    &row.host,
                    row.directory.as_deref().unwrap_or_default(),
                    row.code.as_deref(),
                    &message,
                    row.hint,
                ),
                code: row.code,
                message,
            }),
            (None, Some(message)) if failures > 0 => {
                Some(Trouble { at: row.updated_at.unwrap_or(now), code: None, message, hint: None })
            }
            _ => None,
        };
        Shown {
            busy: facts.ordering || facts.asked,
            view: view(row.host, row.app, row.names, row.challenge, problem, facts, now),
            row: row.row,
        }
    });
    Ok(shown.collect())
}

fn view(
    host: String,
    app: Option<String>,
    names: Option<Vec<String>>,
    challenge: Option<String>,
    problem: Option<Trouble>,
    facts: Facts,
    now: DateTime<Utc>,
) -> CertificateView {
    let names = names.filter(|names| !names.is_empty());
    let own = || facts.not_after.map(|_| vec![facts.host.clone()]).unwrap_or_default();
    CertificateView {
        names: names.unwrap_or_else(own),
        standing: facts.standing(now),
        summary: facts.summary(now),
        next: facts.next(now),
        days_left: facts.not_after.map(|end| days_left(end, now)),
        host,
        app,
        source: facts.source,
        not_before: facts.not_before,
        not_after: facts.not_after,
        staging: facts.staging,
        challenge: challenge.filter(|_| facts.not_after.is_some()),
        failures: facts.failures,
        problem,
        issuer: facts.issuer,
    }
}

/// The last orders of the certificate in `row`, newest first.
pub async fn attempts(conn: &mut PgConnection, row: &str, limit: i64) -> sqlx::Result<Vec<Attempt>> {
    let rows = sqlx::query!(
        "select id, at, finished_at, kind, challenge, names, directory, staging, outcome, code, problem, hint, log,
                node_name
         from certificate_attempts where host = $1 order by at desc limit $2",
        row,
        limit
    )
    .fetch_all(conn)
    .await?;
    let attempts = rows.into_iter().map(|attempt| Attempt {
        trouble: attempt.problem.map(|message| Trouble {
            at: attempt.finished_at.unwrap_or(attempt.at),
            hint: remedy(row, &attempt.directory, attempt.code.as_deref(), &message, attempt.hint),
            code: attempt.code,
            message,
        }),
        id: attempt.id,
        at: attempt.at,
        finished_at: attempt.finished_at,
        kind: attempt.kind,
        challenge: attempt.challenge,
        names: attempt.names,
        directory: attempt.directory,
        staging: attempt.staging,
        outcome: attempt.outcome,
        log: attempt.log,
        proxy: attempt.node_name,
    });
    Ok(attempts.collect())
}

/// What counts against the budget: orders of the last week that have ended.
pub async fn past(conn: &mut PgConnection, row: &str) -> sqlx::Result<Vec<Past>> {
    let rows = sqlx::query!(
        r#"select coalesce(finished_at, at) as "at!", outcome = 'issued' as "issued!" from certificate_attempts
           where host = $1 and outcome in ('issued', 'failed') and at > now() - interval '8 days'"#,
        row
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| Past { at: row.at, issued: row.issued }).collect())
}

/// The proxies, and which table they serve.
pub async fn servers(conn: &mut PgConnection) -> sqlx::Result<Vec<Server>> {
    sqlx::query_as!(
        Server,
        r#"select nodes.name as node, connected_to is not null as "connected!", applied_generation as generation,
                  applied_generation >= coalesce((select generation from generations where consumer = 'routes'), 0) as "current!"
           from agents join nodes on nodes.id = agents.node_id
           where kind = 'proxy' and removed_at is null order by nodes.name"#
    )
    .fetch_all(conn)
    .await
}

/// The chain of the certificate in `row`.
pub async fn chain(conn: &mut PgConnection, row: &str) -> sqlx::Result<Option<String>> {
    let chain = sqlx::query_scalar!("select chain_pem from certificates where host = $1", row);
    Ok(chain.fetch_optional(conn).await?.flatten())
}

/// A new one is to be ordered, whatever the age of the one that is there.
pub async fn ask_anew(conn: &mut PgConnection, row: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update certificates set reissue = true, retry_at = now(), updated_at = now() where host = $1",
        row
    )
    .execute(&mut *conn)
    .await?;
    bus::say(conn, Topic::Certificates, row).await
}
