//! SQL of images: what workers hold, what they should fetch and remove.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use protocol::ids::{AppId, NodeId, OrganizationId};
use protocol::report::ImageReport;
use sqlx::PgConnection;
use uuid::Uuid;

use super::NodeImages;
use super::rule::{Action, AppImage, Held, Orders, Worker};

/// Images of releases, of all apps or of one.
pub async fn of_releases(conn: &mut PgConnection, only: Option<AppId>) -> sqlx::Result<Vec<AppImage>> {
    sqlx::query_as!(
        AppImage,
        r#"with used as (
               select releases.app_id, image_id, number, releases.source ->> 'type' = 'image' as public,
                      image_node_id, releases.created_at,
                      exists (select from deployments where release_id = releases.id
                                and state in ('live', 'superseded')) as served,
                      exists (select from deployments where release_id = releases.id
                                and state in ('live', 'queued', 'building', 'rolling-out'))
                      -- A stopped one is told for a while still, and has no container any more.
                      or exists (select from instances where release_id = releases.id
                                   and (wanted or state <> 'stopped')) as in_use
               from releases where $1::uuid is null or app_id = $1
           )
           select app_id as "app!: AppId", image_id as "image!", max(number) as "newest!",
                  max(number) filter (where served) as newest_served, bool_or(in_use) as "in_use!",
                  exists (select from deployments where deployments.app_id = used.app_id
                            and state in ('queued', 'building', 'rolling-out')) as "app_busy!",
                  coalesce(bool_or(public), false)
                  or exists (select from node_images join nodes on nodes.id = node_id and removed_at is null
                             where node_images.image_id = used.image_id)
                  or exists (select from registry_images where registry_images.app_id = used.app_id
                               and registry_images.image_id = used.image_id
                               and pushed_at is not null and action is distinct from 'remove')
                  -- Of a worker that has not told its images since.
                  or bool_or(image_node_id is null or exists (
                      select from nodes where nodes.id = image_node_id and removed_at is null
                         and (images_total_bytes is null or used.created_at > now() - interval '10 minutes')
                  )) as "available!"
           from used group by app_id, image_id order by app_id, max(number)"#,
        only as _
    )
    .fetch_all(conn)
    .await
}

/// Whether the app's image can be had without a worker: it came from a registry, or is in one.
pub async fn is_elsewhere(conn: &mut PgConnection, app: AppId, image: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from releases
                          where app_id = $1 and image_id = $2
                            and (source ->> 'type' = 'image' or image_node_id is null))
                  or exists (select from registry_images
                             where app_id = $1 and image_id = $2
                               and pushed_at is not null and action is distinct from 'remove') as "elsewhere!""#,
        app as _,
        image
    )
    .fetch_one(conn)
    .await
}

/// What workers hold.
pub async fn held(conn: &mut PgConnection) -> sqlx::Result<Vec<Held>> {
    sqlx::query_as!(
        Held,
        r#"select node_id as "node: NodeId", image_id as image, ours, cache, made_at, size_bytes, frees_bytes,
                  unneeded_since
           from node_images join nodes on nodes.id = node_id and removed_at is null
           order by node_id, image_id"#
    )
    .fetch_all(conn)
    .await
}

/// Nodes that may hold images.
pub async fn workers(conn: &mut PgConnection) -> sqlx::Result<Vec<Worker>> {
    sqlx::query_as!(
        Worker,
        r#"select nodes.id as "node: NodeId", name,
                  missing_since is null and agents.connected_to is not null as "online!",
                  coalesce(missing_since, status_since) as "since!",
                  coalesce(images_total_bytes, 0) as "image_bytes!"
           from nodes join agents on agents.node_id = nodes.id and kind = 'worker'
           where removed_at is null and 'worker' = any(roles) order by name"#
    )
    .fetch_all(conn)
    .await
}

pub async fn orders(conn: &mut PgConnection) -> sqlx::Result<Orders> {
    let rows = sqlx::query!(
        r#"select node_id as "node: NodeId", image_id, action from image_orders
           join nodes on nodes.id = node_id and removed_at is null"#
    )
    .fetch_all(conn)
    .await?;
    let action = |word: &str| match word {
        "hold" => Action::Hold,
        "trim" => Action::Trim,
        _ => Action::Remove,
    };
    Ok(rows.into_iter().map(|row| ((row.node, row.image_id), action(&row.action))).collect())
}

