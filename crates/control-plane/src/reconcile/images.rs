//! Carries out what `images::rule` decides: marks what nothing needs any more, writes each worker's orders, and records
//! every image that went.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use daemon::reconcile::Reconciler;
use protocol::ids::NodeId;
use serde_json::json;
use sqlx::PgConnection;
use tracing::info;

use crate::app::AppState;
use crate::audit;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::images::rule::{Action, Plan, Policy, World, needed, plan};
use crate::images::{registry, store};

pub struct Images(pub AppState);

impl Reconciler for Images {
    fn name(&self) -> &'static str {
        "images"
    }

    /// Every deployment wakes it several times, and each pass weighs all images of all apps.
    fn rest(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let settings = &self.0.config.images;
        let policy = Policy {
            keep: usize::from(settings.keep_releases),
            grace: TimeDelta::seconds(i64::from(settings.remove_after_s)),
            cache_bytes: i64::from(settings.cache_mb) * 1024 * 1024,
        };
        let mut tx = self.0.db.begin().await?;
        let entries = registry::store::entries(&mut tx).await?;
        let there = entries.iter().filter(|entry| entry.is_there());
        let world = World {
            in_registry: there.map(|entry| (entry.key.app, entry.key.image.clone())).collect(),
            images: store::of_releases(&mut tx, None).await?,
            held: store::held(&mut tx).await?,
            workers: store::workers(&mut tx).await?,
            orders: store::orders(&mut tx).await?,
        };
        let plan = plan(&world, &policy, Utc::now());
        let mut changed = carry_out(&mut tx, &world, &plan).await?;
        let needed = needed(&world, policy.keep);
        changed.extend(registry::carry_out(&mut tx, &entries, &world, &needed, policy.grace).await?);
        for node in changed {
            generations::raise(&mut tx, Consumer::Worker(node)).await?;
            bus::say(&mut tx, Topic::Nodes, node).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// The workers whose orders are others now.
async fn carry_out(conn: &mut PgConnection, world: &World, plan: &Plan) -> anyhow::Result<BTreeSet<NodeId>> {
    if !plan.unneeded.is_empty() {
        store::set_unneeded(conn, &plan.unneeded, true).await?;
    }
    if !plan.needed_again.is_empty() {
        store::set_unneeded(conn, &plan.needed_again, false).await?;
    }
    let mut changed: BTreeSet<NodeId> = BTreeSet::new();
    for ((node, image), action) in &plan.orders {
        if world.orders.get(&(*node, image.clone())) != Some(action) {
            store::insert_order(conn, *node, image, *action).await?;
            changed.insert(*node);
        }
    }
    for ((node, image), action) in &world.orders {
        if !plan.orders.contains_key(&(*node, image.clone())) {
            let held = world.held.iter().any(|held| held.node == *node && held.image == *image);
            match action {
                Action::Remove if !held => record(conn, "image.remove", *node, image).await?,
                Action::Hold if held => record(conn, "image.copy", *node, image).await?,
                _ => {}
            }
            store::delete_order(conn, *node, image).await?;
            changed.insert(*node);
        }
    }
    Ok(changed)
}

/// Told to whom the image's releases belong; an image of none is missed by nobody.
async fn record(conn: &mut PgConnection, action: &str, node: NodeId, image: &str) -> anyhow::Result<()> {
    let target = format!("image:{}", image.trim_start_matches("sha256:").get(..12).unwrap_or(image));
    for about in store::describe(conn, node, image).await? {
        info!(node.id = %node, node.name = about.node, image.id = image, action, "images");
        let detail = json!({ "node": about.node, "image": image, "releases": about.releases });
        let actor = format!("node:{}", about.node);
        audit::record_of(conn, about.organization_id, &actor, action, &target, detail).await?;
    }
    Ok(())
}
