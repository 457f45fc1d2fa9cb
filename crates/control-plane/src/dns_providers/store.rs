//! SQL of DNS providers and of the records that they were told to set.

use protocol::ids::{DnsProviderId, JobId, OrganizationId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{DnsProvider, Kind, Open, Record, Settings};
use crate::certificates::pause_after;
use crate::vault::{Purpose, Vault, VaultError};

fn identity(id: DnsProviderId) -> String {
    format!("dns-provider:{id}")
}

/// Those of the organization and of the platform.
pub async fn list(conn: &mut PgConnection, organization: OrganizationId) -> sqlx::Result<Vec<DnsProvider>> {
    sqlx::query_as!(
        DnsProvider,
        r#"select id as "id: DnsProviderId", zone, kind as "kind: Kind", organization_id is null as "platform!",
                  summary, updated_by, updated_at,
                  (select count(*) from dns_challenges where provider_id = dns_providers.id) as "records!",
                  (select problem from dns_challenges
                   where provider_id = dns_providers.id and problem is not null limit 1) as problem
           from dns_providers where organization_id is null or organization_id = $1
           order by organization_id is null, zone"#,
        organization as _
    )
    .fetch_all(conn)
    .await
}

/// Stores a provider, in place of an earlier one for the same zone.
pub async fn put(
    conn: &mut PgConnection,
    vault: &Vault,
    organization: Option<OrganizationId>,
    zone: &str,
    settings: &Settings,
    by: &str,
) -> sqlx::Result<DnsProviderId> {
    let known = sqlx::query_scalar!(
        r#"select id as "id: DnsProviderId" from dns_providers
           where zone = $1 and organization_id is not distinct from $2 for update"#,
        zone,
        organization as _
    )
    .fetch_optional(&mut *conn)
    .await?;
    let id = known.unwrap_or_else(DnsProviderId::new);
    let plain = serde_json::to_vec(settings).expect("plain data");
    let sealed = vault.seal(Purpose::DnsProvider, &identity(id), &plain);
    sqlx::query!(
        "insert into dns_providers (id, organization_id, zone, kind, summary, settings, updated_by)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (id) do update set kind = excluded.kind, summary = excluded.summary,
             settings = excluded.settings, updated_by = excluded.updated_by, updated_at = now()",
        id as _,
        organization as _,
        zone,
        settings.kind() as _,
        settings.summary(),
        sealed,
        by
    )
    .execute(conn)
    .await?;
    Ok(id)
}

pub async fn count(conn: &mut PgConnection, organization: Option<OrganizationId>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from dns_providers where organization_id is not distinct from $1"#,
        organization as _
    )
    .fetch_one(conn)
    .await
}

/// Whether there is one, of whomever.
pub async fn is_any(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select exists (select from dns_providers) as "any!""#).fetch_one(conn).await
}

pub async fn delete(conn: &mut PgConnection, id: DnsProviderId) -> sqlx::Result<()> {
    sqlx::query!("delete from dns_providers where id = $1", id as _).execute(conn).await?;
    Ok(())
}

/// A provider, and what it can set: this name and all below it.
#[derive(Debug)]
pub struct Covering {
    pub id: DnsProviderId,
    pub zone: String,
}

/// The provider that can set records for `name`: of its organization before those of the platform, and of these the one
/// with the longest zone. Names of the platform have no organization.
pub async fn covering(
    conn: &mut PgConnection,
    name: &str,
    organization: Option<OrganizationId>,
) -> sqlx::Result<Option<Covering>> {
    sqlx::query_as!(
        Covering,
        r#"select id as "id: DnsProviderId", zone from dns_providers
           where (organization_id is null or organization_id = $2)
             and ($1 = zone or right($1, length(zone) + 1) = '.' || zone)
           order by organization_id is null, length(zone) desc limit 1"#,
        name.strip_prefix("*.").unwrap_or(name),
        organization as _
    )
    .fetch_optional(conn)
    .await
}

