//! What a roll-out will do when nothing goes wrong: the planner's own steps, carried out on paper.

use std::collections::HashMap;

use protocol::ids::InstanceId;
use protocol::report::InstanceState;
use serde::Serialize;

use super::rollout::prepare::{Prepare, Task};
use super::rollout::{New, Situation, Step, plan};

/// More than the longest roll-out takes: a hundred instances, one after the other.
const ROUNDS: usize = 1000;

/// The steps of a roll-out from its situation to its end, with every instance healthy and every command ended well. The
/// last one is a wait if something is missing that does not come by itself, such as a worker.
pub fn preview(mut now: Situation) -> Vec<Step> {
    let mut told = Vec::new();
    for _ in 0..ROUNDS {
        for step in plan(&now) {
            match step {
                Step::Wait(_) if become_healthy(&mut now) => {}
                Step::LookAtWorkers | Step::Wait(_) | Step::GoLive | Step::Fail(_) => {
                    told.push(step);
                    return told;
                }
                step => {
                    carry_out(&mut now, &step);
                    told.push(step);
                }
            }
        }
    }
    told
}

/// Whether somebody was not healthy yet.
fn become_healthy(now: &mut Situation) -> bool {
    let mut news = false;
    for new in now.new.iter_mut().filter(|new| new.state == InstanceState::Starting) {
        new.state = InstanceState::Healthy;
        news = true;
    }
    news
}

fn carry_out(now: &mut Situation, step: &Step) {
    match step {
        Step::Run(place) => {
            now.prepare = Prepare::Runs(Box::new(Task {
                id: InstanceId::new(),
                node: place.name.clone(),
                node_gone: false,
                state: InstanceState::Exited,
                failure: None,
                age: std::time::Duration::ZERO,
            }));
        }
        Step::Prepared(_) => now.prepare = Prepare::Done,
        Step::Start(place) => {
            now.new.push(New {
                id: InstanceId::new(),
                node: place.name.clone(),
                node_gone: false,
                in_rotation: false,
                state: InstanceState::Starting,
                failure: None,
            });
            let turn = now.workers.iter().flatten().map(|worker| worker.turn).max().unwrap_or_default() + 1;
            let workers = now.workers.iter_mut().flatten().filter(|worker| worker.node == place.node);
            workers.for_each(|worker| worker.take(place.port, now.wish.needs, turn));
        }
        Step::Abandon { id, .. } => now.new.retain(|new| new.id != *id),
        Step::Clear(leave) => {
            now.old.retain(|old| !leave.contains(old));
            now.kept.retain(|kept| !leave.contains(&kept.id));
            now.endings.clear();
        }
        Step::Probe => now.probing = true,
        Step::Switch { enter, leave } => {
            now.new.iter_mut().filter(|new| enter.contains(&new.id)).for_each(|new| new.in_rotation = true);
            now.old.retain(|old| !leave.contains(old));
            now.kept.retain(|kept| !leave.contains(&kept.id));
            now.back += leave.len();
            now.switched = true;
        }
        Step::LookAtWorkers | Step::GoLive | Step::Fail(_) | Step::Wait(_) => {}
    }
}

/// What will happen, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = RolloutPreview)]
pub struct Preview {
    /// Whether requests fail meanwhile.
    pub downtime: bool,
    /// Why, or why not.
    pub because: String,
    /// In order. Where an instance will be is what holds now: another worker may be emptier by then.
    pub steps: Vec<String>,
}

/// An instance that is in the table.
#[derive(Debug, Clone)]
pub struct Serving {
    pub id: InstanceId,
    pub node: String,
    pub healthy: bool,
}

/// The preview in words. `serving` is who serves now; `after`, whether a command runs once the release is live.
pub fn tell(now: Situation, serving: &[Serving], after: bool) -> Preview {
    let on: HashMap<InstanceId, &str> = serving.iter().map(|one| (one.id, one.node.as_str())).collect();
    let steps = preview(now);
    let (downtime, because) = downtime(&steps, serving);
    let left: usize =
        steps.iter().map(|step| if let Step::Switch { leave, .. } = step { leave.len() } else { 0 }).sum();
    let live = steps.last() == Some(&Step::GoLive);
    let mut words: Vec<String> = steps.iter().filter_map(|step| in_words(step, &on)).collect();
    if live && after {
        words.push("run the post-deploy command".to_owned());
    }
    if live && left > 0 {
        words.push(match left {
            1 => "let 1 old instance end its requests, then stop it".to_owned(),
            left => format!("let {left} old instances end their requests, then stop them"),
        });
    }
    Preview { downtime, because: because.to_owned(), steps: words }
}

fn downtime(steps: &[Step], serving: &[Serving]) -> (bool, &'static str) {
    if serving.is_empty() {
        return (true, "nothing serves now: the address answers 503 until the new instances are healthy");
    }
    if !serving.iter().any(|one| one.healthy) {
        return (true, "none of the instances that run is healthy: requests fail until the new ones are");
    }
    if steps.iter().any(|step| matches!(step, Step::Clear(_))) {
        return (true, "it is exclusive: its instance ends before the new one starts");
    }
    if steps.iter().any(|step| matches!(step, Step::Start(_))) {
        return (false, "the instances that run serve until the new ones are healthy");
    }
    (false, "the instances that stay serve on")
}

