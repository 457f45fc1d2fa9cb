use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::Utc;
use protocol::ids::OrganizationId;
use protocol::spec::Certificate;
use sqlx::PgConnection;
use uuid::Uuid;

use super::ImportedCertificate;
use super::cover::{self, Owned, Owner};
use super::read::Read;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::vault::{Purpose, Vault, VaultError};

fn identity(id: Uuid) -> String {
    format!("imported-certificate:{id}")
}

/// All host names, as the organization sees them.
pub async fn owned(conn: &mut PgConnection, organization: OrganizationId) -> sqlx::Result<Vec<Owned>> {
    let rows = sqlx::query!(
        r#"select host as "host!", organization_id = $1 as own,
                  host in (select host from resolver_hosts) as "resolvers!" from owned_hosts
           union all
           select host, null, false from fronts
           union all
           select '*.' || suffix, null, false from zones where resolver is not null"#,
        organization as _
    )
    .fetch_all(conn)
    .await?;
    let owner = |own, resolvers| match own {
        Some(true) => Owner::Own,
        Some(false) if resolvers => Owner::Resolvers,
        Some(false) => Owner::Others,
        None => Owner::Platform,
    };
    let owned = rows.into_iter().map(|row| Owned { owner: owner(row.own, row.resolvers), host: row.host });
    Ok(owned.collect())
}

/// All of the organization, the newest first.
pub async fn list(
    conn: &mut PgConnection,
    organization: OrganizationId,
) -> sqlx::Result<Vec<ImportedCertificate>> {
    let rows = sqlx::query!(
        "select id, names, issuer, not_before, not_after, fingerprint, notes, imported_by, imported_at
         from imported_certificates where organization_id = $1 order by imported_at desc, id",
        organization as _
    )
    .fetch_all(&mut *conn)
    .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let owned = owned(conn, organization).await?;
    let (mut taken, now) = (HashSet::new(), Utc::now());
    let mut imported: Vec<ImportedCertificate> = rows
        .into_iter()
        .map(|row| ImportedCertificate {
            hosts: if row.not_after > now { newest(&row.names, &owned, &mut taken) } else { Vec::new() },
            id: row.id,
            names: row.names,
            issuer: row.issuer,
            not_before: row.not_before,
            not_after: row.not_after,
            fingerprint: row.fingerprint,
            notes: row.notes,
            imported_by: row.imported_by,
            imported_at: row.imported_at,
        })
        .collect();
    imported.sort_by(|one, other| one.names.cmp(&other.names));
    Ok(imported)
}

/// What a certificate is served for, if newer ones have taken these.
fn newest(names: &[String], owned: &[Owned], taken: &mut HashSet<String>) -> Vec<String> {
    let served = cover::served(names, owned).into_iter().map(ToOwned::to_owned);
    served.filter(|host| taken.insert(host.clone())).collect()
}

