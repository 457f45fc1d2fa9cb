//! SQL of the doctor: what the control plane knows of a host name.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use protocol::ids::{NodeId, OrganizationId, ProjectId};
use protocol::report::{InstanceReport, InstanceState};
use protocol::spec::Generation;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{Certificate, Name, Worker};
use crate::domains::State;
use crate::zones::Mode;

/// What `host` is to the organization. A name of another organization is as unknown as any.
pub async fn name(conn: &mut PgConnection, organization: OrganizationId, host: &str) -> sqlx::Result<Name> {
    if sqlx::query_scalar!("select host from fronts where host = $1", host)
        .fetch_optional(&mut *conn)
        .await?
        .is_some()
    {
        return Ok(Name::Front);
    }
    let own = sqlx::query!(
        r#"select apps.slug, zones.mode, zones.port, zones.worker_id, worker.name as "worker?" from apps
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           join zones on zones.id = apps.zone_id
           left join nodes worker on worker.id = zones.worker_id
           where organization_id = $1 and apps.slug || '.' || zones.suffix = $2 and apps.deleted_at is null"#,
        organization as _,
        host
    )
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(own) = own {
        return Ok(match own.mode {
            Mode::Direct => Name::Direct {
                app: own.slug,
                worker: own.worker_id.zip(own.worker).map(|(id, name)| Worker { id, name }),
                port: own.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(8080),
            },
            Mode::Proxy => Name::Own { app: own.slug },
        });
    }
    domain(conn, organization, host).await
}

async fn domain(conn: &mut PgConnection, organization: OrganizationId, host: &str) -> sqlx::Result<Name> {
    let found = sqlx::query!(
        r#"select domains.state, token, error, apps.slug, apps.slug || '.' || zones.suffix as "cname!"
           from domains
           join apps on apps.id = domains.app_id
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           join zones on zones.id = apps.zone_id
           where organization_id = $1 and apps.deleted_at is null
             and (hostname = $2 or hostname = '*.' || substring($2 from '\.(.*)$'))
           order by domains.state = 'verified' desc, hostname = $2 desc limit 1"#,
        organization as _,
        host
    )
    .fetch_optional(conn)
    .await?;
    Ok(match found {
        None => Name::Unknown,
        Some(row) => match row.state {
            State::Verified => Name::Verified { app: row.slug, cname: row.cname },
            State::Lapsed => Name::Lapsed { app: row.slug, token: row.token },
            State::Pending => Name::Pending { app: row.slug, token: row.token, error: row.error },
        },
    })
}

/// The certificate for `host`, its own or its parent's wildcard.
pub async fn certificate(conn: &mut PgConnection, host: &str) -> sqlx::Result<Option<Certificate>> {
    sqlx::query_as!(
        Certificate,
        r#"select not_after, error,
                  exists (select from jobs where jobs.host = certificates.host and state in ('queued', 'running'))
                      as "ordering!"
           from certificates
           where host = $1 or host = '*.' || substring($1 from '\.(.*)$')
           order by not_after desc nulls last limit 1"#,
        host
    )
    .fetch_optional(conn)
    .await
}

/// Name of the Traefiks' own resolver that orders the certificate of `host`.
pub async fn resolver(conn: &mut PgConnection, host: &str) -> sqlx::Result<Option<String>> {
    let found = sqlx::query_scalar!(
        r#"select resolver as "resolver!" from resolver_hosts
           where host = $1 or host = '*.' || substring($1 from '\.(.*)$') order by host = $1 desc limit 1"#,
        host
    );
    found.fetch_optional(conn).await
}

/// A node that answers for names.
#[derive(Debug)]
pub struct ProxyRow {
    pub name: String,
    pub endpoint: Option<String>,
    pub listens: bool,
    pub connected: bool,
    pub applied: Generation,
}

