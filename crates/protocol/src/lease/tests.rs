//! Three hosts, one exclusive app, and everything that can happen between them: at no time do two instances of it run.

use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_secs(12);
const HOSTS: usize = 3;
/// Agents look at their lease so often.
const TICK_MS: u64 = 500;

/// A host with its worker. Its clock starts anew with it and runs at a speed of its own.
#[derive(Debug)]
struct Host {
    id: NodeId,
    booted_ms: u64,
    /// Thousandths faster or slower.
    drift: i64,
    holder: Holder,
    /// What its desired state has, as it was told last.
    spec: BTreeSet<InstanceId>,
    running: BTreeSet<InstanceId>,
    /// Those that were told to end, and when they do at the latest.
    ending: BTreeMap<InstanceId, u64>,
}

impl Host {
    fn new(drift: i64) -> Self {
        Self {
            id: NodeId::new(),
            booted_ms: 0,
            drift,
            holder: Holder::default(),
            spec: BTreeSet::new(),
            running: BTreeSet::new(),
            ending: BTreeMap::new(),
        }
    }

    fn clock(&self, now_ms: u64) -> u64 {
        let age = i64::try_from(now_ms - self.booted_ms).expect("short");
        u64::try_from(age + age * self.drift / 1000).expect("forward")
    }

    /// A look of its agent.
    fn tick(&mut self, now_ms: u64) {
        let clock = self.clock(now_ms);
        self.ending.retain(|_, at| *at > now_ms);
        let ended: Vec<_> = self
            .running
            .iter()
            .copied()
            .filter(|id| !self.spec.contains(id) || !self.holder.may_run(*id, clock))
            .collect();
        let within = u64::try_from(self.holder.lease().stop_within().as_millis()).expect("short");
        for id in ended {
            self.running.remove(&id);
            // As stubborn as it may be.
            self.ending.insert(id, now_ms + within);
        }
        for id in self.spec.clone() {
            if self.holder.may_start(id, clock) && !self.ending.contains_key(&id) {
                self.running.insert(id);
            }
        }
    }

    fn writers(&self, now_ms: u64) -> usize {
        self.running.len() + self.ending.values().filter(|at| **at > now_ms).count()
    }
}

/// A row of the control plane.
#[derive(Debug)]
struct Row {
    id: InstanceId,
    host: usize,
    wanted: bool,
}

#[derive(Debug)]
struct World {
    now_ms: u64,
    hosts: Vec<Host>,
    rows: Vec<Row>,
    serials: [i64; HOSTS],
    watch: Watch,
    /// On their way, in both directions.
    requests: Vec<(usize, LeaseRequest)>,
    grants: Vec<(usize, LeaseGrant)>,
    agents: u32,
}

#[derive(Debug, Clone)]
enum Event {
    Ask(usize),
    /// The request that many places from the first reaches the control plane.
    Request(usize),
    Grant(usize),
    LoseRequest(usize),
    LoseGrant(usize),
    /// The host gets its newest desired state.
    Tell(usize),
    /// The host says that what is not wanted has ended, if so.
    Hear(usize),
    /// The app is to be on this host.
    Move(usize),
    AgentRestarts(usize),
    Reboots(usize),
    ControlPlaneRestarts,
    /// It looks at how many grants the host has had.
    Notes(usize),
    Later(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let host = || 0..HOSTS;
    prop_oneof![
        4 => host().prop_map(Event::Ask),
        4 => (0..4_usize).prop_map(Event::Request),
        4 => (0..4_usize).prop_map(Event::Grant),
        1 => (0..4_usize).prop_map(Event::LoseRequest),
        1 => (0..4_usize).prop_map(Event::LoseGrant),
        4 => host().prop_map(Event::Tell),
        1 => host().prop_map(Event::Hear),
        3 => host().prop_map(Event::Move),
        1 => host().prop_map(Event::AgentRestarts),
        1 => host().prop_map(Event::Reboots),
        1 => Just(Event::ControlPlaneRestarts),
        2 => host().prop_map(Event::Notes),
        5 => (1..24_u64).prop_map(Event::Later),
        1 => (24..60_u64).prop_map(Event::Later),
    ]
}

impl World {
    fn new(drifts: &[i64]) -> Self {
        Self {
            now_ms: 0,
            hosts: drifts.iter().map(|drift| Host::new(*drift)).collect(),
            rows: Vec::new(),
            serials: [0; HOSTS],
            watch: Watch::default(),
            requests: Vec::new(),
            grants: Vec::new(),
            agents: 0,
        }
    }

