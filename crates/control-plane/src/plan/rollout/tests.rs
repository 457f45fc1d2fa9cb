use super::samples::situation;
use super::*;

fn new(node: &str, state: InstanceState) -> New {
    New {
        id: InstanceId::new(),
        node: node.to_owned(),
        node_gone: false,
        in_rotation: false,
        state,
        failure: None,
    }
}

/// Carries the switch out that is planned.
fn switch(now: &mut Situation) {
    let steps = plan(now);
    let [Step::Switch { enter, leave }] = steps.as_slice() else { panic!("{steps:?}") };
    now.new.iter_mut().filter(|new| enter.contains(&new.id)).for_each(|new| new.in_rotation = true);
    now.old.retain(|old| !leave.contains(old));
    now.back += leave.len();
    now.switched = true;
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
    switch(&mut now);
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
    failed.failure = Some(Failure {
        code: "exited".to_owned(),
        message: "It ended.".to_owned(),
        ..failure::unexplained("")
    });
    assert_eq!(text(&situation(vec![failed])), "fail: It ended. (exited)");
}

#[test]
fn a_node_that_goes_before_its_instance_is_healthy_is_replaced() {
    let mut lost = new("w2", InstanceState::Starting);
    lost.node_gone = true;
    let mut now = situation(vec![new("w1", InstanceState::Healthy), lost]);
    assert_eq!(text(&now), "abandon the instance on w2, which is gone");
    now.new[1].state = InstanceState::Healthy;
    assert_eq!(text(&now), "abandon the instance on w2, which is gone", "nobody has seen it since");
}

