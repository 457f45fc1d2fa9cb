//! Where instances go, told as a specification.

use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use super::*;
use crate::placement::Strategy;
use crate::plan::rollout::samples;

const GIB: u64 = 1024;

/// Online, with so many cores and GiB.
fn worker(name: &str, cores: u64, gib: u64) -> Candidate {
    let capacity = Some(Amount { cpu_millis: cores * 1000, memory_mb: gib * GIB });
    Candidate { capacity, ..Candidate::new(NodeId::new(), name.to_owned()) }
}

fn labelled(mut worker: Candidate, labels: &[(&str, &str)]) -> Candidate {
    worker.labels = labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    worker
}

/// With other instances of so many cores and GiB.
fn filled(mut worker: Candidate, cores: u64, gib: u64) -> Candidate {
    worker.reserved += Amount { cpu_millis: cores * 1000, memory_mb: gib * GIB };
    worker.instances += 1;
    worker.used_ports.insert(29_000);
    worker
}

/// One core and one GiB.
fn wish(strategy: Strategy) -> Wish {
    Wish { strategy, needs: Amount { cpu_millis: 1000, memory_mb: GIB }, ..samples::wish() }
}

fn constraints(texts: &[&str]) -> Vec<Constraint> {
    texts.iter().map(|&text| Constraint::try_from(text.to_owned()).expect(text)).collect()
}

fn names(wish: &Wish, candidates: &[Candidate], count: usize) -> String {
    let choice = choose(wish, candidates.to_vec(), count);
    let mut words: Vec<String> = choice.places.into_iter().map(|place| place.name).collect();
    if !choice.refusals.is_empty() {
        words.push(format!("({})", in_words(&choice.refusals)));
    }
    words.join(" ")
}

#[test]
fn least_utilised_takes_the_smallest_share_of_what_is_scarcer() {
    let workers =
        [filled(worker("a", 8, 8), 4, 1), filled(worker("b", 8, 8), 1, 5), filled(worker("c", 8, 8), 3, 3)];
    assert_eq!(names(&wish(Strategy::LeastUtilised), &workers, 1), "c");
    let large = filled(worker("large", 64, 64), 8, 8);
    assert_eq!(names(&wish(Strategy::LeastUtilised), &[large, filled(worker("a", 8, 8), 4, 4)], 1), "large");
}

#[test]
fn an_image_that_is_there_is_worth_a_quarter_of_a_worker() {
    let with_image = |worker: Candidate| Candidate { has_image: true, ..worker };
    let wish = wish(Strategy::LeastUtilised);
    let empty = worker("empty", 10, 10);
    assert_eq!(names(&wish, &[empty.clone(), with_image(filled(worker("built", 10, 10), 2, 2))], 1), "built");
    assert_eq!(names(&wish, &[empty, with_image(filled(worker("built", 10, 10), 3, 3))], 1), "empty");
}

#[test]
fn round_robin_takes_turns_whatever_they_hold() {
    let mut workers = [worker("a", 8, 8), filled(worker("b", 8, 8), 4, 4), worker("c", 8, 8)];
    (workers[0].turn, workers[1].turn, workers[2].turn) = (7, 5, 6);
    assert_eq!(names(&wish(Strategy::RoundRobin), &workers, 5), "b c a b c");
}

#[test]
fn resource_fills_the_fullest_that_fits_and_keeps_others_free() {
    let workers =
        [worker("free", 8, 8), filled(worker("half", 8, 8), 4, 4), filled(worker("full", 8, 8), 8, 8)];
    assert_eq!(names(&wish(Strategy::Resource), &workers, 1), "half");
}

#[test]
fn spread_goes_over_regions_then_over_nodes() {
    let at = |name: &str, region: &str| labelled(worker(name, 8, 8), &[("region", region)]);
    let workers = [at("de-1", "de"), at("de-2", "de"), filled(at("fi-1", "fi"), 6, 6)];
    assert_eq!(names(&wish(Strategy::Spread), &workers, 4), "de-1 fi-1 de-2 fi-1");
    let nowhere = [worker("a", 8, 8), filled(worker("b", 8, 8), 1, 1)];
    assert_eq!(names(&wish(Strategy::Spread), &nowhere, 3), "a b a");
}