fn in_words(step: &Step, on: &HashMap<InstanceId, &str>) -> Option<String> {
    Some(match step {
        // Said when it began.
        Step::Prepared(_) => return None,
        Step::Switch { enter, leave } if enter.is_empty() && leave.is_empty() => return None,
        Step::Start(place) => format!("start an instance on {}", place.name),
        Step::Clear(leave) => format!("end {} first", counted(leave.len(), "old instance")),
        Step::Probe => "wait until the new instances are healthy".to_owned(),
        Step::Switch { enter, leave } => {
            let mut nodes: Vec<&str> = leave.iter().filter_map(|id| on.get(id).copied()).collect();
            nodes.sort_unstable();
            nodes.dedup();
            let from = if nodes.is_empty() { String::new() } else { format!(" on {}", nodes.join(", ")) };
            match (enter.len(), leave.len()) {
                (new, 0) => format!("route requests to {} too", counted(new, "new instance")),
                (0, old) => format!("route no more requests to {}{from}", counted(old, "old instance")),
                (new, old) => {
                    let (new, old) = (counted(new, "new instance"), counted(old, "old instance"));
                    format!("route requests to {new} and no longer to {old}{from}")
                }
            }
        }
        step => step.to_string(),
    })
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apps::Strategy;
    use crate::plan::rollout::{Kept, samples};

    fn serving(nodes: &[&str]) -> Vec<Serving> {
        nodes
            .iter()
            .map(|node| Serving { id: InstanceId::new(), node: (*node).to_owned(), healthy: true })
            .collect()
    }

    fn situation(replicas: usize, serving: &[Serving]) -> Situation {
        let old = serving.iter().map(|one| one.id).collect();
        Situation { replicas, old, ..samples::situation(Vec::new()) }
    }

    fn text(told: &Preview) -> String {
        let downtime = if told.downtime { "yes" } else { "none" };
        format!("downtime {downtime}, {}\n{}", told.because, told.steps.join("\n"))
    }

    #[test]
    fn all_at_once_beside_what_serves() {
        let old = serving(&["w1", "w2"]);
        let now = Situation { prepare: Prepare::Due, ..situation(2, &old) };
        insta::assert_snapshot!(text(&tell(now, &old, true)), @r"
        downtime none, the instances that run serve until the new ones are healthy
        run the pre-deploy command on w1
        start an instance on w1
        start an instance on w2
        wait until the new instances are healthy
        route requests to 2 new instances and no longer to 2 old instances on w1, w2
        go live
        run the post-deploy command
        let 2 old instances end their requests, then stop them
        ");
    }

    #[test]
    fn one_after_the_other() {
        let old = serving(&["w1", "w2"]);
        let now = Situation { strategy: Strategy::Rolling, ..situation(2, &old) };
        insta::assert_snapshot!(text(&tell(now, &old, false)), @r"
        downtime none, the instances that run serve until the new ones are healthy
        start an instance on w1
        wait until the new instances are healthy
        route requests to 1 new instance and no longer to 1 old instance on w1
        start an instance on w2
        route requests to 1 new instance and no longer to 1 old instance on w2
        go live
        let 2 old instances end their requests, then stop them
        ");
    }

    #[test]
    fn scaling_leaves_the_others_alone() {
        let all = serving(&["w1", "w1", "w2"]);
        let kept = |one: &Serving| Kept { id: one.id, node: one.node.clone(), healthy: true };
        let to = |replicas: usize| {
            let mut now = Situation { kept: all.iter().map(kept).collect(), ..situation(replicas, &[]) };
            for (worker, instances) in now.workers.iter_mut().flatten().zip([2, 1]) {
                worker.of_release = instances;
            }
            text(&tell(now, &all, false))
        };
        insta::assert_snapshot!([to(4), to(2), to(3)].join("\n\n"), @r"
        downtime none, the instances that run serve until the new ones are healthy
        start an instance on w2
        wait until the new instances are healthy
        route requests to 1 new instance too
        go live

        downtime none, the instances that stay serve on
        route no more requests to 1 old instance on w1
        go live
        let 1 old instance end its requests, then stop it

        downtime none, the instances that stay serve on
        go live
        ");
    }

    #[test]
    fn what_serves_nothing_is_down_until_it_is_well() {
        insta::assert_snapshot!(text(&tell(situation(1, &[]), &[], false)), @r"
        downtime yes, nothing serves now: the address answers 503 until the new instances are healthy
        start an instance on w1
        wait until the new instances are healthy
        route requests to 1 new instance too
        go live
        ");
        let mut ill = serving(&["w1"]);
        ill[0].healthy = false;
        assert!(tell(situation(1, &ill), &ill, false).downtime);
    }

    #[test]
    fn it_ends_where_something_is_missing() {
        let old = serving(&["w1"]);
        let now = Situation { workers: Some(Vec::new()), ..situation(1, &old) };
        assert_eq!(tell(now, &old, false).steps, ["wait for a worker that is online"]);
        let mut now = situation(3, &old);
        let mut full = samples::worker("w1");
        full.used_ports = crate::plan::placement::HOST_PORTS.skip(2).collect();
        now.workers = Some(vec![full]);
        assert_eq!(
            tell(now, &old, false).steps,
            [
                "start an instance on w1",
                "start an instance on w1",
                "wait for a worker that can take an instance (w1: no free port)"
            ]
        );
    }

    #[test]
    fn the_longest_roll_out_ends() {
        let old = serving(&["w1"; 100]);
        let now = Situation { strategy: Strategy::Rolling, ..situation(100, &old) };
        assert_eq!(preview(now).last(), Some(&Step::GoLive));
    }
}
