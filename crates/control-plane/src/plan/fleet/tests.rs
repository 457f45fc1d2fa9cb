//! What drains and rebalances do, told as a specification.

use protocol::labels::Labels;

use super::*;
use crate::placement::{Constraint, Strategy};
use crate::plan::placement::Amount;
use crate::plan::rollout::samples;

const GIB: u64 = 1024;

/// Workers with eight cores and GiB each.
fn fleet(workers: &[&str]) -> Fleet {
    let capacity = Some(Amount { cpu_millis: 8000, memory_mb: 8 * GIB });
    let worker = |name: &&str| Candidate { capacity, ..Candidate::new(NodeId::new(), (*name).to_owned()) };
    Fleet { workers: workers.iter().map(worker).collect(), ..Fleet::default() }
}

/// An app of one core and GiB, with an instance on each of these.
fn app(fleet: &mut Fleet, slug: &str, on: &[&str]) -> AppId {
    let id = AppId::new();
    let needs = Amount { cpu_millis: 1000, memory_mb: GIB };
    let wish = Wish { needs, ..samples::wish() };
    fleet.apps.insert(id, FleetApp { slug: slug.to_owned(), wish, images: BTreeSet::new() });
    for name in on {
        let worker = fleet.workers.iter_mut().find(|worker| worker.name == *name).expect("known");
        let port = 20_000 + i32::try_from(worker.used_ports.len()).expect("few");
        worker.take(port, needs, 0);
        (worker.of_release, worker.has_image) = (0, false);
        fleet.instances.push(Running { id: InstanceId::new(), app: id, node: worker.node });
    }
    id
}

fn wish(fleet: &mut Fleet, app: AppId) -> &mut Wish {
    &mut fleet.apps.get_mut(&app).expect("known").wish
}

fn text(moves: &[Planned]) -> String {
    let line = |planned: &Planned| {
        let to = planned.to.as_ref().map_or("nowhere", |(_, name)| name);
        format!("{}: {} → {to} ({})", planned.app, planned.from, planned.reason)
    };
    moves.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_drain_tells_where_everything_goes_and_what_cannot() {
    let mut fleet = fleet(&["w1", "w2", "w3"]);
    app(&mut fleet, "shop", &["w1", "w2"]);
    let pinned = app(&mut fleet, "pinned", &["w1"]);
    wish(&mut fleet, pinned).pin = Some("w1".to_owned());
    let hard = app(&mut fleet, "hard", &["w1", "w2", "w3"]);
    wish(&mut fleet, hard).per_node = Some(1);
    let node = fleet.workers[0].node;
    insta::assert_snapshot!(text(&fleet.empty(node)), @r"
    shop: w1 → w3 (w1 is drained)
    pinned: w1 → nowhere (w1: cordoned; w2, w3: not w1, its only node)
    hard: w1 → nowhere (w1: cordoned; w2, w3: runs a replica already)
    ");
}

#[test]
fn a_drain_counts_on_what_it_has_moved_already() {
    let mut fleet = fleet(&["w1", "w2"]);
    app(&mut fleet, "many", &["w1"; 3]);
    app(&mut fleet, "others", &["w2"; 6]);
    let node = fleet.workers[0].node;
    insta::assert_snapshot!(text(&fleet.empty(node)), @r"
    many: w1 → w2 (w1 is drained)
    many: w1 → w2 (w1 is drained)
    many: w1 → nowhere (w1: cordoned; w2: 1024 MiB of memory and 1 CPU short)
    ");
}

#[test]
fn a_fleet_that_is_well_is_left_alone() {
    let mut fleet = fleet(&["w1", "w2"]);
    app(&mut fleet, "shop", &["w1", "w2"]);
    app(&mut fleet, "one", &["w1"]);
    assert_eq!(text(&rebalance(fleet)), "");
}

#[test]
fn what_may_not_be_where_it_is_goes_first() {
    let mut fleet = fleet(&["w1", "w2"]);
    let fast = app(&mut fleet, "fast", &["w1"]);
    wish(&mut fleet, fast).required = vec![Constraint::try_from("disk=nvme".to_owned()).expect("valid")];
    fleet.workers[1].labels = Labels::from([("disk".to_owned(), "nvme".to_owned())]);
    assert_eq!(text(&rebalance(fleet.clone())), "fast: w1 → w2 (w1: its labels do not fulfil disk=nvme)");
    fleet.workers[1].labels.clear();
    assert_eq!(text(&rebalance(fleet)), "", "there is no better place");
}

#[test]
fn replicas_part_when_there_is_a_node_for_each() {
    let mut fleet = fleet(&["w1", "w2"]);
    app(&mut fleet, "shop", &["w1", "w1", "w1"]);
    assert_eq!(text(&rebalance(fleet)), "shop: w1 → w2 (w1 runs 3 of its replicas, w2 0)");
}

#[test]
fn much_fuller_nodes_give_some_away_and_no_more_than_that() {
    let mut fleet = fleet(&["w1", "w2"]);
    for name in ["a", "b", "c", "d"] {
        app(&mut fleet, name, &["w1"]);
    }
    insta::assert_snapshot!(text(&rebalance(fleet.clone())), @r"
    a: w1 → w2 (w1 is 50 % reserved, w2 13 % with it)
    b: w1 → w2 (w1 is 38 % reserved, w2 25 % with it)
    ");
    for app in fleet.apps.values_mut() {
        app.wish.strategy = Strategy::Resource;
    }
    assert_eq!(text(&rebalance(fleet)), "", "they are to be together");
}
