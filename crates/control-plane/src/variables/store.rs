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
    pub updated_at: DateTime<Utc>,
}

impl Sealed {
    pub fn open(&self, vault: &Vault, app: AppId) -> Result<String, VaultError> {
        let plain = vault.open(Purpose::Variables, &identity(app, &self.name), &self.value)?;
        String::from_utf8(plain).map_err(|_| VaultError::Damaged)
    }
}

fn identity(app: AppId, name: &str) -> String {
    format!("app-variable:{app}:{name}")
}

/// Where the app is served.
pub async fn place(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Place> {
    sqlx::query_as!(
        Place,
        r#"select apps.slug as app, projects.slug as project, apps.slug || '.' || zones.suffix as "host!" from apps
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           join zones on zones.id = apps.zone_id
           where apps.id = $1"#,
        app as _
    )
    .fetch_one(conn)
    .await
}

pub async fn list(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<Sealed>> {
    sqlx::query_as!(
        Sealed,
        "select name, value, build_time, updated_at from app_variables where app_id = $1 order by name",
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
        open.add(sealed, value);
    }
    Ok(open)
}

pub async fn set(
    conn: &mut PgConnection,
    vault: &Vault,
    app: AppId,
    name: &str,
    value: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into app_variables (app_id, name, value) values ($1, $2, $3)
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

/// Whether there is such a variable.
pub async fn flag_build_time(
    conn: &mut PgConnection,
    app: AppId,
    name: &str,
    build_time: bool,
) -> sqlx::Result<bool> {
    let flagged = sqlx::query!(
        "update app_variables set build_time = $3 where app_id = $1 and name = $2",
        app as _,
        name,
        build_time
    )
    .execute(conn)
    .await?;
    Ok(flagged.rows_affected() == 1)
}