#[test]
fn nothing_starts_before_the_command_of_the_release_ended_well() {
    let task = |state| prepare::Task {
        id: InstanceId::new(),
        node: "w1".to_owned(),
        node_gone: false,
        state,
        failure: None,
        age: Duration::ZERO,
    };
    let after = |prepare| text(&Situation { prepare, ..situation(Vec::new()) });
    let runs = |task| after(Prepare::Runs(Box::new(task)));
    let told = Failure {
        code: "command_failed".to_owned(),
        message: "the command ended with exit code 3".to_owned(),
        ..failure::unexplained("w1")
    };
    let story = [
        after(Prepare::Due),
        runs(task(InstanceState::Starting)),
        runs(task(InstanceState::Exited)),
        runs(prepare::Task { failure: Some(told), ..task(InstanceState::Failed) }),
        runs(prepare::Task { node_gone: true, ..task(InstanceState::Starting) }),
        runs(prepare::Task { age: prepare::COMMAND_LIMIT, ..task(InstanceState::Starting) }),
        after(Prepare::Lost),
    ];
    insta::assert_snapshot!(story.join("\n"), @r"
    run the pre-deploy command on w1
    wait for the pre-deploy command on w1
    the pre-deploy command ended well
    fail: The pre-deploy command failed: the command ended with exit code 3 (release_command_failed)
    fail: w1 went offline while it ran the pre-deploy command. (release_command_failed)
    fail: The pre-deploy command did not end within 30 min. (release_command_failed)
    fail: The worker that ran the pre-deploy command was removed. (release_command_failed)
    ");
}

#[test]
fn it_looks_at_the_workers_only_to_place_something() {
    let due = Situation { prepare: Prepare::Due, ..situation(Vec::new()) };
    let serving = situation(vec![new("w1", InstanceState::Healthy), new("w2", InstanceState::Starting)]);
    let texts = [situation(Vec::new()), due, serving].map(|now| text(&Situation { workers: None, ..now }));
    assert_eq!(texts[..2], ["look at the workers", "look at the workers"]);
    assert!(!texts[2].contains("workers"), "{}", texts[2]);
}

#[test]
fn without_a_worker_it_waits_and_says_so() {
    let now = Situation { workers: Some(Vec::new()), ..situation(Vec::new()) };
    assert_eq!(text(&now), "wait for a worker that is online");
}

#[test]
fn what_takes_too_long_fails_with_its_cause() {
    let mut story = Vec::new();
    let mut late = |now: Situation, limit: Duration| {
        let before = Situation { idle: limit.saturating_sub(Duration::from_secs(1)), ..now.clone() };
        assert!(text(&before).starts_with("wait for"), "{}", text(&before));
        story.push(text(&Situation { idle: limit, ..now }));
    };
    let none = Situation { workers: Some(Vec::new()), probing: true, ..situation(Vec::new()) };
    late(Situation { lost: vec!["w2".to_owned()], ..none.clone() }, PLACE_LIMIT);
    late(none, PLACE_LIMIT);
    let mut full = situation(Vec::new());
    full.workers
        .iter_mut()
        .flatten()
        .for_each(|worker| worker.used_ports = super::super::placement::HOST_PORTS.collect());
    late(full, PLACE_LIMIT);
    let pulling = situation(vec![new("w1", InstanceState::Pulling), new("w2", InstanceState::Pulling)]);
    late(pulling, START_LIMIT + Duration::from_secs(30));
    let mut switched = situation(vec![new("w1", InstanceState::Healthy), new("w2", InstanceState::Healthy)]);
    switched.old = vec![InstanceId::new(), InstanceId::new()];
    switch(&mut switched);
    late(Situation { proxies_behind: vec!["p1".to_owned()], ..switched.clone() }, PROXY_LIMIT);
    switched.new[1].state = InstanceState::Unhealthy;
    late(switched, SETTLE_LIMIT);
    insta::assert_snapshot!(story.join("\n"), @r"
    fail: w2 went offline with an instance, and no other worker took it within 5 min. (node_lost)
    fail: No worker was online within 5 min. (no_room)
    fail: No worker could take an instance within 5 min: w1, w2: no free port. (no_room)
    fail: The instances on w1, w2 neither became healthy nor failed within 15 min. (start_timeout)
    fail: The proxies p1 did not take the new route table within 2 min. (proxies_behind)
    fail: The instances on w2 were healthy, took requests and have not been healthy for 2 min since. (fell_ill)
    ");
}

#[test]
fn what_is_in_the_table_stays_when_the_way_back_leads_to_less() {
    let mut now = situation(vec![new("w1", InstanceState::Healthy), new("w2", InstanceState::Healthy)]);
    switch(&mut now);
    now.new[1].state = InstanceState::Exited;
    now.proxies_behind = vec!["p1".to_owned()];
    now.idle = SETTLE_LIMIT;
    now.back = 0;
    assert_eq!(text(&now), "go live");
    now.back = 1;
    assert!(text(&now).starts_with("fail"), "{}", text(&now));
}

#[test]
fn rolling_replaces_one_instance_after_the_other() {
    use InstanceState::{Healthy, Starting};
    let mut story = Vec::new();
    let mut now = situation(Vec::new());
    now.strategy = Strategy::Rolling;
    now.old = vec![InstanceId::new(), InstanceId::new()];
    story.push(text(&now));
    now.new = vec![new("w1", Starting)];
    now.probing = true;
    story.push(text(&now));
    now.new[0].state = Healthy;
    story.push(text(&now));
    switch(&mut now);
    now.proxies_behind = vec!["p1".to_owned()];
    story.push(text(&now));
    now.proxies_behind = Vec::new();
    story.push(text(&now));
    now.new.push(new("w2", Healthy));
    story.push(text(&now));
    switch(&mut now);
    now.new[0].state = InstanceState::Unhealthy;
    story.push(text(&now));
    now.new[0].state = Healthy;
    story.push(text(&now));
    insta::assert_snapshot!(story.join("\n"), @r"
    start on w1 port 20000
    wait for instances on w1 (0 of 1 healthy)
    switch: 1 enter, 1 leave
    wait for the proxies p1
    start on w1 port 20000
    switch: 1 enter, 1 leave
    wait for the instances on w1 to be healthy again
    go live
    ");
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
fn one_instance_is_replaced_after_its_successor_is_healthy_and_the_others_stay() {
    use InstanceState::{Healthy, Starting};
    let all = [kept("w1", true), kept("w2", true), kept("w1", false)];
    let renewal = Renewal::One(all[0].id);
    let (stay, go): (Vec<Kept>, Vec<Kept>) = all.into_iter().partition(|kept| renewal.keeps(kept.id));
    let old: Vec<InstanceId> = go.iter().map(|kept| kept.id).collect();
    let mut now = Situation { kept: stay, replicas: 3, old: old.clone(), ..situation(Vec::new()) };
    let mut story = vec![text(&now)];
    now.new = vec![new("w1", Starting)];
    now.probing = true;
    story.push(text(&now));
    now.new[0].state = Healthy;
    assert_eq!(plan(&now), [Step::Switch { enter: vec![now.new[0].id], leave: old }]);
    switch(&mut now);
    now.proxies_behind = vec!["p1".to_owned()];
    story.push(text(&now));
    now.proxies_behind = Vec::new();
    story.push(text(&now));
    insta::assert_snapshot!(story.join("\n"), @r"
    start on w1 port 20000
    wait for instances on w1 (0 of 1 healthy)
    wait for the proxies p1
    go live
    ");
}

#[test]
fn the_only_instance_serves_until_its_successor_does() {
    let now = situation(vec![new("w1", InstanceState::Starting)]);
    let now = Situation { replicas: 1, probing: true, ..now };
    assert_eq!(text(&now), "wait for instances on w1 (0 of 1 healthy)");
    assert!([Renewal::All, Renewal::One(now.old[0])].iter().all(|renewal| !renewal.keeps(now.old[0])));
    assert!(Renewal::Nothing.keeps(now.old[0]));
}

#[test]
fn those_that_do_not_serve_go_first_and_then_those_that_share_a_node() {
    let all = [kept("w1", true), kept("w1", true), kept("w2", true), kept("w3", false)];
    assert_eq!(surplus(&all, 3), [all[3].id]);
    assert_eq!(surplus(&all, 2), [all[3].id, all[1].id]);
    assert_eq!(surplus(&all, 4), []);
}
