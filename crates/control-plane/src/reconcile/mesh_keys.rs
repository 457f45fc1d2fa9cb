//! Tells the hosts one after the other to use the keys that they have made, and asks for others by age.

use chrono::Utc;
use daemon::reconcile::Reconciler;
use serde_json::json;
use tracing::info;
use uuid::Uuid;

use crate::app::AppState;
use crate::audit;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::mesh::rotations::next_to_tell;
use crate::mesh::store;
use crate::mesh::store::rotations as rows;

pub struct MeshKeys(pub AppState);

impl Reconciler for MeshKeys {
    fn name(&self) -> &'static str {
        "mesh keys"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let mut tx = self.0.db.begin().await?;
        let mut changed = false;
        if let Some(days) = self.0.config.mesh.rotate_after_days {
            for (node, name) in rows::aged(&mut tx, days).await? {
                changed |= rows::ask(&mut tx, node, Uuid::now_v7()).await?;
                let detail = json!({ "after_days": days });
                audit::record_system(&mut tx, "system", "mesh.rotate", &format!("node:{name}"), detail)
                    .await?;
                bus::say(&mut tx, Topic::Nodes, node).await?;
            }
        }
        let rotations = rows::all(&mut tx).await?;
        if rotations.iter().any(|rotation| rotation.next_key.is_some()) {
            let sides = store::sides(&mut tx).await?;
            if let Some(next) = next_to_tell(&rotations, &sides, Utc::now()) {
                rows::tell(&mut tx, next.node).await?;
                changed = true;
                info!(node.id = %next.node, "all peers take the next key: the host is told to use it");
            }
        }
        if changed {
            generations::raise(&mut tx, Consumer::Mesh).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