    fn happen(&mut self, event: &Event) {
        let now_ms = self.now_ms;
        match *event {
            Event::Ask(at) => {
                let host = &mut self.hosts[at];
                let clock = host.clock(now_ms);
                self.requests.push((at, host.holder.ask(clock)));
            }
            Event::Request(at) if at < self.requests.len() => {
                let (host, request) = self.requests.remove(at);
                self.serials[host] += 1;
                let named = self.rows.iter().filter(|row| row.host == host && row.wanted);
                let instances = named.map(|row| row.id).collect();
                let ttl_ms = u64::try_from(TTL.as_millis()).expect("short");
                self.grants.push((host, LeaseGrant { seq: request.seq, ttl_ms, instances }));
            }
            Event::Grant(at) if at < self.grants.len() => {
                let (host, grant) = self.grants.remove(at);
                self.hosts[host].holder.take(&grant);
            }
            Event::LoseRequest(at) if at < self.requests.len() => drop(self.requests.remove(at)),
            Event::LoseGrant(at) if at < self.grants.len() => drop(self.grants.remove(at)),
            Event::Tell(at) => {
                let wanted = self.rows.iter().filter(|row| row.host == at && row.wanted);
                self.hosts[at].spec = wanted.map(|row| row.id).collect();
            }
            Event::Hear(at) => {
                let host = &self.hosts[at];
                let gone = |row: &Row| {
                    row.host == at
                        && !row.wanted
                        && !host.spec.contains(&row.id)
                        && !host.running.contains(&row.id)
                        && host.ending.get(&row.id).is_none_or(|ends| *ends <= now_ms)
                };
                self.rows.retain(|row| !gone(row));
            }
            Event::Move(to) => self.go(to),
            Event::AgentRestarts(at) => {
                self.agents += 1;
                let host = &mut self.hosts[at];
                host.holder = Holder::new(host.holder.lease().clone(), self.agents * 1000);
            }
            Event::Reboots(at) => {
                self.agents += 1;
                let host = &mut self.hosts[at];
                (host.booted_ms, host.holder) = (now_ms, Holder::new(Lease::default(), self.agents * 1000));
                host.running.clear();
                host.ending.clear();
            }
            Event::ControlPlaneRestarts => self.watch = Watch::default(),
            Event::Notes(at) => {
                let now = Duration::from_millis(now_ms);
                self.watch.note(self.hosts[at].id, self.serials[at], now);
            }
            Event::Later(ticks) => {
                for _ in 0..ticks {
                    self.pass_time();
                }
            }
            Event::Request(_) | Event::Grant(_) | Event::LoseRequest(_) | Event::LoseGrant(_) => {}
        }
        self.look();
    }

    /// One step of the control plane: what is elsewhere is not wanted any more, and once it has ended, by word of its
    /// host or by its lease, another starts.
    fn go(&mut self, to: usize) {
        if self.rows.iter().any(|row| row.wanted && row.host == to) {
            return;
        }
        self.rows.iter_mut().for_each(|row| row.wanted = false);
        let now = Duration::from_millis(self.now_ms);
        let (hosts, serials, watch) = (&self.hosts, &self.serials, &mut self.watch);
        let runs = |row: &Row| watch.left(hosts[row.host].id, serials[row.host], TTL, now).is_some();
        if self.rows.iter().map(runs).filter(|runs| *runs).count() == 0 {
            self.rows.push(Row { id: InstanceId::new(), host: to, wanted: true });
        }
    }