/// Stores one in place of those that it makes superfluous, and returns how many these were.
pub async fn put(
    conn: &mut PgConnection,
    vault: &Vault,
    organization: OrganizationId,
    read: &Read,
    notes: &[String],
    by: &str,
) -> sqlx::Result<(Uuid, u64)> {
    let replaced = sqlx::query!(
        "delete from imported_certificates where organization_id = $1 and names <@ $2",
        organization as _,
        &read.leaf.names
    )
    .execute(&mut *conn)
    .await?;
    let id = Uuid::now_v7();
    sqlx::query!(
        "insert into imported_certificates
             (id, organization_id, names, chain_pem, key_pem, issuer, not_before, not_after, fingerprint, notes, imported_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        id,
        organization as _,
        &read.leaf.names,
        read.chain_pem,
        vault.seal(Purpose::CertificateKey, &identity(id), read.key_pem.as_bytes()),
        read.leaf.issuer,
        read.leaf.not_before,
        read.leaf.not_after,
        read.fingerprint,
        notes,
        by
    )
    .execute(conn)
    .await?;
    Ok((id, replaced.rows_affected()))
}

/// Forgets one, with its key.
pub async fn delete(conn: &mut PgConnection, organization: OrganizationId, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from imported_certificates where organization_id = $1 and id = $2",
        organization as _,
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many the organization has.
pub async fn count(conn: &mut PgConnection, organization: OrganizationId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from imported_certificates where organization_id = $1"#,
        organization as _
    )
    .fetch_one(conn)
    .await
}

/// The chain of one.
pub async fn chain(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("select chain_pem from imported_certificates where id = $1", id)
        .fetch_optional(conn)
        .await
}

/// One that has not ended, with what it is served for.
#[derive(Debug)]
struct Valid {
    id: Uuid,
    names: Vec<String>,
    hosts: Vec<String>,
}

/// All that have not ended, the newest of each organization first.
async fn valid(conn: &mut PgConnection) -> sqlx::Result<Vec<Valid>> {
    let rows = sqlx::query!(
        r#"select id, organization_id as "organization_id: OrganizationId", names from imported_certificates
           where not_after > now() order by organization_id, imported_at desc, id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let organizations: BTreeSet<OrganizationId> = rows.iter().map(|row| row.organization_id).collect();
    let mut owned_by = BTreeMap::new();
    for organization in organizations {
        owned_by.insert(organization, (owned(conn, organization).await?, HashSet::new()));
    }
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some((owned, taken)) = owned_by.get_mut(&row.organization_id) {
            let hosts = newest(&row.names, owned, taken);
            found.push(Valid { id: row.id, names: row.names, hosts });
        }
    }
    Ok(found)
}

/// Names of all that are served.
pub async fn names(conn: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let served = valid(conn).await?.into_iter().filter(|valid| !valid.hosts.is_empty());
    let names: BTreeSet<String> = served.flat_map(|valid| valid.names).collect();
    Ok(names.into_iter().collect())
}

/// Slug of an organization that brought a certificate for all names directly below `suffix` which has not ended.
pub async fn bringer(conn: &mut PgConnection, suffix: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "select slug from imported_certificates join organizations on organizations.id = organization_id
         where not_after > now() and '*.' || $1 = any(names) order by slug limit 1",
        suffix
    )
    .fetch_optional(conn)
    .await
}

/// `ordered` with the imported ones in place of those for the same hosts. One whose key cannot be opened is an error, as
/// for the ordered ones.
pub async fn merge(
    conn: &mut PgConnection,
    vault: &Vault,
    mut ordered: Vec<Certificate>,
) -> anyhow::Result<Vec<Certificate>> {
    let valid = valid(conn).await?;
    let taken: BTreeSet<&String> = valid.iter().flat_map(|valid| &valid.hosts).collect();
    if taken.is_empty() {
        return Ok(ordered);
    }
    for certificate in &mut ordered {
        certificate.hosts.retain(|host| !taken.contains(host));
    }
    ordered.retain(|certificate| !certificate.hosts.is_empty());
    for Valid { id, hosts, .. } in valid.into_iter().filter(|valid| !valid.hosts.is_empty()) {
        let row = sqlx::query!("select chain_pem, key_pem from imported_certificates where id = $1", id)
            .fetch_one(&mut *conn)
            .await?;
        let key = vault.open(Purpose::CertificateKey, &identity(id), &row.key_pem)?;
        let key_pem = String::from_utf8(key).map_err(|_| VaultError::Damaged)?;
        ordered.push(Certificate { hosts, chain_pem: row.chain_pem, key_pem });
    }
    Ok(ordered)
}

/// Orders are made for the host names without an imported certificate alone: marks the others. When that changed,
/// because one was imported, removed or has ended, or because an app got or lost a name, the proxies get a new table.
pub async fn settle(conn: &mut PgConnection) -> sqlx::Result<()> {
    let hosts: Vec<String> = valid(conn).await?.into_iter().flat_map(|valid| valid.hosts).collect();
    let marked = sqlx::query!(
        "insert into certificates (host, source) select unnest($1::text[]), 'imported'
         on conflict (host) do update set source = 'imported', updated_at = now() where certificates.source <> 'imported'",
        &hosts
    )
    .execute(&mut *conn)
    .await?;
    let freed = sqlx::query!(
        "update certificates set source = 'acme', retry_at = now(), updated_at = now()
         where source = 'imported' and host <> all($1)",
        &hosts
    )
    .execute(&mut *conn)
    .await?;
    if marked.rows_affected() + freed.rows_affected() > 0 {
        changed(conn).await?;
    }
    Ok(())
}

/// The proxies get a new table, and the reconciler of orders looks again.
pub async fn changed(conn: &mut PgConnection) -> sqlx::Result<()> {
    generations::raise(conn, Consumer::Routes).await?;
    bus::say(conn, Topic::Certificates, "").await
}