/// The nodes with the role proxy; or `worker`, with its ingress.
pub async fn proxies(conn: &mut PgConnection, worker: Option<NodeId>) -> sqlx::Result<Vec<ProxyRow>> {
    sqlx::query_as!(
        ProxyRow,
        r#"select nodes.name, endpoint, agents.node_id is not null as "listens!", coalesce(connected_to is not null, false) as "connected!",
                  coalesce(applied_generation, 0) as "applied!"
           from nodes
           left join agents on agents.node_id = nodes.id
                            and agents.kind = case when $1::uuid is null then 'proxy' else 'ingress' end
           where case when $1::uuid is null then 'proxy' = any(nodes.roles) else nodes.id = $1 end
             and nodes.removed_at is null order by nodes.name"#,
        worker as _
    )
    .fetch_all(conn)
    .await
}

/// An instance that should serve.
#[derive(Debug)]
pub struct TargetRow {
    pub node: String,
    pub address: IpNet,
    pub port: i32,
    pub state: InstanceState,
    pub in_rotation: bool,
    pub report: Option<Json<InstanceReport>>,
    pub observed_at: Option<DateTime<Utc>>,
}

/// Instances of the app with this slug.
pub async fn targets(conn: &mut PgConnection, app: &str) -> sqlx::Result<Vec<TargetRow>> {
    sqlx::query_as!(
        TargetRow,
        r#"select nodes.name as node, mesh_address as address, host_port as port, instances.state, in_rotation,
                  report as "report: Json<InstanceReport>", observed_at
           from instances
           join apps on apps.id = instances.app_id
           join nodes on nodes.id = instances.node_id
           where apps.slug = $1 and wanted and task is null order by instances.id limit 32"#,
        app
    )
    .fetch_all(conn)
    .await
}

/// An app of the private network, and whether a project may reach it.
#[derive(Debug)]
pub struct PrivateFound {
    pub number: i32,
    pub stopped: bool,
    pub allowed: bool,
    pub serving: i64,
}

/// The app of that slug in the project of that slug, as the project `viewer` sees it.
pub async fn private_app(
    conn: &mut PgConnection,
    viewer: ProjectId,
    organization: OrganizationId,
    app: &str,
    project: &str,
) -> sqlx::Result<Option<PrivateFound>> {
    sqlx::query_as!(
        PrivateFound,
        r#"select private_number as number, stopped_at is not null as "stopped!",
                  projects.id = $1 or exists (
                      select from network_grants
                      where project_id = $1 and target_project_id = projects.id
                        and (network_grants.app_id is null or network_grants.app_id = apps.id)
                  ) as "allowed!",
                  (select count(*) from instances
                   where instances.app_id = apps.id and in_rotation and instances.state = 'healthy') as "serving!"
           from apps
           join environments on environments.id = environment_id
           join projects on projects.id = project_id
           where organization_id = $2 and apps.slug = $3 and projects.slug = $4 and deleted_at is null"#,
        viewer as _,
        organization as _,
        app,
        project
    )
    .fetch_optional(conn)
    .await
}

/// A worker with containers of a project.
#[derive(Debug)]
pub struct PrivateWorker {
    pub name: String,
    /// The private network that it was told of last is not in force there.
    pub behind: bool,
}

/// Some of the workers that have containers of the project: as many as can be asked while somebody waits.
pub async fn private_workers(
    conn: &mut PgConnection,
    project: ProjectId,
) -> sqlx::Result<Vec<PrivateWorker>> {
    sqlx::query_as!(
        PrivateWorker,
        r#"select nodes.name, coalesce(applied_generation < coalesce(network_to, generation), true) as "behind!"
           from nodes
           left join agents on agents.node_id = nodes.id and agents.kind = 'worker'
           left join generations on consumer = 'worker:' || nodes.id
           where nodes.id in (select app_containers.node_id from app_containers
                              join apps on apps.id = app_containers.app_id
                              join environments on environments.id = apps.environment_id
                              where environments.project_id = $1)
           order by nodes.name limit 32"#,
        project as _
    )
    .fetch_all(conn)
    .await
}
