use std::collections::BTreeSet;

use protocol::ids::{AppId, DeploymentId, NodeId, ReleaseId};
use protocol::job::Source;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Image, Origin, Release};
use crate::apps::Settings;
use crate::deployments::Kind;
use crate::variables::{self, Values};
use crate::vault::{Vault, VaultError};

/// What a release is made of.
#[derive(Debug)]
pub struct NewRelease<'a> {
    pub app_id: AppId,
    pub image_id: &'a str,
    pub image_reference: &'a str,
    pub image_size_bytes: i64,
    /// The worker that has the image.
    pub image_node_id: Option<NodeId>,
    pub source: Option<serde_json::Value>,
    pub commit_id: Option<&'a str>,
    pub settings: &'a Settings,
    /// Sealed as `app-variables:<app id>`.
    pub variables: &'a [u8],
    /// Those that the image was built with, sealed alike; none when nothing was built.
    pub built_with: Option<&'a [u8]>,
}

/// Makes the app's next release. Waits for whoever else is numbering something of this app.
pub async fn create(conn: &mut PgConnection, new: NewRelease<'_>) -> sqlx::Result<(ReleaseId, i32)> {
    sqlx::query!("select id from apps where id = $1 for update", new.app_id as _)
        .fetch_one(&mut *conn)
        .await?;
    let row = sqlx::query!(
        "insert into releases (id, app_id, number, image_id, image_reference, image_size_bytes, image_node_id, source,
                               commit_id, settings, variables, built_with)
         select $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5, $6, $7, $8, $9, $10, $11
         from releases where app_id = $2
         returning id, number",
        ReleaseId::new() as _,
        new.app_id as _,
        new.image_id,
        new.image_reference,
        new.image_size_bytes,
        new.image_node_id as _,
        new.source,
        new.commit_id,
        sqlx::types::Json(new.settings) as _,
        new.variables,
        new.built_with,
    )
    .fetch_one(conn)
    .await?;
    Ok((row.id, row.number))
}

/// A release as the next one needs it.
#[derive(Debug)]
pub struct Snapshot {
    pub id: ReleaseId,
    pub app_id: AppId,
    pub number: i32,
    pub image_id: String,
    pub image_reference: String,
    pub image_size_bytes: i64,
    pub image_node_id: Option<NodeId>,
    pub source: Option<serde_json::Value>,
    pub commit_id: Option<String>,
    pub settings: Json<Settings>,
    pub variables: Vec<u8>,
    pub built_with: Option<Vec<u8>>,
}

impl Snapshot {
    /// Its variables, and those that its image was built with if that is known.
    pub fn open(&self, vault: &Vault) -> Result<(Values, Option<Values>), VaultError> {
        let open = |sealed: &[u8]| variables::open(vault, self.app_id, sealed);
        Ok((open(&self.variables)?, self.built_with.as_deref().map(open).transpose()?))
    }
}

/// The release that serves, with as many replicas as it has now: scaling makes no release.
pub async fn current(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<Snapshot>> {
    sqlx::query_as!(
        Snapshot,
        r#"select releases.id, releases.app_id, releases.number, image_id, image_reference, image_size_bytes, image_node_id,
                  releases.source, commit_id, releases.variables, built_with,
                  releases.settings
                      || jsonb_strip_nulls(jsonb_build_object('replicas', deployments.settings -> 'replicas'))
                      as "settings!: Json<Settings>"
           from releases join deployments on deployments.release_id = releases.id
           where deployments.app_id = $1 and deployments.state = 'live'"#,
        app as _
    )
    .fetch_optional(conn)
    .await
}

pub async fn by_number(conn: &mut PgConnection, app: AppId, number: i32) -> sqlx::Result<Option<Snapshot>> {
    sqlx::query_as!(
        Snapshot,
        r#"select id, app_id, number, image_id, image_reference, image_size_bytes, image_node_id, source, commit_id,
                  settings as "settings: Json<Settings>", variables, built_with
           from releases where app_id = $1 and number = $2"#,
        app as _,
        number
    )
    .fetch_optional(conn)
    .await
}

/// The newest release below `number` that has served.
pub async fn before(conn: &mut PgConnection, app: AppId, number: i32) -> sqlx::Result<Option<i32>> {
    sqlx::query_scalar!(
        "select max(number) from releases where app_id = $1 and number < $2 and exists (
             select from deployments where release_id = releases.id and state in ('live', 'superseded')
         )",
        app as _,
        number
    )
    .fetch_one(conn)
    .await
}

/// Releases as clients see them, newest first. `kept`: ids of images.
pub async fn list(
    conn: &mut PgConnection,
    app: AppId,
    before: Option<Uuid>,
    limit: i64,
    kept: &BTreeSet<String>,
) -> sqlx::Result<Vec<Release>> {
    let rows = sqlx::query!(
        r#"select releases.id, releases.number, image_id, image_reference, image_size_bytes,
                  releases.source as "source: Json<Source>", commit_id, releases.created_at,
                  made.id as "made_by?: DeploymentId", made.number as "made_number?", made.kind as "made_kind?: Kind",
                  made.created_by as "made_for?", made.message as "message?", made.from_release,
                  made.created_at as "made_from?", made.finished_at as "made_until?",
                  live.id is not null as "current!",
                  case when live.kind = 'rollback' then live.from_release end as rolled_back_from
           from releases
           left join lateral (
               select id, number, kind, created_by, message, from_release, created_at, finished_at
               from deployments where release_id = releases.id order by number limit 1
           ) made on true
           left join deployments as live on live.release_id = releases.id and live.state = 'live'
           where releases.app_id = $1 and ($2::uuid is null or releases.id < $2)
           order by releases.id desc limit $3"#,
        app as _,
        before,
        limit + 1
    )
    .fetch_all(conn)
    .await?;
    let releases = rows.into_iter().map(|row| Release {
        origin: row.made_number.zip(row.made_kind).map(|(number, kind)| Origin {
            number,
            kind,
            created_by: row.made_for.unwrap_or_default(),
            message: row.message.unwrap_or_default(),
            from_release: row.from_release,
            duration_ms: row
                .made_from
                .zip(row.made_until)
                .map(|(begin, end)| (end - begin).num_milliseconds()),
        }),
        id: row.id,
        number: row.number,
        kept: kept.contains(&row.image_id),
        image: Image { id: row.image_id, reference: row.image_reference, size_bytes: row.image_size_bytes },
        source: row.source.map(|source| source.0),
        commit: row.commit_id,
        created_at: row.created_at,
        deployment_id: row.made_by,
        current: row.current,
        rolled_back_from: row.rolled_back_from,
    });
    Ok(releases.collect())
}
