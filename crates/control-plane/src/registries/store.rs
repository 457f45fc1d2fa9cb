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

/// All of the organization, or the one of `host`.
pub async fn list(
    conn: &mut PgConnection,
    organization: OrganizationId,
    host: Option<&str>,
) -> sqlx::Result<Vec<Registry>> {
    sqlx::query_as!(
        Registry,
        r#"select host, username, updated_by, updated_at, images_path,
                  (select count(*) from registry_images as image
                   where image.organization_id = registries.organization_id and image.host = registries.host
                     and pushed_at is not null and action is distinct from 'remove') as "images_kept!",
                  (select count(*) from registry_images as image
                   where image.organization_id = registries.organization_id and image.host = registries.host
                     and action is not null) as "images_waiting!",
                  array(select action || ' ' || reference || ': ' || problem from registry_images as image
                        where image.organization_id = registries.organization_id and image.host = registries.host
                          and problem is not null
                        order by reference limit 20) as "image_problems!"
           from registries where organization_id = $1 and ($2::text is null or host = $2) order by host"#,
        organization as _,
        host
    )
    .fetch_all(conn)
    .await
}

pub async fn find(
    conn: &mut PgConnection,
    organization: OrganizationId,
    host: &str,
) -> sqlx::Result<Option<Registry>> {
    Ok(list(conn, organization, Some(host)).await?.pop())
}

/// Keeps built images in the registry from now on, and in no other. Whether there is a login to it.
pub async fn keep_images(
    conn: &mut PgConnection,
    organization: OrganizationId,
    host: &str,
    path: &str,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "update registries set images_path = null
         where organization_id = $1 and host <> $2 and images_path is not null",
        organization as _,
        host
    )
    .execute(&mut *conn)
    .await?;
    let kept = sqlx::query!(
        "update registries set images_path = $3 where organization_id = $1 and host = $2",
        organization as _,
        host,
        path
    )
    .execute(conn)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// Pushes no more images there. Whether they were.
pub async fn keep_no_images(
    conn: &mut PgConnection,
    organization: OrganizationId,
    host: &str,
) -> sqlx::Result<bool> {
    let ended = sqlx::query!(
        "update registries set images_path = null
         where organization_id = $1 and host = $2 and images_path is not null",
        organization as _,
        host
    )
    .execute(conn)
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// Stores a login, in place of an earlier one for the same host.
pub async fn put(
    conn: &mut PgConnection,
    vault: &Vault,
    organization: OrganizationId,
    login: &RegistryLogin,
    by: &str,
) -> sqlx::Result<()> {
    let RegistryLogin { host, username, password } = login;
    sqlx::query!(
        "insert into registries (organization_id, host, username, password, updated_by) values ($1, $2, $3, $4, $5)
         on conflict on constraint registries_pkey do update
             set username = excluded.username, password = excluded.password,
                 updated_by = excluded.updated_by, updated_at = now()",
        organization as _,
        host,
        username,
        vault.seal(Purpose::RegistryPassword, &identity(organization, host), password.as_bytes()),
        by
    )
    .execute(conn)
    .await?;
    Ok(())
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

/// Where registries have an image that an instance of `node` needs or that it should hold, and where it is to push it or
/// to remove it, with the logins of the organizations whose releases these are.
pub async fn places(
    conn: &mut PgConnection,
    vault: &Vault,
    node: NodeId,
    image: &str,
) -> http::Result<Vec<ImagePlace>> {
    let rows = sqlx::query!(
        r#"with needed as (
               select releases.app_id from instances join releases on releases.id = release_id
               where node_id = $1 and wanted and image_id = $2
               union
               select app_id from image_orders join releases using (image_id)
               where node_id = $1 and image_id = $2 and action = 'hold'
           ), place (reference, organization_id) as (
               select image_reference, projects.organization_id
               from releases
               join needed using (app_id)
               join apps on apps.id = app_id
               join environments on environments.id = apps.environment_id
               join projects on projects.id = environments.project_id
               where image_id = $2 and releases.source ->> 'type' = 'image'
               union
               select reference, organization_id from registry_images
               where image_id = $2
                 and (node_id = $1 or pushed_at is not null and app_id in (select app_id from needed))
           )
           select reference as "reference!", place.organization_id as "organization!: OrganizationId",
                  host as "host?", username as "username?", password as "password?"
           from place
           left join registries on registries.organization_id = place.organization_id
                and host = split_part(reference, '/', 1)
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