#[test]
fn replicas_keep_apart_while_they_can_and_always_when_that_is_asked() {
    let workers = [worker("a", 8, 8), filled(worker("b", 8, 8), 6, 6)];
    assert_eq!(names(&wish(Strategy::LeastUtilised), &workers, 3), "a b a");
    let hard = Wish { per_node: Some(1), ..wish(Strategy::LeastUtilised) };
    assert_eq!(names(&hard, &workers, 3), "a b (a, b: runs a replica already)");
    let two = Wish { per_node: Some(2), ..hard };
    assert_eq!(names(&two, &workers[..1], 3), "a a (a: runs 2 replicas already)");
    assert_eq!(two.of_command().per_node, None, "a command is no replica");
}

#[test]
fn what_is_required_excludes_and_what_is_preferred_goes_first() {
    let workers = [
        labelled(worker("a", 8, 8), &[("disk", "hdd"), ("region", "de")]),
        labelled(filled(worker("b", 8, 8), 6, 6), &[("disk", "nvme"), ("region", "fi")]),
        labelled(worker("c", 8, 8), &[("disk", "nvme"), ("spot", "")]),
    ];
    let wish = wish(Strategy::LeastUtilised);
    let required = Wish { required: constraints(&["disk=nvme", "!spot"]), ..wish.clone() };
    assert_eq!(
        names(&required, &workers, 3),
        "b b (a: its labels do not fulfil disk=nvme; b: 1024 MiB of memory and 1 CPU short; c: its labels do not fulfil \
         !spot)"
    );
    let preferred = Wish { preferred: constraints(&["disk=nvme", "region=fi"]), ..wish };
    assert_eq!(names(&preferred, &workers, 4), "b b c c");
}

#[test]
fn a_pinned_app_has_one_node_and_is_told_what_is_wrong_with_it() {
    let cordoned = Candidate { cordoned: true, ..worker("b", 8, 8) };
    let pinned = Wish { pin: Some("b".to_owned()), ..wish(Strategy::LeastUtilised) };
    assert_eq!(names(&pinned, &[worker("a", 8, 8), worker("b", 8, 8)], 2), "b b");
    assert_eq!(names(&pinned, &[worker("a", 8, 8), cordoned], 1), "(a: not b, its only node; b: cordoned)");
}

#[test]
fn every_worker_says_why_it_takes_nothing() {
    let workers = [
        Candidate { online: false, ..worker("w1", 8, 8) },
        Candidate { takes_apps: false, ..worker("w2", 8, 8) },
        Candidate { cordoned: true, ..worker("w3", 8, 8) },
        Candidate { max_instances: Some(1), ..filled(worker("w4", 8, 8), 1, 1) },
        filled(worker("w5", 8, 8), 0, 8),
        filled(worker("w6", 8, 8), 7, 7),
        Candidate { used_ports: HOST_PORTS.collect(), ..worker("w7", 8, 8) },
    ];
    let large = Wish { needs: Amount { cpu_millis: 1500, memory_mb: 1 }, ..wish(Strategy::LeastUtilised) };
    insta::assert_snapshot!(
        names(&large, &workers, 1).replace("; ", "\n"),
        @r"
    (w1: offline
    w2: takes no apps
    w3: cordoned
    w4: full with 1 instances
    w5: 1 MiB of memory short
    w6: 0.5 CPU short
    w7: no free port)
    "
    );
    let many: Vec<_> =
        (1..=6).map(|n| Candidate { cordoned: true, ..worker(&format!("w{n}"), 1, 1) }).collect();
    assert_eq!(names(&large, &many, 1), "(w1, w2, w3, w4 and 2 more: cordoned)");
}

#[test]
fn a_worker_that_has_not_told_what_it_is_has_no_limit() {
    let unknown = Candidate::new(NodeId::new(), "a".to_owned());
    assert_eq!(choose(&wish(Strategy::LeastUtilised), vec![unknown], 50).places.len(), 50);
}