/// A name that is served at `branch` or below it, or is `wildcard`, if there is one: of an app, of a zone or of the
/// dashboard.
pub async fn served_in(
    conn: &mut PgConnection,
    branch: &str,
    wildcard: Option<&str>,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        r#"select host as "host!" from (
               select host from owned_hosts
               union all
               select host from fronts
               union all
               select '*.' || suffix from zones
           ) as served
           where host = $1 or right(host, length($1) + 1) = '.' || $1 or host = $2
           order by host limit 1"#,
        branch,
        wildcard
    )
    .fetch_optional(conn)
    .await
}

/// A provider that can be used.
pub async fn open(conn: &mut PgConnection, vault: &Vault, id: DnsProviderId) -> anyhow::Result<Open> {
    let row = sqlx::query!(
        r#"select zone, organization_id is null as "platform!", settings from dns_providers where id = $1"#,
        id as _
    )
    .fetch_one(conn)
    .await?;
    let plain = vault.open(Purpose::DnsProvider, &identity(id), &row.settings)?;
    let settings = serde_json::from_slice(&plain).map_err(|_| VaultError::Damaged)?;
    Ok(Open { id, zone: row.zone, platform: row.platform, settings })
}

/// Notes a record of a running order before it is set; whether it is not set yet.
pub async fn note(
    conn: &mut PgConnection,
    provider: DnsProviderId,
    job: JobId,
    record: &Record,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"with noted as (
               insert into dns_challenges (id, provider_id, job_id, name, value)
               select $1, $2, $3, $4, $5
               where not exists (select from dns_challenges where job_id = $3 and name = $4 and value = $5)
           )
           select not exists (
               select from dns_challenges where job_id = $3 and name = $4 and value = $5 and set_at is not null
           ) as "lacks!""#,
        Uuid::now_v7(),
        provider as _,
        job as _,
        record.name,
        record.value
    )
    .fetch_one(conn)
    .await
}

/// Notes a record without an order, as a test sets it. It is removed unless somebody does so before.
pub async fn note_test(
    conn: &mut PgConnection,
    provider: DnsProviderId,
    record: &Record,
) -> sqlx::Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "insert into dns_challenges (id, provider_id, name, value, retry_at)
         values ($1, $2, $3, $4, now() + interval '3 minutes')",
        id,
        provider as _,
        record.name,
        record.value
    )
    .execute(conn)
    .await?;
    Ok(id)
}

/// The record is set; `false` when its order ended meanwhile, and the note with it.
pub async fn set(conn: &mut PgConnection, job: JobId, record: &Record) -> sqlx::Result<bool> {
    let noted = sqlx::query!(
        "update dns_challenges set set_at = now() where job_id = $1 and name = $2 and value = $3",
        job as _,
        record.name,
        record.value
    )
    .execute(conn)
    .await?;
    Ok(noted.rows_affected() > 0)
}

/// A record that has to go.
#[derive(Debug)]
pub struct Over {
    pub id: Uuid,
    pub provider_id: DnsProviderId,
    pub record: Record,
}

/// Records whose order does not run any more.
pub async fn over(conn: &mut PgConnection) -> sqlx::Result<Vec<Over>> {
    let rows = sqlx::query!(
        r#"select id, provider_id as "provider_id: DnsProviderId", name, value from dns_challenges
           where retry_at <= now()
             and not exists (select from jobs where jobs.id = job_id and state in ('queued', 'running'))
           order by retry_at limit 20"#
    )
    .fetch_all(conn)
    .await?;
    let over = |id, provider_id, name, value| Over { id, provider_id, record: Record { name, value } };
    Ok(rows.into_iter().map(|row| over(row.id, row.provider_id, row.name, row.value)).collect())
}

pub async fn forget(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from dns_challenges where id = $1", id).execute(conn).await?;
    Ok(())
}

/// The record could not be removed; it is tried again.
pub async fn put_off(conn: &mut PgConnection, id: Uuid, problem: &str) -> sqlx::Result<()> {
    let attempts = sqlx::query_scalar!(
        "update dns_challenges set attempts = attempts + 1, problem = $2 where id = $1 returning attempts",
        id,
        problem
    )
    .fetch_optional(&mut *conn)
    .await?;
    sqlx::query!(
        "update dns_challenges set retry_at = now() + make_interval(secs => $2) where id = $1",
        id,
        pause_after(attempts.unwrap_or(1)).as_secs_f64()
    )
    .execute(conn)
    .await?;
    Ok(())
}