    fn pass_time(&mut self) {
        self.now_ms += TICK_MS;
        let now_ms = self.now_ms;
        self.hosts.iter_mut().for_each(|host| host.tick(now_ms));
        self.look();
    }

    fn look(&mut self) {
        let writers: usize = self.hosts.iter().map(|host| host.writers(self.now_ms)).sum();
        assert!(writers <= 1, "{writers} writers: {self:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn there_are_never_two_writers(
        drifts in prop::collection::vec(-20..20_i64, HOSTS),
        events in prop::collection::vec(event(), 1..200),
    ) {
        let mut world = World::new(&drifts);
        for event in &events {
            world.happen(event);
        }
    }
}

/// The property would hold of a world in which nothing ever runs.
#[test]
fn an_app_that_moves_runs_again_elsewhere_once_the_lease_is_over() {
    let mut world = World::new(&[10, -10, 0]);
    let renew = |world: &mut World, at| {
        for event in [Event::Tell(at), Event::Ask(at), Event::Request(0), Event::Grant(0), Event::Later(2)] {
            world.happen(&event);
        }
    };
    world.happen(&Event::Move(0));
    renew(&mut world, 0);
    assert_eq!(world.hosts[0].running.len(), 1);
    // The host is cut off: it hears nothing, and asks in vain.
    world.happen(&Event::Move(1));
    world.happen(&Event::Later(10));
    renew(&mut world, 1);
    assert_eq!((world.hosts[0].running.len(), world.rows.len()), (1, 1), "its lease holds");
    world.happen(&Event::Later(14));
    assert_eq!(world.hosts[0].running.len(), 0, "it stopped by itself");
    world.happen(&Event::Later(14));
    world.happen(&Event::Move(1));
    renew(&mut world, 1);
    assert_eq!(world.hosts[1].running.len(), 1);
    // It comes back with what it had, and is told otherwise.
    world.happen(&Event::Ask(0));
    world.happen(&Event::Request(0));
    world.happen(&Event::Grant(0));
    world.happen(&Event::Later(4));
    assert_eq!(world.hosts[0].running.len(), 0);
}

#[test]
fn an_answer_counts_from_when_it_was_asked_for_and_the_newest_wins() {
    let (mut holder, one) = (Holder::default(), InstanceId::new());
    let (early, late) = (holder.ask(1000), holder.ask(5000));
    let grant = |request: LeaseRequest, instances| LeaseGrant { seq: request.seq, ttl_ms: 10_000, instances };
    assert!(holder.take(&grant(late, vec![one])));
    assert!(!holder.take(&grant(early, vec![])), "an older answer changes nothing");
    assert!(!holder.take(&grant(late, vec![])), "nor does the same again");
    assert!(holder.may_run(one, 12_499) && !holder.may_run(one, 12_500));
    assert!(holder.may_start(one, 9_999) && !holder.may_start(one, 10_000));
    assert_eq!(holder.lease().stop_within(), Duration::from_millis(1250));
    assert!(!holder.may_run(InstanceId::new(), 5000), "nobody granted that one");
    let newest = holder.ask(6000);
    assert!(holder.take(&grant(newest, vec![])));
    assert!(!holder.may_start(one, 6000), "it is named no more");
    assert!(holder.may_run(one, 12_499) && !holder.may_run(one, 12_500), "and ends in its own time");
}

#[test]
fn it_is_asked_when_something_is_missing_and_after_a_quarter() {
    let (mut holder, one) = (Holder::default(), InstanceId::new());
    assert!(!holder.is_due(&BTreeSet::new(), 0), "nothing here is exclusive");
    let wanted = BTreeSet::from([one]);
    assert!(holder.is_due(&wanted, 0));
    let request = holder.ask(0);
    holder.take(&LeaseGrant { seq: request.seq, ttl_ms: 8000, instances: vec![one] });
    assert!(!holder.is_due(&wanted, 1999) && holder.is_due(&wanted, 2000));
    assert!(holder.is_due(&BTreeSet::from([one, InstanceId::new()]), 0));
}
