use protocol::ids::{AppId, NodeId, OrganizationId};
use protocol::job::RegistryLogin;
use protocol::registry::ImagePlace;
use sqlx::PgConnection;

use super::Registry;
use crate::http;
use crate::vault::{Purpose, Vault, VaultError};

fn identity(organization: OrganizationId, host: &str) -> String {
    format!("registry:{organization}:{host}")
}

pub async fn list(conn: &mut PgConnection, organization: OrganizationId) -> sqlx::Result<Vec<Registry>> {
    sqlx::query_as!(
        Registry,
        "select host, username, updated_by, updated_at from registries where organization_id = $1 order by host",
        organization as _
    )
    .fetch_all(conn)
    .await
}

/// Stores a login, in place of an earlier one for the same host.
pub async fn put(
    conn: &mut PgConnection,
    vault: &Vault,
    organization: OrganizationId,
    login: &RegistryLogin,
    by: &str,
) -> sqlx::Result<Registry> {
    let RegistryLogin { host, username, password } = login;
    sqlx::query_as!(
        Registry,
        "insert into registries (organization_id, host, username, password, updated_by) values ($1, $2, $3, $4, $5)
         on conflict on constraint registries_pkey do update
             set username = excluded.username, password = excluded.password,
                 updated_by = excluded.updated_by, updated_at = now()
         returning host, username, updated_by, updated_at",
        organization as _,
        host,
        username,
        vault.seal(Purpose::RegistryPassword, &identity(organization, host), password.as_bytes()),
        by
    )
    .fetch_one(conn)
    .await
}

pub async fn count(conn: &mut PgConnection, organization: OrganizationId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from registries where organization_id = $1"#,
        organization as _
    )
    .fetch_one(conn)
    .await
}

/// Whether there was one.
pub async fn delete(conn: &mut PgConnection, organization: OrganizationId, host: &str) -> sqlx::Result<bool> {
    let deleted = sqlx::query!(
        "delete from registries where organization_id = $1 and host = $2",
        organization as _,
        host
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected() == 1)
}

/// The logins of the app's organization, open.
pub async fn logins(conn: &mut PgConnection, vault: &Vault, app: AppId) -> http::Result<Vec<RegistryLogin>> {
    let rows = sqlx::query!(
        "select registries.organization_id, host, username, password
         from registries
         join projects on projects.organization_id = registries.organization_id
         join environments on environments.project_id = projects.id
         join apps on apps.environment_id = environments.id
         where apps.id = $1 order by host",
        app as _
    )
    .fetch_all(conn)
    .await?;
    let open =
        rows.into_iter().map(|row| open(vault, row.organization_id, row.host, row.username, &row.password));
    open.collect::<Result<_, VaultError>>().map_err(Into::into)
}

fn open(
    vault: &Vault,
    organization: OrganizationId,
    host: String,
    username: String,
    sealed: &[u8],
) -> Result<RegistryLogin, VaultError> {
    let plain = vault.open(Purpose::RegistryPassword, &identity(organization, &host), sealed)?;
    let password = String::from_utf8(plain).map_err(|_| VaultError::Damaged)?;
    Ok(RegistryLogin { host, username, password })
}

/// Where registries have an image that an instance of `node` needs or that it should hold, with the logins of the
/// organizations whose releases these are.
pub async fn places(
    conn: &mut PgConnection,
    vault: &Vault,
    node: NodeId,
    image: &str,
) -> http::Result<Vec<ImagePlace>> {
    let rows = sqlx::query!(
        r#"select distinct image_reference as reference, projects.organization_id as "organization: OrganizationId",
                  host as "host?", username as "username?", password as "password?"
           from releases
           join apps on apps.id = app_id
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           left join registries on registries.organization_id = projects.organization_id
                and host = split_part(image_reference, '/', 1)
           where image_id = $2 and releases.source ->> 'type' = 'image'
             and (exists (select from instances where release_id = releases.id and node_id = $1 and wanted)
                  or exists (select from image_orders
                             where node_id = $1 and image_orders.image_id = $2 and action = 'hold'))
           order by reference"#,
        node as _,
        image
    )
    .fetch_all(conn)
    .await?;
    let places = rows.into_iter().map(|row| {
        let login = match (row.host, row.username, row.password) {
            (Some(host), Some(username), Some(sealed)) => {
                Some(open(vault, row.organization, host, username, &sealed)?)
            }
            _ => None,
        };
        Ok(ImagePlace { reference: row.reference, login })
    });
    places.collect::<Result<_, VaultError>>().map_err(Into::into)
}
