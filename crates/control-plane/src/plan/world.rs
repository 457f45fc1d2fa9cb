//! A model of the world around one app, in which the planners' steps are carried out: properties that hold whatever
//! happens, in whatever order.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use protocol::ids::{InstanceId, NodeId};
use protocol::report::InstanceState;

use super::placement::{Candidate, Place};
use super::rollout::prepare::Prepare;
use super::rollout::{self, Kept, New, Renewal, Step};
use super::undo;
use crate::apps::Strategy;
use crate::deployments::State;

/// What happens, besides the passes of the reconciler.
#[derive(Debug, Clone)]
enum Event {
    Deploy {
        replicas: usize,
        strategy: Strategy,
        broken: bool,
    },
    Scale(usize),
    /// One instance of the live release is replaced.
    Replace(usize),
    Cancel,
    /// An instance comes a step further.
    Advance(usize),
    Crash(usize),
    NodeDown(usize),
    NodeUp(usize),
    /// A proxy takes the newest table.
    Acknowledge(usize),
    Disconnect(usize),
    Connect(usize),
    Later(u64),
}

fn event() -> impl proptest::strategy::Strategy<Value = Event> {
    let strategy = prop_oneof![Just(Strategy::BlueGreen), Just(Strategy::Rolling)];
    prop_oneof![
        2 => (1..5_usize, strategy, prop::bool::weighted(0.2))
            .prop_map(|(replicas, strategy, broken)| Event::Deploy { replicas, strategy, broken }),
        1 => (1..5_usize).prop_map(Event::Scale),
        1 => (0..4_usize).prop_map(Event::Replace),
        1 => Just(Event::Cancel),
        12 => (0..8_usize).prop_map(Event::Advance),
        2 => (0..8_usize).prop_map(Event::Crash),
        1 => (0..NODES).prop_map(Event::NodeDown),
        2 => (0..NODES).prop_map(Event::NodeUp),
        4 => (0..PROXIES).prop_map(Event::Acknowledge),
        1 => (0..PROXIES).prop_map(Event::Disconnect),
        1 => (0..PROXIES).prop_map(Event::Connect),
        1 => (1..1200_u64).prop_map(Event::Later),
    ]
}

const NODES: usize = 3;
const PROXIES: usize = 2;

#[derive(Debug, Clone)]
struct Instance {
    id: InstanceId,
    deployment: usize,
    release: usize,
    node: usize,
    port: i32,
    state: InstanceState,
    /// Its release never becomes healthy.
    broken: bool,
    wanted: bool,
    in_rotation: bool,
    /// Of the table that it left.
    out: Option<usize>,
}

#[derive(Debug, Clone)]
struct Deployment {
    state: State,
    release: usize,
    replicas: usize,
    strategy: Strategy,
    renewal: Renewal,
    broken: bool,
    probing: bool,
    switched: Option<usize>,
    stepped_at: u64,
}

#[derive(Debug)]
struct Proxy {
    connected: bool,
    applied: usize,
    /// Where its table leads to.
    table: Vec<InstanceId>,
}

/// One app. Its tables are the ones of the SQL in `deployments::store`, without what does not matter here.
#[derive(Debug)]
struct World {
    /// Known to be up.
    nodes: [(NodeId, bool); NODES],
    proxies: [Proxy; PROXIES],
    generation: usize,
    now: u64,
    releases: usize,
    instances: Vec<Instance>,
    deployments: Vec<Deployment>,
}

impl World {
    fn new() -> Self {
        let proxy = || Proxy { connected: true, applied: 0, table: Vec::new() };
        Self {
            nodes: std::array::from_fn(|_| (NodeId::new(), true)),
            proxies: [proxy(), proxy()],
            generation: 0,
            now: 0,
            releases: 0,
            instances: Vec::new(),
            deployments: Vec::new(),
        }
    }

    fn is_healthy(&self, instance: &Instance) -> bool {
        instance.state == InstanceState::Healthy && self.nodes[instance.node].1
    }

    /// Instances that the route table leads to and that serve, as far as anyone knows.
    fn serving(&self) -> usize {
        self.instances.iter().filter(|one| one.in_rotation && self.is_healthy(one)).count()
    }

    fn live(&self) -> Option<usize> {
        self.deployments.iter().position(|one| one.state == State::Live)
    }

