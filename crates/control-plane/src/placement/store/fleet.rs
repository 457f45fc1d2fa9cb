//! SQL of all workers and of what serves on them.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{AppId, DeploymentId, InstanceId, NodeId};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{Sought, amount, candidates};
use crate::apps::Settings;
use crate::instances::store::image_holders;
use crate::placement::config::Placement as Policy;
use crate::plan::fleet::{Fleet, FleetApp, Running};
use crate::plan::placement::Wish;

/// What matters of the workers and of the instances that serve, apart from those that are moved already.
pub async fn load(conn: &mut PgConnection, policy: &Policy) -> sqlx::Result<Fleet> {
    let nobodys = Sought { deployment: DeploymentId::new(), staying: None, replaced: None, image: "" };
    let workers = candidates(conn, policy, &nobodys).await?;
    let rows = sqlx::query!(
        r#"select instances.id as "id: InstanceId", instances.app_id as "app: AppId", node_id as "node: NodeId",
                  memory_mb, cpu_millis, apps.slug, apps.settings as "settings: Json<Settings>", image_id
           from instances
           join apps on apps.id = instances.app_id and deleted_at is null and stopped_at is null
           join releases on releases.id = instances.release_id
           where wanted and in_rotation and task is null
             and not exists (select from moves where instance_id = instances.id and state in ('waiting', 'moving'))
           order by apps.slug, instances.id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let ids: Vec<String> =
        rows.iter().map(|row| row.image_id.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let mut images: BTreeMap<String, BTreeSet<NodeId>> = BTreeMap::new();
    for holder in image_holders(conn, &ids).await? {
        images.entry(holder.image_id).or_default().insert(holder.node);
    }
    let mut fleet = Fleet { workers, ..Fleet::default() };
    for row in rows {
        fleet.instances.push(Running { id: row.id, app: row.app, node: row.node });
        fleet.apps.entry(row.app).or_insert_with(|| {
            let wish = Wish::of(&row.settings.placement, &row.settings.resources, policy.strategy);
            let needs = amount(row.cpu_millis.into(), row.memory_mb.into());
            let images = images.get(&row.image_id).cloned().unwrap_or_default();
            FleetApp { slug: row.slug, wish: Wish { needs, ..wish }, images }
        });
    }
    Ok(fleet)
}
