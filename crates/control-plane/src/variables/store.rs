use chrono::{DateTime, Utc};
use protocol::ids::AppId;
use sqlx::PgConnection;

use super::Open;
use super::predefined::Place;
use crate::vault::{Purpose, Vault, VaultError};

/// One variable, still sealed.
#[derive(Debug)]
pub struct Sealed {
    pub name: String,
    pub value: Vec<u8>,
    /// Whether build steps may mount it.
    pub build_time: bool,
    /// Whether nothing is deployed while it has no value.
    pub required: bool,
    /// Whether its value is never shown.
    pub locked: bool,
    /// Comments above it, as in [`super::dotenv::Entry`].
    pub above: Option<Vec<u8>>,
    pub updated_at: DateTime<Utc>,
}

impl Sealed {
    pub fn open(&self, vault: &Vault, app: AppId) -> Result<String, VaultError> {
        text(vault, &identity(app, &self.name), &self.value)
    }

    pub fn open_above(&self, vault: &Vault, app: AppId) -> Result<String, VaultError> {
        let open = |above: &Vec<u8>| text(vault, &identity_above(app, &self.name), above);
        self.above.as_ref().map_or(Ok(String::new()), open)
    }
}

fn text(vault: &Vault, identity: &str, sealed: &[u8]) -> Result<String, VaultError> {
    let plain = vault.open(Purpose::Variables, identity, sealed)?;
    String::from_utf8(plain).map_err(|_| VaultError::Damaged)
}

fn identity(app: AppId, name: &str) -> String {
    format!("app-variable:{app}:{name}")
}

fn identity_above(app: AppId, name: &str) -> String {
    format!("app-variable:{app}:{name}:above")
}

fn identity_end(app: AppId) -> String {
    format!("app-variables-end:{app}")
}

/// `None` for an empty text.
fn seal_comments(vault: &Vault, identity: &str, text: &str) -> Option<Vec<u8>> {
    (!text.is_empty()).then(|| vault.seal(Purpose::Variables, identity, text.as_bytes()))
}

/// Where the app is served.
pub async fn place(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Place> {
    sqlx::query_as!(
        Place,
        r#"select apps.slug as app, projects.slug as project, apps.slug || '.' || zones.suffix as "host!",
                  zones.port
           from apps
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           join zones on zones.id = apps.zone_id
           where apps.id = $1"#,
        app as _
    )
    .fetch_one(conn)
    .await
}

/// In their order.
pub async fn list(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<Sealed>> {
    sqlx::query_as!(
        Sealed,
        "select name, value, build_time, required, locked, above, updated_at
         from app_variables where app_id = $1 order by position, name",
        app as _
    )
    .fetch_all(conn)
    .await
}

/// All variables of an app.
pub async fn open(conn: &mut PgConnection, vault: &Vault, app: AppId) -> crate::http::Result<Open> {
    let mut open = Open::default();
    for sealed in list(conn, app).await? {
        let value = sealed.open(vault, app)?;
        open.add(&sealed, value);
    }
    Ok(open)
}

/// A new variable comes last.
pub async fn set(
    conn: &mut PgConnection,
    vault: &Vault,
    app: AppId,
    name: &str,
    value: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into app_variables (app_id, name, value, position)
         select $1, $2, $3, coalesce(max(position), 0) + 1 from app_variables where app_id = $1
         on conflict (app_id, name) do update set value = excluded.value, updated_at = now()",
        app as _,
        name,
        vault.seal(Purpose::Variables, &identity(app, name), value.as_bytes())
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn unset(conn: &mut PgConnection, app: AppId, name: &str) -> sqlx::Result<()> {
    sqlx::query!("delete from app_variables where app_id = $1 and name = $2", app as _, name)
        .execute(conn)
        .await?;
    Ok(())
}

/// What changes of what is said about a variable.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    pub build_time: Option<bool>,
    pub required: Option<bool>,
    pub locked: Option<bool>,
}

pub async fn flag(conn: &mut PgConnection, app: AppId, name: &str, flags: Flags) -> sqlx::Result<()> {
    sqlx::query!(
        "update app_variables set build_time = coalesce($3, build_time), required = coalesce($4, required),
                locked = coalesce($5, locked)
         where app_id = $1 and name = $2",
        app as _,
        name,
        flags.build_time,
        flags.required,
        flags.locked
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn set_above(
    conn: &mut PgConnection,
    vault: &Vault,
    app: AppId,
    name: &str,
    above: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update app_variables set above = $3 where app_id = $1 and name = $2",
        app as _,
        name,
        seal_comments(vault, &identity_above(app, name), above)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Puts these first, in this order; others follow in theirs.
pub async fn arrange(conn: &mut PgConnection, app: AppId, names: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        "update app_variables set position = ordered.position
         from (
             select name, row_number() over (order by array_position($2, name), position, name) as position
             from app_variables where app_id = $1
         ) as ordered
         where app_id = $1 and app_variables.name = ordered.name",
        app as _,
        names
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The comments below the last variable.
pub async fn end(conn: &mut PgConnection, vault: &Vault, app: AppId) -> crate::http::Result<String> {
    let sealed =
        sqlx::query_scalar!("select env_end from apps where id = $1", app as _).fetch_one(conn).await?;
    Ok(sealed.map_or(Ok(String::new()), |sealed| text(vault, &identity_end(app), &sealed))?)
}

pub async fn set_end(conn: &mut PgConnection, vault: &Vault, app: AppId, end: &str) -> sqlx::Result<()> {
    let sealed = seal_comments(vault, &identity_end(app), end);
    sqlx::query!("update apps set env_end = $2 where id = $1", app as _, sealed).execute(conn).await?;
    Ok(())
}
