use std::collections::HashMap;

use chrono::{DateTime, Utc};
use protocol::ids::OrganizationId;
use sqlx::PgConnection;

use super::reissue::Past;
use super::state::{Facts, days_left};
use super::{Attempt, CertificateView, Server, Source, Trouble, remedy};
use crate::bus::{self, Topic};
use crate::certificates::imports::{self, ImportedCertificate};

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
pub async fn list(
    conn: &mut PgConnection,
    organization: OrganizationId,
    host: Option<&str>,
    has_ca: bool,
) -> sqlx::Result<Vec<Shown>> {
    let imported = imports::store::list(conn, organization).await?;
    let by_host: HashMap<&str, &ImportedCertificate> = imported
        .iter()
        .flat_map(|imported| imported.hosts.iter().map(move |host| (host.as_str(), imported)))
        .collect();
    let rows = rows(conn, organization, host).await?;
    let now = Utc::now();
    let shown = rows.into_iter().map(|row| {
        let imported = by_host.get(row.host.as_str()).copied();
        row.shown(imported, has_ca, now)
    });
    Ok(shown.collect())
}

/// A host name, its certificate if there is one, and the order that failed last.
#[derive(Debug)]
struct Row {
    host: String,
    app: Option<String>,
    row: Option<String>,
    names: Option<Vec<String>>,
    issuer: Option<String>,
    not_before: Option<DateTime<Utc>>,
    not_after: Option<DateTime<Utc>>,
    staging: Option<bool>,
    challenge: Option<String>,
    failures: Option<i32>,
    retry_at: Option<DateTime<Utc>>,
    renew_at: Option<DateTime<Utc>>,
    reissue: Option<bool>,
    error: Option<String>,
    updated_at: Option<DateTime<Utc>>,
    ordering: bool,
    last_at: Option<DateTime<Utc>>,
    directory: Option<String>,
    code: Option<String>,
    problem: Option<String>,
    hint: Option<String>,
    resolver: Option<String>,
}

async fn rows(
    conn: &mut PgConnection,
    organization: OrganizationId,
    host: Option<&str>,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"with named as (
               select distinct on (name) name, certificates.host
               from certificates, unnest(names || certificates.host) as name
               order by name, name = certificates.host desc
           ),
           hosts as (
               select host, app from owned_hosts where organization_id = $1
               union all
               select host, null from fronts
           )
           select hosts.host as "host!", hosts.app as "app?", certificates.host as "row?",
                  certificates.names as "names?", certificates.issuer, certificates.not_before, certificates.not_after,
                  certificates.staging as "staging?", certificates.challenge, certificates.failures as "failures?",
                  certificates.retry_at as "retry_at?", certificates.renew_at, certificates.reissue as "reissue?",
                  certificates.error, certificates.updated_at as "updated_at?",
                  exists (select from jobs where jobs.host = certificates.host and state in ('queued', 'running')) as "ordering!",
                  last.at as "last_at?", last.directory as "directory?", last.code, last.problem, last.hint,
                  resolver_hosts.resolver as "resolver?"
           from hosts
           left join resolver_hosts on resolver_hosts.host = hosts.host
           left join named as own on own.name = hosts.host
           left join named as wild on wild.name = '*.' || substr(hosts.host, strpos(hosts.host, '.') + 1)
           left join certificates as narrow on narrow.host = own.host
           left join certificates as broad on broad.host = wild.host
           -- A wildcard takes the place of what a name has for itself, as where they are served.
           left join certificates on certificates.host = case
                when narrow.host is null then broad.host
                when broad.chain_pem is not null and broad.not_after > now()
                     and (narrow.chain_pem is null or narrow.staging or not broad.staging) then broad.host
                else narrow.host end
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
    .await
}

impl Row {
    fn shown(self, imported: Option<&ImportedCertificate>, has_ca: bool, now: DateTime<Utc>) -> Shown {
        let facts = match (imported, &self.resolver) {
            (Some(imported), _) => Facts::imported(&self.host, imported, has_ca),
            (None, Some(resolver)) => Facts::of_resolver(&self.host, resolver.clone()),
            (None, None) => self.facts(has_ca),
        };
        let names = match imported {
            Some(imported) => imported.names.clone(),
            None if facts.source == Source::Resolver => Vec::new(),
            None => match (self.names.clone(), facts.not_after) {
                (Some(names), _) if !names.is_empty() => names,
                (_, Some(_)) => vec![facts.host.clone()],
                _ => Vec::new(),
            },
        };
        let is_ordered = facts.source == Source::Acme;
        Shown {
            busy: facts.ordering || facts.is_asked(now),
            view: CertificateView {
                names,
                standing: facts.standing(now),
                summary: facts.summary(now),
                next: facts.next(now),
                days_left: facts.not_after.map(|end| days_left(end, now)),
                source: facts.source,
                not_before: facts.not_before,
                not_after: facts.not_after,
                staging: facts.staging,
                challenge: self.challenge.clone().filter(|_| is_ordered && facts.not_after.is_some()),
                failures: facts.failures,
                problem: if is_ordered { self.problem(now) } else { None },
                import_id: imported.map(|imported| imported.id),
                issuer: facts.issuer,
                host: self.host,
                app: self.app,
            },
            row: self.row,
        }
    }

    fn facts(&self, has_ca: bool) -> Facts {
        Facts {
            host: self.row.clone().unwrap_or_else(|| self.host.clone()),
            source: Source::Acme,
            issuer: self.issuer.clone(),
            not_before: self.not_before,
            not_after: self.not_after,
            staging: self.staging.unwrap_or(false),
            failures: self.failures.unwrap_or(0),
            retry_at: self.retry_at,
            renew_at: self.renew_at,
            asked: self.reissue.unwrap_or(false),
            ordering: self.ordering,
            has_ca,
            resolver: None,
        }
    }

    fn problem(&self, now: DateTime<Utc>) -> Option<Trouble> {
        let Some(message) = self.problem.clone() else {
            // An order of before attempts were recorded.
            let message = self.error.clone().filter(|_| self.failures.unwrap_or(0) > 0)?;
            return Some(Trouble { at: self.updated_at.unwrap_or(now), code: None, message, hint: None });
        };
        let (code, directory) = (self.code.clone(), self.directory.as_deref().unwrap_or_default());
        let hint = remedy(&self.host, directory, code.as_deref(), &message, self.hint.clone());
        Some(Trouble { at: self.last_at.unwrap_or(now), code, message, hint })
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

/// The chain of the ordered certificate in `row`.
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
