//! Which images are kept, copied and removed. Pure: what is there in, what to order out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::{AppId, NodeId};

/// For how long a worker that does not answer still counts as one that has its images.
const MISSED: TimeDelta = TimeDelta::minutes(10);
/// Workers that have a kept image, where there are as many; a registry stands for one.
const COPIES: usize = 2;

/// An image and what one app's releases make of it.
#[derive(Debug, Clone)]
pub struct AppImage {
    pub app: AppId,
    pub image: String,
    /// Number of its newest release.
    pub newest: i32,
    /// The same among those that have served.
    pub newest_served: Option<i32>,
    /// A release of it serves, is being rolled out or has an instance.
    pub in_use: bool,
    /// A deployment of the app is under way: it may bring back any of its images.
    pub app_busy: bool,
    /// A worker has it, or a registry.
    pub available: bool,
}

/// An image on a worker.
#[derive(Debug, Clone)]
pub struct Held {
    pub node: NodeId,
    pub image: String,
    pub ours: bool,
    /// Left by a build for later ones.
    pub cache: bool,
    pub made_at: DateTime<Utc>,
    pub size_bytes: i64,
    /// What its removal would free.
    pub frees_bytes: i64,
    pub unneeded_since: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
pub struct Worker {
    pub node: NodeId,
    pub name: String,
    pub online: bool,
    pub since: DateTime<Utc>,
    /// Of all images there.
    pub image_bytes: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Hold,
    Remove,
    /// Like the removal of an image, of what a build left.
    Trim,
}

/// What each worker should do about which image.
pub type Orders = BTreeMap<(NodeId, String), Action>;

/// All that is known.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub images: Vec<AppImage>,
    pub held: Vec<Held>,
    pub workers: Vec<Worker>,
    /// The present ones.
    pub orders: Orders,
    /// Images of apps that are in a registry.
    pub in_registry: BTreeSet<(AppId, String)>,
}

/// What is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Images per app.
    pub keep: usize,
    /// For how long what nothing needs stays.
    pub grace: TimeDelta,
    /// What builds may leave on a worker.
    pub cache_bytes: i64,
}

/// What should be so.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub orders: Orders,
    /// Images on workers that nothing needs any more, and those that are needed again.
    pub unneeded: BTreeSet<(NodeId, String)>,
    pub needed_again: BTreeSet<(NodeId, String)>,
}

/// The images to keep: whatever is in use, and of each app the `keep` newest, and the `keep` newest that have served,
/// so that deployments that fail do not push out what one can go back to.
pub fn kept(images: &[AppImage], keep: usize) -> BTreeSet<&str> {
    let mut apps: HashMap<AppId, Vec<&AppImage>> = HashMap::new();
    for image in images {
        apps.entry(image.app).or_default().push(image);
    }
    let mut kept = BTreeSet::new();
    for mut of_app in apps.into_values() {
        kept.extend(of_app.iter().filter(|image| image.in_use).map(|image| image.image.as_str()));
        of_app.sort_by_key(|image| std::cmp::Reverse(image.newest));
        kept.extend(of_app.iter().take(keep).map(|image| image.image.as_str()));
        of_app.retain(|image| image.newest_served.is_some());
        of_app.sort_by_key(|image| std::cmp::Reverse(image.newest_served));
        kept.extend(of_app.iter().take(keep).map(|image| image.image.as_str()));
    }
    kept
}

/// Images that are kept, and those that a deployment under way may bring back.
pub fn needed(world: &World, keep: usize) -> BTreeSet<&str> {
    let busy = world.images.iter().filter(|image| image.app_busy).map(|image| image.image.as_str());
    busy.chain(kept(&world.images, keep)).collect()
}

/// Orders for all workers. Asked again with its own answer it changes nothing.
pub fn plan(world: &World, policy: &Policy, now: DateTime<Utc>) -> Plan {
    let kept = kept(&world.images, policy.keep);
    let mut plan = Plan::default();
    removals(&mut plan, world, &kept, policy, now);
    copies(&mut plan, world, &kept, now);
    plan
}

