use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use protocol::ids::{AppId, DeploymentId, EnvironmentId, OrganizationId, ZoneId};
use protocol::report::InstanceReport;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::instances::{Instance, NodeRef};
use super::status::{Evidence, InstanceCount, Seen, failure, status};
use super::{
    AppView, Certificate, Certification, DeploymentSummary, ProjectRef, ReleaseRef, Settings, WaitsFor,
    unenforced,
};
use crate::certificates::cover;
use crate::deployments::State;
use crate::instances::unknown_since;
use crate::zones;

/// Which apps of an organization.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    pub id: Option<AppId>,
    /// Slug of a project.
    pub project: Option<&'a str>,
    pub after: Option<Uuid>,
    pub limit: i64,
}

/// Ids of the apps. Found first, because Postgres plans all that is shown of them for as many as there are where it
/// does not know how few are meant.
async fn page(
    conn: &mut PgConnection,
    organization: OrganizationId,
    filter: Filter<'_>,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"select apps.id as "id: Uuid" from apps
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           where projects.organization_id = $1 and apps.deleted_at is null and apps.id > $2
             and ($3::text is null or projects.slug = $3)
           order by apps.id limit $4"#,
        organization as _,
        filter.after.unwrap_or_default(),
        filter.project,
        filter.limit + 1
    )
    .fetch_all(conn)
    .await
}

