//! SQL of the private network.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{AppId, InstanceId, NodeId, OrganizationId, ProjectId};
use protocol::spec::private::EgressRule;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Grant;
use crate::bus::{self, Topic};
use crate::nodes::v4;
use crate::plan::network::{Reached, Serving, Viewer};

/// The apps, instances or rights of the project have changed: the workers concerned are told soon.
pub async fn changed(conn: &mut PgConnection, project: ProjectId) -> sqlx::Result<()> {
    sqlx::query!("insert into network_changes (project_id) values ($1)", project as _)
        .execute(&mut *conn)
        .await?;
    bus::say(conn, Topic::Instances, "").await
}

/// The same for the project of the app.
pub async fn app_changed(conn: &mut PgConnection, app: AppId) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into network_changes (project_id)
         select project_id from apps join environments on environments.id = environment_id where apps.id = $1",
        app as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The same for the projects of the instances.
pub async fn instances_changed(conn: &mut PgConnection, ids: &[InstanceId]) -> sqlx::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    sqlx::query!(
        "insert into network_changes (project_id)
         select distinct project_id from instances
         join apps on apps.id = app_id join environments on environments.id = environment_id
         where instances.id = any($1)",
        &ids
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Changes that nobody was told of, and the workers concerned.
pub async fn pending(conn: &mut PgConnection) -> sqlx::Result<(Vec<i64>, BTreeSet<NodeId>)> {
    let changes =
        sqlx::query!("select id, project_id from network_changes order by id").fetch_all(&mut *conn).await?;
    let projects: BTreeSet<Uuid> = changes.iter().map(|change| change.project_id).collect();
    let projects: Vec<Uuid> = projects.into_iter().collect();
    let nodes = sqlx::query_scalar!(
        r#"select distinct node_id as "node_id!: NodeId" from project_reachers where project_id = any($1)"#,
        &projects
    )
    .fetch_all(conn)
    .await?;
    Ok((changes.into_iter().map(|change| change.id).collect(), nodes.into_iter().collect()))
}

/// The workers concerned have been told.
pub async fn told(conn: &mut PgConnection, changes: &[i64]) -> sqlx::Result<()> {
    sqlx::query!("delete from network_changes where id = any($1)", changes).execute(conn).await?;
    Ok(())
}

/// The projects that have containers on the node.
pub async fn viewers(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Vec<Viewer>> {
    let rows = sqlx::query!(
        r#"select id, egress as "egress: Json<Vec<EgressRule>>" from projects
           where id in (
               select environments.project_id from app_containers
               join apps on apps.id = app_containers.app_id
               join environments on environments.id = apps.environment_id
               where app_containers.node_id = $1
           ) order by id"#,
        node as _
    )
    .fetch_all(conn)
    .await?;
    let viewer =
        |egress: Option<Json<Vec<EgressRule>>>, id| Viewer { id, egress: egress.map(|rules| rules.0) };
    Ok(rows.into_iter().map(|row| viewer(row.egress, row.id)).collect())
}

/// The projects that have containers on each of the nodes.
pub async fn projects_on(
    conn: &mut PgConnection,
    nodes: &[NodeId],
) -> sqlx::Result<BTreeMap<NodeId, Vec<ProjectId>>> {
    let nodes: Vec<Uuid> = nodes.iter().map(|node| node.0).collect();
    let rows = sqlx::query!(
        r#"select distinct app_containers.node_id as "node_id!: NodeId", environments.project_id
           from app_containers
           join apps on apps.id = app_containers.app_id
           join environments on environments.id = apps.environment_id
           where app_containers.node_id = any($1)
           order by 1, 2"#,
        &nodes
    )
    .fetch_all(conn)
    .await?;
    let mut on: BTreeMap<NodeId, Vec<ProjectId>> = BTreeMap::new();
    for row in rows {
        on.entry(row.node_id).or_default().push(row.project_id);
    }
    Ok(on)
}

/// The projects themselves.
pub async fn viewers_of(conn: &mut PgConnection, projects: &[ProjectId]) -> sqlx::Result<Vec<Viewer>> {
    let projects: Vec<Uuid> = projects.iter().map(|project| project.0).collect();
    let rows = sqlx::query!(
        r#"select id, egress as "egress: Json<Vec<EgressRule>>" from projects where id = any($1) order by id"#,
        &projects
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| Viewer { id: row.id, egress: row.egress.map(|rules| rules.0) }).collect())
}

/// The apps that each of the projects may reach, its own first.
pub async fn reached(conn: &mut PgConnection, projects: &[ProjectId]) -> sqlx::Result<Vec<Reached>> {
    let projects: Vec<Uuid> = projects.iter().map(|project| project.0).collect();
    sqlx::query_as!(
        Reached,
        r#"select sight.viewer as "viewer!: ProjectId", apps.id as "app_id: AppId", apps.slug as app,
                  projects.slug as project, private_number as number, sight.viewer = projects.id as "own!"
           from (
               select id as viewer, id as target, null::uuid as app_id from projects
               union all
               select project_id, target_project_id, app_id from network_grants
           ) as sight
           join projects on projects.id = sight.target
           join environments on environments.project_id = projects.id
           join apps on apps.environment_id = environments.id
             and (sight.app_id is null or sight.app_id = apps.id)
           where sight.viewer = any($1) and deleted_at is null
           group by sight.viewer, apps.id, projects.id
           order by sight.viewer, sight.viewer = projects.id desc, projects.slug, apps.slug"#,
        &projects
    )
    .fetch_all(conn)
    .await
}

/// The instances of the apps that serve.
pub async fn serving(
    conn: &mut PgConnection,
    apps: impl IntoIterator<Item = AppId>,
) -> sqlx::Result<BTreeMap<AppId, Vec<Serving>>> {
    let apps: Vec<Uuid> = apps.into_iter().map(|app| app.0).collect();
    let rows = sqlx::query!(
        r#"select instances.id, instances.app_id, mesh_address, host_port, publishes_udp,
                  (releases.settings->>'port')::int as port
           from instances
           join releases on releases.id = release_id
           join nodes on nodes.id = node_id
           where instances.app_id = any($1) and in_rotation and instances.state = 'healthy'
           order by instances.id"#,
        &apps
    )
    .fetch_all(conn)
    .await?;
    let mut serving: BTreeMap<AppId, Vec<Serving>> = BTreeMap::new();
    for row in rows {
        // Both are checked where they come in.
        let port = |number: i32| u16::try_from(number).ok();
        let (Some(host_port), Some(port)) = (port(row.host_port), row.port.and_then(port)) else { continue };
        serving.entry(row.app_id).or_default().push(Serving {
            instance: row.id,
            address: v4(row.mesh_address),
            host_port,
            port,
            udp: row.publishes_udp,
        });
    }
    Ok(serving)
}

/// A project of the organization, by its slug.
#[derive(Debug)]
pub struct Found {
    pub id: ProjectId,
    pub slug: String,
    pub egress: Option<Json<Vec<EgressRule>>>,
}

pub async fn project(
    conn: &mut PgConnection,
    organization: OrganizationId,
    slug: &str,
) -> sqlx::Result<Option<Found>> {
    sqlx::query_as!(
        Found,
        r#"select id, slug, egress as "egress: Json<Vec<EgressRule>>" from projects
           where organization_id = $1 and slug = $2"#,
        organization as _,
        slug
    )
    .fetch_optional(conn)
    .await
}

/// The project of an app.
pub async fn project_of(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"select projects.id, projects.slug, egress as "egress: Json<Vec<EgressRule>>" from apps
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id where apps.id = $1"#,
        app as _
    )
    .fetch_one(conn)
    .await
}

