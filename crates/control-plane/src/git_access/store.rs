use protocol::ids::{AppId, JobId, NodeId};
use protocol::job::{GitAccess as Open, GitSecret};
use sqlx::PgConnection;

use super::{GitAccess, Kind, openssh};
use crate::http;
use crate::vault::{Purpose, Vault, VaultError};

fn identity(app: AppId, host: &str) -> String {
    format!("git-access:{app}:{host}")
}

pub async fn read(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<GitAccess>> {
    let found = sqlx::query_as!(
        GitAccess,
        "select kind, host, username, public_key, host_keys, updated_by, updated_at
         from git_access where app_id = $1",
        app as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|access| GitAccess {
        host_keys: access.host_keys.iter().map(|key| openssh::fingerprint(key)).collect(),
        ..access
    }))
}

/// Stores it in place of what the app had.
pub async fn put(
    conn: &mut PgConnection,
    vault: &Vault,
    app: AppId,
    access: &Open,
    public_key: Option<&str>,
    by: &str,
) -> sqlx::Result<()> {
    let (kind, username, secret, host_keys) = match &access.secret {
        GitSecret::Token { username, token } => (Kind::Token, Some(username.as_str()), token, &[][..]),
        GitSecret::Key { private_key, host_keys } => (Kind::Key, None, private_key, &host_keys[..]),
    };
    sqlx::query!(
        "insert into git_access (app_id, kind, host, username, secret, public_key, host_keys, updated_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (app_id) do update
             set kind = excluded.kind, host = excluded.host, username = excluded.username,
                 secret = excluded.secret, public_key = excluded.public_key, host_keys = excluded.host_keys,
                 updated_by = excluded.updated_by, updated_at = now()",
        app as _,
        kind as _,
        access.host,
        username,
        vault.seal(Purpose::GitAccess, &identity(app, &access.host), secret.as_bytes()),
        public_key,
        host_keys,
        by
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The host of what was removed.
pub async fn delete(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("delete from git_access where app_id = $1 returning host", app as _)
        .fetch_optional(conn)
        .await
}

/// What a build of the app is told.
pub async fn open(conn: &mut PgConnection, vault: &Vault, app: AppId) -> http::Result<Option<Open>> {
    let found =
        sqlx::query!("select host, username, secret, host_keys from git_access where app_id = $1", app as _)
            .fetch_optional(conn)
            .await?;
    let Some(row) = found else { return Ok(None) };
    let plain = vault.open(Purpose::GitAccess, &identity(app, &row.host), &row.secret)?;
    let secret = String::from_utf8(plain).map_err(|_| VaultError::Damaged)?;
    let secret = match row.username {
        Some(username) => GitSecret::Token { username, token: secret },
        None => GitSecret::Key { private_key: secret, host_keys: row.host_keys },
    };
    Ok(Some(Open { host: row.host, secret }))
}

/// The first key of the host that a build of the app saw, if none is known. A node speaks for what it builds only.
/// Whose app it is, if that is news.
pub async fn learn(
    conn: &mut PgConnection,
    node: NodeId,
    job: JobId,
    host: &str,
    key: &str,
) -> sqlx::Result<Option<Learnt>> {
    sqlx::query_as!(
        Learnt,
        "update git_access set host_keys = array[$4::text]
         from apps
         join environments on environments.id = apps.environment_id
         join projects on projects.id = environments.project_id
         join deployments on deployments.app_id = apps.id
         join jobs on jobs.deployment_id = deployments.id
         where git_access.app_id = apps.id and jobs.id = $2 and jobs.node_id = $1
           and git_access.kind = 'key' and git_access.host = $3 and host_keys = '{}'
         returning apps.slug, projects.organization_id",
        node as _,
        job as _,
        host,
        key
    )
    .fetch_optional(conn)
    .await
}

/// An app of whose repository the host is known by now.
#[derive(Debug)]
pub struct Learnt {
    pub slug: String,
    pub organization_id: protocol::ids::OrganizationId,
}
