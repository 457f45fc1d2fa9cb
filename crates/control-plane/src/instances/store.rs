//! SQL of instances and of what they print.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use protocol::ids::{AppId, InstanceId, NodeId, OrganizationId, ProjectId};
use protocol::report::{InstanceLog, InstanceReport, InstanceState};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Task;
use crate::apps::Settings;
use crate::bus::{self, Topic};

/// An instance as it was when a report came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub id: InstanceId,
    pub app_id: AppId,
    pub wanted: bool,
    pub in_rotation: bool,
    pub state: InstanceState,
    /// It was told before that it has written too much.
    pub over_disk: bool,
}

/// All instances of a node, held until the transaction ends.
pub async fn lock_on_node(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Vec<Seen>> {
    sqlx::query_as!(
        Seen,
        r#"select id, app_id, wanted, in_rotation, state, coalesce(report ? 'over_disk', false) as "over_disk!"
           from instances where node_id = $1 order by id for update"#,
        node as _
    )
    .fetch_all(conn)
    .await
}

/// Stores what was told of instances, each once. Returns those of which something new was said.
pub async fn observe(conn: &mut PgConnection, told: &[&InstanceReport]) -> sqlx::Result<HashSet<InstanceId>> {
    let ids: Vec<Uuid> = told.iter().map(|report| report.id.0).collect();
    let reports: Vec<Json<&InstanceReport>> = told.iter().map(|report| Json(*report)).collect();
    // The ids by themselves: of rows that are taken out of a document Postgres expects so many that it reads all
    // instances to find them.
    let changed = sqlx::query_scalar!(
        r#"with stored as (
               update instances set state = told.report ->> 'state', report = told.report, observed_at = now()
               from unnest($1::uuid[], $2::jsonb[]) as told (id, report)
               join instances as before on before.id = told.id
               where instances.id = told.id
               returning instances.id, before.state <> instances.state
                   or coalesce(before.report, '{}') - 'probe' <> instances.report - 'probe' as changed
           )
           select id as "id: InstanceId" from stored where changed"#,
        &ids,
        &reports as _
    )
    .fetch_all(conn)
    .await?;
    Ok(changed.into_iter().collect())
}

/// What an instance is of and where it runs, in the words of people.
#[derive(Debug)]
pub struct Origin {
    pub app_id: AppId,
    pub app: String,
    pub release: i32,
    pub node: String,
    pub organization_id: OrganizationId,
}

