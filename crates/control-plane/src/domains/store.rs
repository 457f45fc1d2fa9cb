//! SQL of domains and their paths.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use protocol::ids::{AppId, DomainId, OrganizationId, ProjectId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::State;
use super::judge::{Judged, Standing};
use super::paths::DomainPath;
use crate::apps::{Certificate, store::certification};
use crate::certificates::cover;
use crate::zones::Mode;

/// A domain with what is needed to show it. Of a name that is only claimed, others' certificates are not told.
#[derive(Debug)]
pub struct Row {
    pub id: DomainId,
    pub hostname: String,
    pub token: String,
    pub app: String,
    /// The app's own name.
    pub app_host: String,
    /// Whether that leads to the proxies.
    pub at_proxies: bool,
    pub standing: Standing,
    pub checked_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub next_check_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub certificate: Certificate,
    pub created_by: String,
}

/// Domains of the app, the first added first; the one with this name, if one is given.
pub async fn list(conn: &mut PgConnection, app: AppId, hostname: Option<&str>) -> sqlx::Result<Vec<Row>> {
    let rows = sqlx::query!(
        r#"select domains.id, hostname, token, domains.state, verified_at, checked_at, domains.error,
                  missing_since, next_check_at, expires_at, created_by, domains.created_at,
                  apps.slug, apps.slug || '.' || zones.suffix as "app_host!", zones.mode,
                  case when zones.resolver is null then certificates.state
                       when domains.state = 'verified'
                            and exists (select from served_apps where served_apps.id = apps.id) then 'elsewhere'
                       end as "certificate_state?",
                  certificates.not_after as "not_after?",
                  certificates.issuer as "issuer?", certificates.error as "certificate_error?"
           from domains
           join apps on apps.id = domains.app_id
           join zones on zones.id = apps.zone_id
           left join certificates on certificates.host = domains.hostname and domains.state = 'verified'
                                  and zones.resolver is null
           where app_id = $1 and ($2::text is null or hostname = $2)
           order by domains.id"#,
        app as _,
        hostname
    )
    .fetch_all(&mut *conn)
    .await?;
    let rows = rows.into_iter().map(|row| Row {
        id: row.id,
        hostname: row.hostname,
        token: row.token,
        app: row.slug,
        app_host: row.app_host,
        at_proxies: row.mode == Mode::Proxy,
        standing: Standing {
            state: row.state,
            created_at: row.created_at,
            verified_at: row.verified_at,
            missing_since: row.missing_since,
        },
        checked_at: row.checked_at,
        error: row.error,
        next_check_at: row.next_check_at,
        expires_at: row.expires_at,
        certificate: Certificate {
            state: certification(row.certificate_state.as_deref()),
            not_after: row.not_after,
            issuer: row.issuer,
            error: row.certificate_error,
            covered_by: None,
        },
        created_by: row.created_by,
    });
    let mut rows: Vec<Row> = rows.collect();
    let organization = organization(conn, app).await?;
    let served = rows.iter_mut().filter(|row| row.standing.state == State::Verified);
    let hosts = served.map(|row| (row.hostname.as_str(), &mut row.certificate));
    cover::complete(conn, organization, hosts).await?;
    Ok(rows)
}

async fn organization(conn: &mut PgConnection, app: AppId) -> sqlx::Result<OrganizationId> {
    sqlx::query_scalar!(
        "select projects.organization_id from apps
         join environments on environments.id = apps.environment_id
         join projects on projects.id = environments.project_id
         where apps.id = $1",
        app as _
    )
    .fetch_one(conn)
    .await
}

/// Makes this transaction the only one that decides whose the name is.
pub async fn lock(conn: &mut PgConnection, hostname: &str) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('wisehosting domain ' || $1))", hostname)
        .execute(conn)
        .await?;
    Ok(())
}

/// An app of the organization that has the name, in whatever state.
#[derive(Debug)]
pub struct Holder {
    pub app_id: AppId,
    pub slug: String,
    pub deleted: bool,
}

