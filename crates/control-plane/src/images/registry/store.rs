//! SQL of the images in registries.

use protocol::ids::{AppId, NodeId, OrganizationId};
use protocol::registry::{CopyAction, CopyOrder, CopyReport};
use sqlx::PgConnection;

use super::rule::{Entry, Key};

/// Orders in one desired state; the next ones follow when these are done.
const ORDERS: i64 = 100;

fn action(word: &str) -> CopyAction {
    if word == "push" { CopyAction::Push } else { CopyAction::Remove }
}

fn word(action: CopyAction) -> &'static str {
    match action {
        CopyAction::Push => "push",
        CopyAction::Remove => "remove",
    }
}

/// The whole list.
pub async fn entries(conn: &mut PgConnection) -> sqlx::Result<Vec<Entry>> {
    let rows = sqlx::query!(
        r#"select organization_id as "organization: OrganizationId", host, app_id as "app: AppId", image_id, reference,
                  pushed_at is not null as "pushed!", unneeded_since, action, node_id as "node: NodeId"
           from registry_images order by host, app_id, image_id"#
    )
    .fetch_all(conn)
    .await?;
    let entries = rows.into_iter().map(|row| Entry {
        key: Key { host: row.host, app: row.app, image: row.image_id },
        organization: row.organization,
        reference: row.reference,
        pushed: row.pushed,
        unneeded_since: row.unneeded_since,
        action: row.action.as_deref().map(action),
        node: row.node,
    });
    Ok(entries.collect())
}

/// What is to be in registries as far as it is kept: built images of organizations that have chosen one. An image is named
/// by its first release, whatever releases follow with it.
pub async fn wanted(conn: &mut PgConnection) -> sqlx::Result<Vec<Entry>> {
    let rows = sqlx::query!(
        r#"select registries.organization_id as "organization: OrganizationId", host, app_id as "app: AppId", image_id,
                  host || '/' || images_path || '/' || apps.slug || ':v' || min(number) as "reference!"
           from registries
           join projects on projects.organization_id = registries.organization_id
           join environments on environments.project_id = projects.id
           join apps on apps.environment_id = environments.id
           join releases on releases.app_id = apps.id
           where images_path is not null and releases.source ->> 'type' is distinct from 'image'
           group by registries.organization_id, host, images_path, apps.slug, app_id, image_id
           order by app_id, image_id"#
    )
    .fetch_all(conn)
    .await?;
    let entries = rows.into_iter().map(|row| Entry {
        key: Key { host: row.host, app: row.app, image: row.image_id },
        organization: row.organization,
        reference: row.reference,
        pushed: false,
        unneeded_since: None,
        action: None,
        node: None,
    });
    Ok(entries.collect())
}

/// Stores an entry in place of the one with its key. What stood in the way of an order goes with the order.
pub async fn put(conn: &mut PgConnection, entry: &Entry) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into registry_images as known
             (organization_id, host, app_id, image_id, reference, unneeded_since, action, node_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict on constraint registry_images_pkey do update
         set pushed_at = case when $9 then known.pushed_at end, unneeded_since = excluded.unneeded_since,
             action = excluded.action, node_id = excluded.node_id,
             problem = case when known.action is not distinct from excluded.action
                             and known.node_id is not distinct from excluded.node_id then known.problem end",
        entry.organization as _,
        entry.key.host,
        entry.key.app as _,
        entry.key.image,
        entry.reference,
        entry.unneeded_since,
        entry.action.map(word),
        entry.node as _,
        entry.pushed
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What `node` is to do: removals, which take a moment, then pushes, the newest image first.
pub async fn orders(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Vec<CopyOrder>> {
    let rows = sqlx::query!(
        r#"select image_id, reference, action as "action!" from registry_images
           where node_id = $1 and action is not null order by action desc, created_at desc, reference limit $2"#,
        node as _,
        ORDERS
    )
    .fetch_all(conn)
    .await?;
    let orders = rows.into_iter().map(|row| CopyOrder {
        image_id: row.image_id,
        reference: row.reference,
        action: action(&row.action),
    });
    Ok(orders.collect())
}

/// The organization of the image, if `node` was to push it.
pub async fn pushed(
    conn: &mut PgConnection,
    node: NodeId,
    report: &CopyReport,
) -> sqlx::Result<Option<OrganizationId>> {
    sqlx::query_scalar!(
        r#"update registry_images set pushed_at = now(), action = null, node_id = null, problem = null
           where node_id = $1 and image_id = $2 and reference = $3 and action = 'push'
           returning organization_id as "organization: OrganizationId""#,
        node as _,
        report.image_id,
        report.reference
    )
    .fetch_optional(conn)
    .await
}

/// The organization of the image, if `node` was to remove it.
pub async fn removed(
    conn: &mut PgConnection,
    node: NodeId,
    report: &CopyReport,
) -> sqlx::Result<Option<OrganizationId>> {
    sqlx::query_scalar!(
        r#"delete from registry_images
           where node_id = $1 and image_id = $2 and reference = $3 and action = 'remove'
           returning organization_id as "organization: OrganizationId""#,
        node as _,
        report.image_id,
        report.reference
    )
    .fetch_optional(conn)
    .await
}

pub async fn set_problem(
    conn: &mut PgConnection,
    node: NodeId,
    report: &CopyReport,
    problem: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update registry_images set problem = left($5, 500)
         where node_id = $1 and image_id = $2 and reference = $3 and action = $4
           and problem is distinct from left($5, 500)",
        node as _,
        report.image_id,
        report.reference,
        word(report.action),
        problem
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Workers with orders for the organization's images in the registry.
pub async fn ordered_nodes(
    conn: &mut PgConnection,
    organization: OrganizationId,
    host: &str,
) -> sqlx::Result<Vec<NodeId>> {
    sqlx::query_scalar!(
        r#"select distinct node_id as "node!: NodeId" from registry_images
           where organization_id = $1 and host = $2 and node_id is not null"#,
        organization as _,
        host
    )
    .fetch_all(conn)
    .await
}
