//! Which instances are better off elsewhere: those where they may not be by now, replicas that share a node without
//! need, and some of those on nodes that are much fuller than others.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{AppId, InstanceId, NodeId};

use super::{Fleet, Planned, Running};
use crate::plan::placement::{Amount, Candidate, Place, misplaced};

/// Moves in one plan: each is a deployment, and after them the fleet may look different.
const MOST: usize = 20;

/// By so many thousandths of its room the node that an instance goes to must be emptier than the one that it leaves.
const WORTH: u64 = 100;

/// Nodes that are looked at as too full for one move, and instances of each.
const LOOKED_AT: usize = 20;

/// Moves that make things better, each counted on by those after it. Nothing is moved twice.
pub fn rebalance(mut fleet: Fleet) -> Vec<Planned> {
    // An image that is there is no reason to stay.
    fleet.apps.values_mut().for_each(|app| app.images.clear());
    let mut moves: Vec<Planned> = Vec::new();
    let mut moved = BTreeSet::new();
    while moves.len() < MOST {
        let Some(Better { running, place, reason }) = next(&fleet, &moved) else { break };
        let from = fleet.worker(running.node).map(|worker| worker.name.clone()).unwrap_or_default();
        let app = fleet.apps.get(&running.app).map(|app| app.slug.clone()).unwrap_or_default();
        fleet.carry_out(&running, &place);
        moved.insert(running.id);
        moves.push(Planned { instance: running.id, app, from, to: Some((place.node, place.name)), reason });
    }
    moves
}

/// A move, and why.
struct Better {
    running: Running,
    place: Place,
    reason: String,
}

fn next(fleet: &Fleet, moved: &BTreeSet<InstanceId>) -> Option<Better> {
    let may_move: Vec<Running> =
        fleet.instances.iter().filter(|running| !moved.contains(&running.id)).copied().collect();
    may_move
        .iter()
        .find_map(|running| out_of_place(fleet, running))
        .or_else(|| sharing(fleet, &may_move))
        .or_else(|| levelling(fleet, &may_move))
}

/// Labels, pins and what nodes take may have changed since it was placed.
fn out_of_place(fleet: &Fleet, running: &Running) -> Option<Better> {
    let (app, worker) = (fleet.apps.get(&running.app)?, fleet.worker(running.node)?);
    let why = misplaced(&app.wish, worker)?;
    let place = elsewhere(fleet, running)?;
    Some(Better { running: *running, place, reason: format!("{}: {why}", worker.name) })
}

/// Replicas on one node while another has fewer.
fn sharing(fleet: &Fleet, may_move: &[Running]) -> Option<Better> {
    let mut replicas: BTreeMap<(AppId, NodeId), usize> = BTreeMap::new();
    for running in &fleet.instances {
        *replicas.entry((running.app, running.node)).or_default() += 1;
    }
    may_move.iter().find_map(|running| {
        let count = |node: NodeId| replicas.get(&(running.app, node)).copied().unwrap_or_default();
        let here = count(running.node);
        if here < 2 {
            return None;
        }
        let place = elsewhere(fleet, running)?;
        let there = count(place.node);
        let from = &fleet.worker(running.node)?.name;
        let reason = format!("{from} runs {here} of its replicas, {} {there}", place.name);
        (there + 1 < here).then_some(Better { running: *running, place, reason })
    })
}

/// From the fullest to one that stays well below.
fn levelling(fleet: &Fleet, may_move: &[Running]) -> Option<Better> {
    let share = |worker: &Candidate| worker.share_with(Amount::default());
    let mut fullest: Vec<&Candidate> =
        fleet.workers.iter().filter(|worker| worker.online && worker.capacity.is_some()).collect();
    fullest.sort_by_key(|worker| std::cmp::Reverse(share(worker)));
    let emptiest = fullest.last().map(|worker| share(worker))?;
    fullest.into_iter().take_while(|worker| share(worker) > emptiest + WORTH).take(LOOKED_AT).find_map(
        |full| {
            let mut here = may_move.iter().filter(|running| running.node == full.node).take(LOOKED_AT);
            here.find_map(|running| {
                let place = elsewhere(fleet, running)?;
                let needs = fleet.apps.get(&running.app)?.wish.needs;
                let (before, after) = (share(full), fleet.worker(place.node)?.share_with(needs));
                let percent = |thousandths: u64| thousandths.div_ceil(10);
                let reason = format!(
                    "{} is {} % reserved, {} {} % with it",
                    full.name,
                    percent(before),
                    place.name,
                    percent(after)
                );
                (before > after + WORTH).then_some(Better { running: *running, place, reason })
            })
        },
    )
}

/// Where it would be placed now, if that is another node.
fn elsewhere(fleet: &Fleet, running: &Running) -> Option<Place> {
    fleet.place(running).ok().filter(|place| place.node != running.node)
}
