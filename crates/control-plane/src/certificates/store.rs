//! SQL of certificates, ACME accounts and challenges.

use chrono::{DateTime, Utc};
use protocol::ids::{JobId, OrganizationId};
use protocol::job::ChallengeKind;
use protocol::spec::{AlpnChallenge, Certificate, Generation, HttpChallenge};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

pub mod attempts;
mod served;

pub use served::served;

use super::order::Present;
use super::{Leaf, imports, pause_after};
use crate::vault::{Purpose, Vault, VaultError};

/// All certificates that can be served, with their keys; imported ones in place of ordered ones. One whose key cannot
/// be opened is an error: a table without it would take its hosts down. What a name ordered for itself does not hide a
/// wildcard that has taken its place.
pub async fn issued(conn: &mut PgConnection, vault: &Vault) -> anyhow::Result<Vec<Certificate>> {
    let rows = sqlx::query!(
        r#"select host, names, chain_pem as "chain_pem!", key_pem as "key_pem!" from certificates
           where chain_pem is not null and key_pem is not null
             and (source <> 'acme' or not exists (
                 select from certificates as wildcard
                 where wildcard.host = '*.' || substr(certificates.host, strpos(certificates.host, '.') + 1)
                   and wildcard.host <> certificates.host
                   and wildcard.chain_pem is not null and wildcard.not_after > now()
                   and (certificates.staging or not wildcard.staging)))
             -- A Traefik orders nothing for a name that it is given a certificate for, whatever that one's age.
             and host not in (select host from resolver_hosts)
           order by host"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut certificates = Vec::with_capacity(rows.len());
    for row in rows {
        let key = vault.open(Purpose::CertificateKey, &format!("certificate:{}", row.host), &row.key_pem)?;
        let key_pem = String::from_utf8(key).map_err(|_| VaultError::Damaged)?;
        let hosts = if row.names.is_empty() { vec![row.host] } else { row.names };
        certificates.push(Certificate { hosts, chain_pem: row.chain_pem, key_pem });
    }
    imports::store::merge(conn, vault, certificates).await
}

/// All challenges that a CA may ask for over HTTP.
pub async fn challenges(conn: &mut PgConnection) -> sqlx::Result<Vec<HttpChallenge>> {
    sqlx::query_as!(
        HttpChallenge,
        "select host, token, key_authorization from acme_challenges
         where expires_at > now() and kind = 'http-01' order by token"
    )
    .fetch_all(conn)
    .await
}

/// All challenges that a CA may ask for in a TLS handshake.
pub async fn alpn_challenges(conn: &mut PgConnection) -> sqlx::Result<Vec<AlpnChallenge>> {
    let rows = sqlx::query!(
        "select host, key_authorization from acme_challenges
         where expires_at > now() and kind = 'tls-alpn-01' order by host, token"
    )
    .fetch_all(conn)
    .await?;
    let challenge = |host, key_authorization: String| AlpnChallenge {
        host,
        digest: hex::encode(Sha256::digest(key_authorization)),
    };
    Ok(rows.into_iter().map(|row| challenge(row.host, row.key_authorization)).collect())
}

/// Stores a challenge; `generation` is the first that contains it.
pub async fn add_challenge(
    conn: &mut PgConnection,
    job: JobId,
    kind: ChallengeKind,
    challenge: &HttpChallenge,
    generation: Generation,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into acme_challenges (token, job_id, host, key_authorization, generation, kind, expires_at)
         values ($1, $2, $3, $4, $5, $6, now() + interval '1 hour')
         on conflict (token) do update
         set key_authorization = excluded.key_authorization, generation = excluded.generation,
             expires_at = excluded.expires_at
         where acme_challenges.job_id = excluded.job_id",
        challenge.token,
        job as _,
        challenge.host,
        challenge.key_authorization,
        generation,
        kind.as_str()
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

/// A certificate that was issued.
#[derive(Debug)]
pub struct Stored<'a> {
    pub host: &'a str,
    pub chain_pem: &'a str,
    pub sealed_key: &'a [u8],
    pub leaf: &'a Leaf,
    pub challenge: ChallengeKind,
    pub directory: &'a str,
    pub staging: bool,
}

/// A certificate is there.
pub async fn store_issued(conn: &mut PgConnection, stored: &Stored<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into certificates (host, state, chain_pem, key_pem, issuer, not_before, not_after, names, challenge,
                                   directory, staging)
         values ($1, 'issued', $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (host) do update
         set state = 'issued', chain_pem = excluded.chain_pem, key_pem = excluded.key_pem, issuer = excluded.issuer,
             not_before = excluded.not_before, not_after = excluded.not_after, names = excluded.names,
             challenge = excluded.challenge, directory = excluded.directory, staging = excluded.staging,
             source = 'acme', renew_at = null, ask_renewal_at = now(), failures = 0, retry_at = now(), error = null,
             updated_at = now()",
        stored.host,
        stored.chain_pem,
        stored.sealed_key,
        stored.leaf.issuer,
        stored.leaf.not_before,
        stored.leaf.not_after,
        &stored.leaf.names,
        stored.challenge.as_str(),
        stored.directory,
        stored.staging
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An order failed. A certificate that is there stays in use until its end. The next order waits for the usual pause,
/// and until `until` besides.
pub async fn store_failed(
    conn: &mut PgConnection,
    host: &str,
    error: &str,
    until: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    let failures = sqlx::query_scalar!("select failures from certificates where host = $1 for update", host)
        .fetch_optional(&mut *conn)
        .await?;
    let failures = failures.unwrap_or(0).saturating_add(1);
    sqlx::query!(
        "update certificates
         set state = case when chain_pem is not null and not_after > now() then 'issued' else 'failed' end,
             failures = $2, retry_at = greatest(now() + make_interval(secs => $3), $5), error = $4, updated_at = now()
         where host = $1",
        host,
        failures,
        pause_after(failures).as_secs_f64(),
        error,
        until
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// No order goes out before `until`, for a reason that is no failure of an order.
pub async fn postpone(
    conn: &mut PgConnection,
    host: &str,
    why: &str,
    until: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update certificates
         set state = case when chain_pem is not null and not_after > now() then 'issued' else 'failed' end,
             retry_at = $2, error = $3, updated_at = now()
         where host = $1",
        host,
        until,
        why
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a certificate that browsers trust serves the host.
pub async fn is_trusted(conn: &mut PgConnection, host: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from certificates where host = $1 and chain_pem is not null and not_after > now()
                                                     and not staging) as "exists!""#,
        host
    )
    .fetch_one(conn)
    .await
}

/// The sealed credentials of the account at `directory`.
pub async fn account(conn: &mut PgConnection, directory: &str) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!("select credentials from acme_accounts where directory = $1", directory)
        .fetch_optional(conn)
        .await
}

/// Keeps the newest account at `directory`: there is another one only after the CA has lost the one before it.
pub async fn set_account(conn: &mut PgConnection, directory: &str, sealed: &[u8]) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into acme_accounts (directory, credentials) values ($1, $2)
         on conflict (directory) do update set credentials = excluded.credentials, created_at = now()",
        directory,
        sealed
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Every name that is served is to have a certificate, its own or a wildcard: the view `wanted_certificates`.
pub async fn want_for_routed(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into certificates (host) select host as "host!" from wanted_certificates on conflict do nothing"#
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A host for which nothing is on its way and the pause after a failure is over.
#[derive(Debug)]
pub struct Due {
    pub host: String,
    /// Whose name it is; absent for one of the platform.
    pub organization_id: Option<OrganizationId>,
    pub not_before: Option<DateTime<Utc>>,
    pub not_after: Option<DateTime<Utc>>,
    pub renew_at: Option<DateTime<Utc>>,
    pub staging: bool,
    pub reissue: bool,
    /// Where the one that is there was issued.
    pub directory: Option<String>,
}

impl Due {
    /// What is there.
    pub fn present(&self) -> Present<'_> {
        Present {
            host: &self.host,
            not_before: self.not_before,
            not_after: self.not_after,
            renew_at: self.renew_at,
            staging: self.staging,
            reissue: self.reissue,
        }
    }
}

/// Names that want a certificate of their own, without an order on its way. Those without any come first.
pub async fn without_order(conn: &mut PgConnection) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        r#"select certificates.host, wanted.organization_id as "organization_id: OrganizationId", not_before,
                  not_after, renew_at, staging, reissue, directory
           from certificates
           join wanted_certificates as wanted on wanted.host = certificates.host
           where source = 'acme' and retry_at <= now()
             and not exists (select 1 from jobs
                             where jobs.host = certificates.host and state in ('queued', 'running'))
           order by not_after nulls first, certificates.host"#
    )
    .fetch_all(conn)
    .await
}

/// Whose name a wanted one is; nobody's in particular for those of the platform.
pub async fn owner(conn: &mut PgConnection, host: &str) -> sqlx::Result<Option<OrganizationId>> {
    let owner = sqlx::query_scalar!(
        r#"select organization_id as "organization_id: OrganizationId" from wanted_certificates where host = $1"#,
        host
    );
    Ok(owner.fetch_optional(conn).await?.flatten())
}

/// The chain that is there.
pub async fn chain(conn: &mut PgConnection, host: &str) -> sqlx::Result<Option<String>> {
    let chain = sqlx::query_scalar!("select chain_pem from certificates where host = $1", host);
    Ok(chain.fetch_optional(conn).await?.flatten())
}

/// An order is on its way: nobody has to ask for it any more.
pub async fn forget_reissue(conn: &mut PgConnection, host: &str) -> sqlx::Result<()> {
    sqlx::query!("update certificates set reissue = false where host = $1 and reissue", host)
        .execute(conn)
        .await?;
    Ok(())
}

/// The order that somebody asked for failed: it is still wanted.
pub async fn keep_reissue(conn: &mut PgConnection, host: &str) -> sqlx::Result<()> {
    sqlx::query!("update certificates set reissue = true where host = $1", host).execute(conn).await?;
    Ok(())
}

/// Names at and below `zone` are tried again at once: their challenge may be possible now.
pub async fn retry_below(conn: &mut PgConnection, zone: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update certificates set retry_at = now()
         where state <> 'issued' and (host = $1 or right(host, length($1) + 1) = '.' || $1)",
        zone
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A certificate whose CA is to be asked when it should be renewed.
#[derive(Debug)]
pub struct ToAsk {
    pub host: String,
    pub chain_pem: String,
}

/// Certificates of `directory` for whose renewal the CA is asked now.
pub async fn to_ask(conn: &mut PgConnection, directory: &str, most: i64) -> sqlx::Result<Vec<ToAsk>> {
    sqlx::query_as!(
        ToAsk,
        r#"select host, chain_pem as "chain_pem!" from certificates
           where source = 'acme' and directory = $1 and chain_pem is not null and not_after > now()
             and ask_renewal_at <= now()
           order by ask_renewal_at limit $2"#,
        directory,
        most
    )
    .fetch_all(conn)
    .await
}

/// What the CA said about a renewal, if anything new, and when it is asked next.
pub async fn note_renewal(
    conn: &mut PgConnection,
    host: &str,
    renew_at: Option<DateTime<Utc>>,
    ask_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update certificates set renew_at = coalesce($2, renew_at), ask_renewal_at = $3 where host = $1",
        host,
        renew_at,
        ask_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many orders are on their way.
pub async fn orders(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from jobs where kind = 'certificate' and state in ('queued', 'running')"#
    )
    .fetch_one(conn)
    .await
}