/// Notes since when an image is not needed, or that it is.
pub async fn set_unneeded(
    conn: &mut PgConnection,
    images: &BTreeSet<(NodeId, String)>,
    unneeded: bool,
) -> sqlx::Result<()> {
    let (nodes, ids) = columns(images.iter());
    sqlx::query!(
        "update node_images set unneeded_since = case when $3 then now() end
         from unnest($1::uuid[], $2::text[]) as one (node_id, image_id)
         where node_images.node_id = one.node_id and node_images.image_id = one.image_id",
        &nodes,
        &ids,
        unneeded
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn insert_order(
    conn: &mut PgConnection,
    node: NodeId,
    image: &str,
    action: Action,
) -> sqlx::Result<()> {
    let action = match action {
        Action::Hold => "hold",
        Action::Remove => "remove",
        Action::Trim => "trim",
    };
    sqlx::query!(
        "insert into image_orders (node_id, image_id, action) values ($1, $2, $3)
         on conflict (node_id, image_id) do update set action = excluded.action, problem = null, created_at = now()",
        node as _,
        image,
        action
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn delete_order(conn: &mut PgConnection, node: NodeId, image: &str) -> sqlx::Result<()> {
    sqlx::query!("delete from image_orders where node_id = $1 and image_id = $2", node as _, image)
        .execute(conn)
        .await?;
    Ok(())
}

/// For people of an organization: the node, and the releases that the image was of.
#[derive(Debug)]
pub struct Described {
    pub organization_id: OrganizationId,
    pub node: String,
    /// `hello v3`.
    pub releases: Vec<String>,
}

/// For each organization with releases of the image.
pub async fn describe(conn: &mut PgConnection, node: NodeId, image: &str) -> sqlx::Result<Vec<Described>> {
    sqlx::query_as!(
        Described,
        r#"select organization_id as "organization_id: OrganizationId", nodes.name as node,
                  array_agg(apps.slug || ' v' || number order by apps.slug, number) as "releases!"
           from releases
           join apps on apps.id = app_id
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           join nodes on nodes.id = $1
           where image_id = $2 group by organization_id, nodes.name"#,
        node as _,
        image
    )
    .fetch_all(conn)
    .await
}

/// Stores what a worker holds in the place of what it held.
pub async fn take_report(conn: &mut PgConnection, node: NodeId, report: &ImageReport) -> sqlx::Result<()> {
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let ids: Vec<String> = report.images.iter().map(|image| image.id.clone()).collect();
    let ours: Vec<bool> = report.images.iter().map(|image| image.ours).collect();
    let cache: Vec<bool> = report.images.iter().map(|image| image.cache).collect();
    let made: Vec<DateTime<Utc>> = report.images.iter().map(|image| image.made_at).collect();
    let sizes: Vec<i64> = report.images.iter().map(|image| number(image.size_bytes)).collect();
    let frees: Vec<i64> = report.images.iter().map(|image| number(image.frees_bytes)).collect();
    sqlx::query!("delete from node_images where node_id = $1 and image_id <> all($2)", node as _, &ids)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "insert into node_images as known (node_id, image_id, ours, cache, made_at, size_bytes, frees_bytes)
         select distinct on (id) $1::uuid, id, ours, cache, made, size, frees
         from unnest($2::text[], $3::bool[], $4::bool[], $5::timestamptz[], $6::bigint[], $7::bigint[])
           as one (id, ours, cache, made, size, frees)
         on conflict (node_id, image_id) do update
         set ours = excluded.ours, cache = excluded.cache, frees_bytes = excluded.frees_bytes
         -- The same is told every minute.
         where (known.ours, known.cache, known.frees_bytes)
           is distinct from (excluded.ours, excluded.cache, excluded.frees_bytes)",
        node as _,
        &ids,
        &ours,
        &cache,
        &made,
        &sizes,
        &frees
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "update nodes set images_total_bytes = $2 where id = $1 and images_total_bytes is distinct from $2",
        node as _,
        number(report.total_bytes)
    )
    .execute(&mut *conn)
    .await?;
    let (ids, texts): (Vec<String>, Vec<String>) =
        report.problems.iter().map(|problem| (problem.id.clone(), problem.message.clone())).unzip();
    sqlx::query!(
        "update image_orders set problem = (
             select left(message, 500) from unnest($2::text[], $3::text[]) as one (id, message)
             where id = image_id limit 1
         ) where node_id = $1",
        node as _,
        &ids,
        &texts
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The node's orders in its desired state: images to hold with a name for people, and ids of images to remove.
#[derive(Debug)]
pub struct Ordered {
    pub image_id: String,
    /// Absent for one to remove.
    pub hold: Option<String>,
}

pub async fn ordered(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Vec<Ordered>> {
    sqlx::query_as!(
        Ordered,
        r#"select image_id, case when action = 'hold' then coalesce(
                      (select max(image_reference) from releases where releases.image_id = image_orders.image_id), '')
                  end as hold
           from image_orders where node_id = $1 order by image_id"#,
        node as _
    )
    .fetch_all(conn)
    .await
}

/// What the nodes' images take.
pub async fn of_nodes(conn: &mut PgConnection, nodes: &[Uuid]) -> sqlx::Result<HashMap<NodeId, NodeImages>> {
    let rows = sqlx::query!(
        r#"select id as "id: NodeId", coalesce(images_total_bytes, 0) as "size!",
                  (select coalesce(sum(frees_bytes), 0)::bigint from node_images
                   where node_id = nodes.id and cache) as "cache!",
                  (select count(*) from node_images where node_id = nodes.id and not cache) as "count!",
                  (select coalesce(sum(frees_bytes), 0)::bigint from node_images
                   where node_id = nodes.id and unneeded_since is not null) as "reclaimable!",
                  (select count(*) from image_orders where node_id = nodes.id and action = 'hold') as "copies!",
                  array(select action || ' ' || left(image_id, 19) || ': ' || problem from image_orders
                        where node_id = nodes.id and problem is not null
                        order by created_at limit 20) as "problems!"
           from nodes where id = any($1) and images_total_bytes is not null"#,
        nodes
    )
    .fetch_all(conn)
    .await?;
    let told = rows.into_iter().map(|row| {
        let images = NodeImages {
            count: row.count,
            size_bytes: row.size,
            reclaimable_bytes: row.reclaimable,
            cache_bytes: row.cache,
            copies_waiting: row.copies,
            problems: row.problems,
        };
        (row.id, images)
    });
    Ok(told.collect())
}

fn columns<'a>(images: impl Iterator<Item = &'a (NodeId, String)>) -> (Vec<Uuid>, Vec<String>) {
    images.map(|(node, image)| (node.0, image.clone())).unzip()
}