fn removals(plan: &mut Plan, world: &World, kept: &BTreeSet<&str>, policy: &Policy, now: DateTime<Utc>) {
    let of_releases: BTreeSet<&str> = world.images.iter().map(|image| image.image.as_str()).collect();
    let busy: BTreeSet<&str> =
        world.images.iter().filter(|image| image.app_busy).map(|image| image.image.as_str()).collect();
    let surplus = surplus_cache(&world.held, policy.cache_bytes);
    for held in &world.held {
        let image = held.image.as_str();
        let key = (held.node, held.image.clone());
        let of_release = of_releases.contains(image);
        let dispensable =
            of_release || if held.cache { surplus.contains(&(held.node, image)) } else { held.ours };
        let goes = dispensable && !kept.contains(image) && !busy.contains(image);
        match held.unneeded_since {
            None if goes => drop(plan.unneeded.insert(key)),
            Some(_) if !goes => drop(plan.needed_again.insert(key)),
            Some(since) if since <= now - policy.grace => {
                let action = if held.cache && !of_release { Action::Trim } else { Action::Remove };
                plan.orders.insert(key, action);
            }
            _ => {}
        }
    }
}

/// The oldest of what builds left on each worker, until no more than `limit` bytes of it remain there.
fn surplus_cache(held: &[Held], limit: i64) -> BTreeSet<(NodeId, &str)> {
    let mut workers: HashMap<NodeId, Vec<&Held>> = HashMap::new();
    for held in held.iter().filter(|held| held.cache) {
        workers.entry(held.node).or_default().push(held);
    }
    let mut surplus = BTreeSet::new();
    for mut cache in workers.into_values() {
        cache.sort_by_key(|held| (held.made_at, &held.image));
        let mut bytes: i64 = cache.iter().map(|held| held.frees_bytes).sum();
        for held in cache {
            if bytes <= limit {
                break;
            }
            bytes -= held.frees_bytes;
            surplus.insert((held.node, held.image.as_str()));
        }
    }
    surplus
}

fn copies(plan: &mut Plan, world: &World, kept: &BTreeSet<&str>, now: DateTime<Utc>) {
    let mut holders: BTreeMap<&str, (i64, BTreeSet<NodeId>)> = BTreeMap::new();
    for held in world.held.iter().filter(|held| kept.contains(held.image.as_str())) {
        let (size, nodes) = holders.entry(&held.image).or_default();
        *size = (*size).max(held.size_bytes);
        nodes.insert(held.node);
    }
    let counts = |worker: &&Worker| worker.online || worker.since > now - MISSED;
    let counted: BTreeSet<NodeId> = world.workers.iter().filter(counts).map(|worker| worker.node).collect();
    let online: Vec<&Worker> = world.workers.iter().filter(|worker| worker.online).collect();
    let mut bytes: HashMap<NodeId, i64> =
        world.workers.iter().map(|worker| (worker.node, worker.image_bytes)).collect();
    let in_no_registry: BTreeSet<&str> = world
        .images
        .iter()
        .filter(|image| !world.in_registry.contains(&(image.app, image.image.clone())))
        .map(|image| image.image.as_str())
        .collect();
    for (image, (size, nodes)) in holders {
        let have = nodes.intersection(&counted).count() + usize::from(!in_no_registry.contains(image));
        let reachable = online.iter().any(|worker| nodes.contains(&worker.node));
        if have >= COPIES || !reachable {
            continue;
        }
        let ordered = |node: NodeId| world.orders.get(&(node, image.to_owned())) == Some(&Action::Hold);
        let target = online
            .iter()
            .filter(|worker| !nodes.contains(&worker.node))
            .min_by_key(|worker| (!ordered(worker.node), bytes.get(&worker.node).copied(), &worker.name));
        if let Some(target) = target {
            *bytes.entry(target.node).or_default() += size;
            plan.orders.insert((target.node, image.to_owned()), Action::Hold);
        }
    }
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