pub async fn origin(conn: &mut PgConnection, id: InstanceId) -> sqlx::Result<Option<Origin>> {
    sqlx::query_as!(
        Origin,
        "select instances.app_id, apps.slug as app, releases.number as release, nodes.name as node,
                projects.organization_id
         from instances
         join apps on apps.id = instances.app_id
         join environments on environments.id = apps.environment_id
         join projects on projects.id = environments.project_id
         join releases on releases.id = instances.release_id
         join nodes on nodes.id = instances.node_id
         where instances.id = $1",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// The worker no longer sees an instance that it should run.
pub async fn lose(conn: &mut PgConnection, id: InstanceId) -> sqlx::Result<()> {
    sqlx::query!("update instances set state = 'pending', observed_at = now() where id = $1", id as _)
        .execute(conn)
        .await?;
    Ok(())
}

pub async fn delete(conn: &mut PgConnection, id: InstanceId) -> sqlx::Result<()> {
    sqlx::query!("delete from instances where id = $1", id as _).execute(conn).await?;
    Ok(())
}

/// Whether the worker has its newest desired state in force.
pub async fn worker_is_up_to_date(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select applied_generation = generation as "same!"
           from agents join generations on consumer = 'worker:' || node_id
           where node_id = $1 and kind = 'worker'"#,
        node as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.unwrap_or(false))
}

/// Stores lines that an instance printed. Lines that are there already change nothing.
pub async fn append_log(conn: &mut PgConnection, node: NodeId, log: &InstanceLog) -> sqlx::Result<()> {
    let (mut seqs, mut ats, mut streams, mut texts) =
        (Vec::new(), Vec::<DateTime<Utc>>::new(), Vec::new(), Vec::new());
    for line in &log.lines {
        seqs.push(line.seq);
        ats.push(line.at);
        streams.push(stream(line.stream).to_owned());
        texts.push(line.text.clone());
    }
    // Readers follow by `id`: the lines of one app become visible in the order of their ids.
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", log.app_id.to_string())
        .execute(&mut *conn)
        .await?;
    // A worker speaks for its own instances only. The last lines of one may come after its row is gone: then its
    // earlier lines, whose instance id only its worker knew, show that it was one.
    let done = sqlx::query!(
        "insert into instance_log (app_id, instance_id, release, seq, at, stream, text)
         select $1, $2, $3, line.seq, line.at, line.stream, line.text
         from unnest($4::bigint[], $5::timestamptz[], $6::text[], $7::text[]) as line (seq, at, stream, text)
         where exists (select 1 from instances where id = $2 and node_id = $8 and app_id = $1)
            or not exists (select 1 from instances where id = $2)
               and exists (select 1 from instance_log where app_id = $1 and instance_id = $2)
         on conflict do nothing",
        log.app_id as _,
        log.instance_id as _,
        log.release,
        &seqs,
        &ats,
        &streams,
        &texts,
        node as _
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() > 0 {
        bus::say(conn, Topic::AppLog, log.app_id).await?;
    }
    Ok(())
}

/// The column's word.
pub fn stream(stream: protocol::report::Stream) -> &'static str {
    match stream {
        protocol::report::Stream::Stdout => "stdout",
        protocol::report::Stream::Stderr => "stderr",
        protocol::report::Stream::System => "system",
    }
}

/// An instance that should run, with its release.
#[derive(Debug)]
pub struct WantedRow {
    pub id: InstanceId,
    pub app_id: AppId,
    pub app: String,
    pub project_id: ProjectId,
    pub project: String,
    pub release: i32,
    pub image_id: String,
    pub image_reference: String,
    pub settings: Json<Settings>,
    /// Sealed.
    pub variables: Vec<u8>,
    pub source: Option<serde_json::Value>,
    pub commit_id: Option<String>,
    /// Where the app is served.
    pub host: String,
    pub zone_port: Option<i32>,
    pub host_port: i32,
    pub publishes_udp: bool,
    pub exclusive: bool,
    pub task: Option<Task>,
}

/// All instances that should run on `node`.
pub async fn wanted_on(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Vec<WantedRow>> {
    sqlx::query_as!(
        WantedRow,
        r#"select instances.id, instances.app_id, apps.slug as app, environments.project_id as "project_id: _",
                  projects.slug as project,
                  releases.number as release, image_id, image_reference,
                  releases.settings as "settings: Json<Settings>", variables, source, commit_id,
                  apps.slug || '.' || zones.suffix as "host!", zones.port as zone_port,
                  host_port, publishes_udp, exclusive, task as "task: Task"
           from instances
           join releases on releases.id = instances.release_id
           join apps on apps.id = instances.app_id
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           join zones on zones.id = apps.zone_id
           where node_id = $1 and wanted order by instances.id"#,
        node as _
    )
    .fetch_all(conn)
    .await
}

/// A worker that has an image.
#[derive(Debug)]
pub struct HolderRow {
    pub image_id: String,
    pub node: NodeId,
    pub address: IpNet,
    pub worker_port: Option<i32>,
    pub online: bool,
    /// Sealed.
    pub signing_key: Option<Vec<u8>>,
}

/// Workers that have one of `images`: they said so, serve it, or made it a moment ago.
pub async fn image_holders(conn: &mut PgConnection, images: &[String]) -> sqlx::Result<Vec<HolderRow>> {
    sqlx::query_as!(
        HolderRow,
        r#"select distinct holder.image_id as "image_id!", nodes.id as "node: NodeId", nodes.mesh_address as address,
                  (nodes.host ->> 'worker_port')::int as worker_port, nodes.status = 'online' and missing_since is null as "online!", nodes.signing_key
           from (
               select image_id, node_id from node_images where image_id = any($1)
               union
               select image_id, image_node_id from releases join nodes on nodes.id = image_node_id
               where image_id = any($1)
                 -- One that told its images since, and not this one, has it no more.
                 and (images_total_bytes is null or releases.created_at > now() - interval '10 minutes')
               union
               select image_id, node_id from releases join instances on release_id = releases.id
               where image_id = any($1) and state = 'healthy'
           ) as holder
           join nodes on nodes.id = holder.node_id and nodes.removed_at is null"#,
        images
    )
    .fetch_all(conn)
    .await
}
