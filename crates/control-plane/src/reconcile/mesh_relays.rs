//! Nodes that do not reach each other directly do so through another one, and directly again when they can.

use std::collections::HashSet;

use chrono::Utc;
use daemon::reconcile::Reconciler;
use protocol::ids::NodeId;
use tracing::info;

use crate::app::AppState;
use crate::generations::{self, Consumer};
use crate::mesh::relays::{Decision, Fleet, candidates};
use crate::mesh::store;

pub struct MeshRelays(pub AppState);

impl Reconciler for MeshRelays {
    fn name(&self) -> &'static str {
        "mesh relays"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let mut tx = self.0.db.begin().await?;
        let rows = store::lock_relayed(&mut tx).await?;
        let mut pairs: HashSet<(NodeId, NodeId)> = store::silent_pairs(&mut tx).await?.into_iter().collect();
        pairs.extend(rows.iter().map(|row| (row.a, row.b)));
        if pairs.is_empty() {
            return Ok(());
        }
        let concerned: HashSet<NodeId> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
        let sides = store::sides_for_relays(&mut tx, &concerned).await?;
        let fleet = Fleet::new(&sides, Utc::now());
        let mut changed = false;
        for (a, b) in pairs {
            let row = rows.iter().find(|row| (row.a, row.b) == (a, b));
            let decision = fleet.decide(a, b, row);
            match &decision {
                Decision::Keep => continue,
                Decision::Forget => store::forget_relay(&mut tx, a, b).await?,
                Decision::Relay(relay) => store::set_relay(&mut tx, a, b, Some(*relay)).await?,
                Decision::Direct => store::set_relay(&mut tx, a, b, None).await?,
            }
            changed |= decision != Decision::Forget || row.is_some_and(|row| row.relay.is_some());
            info!(a = fleet.name(a), b = fleet.name(b), "{}", fleet.told(&decision));
        }
        for id in concerned {
            if let Some(side) = fleet.side(id)
                && let Some(found) = candidates(side, &sides, Utc::now())
            {
                changed |= store::set_candidates(&mut tx, id, &found).await?;
            }
        }
        if changed {
            generations::raise(&mut tx, Consumer::Mesh).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