    fn rolling(&self) -> Option<usize> {
        let rolling = |one: &Deployment| one.state == State::RollingOut;
        assert!(self.deployments.iter().filter(|one| rolling(one)).count() <= 1, "one roll-out at a time");
        self.deployments.iter().position(rolling)
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Deploy { replicas, strategy, broken } => {
                self.releases += 1;
                self.queue(self.releases, replicas, strategy, Renewal::All, broken);
            }
            // Refused while a deployment is under way.
            Event::Scale(replicas) => {
                if let Some(live) = self.idle() {
                    let release = self.deployments[live].release;
                    self.queue(release, replicas, Strategy::BlueGreen, Renewal::Nothing, false);
                }
            }
            Event::Replace(at) => {
                let serving = self.instances.iter().filter(|one| one.in_rotation).nth(at);
                if let (Some(live), Some(one)) = (self.idle(), serving) {
                    let Deployment { release, replicas, strategy, .. } = self.deployments[live];
                    self.queue(release, replicas, strategy, Renewal::One(one.id), false);
                }
            }
            Event::Cancel => {
                let under_way = |one: &&mut Deployment| !one.state.is_final();
                if let Some(one) = self.deployments.iter_mut().find(under_way) {
                    one.state = State::Cancelled;
                }
            }
            Event::Advance(at) => self.advance(at),
            Event::Crash(at) => {
                let up = self.nodes.map(|(_, up)| up);
                let healthy = |one: &&mut Instance| one.state == InstanceState::Healthy && up[one.node];
                if let Some(one) = self.instances.iter_mut().filter(healthy).nth(at) {
                    one.state = InstanceState::Exited;
                }
            }
            Event::NodeDown(at) => self.nodes[at].1 = false,
            Event::NodeUp(at) => self.nodes[at].1 = true,
            Event::Acknowledge(at) => {
                let table = self.instances.iter().filter(|one| one.in_rotation).map(|one| one.id).collect();
                if self.proxies[at].connected {
                    self.proxies[at] = Proxy { connected: true, applied: self.generation, table };
                }
            }
            Event::Disconnect(at) => self.proxies[at].connected = false,
            Event::Connect(at) => self.proxies[at].connected = true,
            Event::Later(seconds) => self.now += seconds,
        }
    }

    /// The live deployment, if none is under way.
    fn idle(&self) -> Option<usize> {
        self.live().filter(|_| self.deployments.iter().all(|one| one.state.is_final()))
    }

    fn queue(&mut self, release: usize, replicas: usize, strategy: Strategy, renewal: Renewal, broken: bool) {
        self.deployments.push(Deployment {
            state: State::Queued,
            release,
            replicas,
            strategy,
            renewal,
            broken,
            probing: false,
            switched: None,
            stepped_at: self.now,
        });
    }

    fn advance(&mut self, at: usize) {
        use InstanceState::{Exited, Failed, Healthy, Pending, Pulling, Starting, Unhealthy};
        let up = self.nodes.map(|(_, up)| up);
        let moves = |one: &&mut Instance| !matches!(one.state, Healthy | Failed) && up[one.node];
        let Some(one) = self.instances.iter_mut().filter(moves).nth(at) else { return };
        one.state = match one.state {
            Pending => Pulling,
            Pulling | Exited => Starting,
            Starting if one.broken => Failed,
            Starting | Unhealthy => Healthy,
            other => other,
        };
        self.forget();
    }

    /// Rows of instances that their worker has ended.
    fn forget(&mut self) {
        let up = self.nodes.map(|(_, up)| up);
        self.instances.retain(|one| one.wanted || !up[one.node]);
    }

    /// One pass of the reconciler.
    fn pass(&mut self) {
        self.start_next();
        while let Some(at) = self.rolling() {
            let steps = rollout::plan(&self.situation(at));
            let again = steps.iter().any(|step| matches!(step, Step::Switch { .. } | Step::Abandon { .. }));
            for step in steps {
                self.take(at, step);
            }
            if !again {
                break;
            }
        }
        self.undo();
        self.drain();
        self.forget();
    }

    fn start_next(&mut self) {
        let strays = self
            .instances
            .iter()
            .any(|one| one.in_rotation && self.deployments[one.deployment].state == State::Cancelled);
        let Some(next) = self.deployments.iter().position(|one| one.state == State::Queued) else { return };
        if !strays && self.rolling().is_none() {
            self.deployments[next].state = State::RollingOut;
            self.deployments[next].stepped_at = self.now;
        }
    }

    fn situation(&self, at: usize) -> rollout::Situation {
        let deployment = &self.deployments[at];
        let name = |node: usize| format!("w{node}");
        let own = |one: &&Instance| one.deployment == at && one.wanted;
        let new = self.instances.iter().filter(own).map(|one| New {
            id: one.id,
            node: name(one.node),
            node_gone: !self.nodes[one.node].1,
            in_rotation: one.in_rotation,
            state: one.state,
            failure: None,
        });
        let others = self.instances.iter().filter(|one| one.in_rotation && one.deployment != at);
        let (kept, old): (Vec<_>, Vec<_>) =
            others.partition(|one| one.release == deployment.release && deployment.renewal.keeps(one.id));
        let kept = kept.into_iter().map(|one| Kept {
            id: one.id,
            node: name(one.node),
            healthy: self.is_healthy(one),
        });
        let on = |node: usize| self.instances.iter().filter(move |one| one.node == node);
        let workers = (0..NODES).filter(|node| self.nodes[*node].1).map(|node| Candidate {
            of_release: on(node).filter(own).count(),
            instances: on(node).filter(|one| one.wanted).count(),
            has_image: node == 0,
            used_ports: on(node).map(|one| one.port).collect(),
            ..Candidate::new(self.nodes[node].0, name(node))
        });
        let behind = |proxy: &&Proxy| {
            proxy.connected && deployment.switched.is_some_and(|generation| proxy.applied < generation)
        };
        rollout::Situation {
            replicas: deployment.replicas,
            strategy: deployment.strategy,
            exclusive: false,
            endings: Vec::new(),
            prepare: Prepare::Done,
            new: new.collect(),
            kept: kept.collect(),
            old: old.into_iter().map(|one| one.id).collect(),
            back: self.back().filter(|one| self.is_healthy(one)).count(),
            workers: Some(workers.collect()),
            wish: rollout::samples::wish(),
            lost: Vec::new(),
            probing: deployment.probing,
            switched: deployment.switched.is_some(),
            proxies_behind: self.proxies.iter().filter(behind).map(|_| "p".to_owned()).collect(),
            idle: Duration::from_secs(self.now - deployment.stepped_at),
            start_within: Duration::from_secs(30),
        }
    }

    /// Instances of the live release that still run and left the table.
    fn back(&self) -> impl Iterator<Item = &Instance> {
        let live = self.live();
        self.instances.iter().filter(move |one| {
            Some(one.deployment) == live && one.wanted && !one.in_rotation && one.out.is_some()
        })
    }

    fn take(&mut self, at: usize, step: Step) {
        let before = self.serving();
        let asked = self.deployments[at].replicas;
        let shown = step.to_string();
        match step {
            Step::Wait(_) => return,
            Step::LookAtWorkers => unreachable!("all of this world is in each situation"),
            Step::Run(_) | Step::Prepared(_) => unreachable!("no release of this world has a command"),
            Step::Clear(_) => unreachable!("no release of this world is exclusive"),
            Step::Start(place) => self.start(at, &place),
            Step::Abandon { id, .. } => {
                self.leave(&[id]);
                self.instance(id).wanted = false;
            }
            Step::Probe => self.deployments[at].probing = true,
            Step::Switch { enter, leave } => {
                self.switch(&enter, &leave);
                self.deployments[at].switched = Some(self.generation);
            }
            Step::GoLive => {
                if let Some(live) = self.live() {
                    self.deployments[live].state = State::Superseded;
                }
                self.deployments[at].state = State::Live;
                self.instances.iter_mut().filter(|one| one.in_rotation).for_each(|one| one.deployment = at);
            }
            Step::Fail(_) => self.deployments[at].state = State::Failed,
        }
        self.deployments[at].stepped_at = self.now;
        assert!(
            self.serving() >= before.min(asked),
            "{shown}: {before} healthy in the table, then {}, and {asked} are asked for",
            self.serving()
        );
    }

    fn start(&mut self, deployment: usize, place: &Place) {
        let node = self.nodes.iter().position(|(id, _)| *id == place.node).expect("a worker that is known");
        assert!(self.nodes[node].1, "nothing starts on a node that is gone");
        let taken = self.instances.iter().any(|one| one.node == node && one.port == place.port);
        assert!(!taken, "a port is used once");
        let Deployment { release, broken, .. } = self.deployments[deployment];
        self.instances.push(Instance {
            id: InstanceId::new(),
            deployment,
            release,
            node,
            port: place.port,
            state: InstanceState::Pending,
            broken,
            wanted: true,
            in_rotation: false,
            out: None,
        });
    }

    fn instance(&mut self, id: InstanceId) -> &mut Instance {
        self.instances.iter_mut().find(|one| one.id == id).expect("an instance that is known")
    }

    fn switch(&mut self, enter: &[InstanceId], leave: &[InstanceId]) {
        self.generation += 1;
        for id in enter {
            let one = self.instance(*id);
            one.in_rotation = true;
            one.out = None;
        }
        self.leave(leave);
    }

    fn leave(&mut self, ids: &[InstanceId]) {
        self.generation += usize::from(!ids.is_empty());
        let generation = self.generation;
        for id in ids {
            let one = self.instance(*id);
            if one.in_rotation {
                one.in_rotation = false;
                one.out = Some(generation);
            }
        }
    }

    fn undo(&mut self) {
        if self.rolling().is_some() {
            return;
        }
        let ended = |one: &&Instance| {
            matches!(self.deployments[one.deployment].state, State::Failed | State::Cancelled)
        };
        let stray: Vec<&Instance> =
            self.instances.iter().filter(|one| one.in_rotation).filter(ended).collect();
        let cancelled = |one: &&Instance| self.deployments[one.deployment].state == State::Cancelled;
        let seen = |one: &Instance| undo::Seen { id: one.id, healthy: self.is_healthy(one) };
        let now = undo::Situation {
            asked: stray.iter().any(cancelled),
            replicas: self.live().map_or(0, |live| self.deployments[live].replicas),
            healthy: self.serving() - stray.iter().filter(|one| self.is_healthy(one)).count(),
            stray: stray.into_iter().map(seen).collect(),
            back: self.back().map(seen).collect(),
        };
        if let Some(step) = undo::plan(&now) {
            let before = self.serving();
            self.switch(&step.enter, &step.leave);
            let least = if now.asked { 0 } else { before.min(now.replicas) };
            assert!(self.serving() >= least, "undo: {before} healthy in the table, then {}", self.serving());
        }
        let deployments = &self.deployments;
        self.instances
            .iter_mut()
            .filter(|one| matches!(deployments[one.deployment].state, State::Failed | State::Cancelled))
            .filter(|one| !one.in_rotation && one.out.is_none())
            .for_each(|one| one.wanted = false);
    }

    /// The drain time is over for all that left the table.
    fn drain(&mut self) {
        let leads_back = self.rolling().is_some_and(|at| self.deployments[at].switched.is_some());
        let behind = self.proxies.iter().filter(|proxy| proxy.connected).map(|proxy| proxy.applied).min();
        for one in &mut self.instances {
            let Some(out) = one.out.filter(|_| one.wanted && !one.in_rotation) else { continue };
            if leads_back || behind.is_some_and(|applied| applied < out) {
                continue;
            }
            one.wanted = false;
            let used = self.proxies.iter().any(|proxy| proxy.connected && proxy.table.contains(&one.id));
            assert!(!used, "nothing ends before every connected proxy has a table without it");
        }
    }

    /// Nobody harms the world any more; everything that can come further does.
    fn calm(&mut self) {
        for node in &mut self.nodes {
            node.1 = true;
        }
        for at in 0..PROXIES {
            self.happen(&Event::Connect(at));
            self.happen(&Event::Acknowledge(at));
        }
        for _ in 0..self.instances.len() {
            self.advance(0);
        }
        self.pass();
    }

    fn is_over(&self) -> bool {
        self.deployments.iter().all(|one| one.state.is_final())
    }
}

fn after(events: &[Event]) -> World {
    let mut world = World::new();
    for event in events {
        world.happen(event);
        world.pass();
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_roll_out_ends_and_nothing_is_left_over(events in prop::collection::vec(event(), 1..80)) {
        let mut world = after(&events);
        for _ in 0..50 + 20 * events.len() {
            world.calm();
        }
        prop_assert!(world.is_over(), "{world:#?}");
        let replicas = world.live().map_or(0, |live| world.deployments[live].replicas);
        for one in &world.instances {
            prop_assert!(one.wanted && one.in_rotation && Some(one.deployment) == world.live(), "{one:?} is left over");
        }
        prop_assert!(world.instances.len() <= replicas);
    }

    #[test]
    fn a_world_that_stands_still_holds_no_roll_out(events in prop::collection::vec(event(), 1..80)) {
        let mut world = after(&events);
        for _ in 0..10 * (1 + events.len()) {
            world.now += 1000;
            world.pass();
        }
        prop_assert!(world.is_over(), "{world:#?}");
    }
}
