//! Which built images are pushed to a registry, and which are removed from there. Pure.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::{AppId, NodeId, OrganizationId};
use protocol::registry::CopyAction;

use crate::images::rule::{Worker, World};

/// One image of one app has one name in a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub host: String,
    pub app: AppId,
    pub image: String,
}

/// An image in a registry, or on its way there or from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    pub organization: OrganizationId,
    /// Its name there.
    pub reference: String,
    pub pushed: bool,
    pub unneeded_since: Option<DateTime<Utc>>,
    pub action: Option<CopyAction>,
    /// The worker that is to do it; none while none can.
    pub node: Option<NodeId>,
}

impl Entry {
    /// Whether the image can be had from there, now and after what is ordered.
    pub fn is_there(&self) -> bool {
        self.pushed && self.action != Some(CopyAction::Remove)
    }
}

/// The entries as they should be. `wanted` are those of images that may be pushed, `entries` those that there are;
/// asked again with its own answer it changes nothing.
pub fn plan(
    wanted: &[Entry],
    entries: &[Entry],
    world: &World,
    needed: &BTreeSet<&str>,
    grace: TimeDelta,
    now: DateTime<Utc>,
) -> Vec<Entry> {
    let known: BTreeSet<&Key> = entries.iter().map(|entry| &entry.key).collect();
    let wanted = wanted.iter().filter(|entry| needed.contains(entry.key.image.as_str()));
    let may_come: BTreeSet<&Key> = wanted.clone().map(|entry| &entry.key).collect();
    let all = entries.iter().chain(wanted.filter(|entry| !known.contains(&entry.key)));
    all.map(|entry| {
        // What a worker was told to remove may be gone by now.
        let there = entry.is_there();
        let stays = needed.contains(entry.key.image.as_str()) && (there || may_come.contains(&entry.key));
        let mut next = entry.clone();
        if stays {
            (next.pushed, next.unneeded_since) = (there, None);
            next.action = (!there).then_some(CopyAction::Push);
        } else {
            let since = *next.unneeded_since.get_or_insert(now);
            next.action = (!there || since <= now - grace).then_some(CopyAction::Remove);
        }
        next.node = node(&next, world);
        next
    })
    .collect()
}

/// A push is for a worker that has the image, a removal for any. Who has begun goes on.
fn node(entry: &Entry, world: &World) -> Option<NodeId> {
    let action = entry.action?;
    let has = |worker: &Worker| {
        world.held.iter().any(|held| held.node == worker.node && held.image == entry.key.image)
    };
    let can = |worker: &&Worker| worker.online && (action == CopyAction::Remove || has(worker));
    let able = world.workers.iter().filter(can);
    able.min_by_key(|worker| (entry.node != Some(worker.node), &worker.name)).map(|worker| worker.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::rule::Held;

    fn now() -> DateTime<Utc> {
        "2026-01-01T12:00:00Z".parse().expect("time")
    }

    fn entry(image: &str) -> Entry {
        Entry {
            key: Key { host: "r.example.com".to_owned(), app: AppId::new(), image: image.to_owned() },
            organization: OrganizationId::new(),
            reference: format!("r.example.com/wisehosting/hello:{image}"),
            pushed: false,
            unneeded_since: None,
            action: None,
            node: None,
        }
    }

    /// Workers `a` and `b` are online and `c` is not; `b` and `c` have image `i1`.
    fn world() -> World {
        let worker = |name: &str| Worker {
            node: NodeId::new(),
            name: name.to_owned(),
            online: name != "c",
            since: now(),
            image_bytes: 0,
        };
        let workers: Vec<Worker> = ["a", "b", "c"].map(worker).into();
        let held = workers[1..].iter().map(|worker| Held {
            node: worker.node,
            image: "i1".to_owned(),
            ours: true,
            cache: false,
            made_at: now(),
            size_bytes: 1,
            frees_bytes: 1,
            unneeded_since: None,
        });
        World { held: held.collect(), workers, ..World::default() }
    }

    fn step(wanted: &[&Entry], entries: &[&Entry], world: &World, needed: &[&str]) -> Vec<Entry> {
        let owned = |some: &[&Entry]| some.iter().copied().cloned().collect::<Vec<_>>();
        let (wanted, entries) = (owned(wanted), owned(entries));
        let needed = needed.iter().copied().collect();
        let plan = plan(&wanted, &entries, world, &needed, TimeDelta::hours(1), now());
        let again = super::plan(&wanted, &plan, world, &needed, TimeDelta::hours(1), now());
        assert_eq!(again, plan, "asked again it changes nothing");
        plan
    }

    #[test]
    fn a_needed_image_is_pushed_by_a_worker_that_has_it_and_answers() {
        let (world, one) = (world(), entry("i1"));
        let plan = step(&[&one, &entry("i2"), &entry("old")], &[], &world, &["i1", "i2"]);
        let told: Vec<_> = plan.iter().map(|entry| (entry.action, entry.node)).collect();
        let push = Some(CopyAction::Push);
        assert_eq!(told, [(push, Some(world.workers[1].node)), (push, None)], "nobody has the second");

        let pushed = Entry { pushed: true, action: None, node: None, ..plan[0].clone() };
        assert_eq!(step(&[&one], &[&pushed], &world, &["i1"])[0], pushed);
        // Images are kept somewhere else by now.
        assert_eq!(step(&[], &[&pushed], &world, &["i1"])[0], pushed);
    }

    #[test]
    fn what_nothing_needs_is_removed_after_the_grace_time_and_pushed_again_when_it_is_needed_again() {
        let (world, one) = (world(), entry("i1"));
        let there = Entry { pushed: true, ..one.clone() };
        let first = step(&[&one], &[&there], &world, &[]);
        assert_eq!((first[0].unneeded_since, first[0].action), (Some(now()), None), "not at once");
        let late = Entry { unneeded_since: Some(now() - TimeDelta::hours(1)), ..there.clone() };
        let goes = step(&[&one], &[&late], &world, &[]);
        assert_eq!((goes[0].action, goes[0].node), (Some(CopyAction::Remove), Some(world.workers[0].node)));
        assert!(!goes[0].is_there());
        let again = step(&[&one], &[&goes[0]], &world, &["i1"]);
        assert_eq!((again[0].pushed, again[0].action), (false, Some(CopyAction::Push)));
        assert_eq!(again[0].node, Some(world.workers[1].node), "one that has it");
    }

    #[test]
    fn a_push_that_is_not_wanted_any_more_is_undone_at_once() {
        let (world, one) = (world(), entry("i1"));
        let begun = step(&[&one], &[], &world, &["i1"]);
        assert_eq!(step(&[], &[&begun[0]], &world, &["i1"])[0].action, Some(CopyAction::Remove));
    }
}