pub async fn holder(
    conn: &mut PgConnection,
    organization: OrganizationId,
    hostname: &str,
) -> sqlx::Result<Option<Holder>> {
    sqlx::query_as!(
        Holder,
        r#"select apps.id as app_id, apps.slug, deleted_at is not null as "deleted!"
           from domains
           join apps on apps.id = domains.app_id
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           where hostname = $2 and projects.organization_id = $1"#,
        organization as _,
        hostname
    )
    .fetch_optional(conn)
    .await
}

pub async fn count(conn: &mut PgConnection, app: AppId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from domains where app_id = $1"#, app as _)
        .fetch_one(conn)
        .await
}

pub async fn insert(
    conn: &mut PgConnection,
    app: AppId,
    hostname: &str,
    token: &str,
    by: &str,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into domains (id, app_id, hostname, token, created_by, expires_at) values ($1, $2, $3, $4, $5, $6)",
        DomainId::new() as _,
        app as _,
        hostname,
        token,
        by,
        expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Suffixes of all zones.
pub async fn zones(conn: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("select suffix from zones order by suffix").fetch_all(conn).await
}

/// Where the tunnels of the proxies are reached: the addresses that they have outside.
pub async fn proxy_addresses(conn: &mut PgConnection) -> sqlx::Result<Vec<IpAddr>> {
    let endpoints = sqlx::query_scalar!(
        r#"select endpoint as "endpoint!" from nodes
           where 'proxy' = any (roles) and endpoint is not null and removed_at is null order by name"#
    )
    .fetch_all(conn)
    .await?;
    let address = |text: &String| text.parse::<std::net::SocketAddr>().ok().map(|endpoint| endpoint.ip());
    Ok(endpoints.iter().filter_map(address).collect())
}

/// One whose record is to be looked for.
#[derive(Debug, Clone)]
pub struct Due {
    pub id: DomainId,
    pub hostname: String,
    pub token: String,
}

/// Those whose time has come, the longest waiting first. What a deleted app has waits with it.
pub async fn due(conn: &mut PgConnection, most: i64) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        "select domains.id, hostname, token from domains join apps on apps.id = domains.app_id
         where next_check_at <= now() and apps.deleted_at is null
         order by next_check_at limit $1",
        most
    )
    .fetch_all(conn)
    .await
}

/// A domain that is held until the transaction ends.
#[derive(Debug)]
pub struct Held {
    pub id: DomainId,
    pub app_id: AppId,
    pub slug: String,
    pub organization_id: OrganizationId,
    pub hostname: String,
    pub token: String,
    pub standing: Standing,
}

pub async fn hold(conn: &mut PgConnection, id: DomainId) -> sqlx::Result<Option<Held>> {
    held(conn, Some(id), None).await
}

/// The verified domain of this name, whoever has it.
pub async fn hold_verified(conn: &mut PgConnection, hostname: &str) -> sqlx::Result<Option<Held>> {
    held(conn, None, Some(hostname)).await
}

async fn held(
    conn: &mut PgConnection,
    id: Option<DomainId>,
    verified: Option<&str>,
) -> sqlx::Result<Option<Held>> {
    let row = sqlx::query!(
        "select domains.id, domains.app_id, apps.slug, projects.organization_id, hostname, token, domains.state,
                domains.created_at, verified_at, missing_since
         from domains
         join apps on apps.id = domains.app_id
         join environments on environments.id = apps.environment_id
         join projects on projects.id = environments.project_id
         where ($1::uuid is null or domains.id = $1)
           and ($2::text is null or hostname = $2 and domains.state = 'verified')
         for update of domains",
        id as _,
        verified
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Held {
        id: row.id,
        app_id: row.app_id,
        slug: row.slug,
        organization_id: row.organization_id,
        hostname: row.hostname,
        token: row.token,
        standing: Standing {
            state: row.state,
            created_at: row.created_at,
            verified_at: row.verified_at,
            missing_since: row.missing_since,
        },
    }))
}

