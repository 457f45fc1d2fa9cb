//! SQL of certificates, ACME accounts and challenges.

use chrono::{DateTime, Utc};
use protocol::ids::JobId;
use protocol::spec::{Certificate, Generation, HttpChallenge};
use sqlx::PgConnection;

use super::{Leaf, imports, pause_after};
use crate::vault::{Purpose, Vault, VaultError};

/// All certificates that can be served, with their keys; imported ones in place of ordered ones. One whose key cannot be opened is an error: a table without
/// it would take its hosts down.
pub async fn issued(conn: &mut PgConnection, vault: &Vault) -> anyhow::Result<Vec<Certificate>> {
    let rows = sqlx::query!(
        r#"select host, chain_pem as "chain_pem!", key_pem as "key_pem!" from certificates
           where chain_pem is not null and key_pem is not null order by host"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut certificates = Vec::with_capacity(rows.len());
    for row in rows {
        let key = vault.open(Purpose::CertificateKey, &format!("certificate:{}", row.host), &row.key_pem)?;
        let key_pem = String::from_utf8(key).map_err(|_| VaultError::Damaged)?;
        certificates.push(Certificate { hosts: vec![row.host], chain_pem: row.chain_pem, key_pem });
    }
    imports::store::merge(conn, vault, certificates).await
}

/// All challenges that a CA may ask for.
pub async fn challenges(conn: &mut PgConnection) -> sqlx::Result<Vec<HttpChallenge>> {
    sqlx::query_as!(
        HttpChallenge,
        "select host, token, key_authorization from acme_challenges where expires_at > now() order by token"
    )
    .fetch_all(conn)
    .await
}

/// Stores a challenge; `generation` is the first that contains it.
pub async fn add_challenge(
    conn: &mut PgConnection,
    job: JobId,
    challenge: &HttpChallenge,
    generation: Generation,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into acme_challenges (token, job_id, host, key_authorization, generation, expires_at)
         values ($1, $2, $3, $4, $5, now() + interval '1 hour')
         on conflict (token) do update
         set key_authorization = excluded.key_authorization, generation = excluded.generation,
             expires_at = excluded.expires_at
         where acme_challenges.job_id = excluded.job_id",
        challenge.token,
        job as _,
        challenge.host,
        challenge.key_authorization,
        generation
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The job's challenges are over; `true` when there were any.
pub async fn forget_challenges(conn: &mut PgConnection, job: JobId) -> sqlx::Result<bool> {
    let done = sqlx::query!("delete from acme_challenges where job_id = $1", job as _).execute(conn).await?;
    Ok(done.rows_affected() > 0)
}

/// A certificate is there.
pub async fn store_issued(
    conn: &mut PgConnection,
    host: &str,
    chain_pem: &str,
    sealed_key: &[u8],
    leaf: &Leaf,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into certificates (host, state, chain_pem, key_pem, issuer, not_before, not_after)
         values ($1, 'issued', $2, $3, $4, $5, $6)
         on conflict (host) do update
         set state = 'issued', chain_pem = excluded.chain_pem, key_pem = excluded.key_pem, issuer = excluded.issuer,
             not_before = excluded.not_before, not_after = excluded.not_after, failures = 0, retry_at = now(),
             error = null, updated_at = now()",
        host,
        chain_pem,
        sealed_key,
        leaf.issuer,
        leaf.not_before,
        leaf.not_after
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An order failed. A certificate that is there stays in use until its end.
pub async fn store_failed(conn: &mut PgConnection, host: &str, error: &str) -> sqlx::Result<()> {
    let failures = sqlx::query_scalar!("select failures from certificates where host = $1 for update", host)
        .fetch_optional(&mut *conn)
        .await?;
    let failures = failures.unwrap_or(0).saturating_add(1);
    sqlx::query!(
        "update certificates
         set state = case when chain_pem is not null and not_after > now() then 'issued' else 'failed' end,
             failures = $2, retry_at = now() + make_interval(secs => $3), error = $4, updated_at = now()
         where host = $1",
        host,
        failures,
        pause_after(failures).as_secs_f64(),
        error
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The sealed credentials of the account at `directory`.
pub async fn account(conn: &mut PgConnection, directory: &str) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!("select credentials from acme_accounts where directory = $1", directory)
        .fetch_optional(conn)
        .await
}

/// Keeps the first account at `directory`.
pub async fn add_account(conn: &mut PgConnection, directory: &str, sealed: &[u8]) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into acme_accounts (directory, credentials) values ($1, $2) on conflict do nothing",
        directory,
        sealed
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Every hostname of an app that the proxies answer for, and the front's, is to have a certificate.
pub async fn want_for_routed(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into certificates (host)
         select host from served_hosts where host not like '*%'
         union
         select host from fronts
         on conflict do nothing"
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A host for which nothing is on its way and the pause after a failure is over.
#[derive(Debug)]
pub struct Due {
    pub host: String,
    pub not_before: Option<DateTime<Utc>>,
    pub not_after: Option<DateTime<Utc>>,
}

/// Hosts that are routed, without an order on its way.
pub async fn without_order(conn: &mut PgConnection) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        "select host, not_before, not_after from certificates
         where retry_at <= now() and source = 'acme'
           and not exists (select 1 from jobs where jobs.host = certificates.host and state in ('queued', 'running'))
           and host in (select host from served_hosts union all select host from fronts)
         order by host"
    )
    .fetch_all(conn)
    .await
}

/// How many orders are on their way.
pub async fn orders(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from jobs where kind = 'certificate' and state in ('queued', 'running')"#
    )
    .fetch_one(conn)
    .await
}