/// Grants to the project and of it.
pub async fn grants(conn: &mut PgConnection, project: ProjectId) -> sqlx::Result<Vec<Grant>> {
    sqlx::query_as!(
        Grant,
        r#"select network_grants.id, source.slug as "from", target.slug as to_project, apps.slug as "to_app?",
                  network_grants.created_by, network_grants.created_at,
                  target_project_id as "target: ProjectId", app_id as "app_id: AppId"
           from network_grants
           join projects source on source.id = project_id
           join projects target on target.id = target_project_id
           left join apps on apps.id = app_id
           where project_id = $1 or target_project_id = $1
           order by source.slug, target.slug, apps.slug nulls first"#,
        project as _
    )
    .fetch_all(conn)
    .await
}

/// `false` when it was granted before.
pub async fn grant(
    conn: &mut PgConnection,
    project: ProjectId,
    (target, app): (ProjectId, Option<AppId>),
    by: &str,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into network_grants (id, project_id, target_project_id, app_id, created_by)
         values ($1, $2, $3, $4, $5) on conflict do nothing",
        Uuid::now_v7(),
        project as _,
        target as _,
        app as _,
        by
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Whether there was one.
pub async fn revoke(
    conn: &mut PgConnection,
    project: ProjectId,
    (target, app): (ProjectId, Option<AppId>),
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "delete from network_grants
         where project_id = $1 and target_project_id = $2 and app_id is not distinct from $3",
        project as _,
        target as _,
        app as _
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub async fn set_egress(
    conn: &mut PgConnection,
    project: ProjectId,
    rules: Option<&[EgressRule]>,
) -> sqlx::Result<()> {
    sqlx::query!("update projects set egress = $2 where id = $1", project as _, rules.map(Json) as _)
        .execute(conn)
        .await?;
    Ok(())
}
