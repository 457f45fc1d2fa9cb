use protocol::ids::OrganizationId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bus::Topic;
use crate::notices;

/// Whether `id` is something that the organization may know about.
pub async fn is_visible(
    conn: &mut PgConnection,
    organization: OrganizationId,
    topic: Topic,
    id: &str,
) -> sqlx::Result<bool> {
    if id.is_empty() || topic == Topic::Nodes {
        return Ok(true);
    }
    let uuid = id.parse::<Uuid>().ok();
    if topic == Topic::Notices {
        return notices::store::is_visible(conn, organization, uuid).await;
    }
    sqlx::query_scalar!(
        "select exists (
             select from apps
             join environments on environments.id = apps.environment_id
             join projects on projects.id = environments.project_id
             join zones on zones.id = apps.zone_id
             where projects.organization_id = $1 and (
                 apps.id = $2 or apps.slug || '.' || zones.suffix = $3
                 or exists (select from owned_hosts where owned_hosts.app_id = apps.id and owned_hosts.host = $3)
                 or exists (select from deployments where deployments.app_id = apps.id and deployments.id = $2)
                 or exists (select from instances where instances.app_id = apps.id
                              and (instances.id = $2 or instances.node_id = $2))
             )
         ) as \"visible!\"",
        organization as _,
        uuid,
        id
    )
    .fetch_one(conn)
    .await
}
