//! SQL of the route table.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use protocol::ids::{AppId, DomainId, NodeId};
use protocol::spec::{Generation, RouteOptions};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::api::RouteConsumer;
use crate::nodes::v4;
use crate::plan;
use crate::plan::guards::Named;
use crate::plan::routes::{Backend, Branch, Served, Site};

/// All apps that the proxies answer for, with their host names and their instances in rotation.
pub async fn served(conn: &mut PgConnection) -> sqlx::Result<Vec<Served>> {
    let apps = sqlx::query!(
        r#"select id as "id!: AppId", slug as "slug!", stopped as "stopped!", starting as "starting!",
                  route_options as "options!: Json<RouteOptions>"
           from served_apps"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut sites = sites(conn).await?;
    let served = apps.into_iter().map(|app| Served {
        sites: sites.remove(&app.id).unwrap_or_default(),
        backends: Vec::new(),
        app_id: app.id,
        slug: app.slug,
        stopped: app.stopped,
        starting: app.starting,
        options: app.options.0,
    });
    with_backends(conn, served.collect()).await
}

/// Those that serve each app, and those that are asked about its requests.
async fn with_backends(conn: &mut PgConnection, mut served: Vec<Served>) -> sqlx::Result<Vec<Served>> {
    let mut backends = backends(conn).await?;
    let named: Vec<Named> = plan::guards::wanted(&served).into_iter().collect();
    plan::guards::appoint(&mut served, &guards(conn, &named).await?, &backends);
    for app in &mut served {
        app.backends = backends.remove(&app.app_id).unwrap_or_default();
    }
    Ok(served)
}

/// The apps that are meant, of the same project as those that name them.
pub async fn guards(conn: &mut PgConnection, named: &[Named]) -> sqlx::Result<HashMap<Named, AppId>> {
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let (apps, slugs): (Vec<Uuid>, Vec<String>) =
        named.iter().map(|(app, slug)| (app.0, slug.clone())).unzip();
    let rows = sqlx::query!(
        r#"select named.app_id as "app_id!: AppId", named.slug as "slug!", guard.id as "guard: AppId"
           from unnest($1::uuid[], $2::text[]) as named (app_id, slug)
           join apps on apps.id = named.app_id
           join environments on environments.id = apps.environment_id
           join apps guard on guard.slug = named.slug
           join environments of_guard on of_guard.id = guard.environment_id
           where of_guard.project_id = environments.project_id"#,
        &apps,
        &slugs
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| ((row.app_id, row.slug), row.guard)).collect())
}

/// Hosts whose certificates a resolver of the Traefiks orders, with its name.
pub async fn resolvers(conn: &mut PgConnection) -> sqlx::Result<BTreeMap<String, String>> {
    let rows = sqlx::query!(
        r#"select host as "host!", resolver_hosts.resolver as "resolver!" from resolver_hosts
           where host in (select host from served_hosts)"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.host, row.resolver)).collect())
}

async fn sites(conn: &mut PgConnection) -> sqlx::Result<HashMap<AppId, Vec<Site>>> {
    let mut branches = branches(conn).await?;
    let rows = sqlx::query!(
        r#"select app_id as "app_id!: AppId", host as "host!", domain_id as "domain_id: DomainId",
                  route_options as "options!: Json<RouteOptions>"
           from served_hosts"#
    )
    .fetch_all(conn)
    .await?;
    let mut sites: HashMap<AppId, Vec<Site>> = HashMap::new();
    for row in rows {
        sites.entry(row.app_id).or_default().push(Site {
            host: row.host,
            domain: row.domain_id,
            options: row.options.0,
            branches: row.domain_id.and_then(|domain| branches.remove(&domain)).unwrap_or_default(),
        });
    }
    Ok(sites)
}

async fn branches(conn: &mut PgConnection) -> sqlx::Result<HashMap<DomainId, Vec<Branch>>> {
    let rows = sqlx::query!(
        r#"select id, domain_id as "domain_id: DomainId", path, app_id as "app_id: AppId", strip_prefix
           from domain_paths"#
    )
    .fetch_all(conn)
    .await?;
    let mut branches: HashMap<DomainId, Vec<Branch>> = HashMap::new();
    for row in rows {
        let branch =
            Branch { id: row.id, path: row.path, app_id: row.app_id, strip_prefix: row.strip_prefix };
        branches.entry(row.domain_id).or_default().push(branch);
    }
    Ok(branches)
}

async fn backends(conn: &mut PgConnection) -> sqlx::Result<HashMap<AppId, Vec<Backend>>> {
    let rows = sqlx::query!(
        r#"select app_id as "app_id: AppId", instances.id, instances.state, host_port,
                  mesh_address, unreached_since is not null as "unreached!"
           from instances join nodes on nodes.id = instances.node_id where in_rotation and revoked_at is null"#
    )
    .fetch_all(conn)
    .await?;
    let mut backends: HashMap<AppId, Vec<Backend>> = HashMap::new();
    for row in rows {
        backends.entry(row.app_id).or_default().push(Backend {
            instance: row.id,
            address: v4(row.mesh_address),
            port: u16::try_from(row.host_port).unwrap_or_default(),
            state: row.state,
            unreached: row.unreached,
        });
    }
    Ok(backends)
}

/// The apps that a worker answers for by itself, with their instances in rotation anywhere.
pub async fn direct(conn: &mut PgConnection, worker: NodeId) -> sqlx::Result<Vec<Served>> {
    let apps = sqlx::query!(
        r#"select id as "id!: AppId", slug as "slug!", stopped as "stopped!", starting as "starting!",
                  route_options as "options!: Json<RouteOptions>", host as "host!"
           from served_apps where mode = 'direct' and worker_id = $1"#,
        worker as _
    )
    .fetch_all(&mut *conn)
    .await?;
    let served = apps.into_iter().map(|app| Served {
        sites: vec![Site {
            host: app.host,
            domain: None,
            options: app.options.0.clone(),
            branches: Vec::new(),
        }],
        backends: Vec::new(),
        app_id: app.id,
        slug: app.slug,
        stopped: app.stopped,
        starting: app.starting,
        options: app.options.0,
    });
    with_backends(conn, served.collect()).await
}

/// About how many routes the proxies have: one for each host name.
pub async fn count(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from served_hosts"#).fetch_one(conn).await
}

/// Who serves a route table, and which one it has.
pub async fn consumers(conn: &mut PgConnection) -> sqlx::Result<Vec<RouteConsumer>> {
    sqlx::query_as!(
        RouteConsumer,
        r#"select nodes.name as node, agents.kind, connected_to is not null as "connected!", applied_generation,
                  applied_at
           from agents join nodes on nodes.id = agents.node_id
           where agents.kind in ('proxy', 'ingress') and removed_at is null order by agents.kind, nodes.name"#
    )
    .fetch_all(conn)
    .await
}

/// The newest generation of the routes, and when it came.
pub async fn newest(conn: &mut PgConnection) -> sqlx::Result<(Generation, Option<DateTime<Utc>>)> {
    let found = sqlx::query!("select generation, changed_at from generations where consumer = 'routes'")
        .fetch_optional(conn)
        .await?;
    Ok(found.map_or((0, None), |row| (row.generation, Some(row.changed_at))))
}