#[test]
fn ports_in_use_are_passed_over() {
    let gap = Candidate { used_ports: [20000, 20001, 20003].into(), ..worker("a", 8, 8) };
    let ports = |count| {
        let choice = choose(&wish(Strategy::LeastUtilised), vec![gap.clone()], count);
        choice.places.into_iter().map(|place| place.port).collect::<Vec<_>>()
    };
    assert_eq!(ports(2), [20002, 20004]);
}

fn any_worker(number: usize) -> impl proptest::strategy::Strategy<Value = Candidate> {
    let flags = (prop::bool::weighted(0.9), prop::bool::weighted(0.9), prop::bool::weighted(0.1));
    let room = (0..9_u64, 0..9_u64, 0..6_u64, 0..6_u64);
    (flags, room, prop::option::of(1..6_usize), 0..3_usize, prop::bool::ANY).prop_map(
        move |(
            (online, takes_apps, cordoned),
            (cores, gib, used, used_gib),
            max_instances,
            disk,
            has_image,
        )| {
            let labels = [("disk", ["hdd", "nvme", "ssd"][disk])];
            let base = labelled(worker(&format!("w{number}"), cores, gib), &labels);
            let base = if used + used_gib > 0 { filled(base, used, used_gib) } else { base };
            Candidate { online, takes_apps, cordoned, max_instances, has_image, ..base }
        },
    )
}

fn any_wish() -> impl proptest::strategy::Strategy<Value = Wish> {
    let strategy = prop_oneof![
        Just(Strategy::LeastUtilised),
        Just(Strategy::RoundRobin),
        Just(Strategy::Resource),
        Just(Strategy::Spread)
    ];
    let needs = (1..4_u64, 1..4_u64);
    let required = prop_oneof![Just(vec![]), Just(vec!["disk=nvme"]), Just(vec!["disk!=hdd"])];
    (
        strategy,
        needs,
        prop::option::of(1..3_usize),
        required,
        prop::option::weighted(0.1, Just("w1".to_owned())),
    )
        .prop_map(|(strategy, (cores, gib), per_node, required, pin)| Wish {
            needs: Amount { cpu_millis: cores * 700, memory_mb: gib * 500 },
            per_node,
            required: constraints(&required),
            pin,
            ..wish(strategy)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_placed_where_it_may_not_be_and_nobody_is_left_out_without_a_reason(
        workers in (0..6_usize).prop_flat_map(|count| (0..count).map(any_worker).collect::<Vec<_>>()),
        wish in any_wish(),
        count in 0..12_usize,
    ) {
        let choice = choose(&wish, workers.clone(), count);
        for worker in &workers {
            let here: Vec<_> = choice.places.iter().filter(|place| place.node == worker.node).collect();
            let mut after = worker.clone();
            for place in &here {
                prop_assert!(HOST_PORTS.contains(&place.port) && !after.used_ports.contains(&place.port));
                after.take(place.port, wish.needs, 0);
            }
            if here.is_empty() {
                continue;
            }
            let capacity = worker.capacity.expect("told");
            prop_assert!(after.reserved.cpu_millis <= capacity.cpu_millis && after.reserved.memory_mb <= capacity.memory_mb);
            prop_assert!(worker.online && worker.takes_apps && !worker.cordoned);
            prop_assert!(wish.required.iter().all(|constraint| constraint.holds(&worker.labels)));
            prop_assert!(wish.per_node.is_none_or(|most| after.of_release <= most));
            prop_assert!(worker.max_instances.is_none_or(|most| after.used_ports.len() <= most));
            prop_assert!(wish.pin.as_ref().is_none_or(|pin| *pin == worker.name));
        }
        prop_assert!(choice.places.len() <= count);
        let short = choice.places.len() < count;
        prop_assert_eq!(choice.refusals.len(), if short { workers.len() } else { 0 });
        prop_assert_eq!(choose(&wish, workers, count).places, choice.places, "the same rows give the same places");
    }
}