/// Stores what became of it. Only a pending domain is forgotten by itself.
pub async fn store(conn: &mut PgConnection, id: DomainId, judged: &Judged) -> sqlx::Result<()> {
    sqlx::query!(
        "update domains
         set state = $2, verified_at = $3, missing_since = $4, error = $5, next_check_at = $6, checked_at = now(),
             expires_at = case when $2 = 'pending' then expires_at end
         where id = $1",
        id as _,
        judged.state as State as _,
        judged.verified_at,
        judged.missing_since,
        judged.error,
        judged.next_check_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Another organization has shown that the name is theirs.
pub async fn lapse(conn: &mut PgConnection, id: DomainId, why: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update domains set state = 'lapsed', missing_since = null, error = $2, checked_at = now(),
                next_check_at = now() + interval '1 day'
         where id = $1",
        id as _,
        why
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A pending domain whose time was over.
#[derive(Debug)]
pub struct Expired {
    pub hostname: String,
    pub app_id: AppId,
    pub slug: String,
    pub organization_id: OrganizationId,
}

/// Forgets them.
pub async fn expire(conn: &mut PgConnection) -> sqlx::Result<Vec<Expired>> {
    sqlx::query_as!(
        Expired,
        "delete from domains using apps, environments, projects
         where domains.state = 'pending' and expires_at <= now()
           and apps.id = domains.app_id and environments.id = apps.environment_id
           and projects.id = environments.project_id
         returning hostname, apps.id as app_id, apps.slug, projects.organization_id"
    )
    .fetch_all(conn)
    .await
}

/// Removes a domain, and its certificate unless another app has the name.
pub async fn remove(conn: &mut PgConnection, id: DomainId) -> sqlx::Result<()> {
    let hostname = sqlx::query_scalar!("delete from domains where id = $1 returning hostname", id as _)
        .fetch_optional(&mut *conn)
        .await?;
    sqlx::query!(
        "delete from certificates where host = $1 and not exists (select from served_hosts where host = $1)",
        hostname
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives it to another app.
pub async fn hand_over(conn: &mut PgConnection, id: DomainId, app: AppId) -> sqlx::Result<()> {
    sqlx::query!("update domains set app_id = $2 where id = $1", id as _, app as _).execute(conn).await?;
    Ok(())
}

pub async fn project(conn: &mut PgConnection, app: AppId) -> sqlx::Result<ProjectId> {
    sqlx::query_scalar!(
        r#"select project_id as "project: ProjectId" from apps
           join environments on environments.id = apps.environment_id where apps.id = $1"#,
        app as _
    )
    .fetch_one(conn)
    .await
}

/// Paths of the app's domains, with the domain of each.
pub async fn paths(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<(DomainId, DomainPath)>> {
    let rows = sqlx::query!(
        r#"select domain_paths.id, domain_id as "domain_id: DomainId", path, strip_prefix, apps.slug
           from domain_paths
           join domains on domains.id = domain_id
           join apps on apps.id = domain_paths.app_id
           where domains.app_id = $1 order by path"#,
        app as _
    )
    .fetch_all(conn)
    .await?;
    let path = |id, path, app, strip_prefix| DomainPath { id, path, app, strip_prefix };
    Ok(rows
        .into_iter()
        .map(|row| (row.domain_id, path(row.id, row.path, row.slug, row.strip_prefix)))
        .collect())
}

/// In place of what led from there.
pub async fn put_path(
    conn: &mut PgConnection,
    domain: DomainId,
    path: &str,
    app: AppId,
    strip_prefix: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into domain_paths (id, domain_id, path, app_id, strip_prefix) values ($1, $2, $3, $4, $5)
         on conflict on constraint domain_paths_domain_id_path_key do update
             set app_id = excluded.app_id, strip_prefix = excluded.strip_prefix",
        Uuid::now_v7(),
        domain as _,
        path,
        app as _,
        strip_prefix
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The path that was removed.
pub async fn remove_path(
    conn: &mut PgConnection,
    domain: DomainId,
    id: Uuid,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "delete from domain_paths where id = $2 and domain_id = $1 returning path",
        domain as _,
        id
    )
    .fetch_optional(conn)
    .await
}
