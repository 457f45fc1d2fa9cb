//! The next steps of one roll-out, start first: the instances of the new release start and become healthy while the
//! old ones serve; then the route table switches; the old ones stop after all proxies have stopped using them.

use std::fmt;

use protocol::ids::InstanceId;
use protocol::job::{Failure, Stage};
use protocol::report::InstanceState;

use super::placement::{Candidate, Place, choose};

/// All that matters about one deployment that is rolling out.
#[derive(Debug, Clone)]
pub struct Situation {
    /// Instances that its release should have.
    pub replicas: usize,
    /// Instances that it has started and still wants.
    pub new: Vec<New>,
    /// Instances in rotation that may stay, because they run the same release and only their number changes.
    pub kept: Vec<Kept>,
    /// The other instances of earlier deployments in rotation.
    pub old: Vec<InstanceId>,
    /// Workers that are online.
    pub workers: Vec<Candidate>,
    /// Whether the probe's stage has begun.
    pub probing: bool,
    /// Whether the route table has switched.
    pub switched: bool,
    /// Connected proxies that do not serve the switched table yet.
    pub proxies_behind: Vec<String>,
}

/// An instance of the new release.
#[derive(Debug, Clone)]
pub struct New {
    pub id: InstanceId,
    pub node: String,
    /// Its node has been offline for longer than a moment.
    pub node_gone: bool,
    pub state: InstanceState,
    pub failure: Option<Failure>,
}

/// An instance of the release that serves already.
#[derive(Debug, Clone)]
pub struct Kept {
    pub id: InstanceId,
    pub node: String,
    pub healthy: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Start(Place),
    /// Give an instance up because its node is gone.
    Abandon {
        id: InstanceId,
        node: String,
    },
    /// All instances run; their probes decide.
    Probe,
    Switch {
        enter: Vec<InstanceId>,
        leave: Vec<InstanceId>,
    },
    /// The new release is the one that serves.
    GoLive,
    Fail(Box<Failure>),
    Wait(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(place) => write!(f, "start on {} port {}", place.name, place.port),
            Self::Abandon { node, .. } => write!(f, "abandon the instance on {node}, which is gone"),
            Self::Probe => f.write_str("probe"),
            Self::Switch { enter, leave } => {
                write!(f, "switch: {} enter, {} leave", enter.len(), leave.len())
            }
            Self::GoLive => f.write_str("go live"),
            Self::Fail(failure) => write!(f, "fail: {} ({})", failure.message, failure.code),
            Self::Wait(what) => write!(f, "wait for {what}"),
        }
    }
}

/// The steps that can be taken now.
pub fn plan(now: &Situation) -> Vec<Step> {
    if now.switched {
        return vec![if now.proxies_behind.is_empty() {
            Step::GoLive
        } else {
            Step::Wait(format!("the proxies {}", now.proxies_behind.join(", ")))
        }];
    }
    if let Some(failure) = now.new.iter().find_map(failure) {
        return vec![Step::Fail(Box::new(failure))];
    }
    let gone: Vec<Step> = now
        .new
        .iter()
        .filter(|new| new.node_gone && new.state != InstanceState::Healthy)
        .map(|new| Step::Abandon { id: new.id, node: new.node.clone() })
        .collect();
    if !gone.is_empty() {
        return gone;
    }
    let surplus = surplus(&now.kept, now.replicas);
    let missing = now.replicas.saturating_sub(now.new.len() + now.kept.len() - surplus.len());
    if missing > 0 {
        let places = choose(now.workers.clone(), missing);
        if places.is_empty() {
            return vec![Step::Wait("a worker that is online".to_owned())];
        }
        return places.into_iter().map(Step::Start).collect();
    }
    let healthy = now.new.iter().filter(|new| new.state == InstanceState::Healthy).count();
    if healthy == now.new.len() {
        let enter = now.new.iter().map(|new| new.id).collect();
        return vec![Step::Switch { enter, leave: [now.old.clone(), surplus].concat() }];
    }
    let runs = |new: &New| !matches!(new.state, InstanceState::Pending | InstanceState::Pulling);
    let mut steps = Vec::new();
    if !now.probing && now.new.iter().all(runs) {
        steps.push(Step::Probe);
    }
    let late: Vec<&str> = now
        .new
        .iter()
        .filter(|new| new.state != InstanceState::Healthy)
        .map(|new| new.node.as_str())
        .collect();
    steps.push(Step::Wait(format!(
        "instances on {} ({healthy} of {} healthy)",
        late.join(", "),
        now.new.len()
    )));
    steps
}

/// The instances that go when `replicas` may stay: those that do not serve first, then of the nodes that have most.
fn surplus(kept: &[Kept], replicas: usize) -> Vec<InstanceId> {
    let mut stay: Vec<&Kept> = kept.iter().collect();
    let mut leave = Vec::new();
    while stay.len() > replicas {
        let on = |node: &str| stay.iter().filter(|kept| kept.node == node).count();
        let rank = |at: &usize| (!stay[*at].healthy, on(&stay[*at].node), stay[*at].id);
        let Some(last) = (0..stay.len()).max_by_key(rank) else { break };
        leave.push(stay.swap_remove(last).id);
    }
    leave
}

/// Why the release cannot serve, if an instance has shown it.
fn failure(new: &New) -> Option<Failure> {
    match new.state {
        InstanceState::Failed => Some(new.failure.clone().unwrap_or_else(|| unexplained(&new.node))),
        InstanceState::Exited => new.failure.clone(),
        _ => None,
    }
}