/// Apps as clients see them, oldest first, one more than the limit. `scheme` is how they are served.
#[expect(clippy::too_many_lines, reason = "one query and the row it makes")]
pub async fn views(
    conn: &mut PgConnection,
    organization: OrganizationId,
    filter: Filter<'_>,
    scheme: &str,
) -> sqlx::Result<Vec<AppView>> {
    let ids = match filter.id {
        Some(id) => vec![id.0],
        None => page(conn, organization, filter).await?,
    };
    let rows = sqlx::query!(
        r#"select apps.id, apps.slug, apps.settings as "settings: Json<Settings>", apps.created_at, apps.updated_at,
                  apps.stopped_at, projects.id as project_id, projects.slug as project_slug,
                  apps.slug || '.' || zones.suffix as "hostname!", zones.port as zone_port, now() as "now!",
                  current.number as "release_number?", current.created_at as "release_created_at?",
                  current.replicas as "replicas?",
                  latest.id as "latest_id?: DeploymentId", latest.number as "latest_number?",
                  latest.state as "latest_state?: State", latest.created_at as "latest_created_at?",
                  latest.finished_at as "latest_finished_at?",
                  seen.instances as "seen?: Json<Vec<Seen>>",
                  case when zones.resolver is null then certificates.state
                       when exists (select from served_apps where served_apps.id = apps.id) then 'elsewhere'
                       end as certificate_state,
                  certificates.not_after as "not_after?", certificates.issuer as "issuer?",
                  certificates.error as "certificate_error?",
                  stuck.node as "stuck_on?", stuck.problem as "stuck_because?"
           from apps
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           join zones on zones.id = apps.zone_id
           left join lateral (
               select deployments.id as deployment_id, releases.number, releases.created_at,
                      coalesce(deployments.settings ->> 'replicas', releases.settings ->> 'replicas')::bigint as replicas
               from deployments join releases on releases.id = deployments.release_id
               where deployments.app_id = apps.id and deployments.state = 'live'
           ) current on true
           left join lateral (
               select id, number, state, created_at, finished_at from deployments
               where app_id = apps.id order by number desc limit 1
           ) latest on true
           cross join lateral (
               select jsonb_agg(jsonb_build_object(
                          'state', state, 'created_at', created_at, 'observed_at', observed_at,
                          'failure', report -> 'failure')) as instances
               from instances
               where app_id = apps.id and wanted and task is null and deployment_id = current.deployment_id
           ) seen
           left join lateral (
               select nodes.name as node, problem from moves join nodes on nodes.id = from_node_id
               where moves.app_id = apps.id and cause = 'lost' and moves.state = 'waiting' and problem is not null
               order by moves.created_at limit 1
           ) stuck on true
           left join certificates on certificates.host = apps.slug || '.' || zones.suffix and zones.resolver is null
           where projects.organization_id = $1 and apps.deleted_at is null
             and apps.id = any($2) order by apps.id"#,
        organization as _,
        &ids
    )
    .fetch_all(&mut *conn)
    .await?;
    let views = rows.into_iter().map(|row| {
        let seen = row.seen.map(|seen| seen.0).unwrap_or_default();
        let wanted = row.replicas.filter(|_| row.stopped_at.is_none()).unwrap_or(0);
        let instances = InstanceCount::of(&seen, wanted, row.now);
        let failure = failure(&seen);
        let evidence = Evidence {
            latest: row.latest_state,
            has_release: row.release_number.is_some(),
            stopped: row.stopped_at.is_some(),
            instances,
            failure: failure.as_ref(),
        };
        AppView {
            id: row.id,
            slug: row.slug,
            project: ProjectRef { id: row.project_id, slug: row.project_slug },
            url: zones::url(scheme, &row.hostname, row.zone_port),
            hostname: row.hostname,
            status: status(&evidence),
            settings: row.settings.0,
            release: row
                .release_number
                .zip(row.release_created_at)
                .map(|(number, created_at)| ReleaseRef { number, created_at }),
            deployment: summary(
                row.latest_id,
                row.latest_number,
                row.latest_state,
                row.latest_created_at,
                row.latest_finished_at,
            ),
            instances,
            failure,
            waits_for: row.stuck_on.zip(row.stuck_because).map(|(node, why)| WaitsFor { node, why }),
            certificate: Certificate {
                state: certification(row.certificate_state.as_deref()),
                not_after: row.not_after,
                issuer: row.issuer,
                error: row.certificate_error,
                covered_by: None,
            },
            stopped_at: row.stopped_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    });
    let mut views: Vec<AppView> = views.collect();
    let hosts = views.iter_mut().map(|view| (view.hostname.as_str(), &mut view.certificate));
    cover::complete(conn, organization, hosts).await?;
    Ok(views)
}

fn summary(
    id: Option<DeploymentId>,
    number: Option<i32>,
    state: Option<State>,
    created_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
) -> Option<DeploymentSummary> {
    Some(DeploymentSummary { id: id?, number: number?, state: state?, created_at: created_at?, finished_at })
}

/// What is known of a certificate by its state, if there is a row for it.
pub fn certification(state: Option<&str>) -> Certification {
    match state {
        Some("issued") => Certification::Issued,
        Some("failed") => Certification::Failed,
        Some("elsewhere") => Certification::Elsewhere,
        Some(_) => Certification::Pending,
        None => Certification::None,
    }
}

/// An app's own row.
#[derive(Debug, Clone)]
pub struct App {
    pub id: AppId,
    pub slug: String,
    pub settings: Json<Settings>,
    /// Since when it is to be stopped.
    pub stopped_at: Option<DateTime<Utc>>,
}

/// The organization's app with this id or slug.
pub async fn find(
    conn: &mut PgConnection,
    organization: OrganizationId,
    id_or_slug: &str,
) -> sqlx::Result<Option<App>> {
    sqlx::query_as!(
        App,
        r#"select apps.id, apps.slug, apps.settings as "settings: Json<Settings>", stopped_at from apps
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           where projects.organization_id = $1 and deleted_at is null and (apps.id = $2 or apps.slug = $3)"#,
        organization as _,
        id_or_slug.parse::<Uuid>().ok(),
        id_or_slug
    )
    .fetch_optional(conn)
    .await
}

/// Whose the app is.
pub async fn organization(conn: &mut PgConnection, id: AppId) -> sqlx::Result<OrganizationId> {
    sqlx::query_scalar!(
        r#"select projects.organization_id as "organization: OrganizationId" from apps
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           where apps.id = $1"#,
        id as _
    )
    .fetch_one(conn)
    .await
}

/// What the app is called.
pub async fn slug(conn: &mut PgConnection, id: AppId) -> sqlx::Result<String> {
    sqlx::query_scalar!("select slug from apps where id = $1", id as _).fetch_one(conn).await
}

/// The app, held until the transaction ends: whoever numbers or changes something of it takes turns. `None` when it was
/// deleted.
pub async fn lock(conn: &mut PgConnection, id: AppId) -> sqlx::Result<Option<App>> {
    sqlx::query_as!(
        App,
        r#"select id, slug, settings as "settings: Json<Settings>", stopped_at from apps
           where id = $1 and deleted_at is null for update"#,
        id as _
    )
    .fetch_optional(conn)
    .await
}

pub async fn create(
    conn: &mut PgConnection,
    environment: EnvironmentId,
    zone: ZoneId,
    slug: &str,
    settings: &Settings,
) -> sqlx::Result<AppId> {
    sqlx::query_scalar!(
        "insert into apps (id, environment_id, zone_id, slug, settings) values ($1, $2, $3, $4, $5) returning id",
        AppId::new() as _,
        environment as _,
        zone as _,
        slug,
        Json(settings) as _
    )
    .fetch_one(conn)
    .await
}

pub async fn update(conn: &mut PgConnection, id: AppId, settings: &Settings) -> sqlx::Result<()> {
    sqlx::query!(
        "update apps set settings = $2, updated_at = now() where id = $1",
        id as _,
        Json(settings) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The app is to be stopped. Its instances go as the planner says.
pub async fn stop(conn: &mut PgConnection, id: AppId) -> sqlx::Result<()> {
    sqlx::query!("update apps set stopped_at = now(), updated_at = now() where id = $1", id as _)
        .execute(conn)
        .await?;
    Ok(())
}

/// All instances of the app that still have a row, newest release first.
pub async fn instances(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<Instance>> {
    let rows = sqlx::query!(
        r#"select instances.id, instances.node_id, nodes.name, nodes.mesh_address, releases.number, wanted, in_rotation,
                instances.state, host_port, report, observed_at, instances.created_at, now() as "now!",
                releases.settings as "settings: Json<Settings>", nodes.host -> 'enforced' as enforced
         from instances
         join nodes on nodes.id = instances.node_id
         join releases on releases.id = instances.release_id
         where instances.app_id = $1 and task is null
         order by releases.number desc, instances.id limit 1000"#,
        app as _
    )
    .fetch_all(conn)
    .await?;
    let instances = rows.into_iter().map(|row| {
        let enforced = row.enforced.and_then(|enforced| serde_json::from_value(enforced).ok());
        // A report of another version may not parse; then only the state is known.
        let report = row.report.and_then(|report| serde_json::from_value::<InstanceReport>(report).ok());
        Instance {
            id: row.id,
            node: NodeRef { id: row.node_id, name: row.name },
            release: row.number,
            wanted: row.wanted,
            in_rotation: row.in_rotation,
            state: row.state,
            address: address(row.mesh_address, row.host_port),
            restarts: report.as_ref().map_or(0, |report| report.restarts),
            exit_code: report.as_ref().and_then(|report| report.exit_code),
            started_at: report.as_ref().and_then(|report| report.started_at),
            observed_at: row.observed_at,
            unknown_since: unknown_since(row.observed_at, row.created_at, row.now),
            probe: report.as_ref().and_then(|report| report.probe.clone()),
            failure: report.and_then(|report| report.failure),
            unenforced: unenforced::of(&row.settings, enforced.as_ref()),
            resources: row.settings.resources,
            isolation: row.settings.0.isolation,
            stats: None,
        }
    });
    Ok(instances.collect())
}

fn address(node: IpNet, port: i32) -> Option<String> {
    let node: IpAddr = node.addr();
    Some(SocketAddr::new(node, u16::try_from(port).ok()?).to_string())
}

/// Those of the slugs whose apps are of other organizations.
pub async fn foreign(
    conn: &mut PgConnection,
    organization: OrganizationId,
    slugs: &[String],
) -> sqlx::Result<BTreeSet<String>> {
    let foreign = sqlx::query_scalar!(
        "select apps.slug from apps
         join environments on environments.id = apps.environment_id
         join projects on projects.id = environments.project_id
         where organization_id <> $1 and apps.slug = any($2)",
        organization as _,
        slugs
    )
    .fetch_all(conn)
    .await?;
    Ok(foreign.into_iter().collect())
}