fn unexplained(node: &str) -> Failure {
    Failure {
        code: "instance_failed".to_owned(),
        message: format!("The worker on {node} gave the instance up without a reason."),
        hint: Some(format!("See the log of wisehosting-worker on {node}.")),
        stage: Stage::Probe,
        exit_code: None,
        out_of_memory: false,
        last_lines: Vec::new(),
        probe: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protocol::ids::NodeId;

    use super::*;

    fn worker(name: &str) -> Candidate {
        Candidate {
            node: NodeId::new(),
            name: name.to_owned(),
            of_release: 0,
            instances: 0,
            has_image: name == "w1",
            used_ports: BTreeSet::new(),
        }
    }

    fn new(node: &str, state: InstanceState) -> New {
        New { id: InstanceId::new(), node: node.to_owned(), node_gone: false, state, failure: None }
    }

    fn situation(new: Vec<New>) -> Situation {
        Situation {
            replicas: 2,
            new,
            kept: Vec::new(),
            old: vec![InstanceId::new()],
            workers: vec![worker("w1"), worker("w2")],
            probing: false,
            switched: false,
            proxies_behind: Vec::new(),
        }
    }

    fn text(situation: &Situation) -> String {
        plan(situation).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_roll_out_from_its_start_to_live() {
        use InstanceState::{Healthy, Pending, Pulling, Starting};
        let mut story = Vec::new();
        let mut now = situation(Vec::new());
        story.push(text(&now));
        now.new = vec![new("w1", Pulling), new("w2", Pending)];
        story.push(text(&now));
        now.new = vec![new("w1", Starting), new("w2", Starting)];
        story.push(text(&now));
        now.probing = true;
        now.new = vec![new("w1", Healthy), new("w2", Starting)];
        story.push(text(&now));
        now.new = vec![new("w1", Healthy), new("w2", Healthy)];
        story.push(text(&now));
        now.switched = true;
        now.proxies_behind = vec!["p1".to_owned()];
        story.push(text(&now));
        now.proxies_behind = Vec::new();
        story.push(text(&now));
        insta::assert_snapshot!(story.join("\n"), @r"
        start on w1 port 20000; start on w2 port 20000
        wait for instances on w1, w2 (0 of 2 healthy)
        probe; wait for instances on w1, w2 (0 of 2 healthy)
        wait for instances on w2 (1 of 2 healthy)
        switch: 2 enter, 1 leave
        wait for the proxies p1
        go live
        ");
    }

    #[test]
    fn one_failed_instance_fails_the_deployment_in_its_own_words() {
        let mut failed = new("w2", InstanceState::Failed);
        assert_eq!(
            text(&situation(vec![new("w1", InstanceState::Healthy), failed.clone()])),
            "fail: The worker on w2 gave the instance up without a reason. (instance_failed)"
        );
        failed.state = InstanceState::Exited;
        failed.failure =
            Some(Failure { code: "exited".to_owned(), message: "It ended.".to_owned(), ..unexplained("") });
        assert_eq!(text(&situation(vec![failed])), "fail: It ended. (exited)");
    }

    #[test]
    fn a_node_that_goes_before_its_instance_is_healthy_is_replaced() {
        let mut lost = new("w2", InstanceState::Starting);
        lost.node_gone = true;
        let now = situation(vec![new("w1", InstanceState::Healthy), lost]);
        assert_eq!(text(&now), "abandon the instance on w2, which is gone");
    }

    #[test]
    fn without_a_worker_it_waits_and_says_so() {
        let now = Situation { workers: Vec::new(), ..situation(Vec::new()) };
        assert_eq!(text(&now), "wait for a worker that is online");
    }

    #[test]
    fn without_replicas_the_old_ones_leave_the_table() {
        let now = Situation { replicas: 0, ..situation(Vec::new()) };
        assert_eq!(text(&now), "switch: 0 enter, 1 leave");
    }

    fn kept(node: &str, healthy: bool) -> Kept {
        Kept { id: InstanceId::new(), node: node.to_owned(), healthy }
    }

    fn scaling(kept: Vec<Kept>, replicas: usize) -> Situation {
        Situation { kept, replicas, old: Vec::new(), ..situation(Vec::new()) }
    }

    #[test]
    fn scaling_starts_and_ends_only_what_is_too_few_or_too_many() {
        use InstanceState::{Healthy, Starting};
        let mut story = Vec::new();
        let mut up = scaling(vec![kept("w1", true), kept("w2", true)], 3);
        story.push(text(&up));
        up.new = vec![new("w1", Starting)];
        up.probing = true;
        story.push(text(&up));
        up.new = vec![new("w1", Healthy)];
        story.push(text(&up));
        story.push(text(&scaling(vec![kept("w1", true), kept("w2", true), kept("w1", true)], 1)));
        story.push(text(&scaling(vec![kept("w1", true)], 1)));
        insta::assert_snapshot!(story.join("\n"), @r"
        start on w1 port 20000
        wait for instances on w1 (0 of 1 healthy)
        switch: 1 enter, 0 leave
        switch: 0 enter, 2 leave
        switch: 0 enter, 0 leave
        ");
    }

    #[test]
    fn those_that_do_not_serve_go_first_and_then_those_that_share_a_node() {
        let all = [kept("w1", true), kept("w1", true), kept("w2", true), kept("w3", false)];
        assert_eq!(surplus(&all, 3), [all[3].id]);
        assert_eq!(surplus(&all, 2), [all[3].id, all[1].id]);
        assert_eq!(surplus(&all, 4), []);
    }
}
