use super::*;

const NOW: &str = "2026-01-01T12:00:00Z";

fn now() -> DateTime<Utc> {
    NOW.parse().expect("time")
}

/// For an hour, and 100 bytes of cache.
fn keep(keep: usize) -> Policy {
    Policy { keep, grace: TimeDelta::hours(1), cache_bytes: 100 }
}

/// `+`: has served, `!`: in use, `~`: its app is busy.
fn image(app: AppId, newest: i32, marks: &str) -> AppImage {
    AppImage {
        app,
        image: format!("i{newest}"),
        newest,
        newest_served: marks.contains('+').then_some(newest),
        in_use: marks.contains('!'),
        app_busy: marks.contains('~'),
        available: true,
    }
}

fn images(marks: &[&str]) -> Vec<AppImage> {
    let app = AppId::new();
    (1..).zip(marks).map(|(number, marks)| image(app, number, marks)).collect()
}

fn worker(name: &str, image_bytes: i64, online: bool) -> Worker {
    let since = now() - TimeDelta::minutes(if name.starts_with("late") { 1 } else { 60 });
    Worker { node: NodeId::new(), name: name.to_owned(), online, since, image_bytes }
}

fn held(worker: &Worker, image: &str, ours: bool) -> Held {
    Held {
        node: worker.node,
        image: image.to_owned(),
        ours,
        cache: false,
        made_at: now(),
        size_bytes: 10,
        frees_bytes: 10,
        unneeded_since: None,
    }
}

/// What a build left some minutes ago.
fn leaving(worker: &Worker, image: &str, minutes: i64, frees_bytes: i64) -> Held {
    let made_at = now() - TimeDelta::minutes(minutes);
    Held { cache: true, made_at, frees_bytes, ..held(worker, image, true) }
}

#[test]
fn the_newest_that_served_and_what_is_in_use_are_kept() {
    for (marks, keep, expected) in [
        (&["+", "+", "+!"][..], 2, &["i2", "i3"][..]),
        // After a rollback the old one serves.
        (&["+!", "+", "+", "+"], 2, &["i1", "i3", "i4"]),
        // Two that never served do not push out the one before.
        (&["+", "+!", "", ""], 2, &["i1", "i2", "i3", "i4"]),
        (&["+", "+", "", "", "+!"], 2, &["i2", "i4", "i5"]),
        (&["", "!", "+"], 1, &["i2", "i3"]),
        (&["+"], 5, &["i1"]),
        (&[], 5, &[]),
    ] {
        let images = images(marks);
        let kept: Vec<_> = kept(&images, keep).into_iter().collect();
        assert_eq!(kept, expected, "{marks:?}");
    }
}

#[test]
fn an_image_of_two_apps_stays_as_long_as_one_keeps_it() {
    let mut all = images(&["+", "+!"]);
    all.push(AppImage { image: "i1".to_owned(), ..image(AppId::new(), 7, "+!") });
    assert_eq!(kept(&all, 1).into_iter().collect::<Vec<_>>(), ["i1", "i2"]);
}

#[test]
fn an_image_goes_once_nothing_has_needed_it_for_the_grace_time() {
    let one = worker("one", 0, true);
    let mut world = World {
        images: images(&["+", "+!"]),
        held: vec![held(&one, "i1", true), held(&one, "i2", true)],
        workers: vec![one.clone()],
        ..World::default()
    };
    let key = (one.node, "i1".to_owned());
    let first = plan(&world, &keep(1), now());
    assert_eq!((first.unneeded, first.orders.len()), ([key.clone()].into(), 0), "noticed, not removed");
    for (minutes, removed) in [(59, false), (60, true)] {
        world.held[0].unneeded_since = Some(now() - TimeDelta::minutes(minutes));
        let plan = plan(&world, &keep(1), now());
        assert_eq!(plan.orders.get(&key) == Some(&Action::Remove), removed, "{minutes} minutes");
        assert_eq!(plan.unneeded.len() + plan.needed_again.len(), 0);
    }
    // A deployment of the app may bring any of its images back.
    world.images[1].app_busy = true;
    world.images[0].app_busy = true;
    let plan = plan(&world, &keep(1), now());
    assert_eq!((plan.orders.len(), plan.needed_again), (0, [key].into()));
}

#[test]
fn what_is_neither_ours_nor_of_a_release_is_never_removed() {
    let one = worker("one", 0, true);
    let long_ago = |held: Held| Held { unneeded_since: Some(now() - TimeDelta::days(9)), ..held };
    let world = World {
        images: images(&["+", "+!"]),
        held: vec![
            long_ago(held(&one, "foreign", false)),
            long_ago(held(&one, "i1", false)),
            long_ago(held(&one, "i2", true)),
            long_ago(held(&one, "forgotten", true)),
        ],
        workers: vec![one.clone()],
        ..World::default()
    };
    let orders = plan(&world, &keep(1), now()).orders;
    let removed: Vec<_> = orders.keys().map(|(_, image)| image.as_str()).collect();
    assert_eq!(removed, ["forgotten", "i1"]);
}

#[test]
fn the_oldest_cache_of_a_worker_goes_first_and_only_as_far_as_needed() {
    let (one, two) = (worker("one", 0, true), worker("two", 0, true));
    let mut world = World {
        held: vec![
            leaving(&one, "old", 30, 30),
            leaving(&one, "older", 40, 30),
            leaving(&one, "new", 10, 70),
            leaving(&two, "alone", 50, 100),
        ],
        workers: vec![one.clone(), two],
        ..World::default()
    };
    let key = (one.node, "older".to_owned());
    let first = plan(&world, &keep(1), now());
    assert_eq!((first.unneeded, first.orders.len()), ([key.clone()].into(), 0), "30 bytes suffice");
    world.held[1].unneeded_since = Some(now() - TimeDelta::hours(1));
    assert_eq!(plan(&world, &keep(1), now()).orders, [(key, Action::Trim)].into());
}

#[test]
fn cache_that_is_the_image_of_a_release_goes_and_stays_as_one() {
    let one = worker("one", 0, true);
    let long_ago = |held: Held| Held { unneeded_since: Some(now() - TimeDelta::days(9)), ..held };
    let world = World {
        images: images(&["+", "+!"]),
        // Somebody took their names away.
        held: vec![long_ago(leaving(&one, "i1", 30, 10)), long_ago(leaving(&one, "i2", 40, 900))],
        workers: vec![one.clone()],
        ..World::default()
    };
    let plan = plan(&world, &keep(1), now());
    assert_eq!(plan.orders, [((one.node, "i1".to_owned()), Action::Remove)].into());
    assert_eq!(plan.needed_again, [(one.node, "i2".to_owned())].into());
}

/// Names of the workers that should fetch `i1`, which `holders` have.
fn copied(workers: &[Worker], holders: &[usize], orders: &[usize]) -> Vec<String> {
    let world = World {
        images: images(&["+!"]),
        held: holders.iter().map(|index| held(&workers[*index], "i1", true)).collect(),
        workers: workers.to_vec(),
        orders: orders.iter().map(|index| ((workers[*index].node, "i1".to_owned()), Action::Hold)).collect(),
        ..World::default()
    };
    let orders = plan(&world, &keep(1), now()).orders;
    let name = |node: NodeId| workers.iter().find(|worker| worker.node == node).expect("known").name.clone();
    orders.keys().map(|(node, _)| name(*node)).collect()
}

#[test]
fn a_kept_image_has_a_copy_on_the_least_full_worker_that_is_online() {
    let workers =
        [worker("a", 0, true), worker("b", 500, true), worker("c", 100, true), worker("d", 0, false)];
    for (holders, orders, expected) in [
        (&[0][..], &[][..], &["c"][..]),
        (&[0], &[1], &["b"]),
        (&[0], &[3], &["c"]),
        (&[0, 1], &[2], &[]),
        // One that has been away for long does not count; nor is there anything to copy without one that answers.
        (&[0, 3], &[], &["c"]),
        (&[3], &[], &[]),
        (&[], &[], &[]),
    ] {
        assert_eq!(copied(&workers, holders, orders), expected, "{holders:?} {orders:?}");
    }
    let moment = [worker("a", 0, true), worker("late", 0, false), worker("c", 0, true)];
    assert_eq!(copied(&moment, &[0, 1], &[]), [] as [&str; 0], "it may come back in a moment");
    assert_eq!(copied(&moment[..1], &[0], &[]), [] as [&str; 0]);
}

#[test]
fn copies_spread_and_asking_again_changes_nothing() {
    let workers = vec![worker("a", 0, true), worker("b", 0, true), worker("c", 5, true)];
    let mut world = World {
        images: images(&["+", "+", "+!"]),
        held: ["i1", "i2", "i3"].map(|image| held(&workers[0], image, true)).into(),
        workers: workers.clone(),
        ..World::default()
    };
    let first = plan(&world, &keep(3), now()).orders;
    let on = |worker: &Worker| first.keys().filter(|(node, _)| *node == worker.node).count();
    assert_eq!((on(&workers[1]), on(&workers[2])), (2, 1));
    world.orders = first.clone();
    world.workers[1].image_bytes = 1000;
    assert_eq!(plan(&world, &keep(3), now()).orders, first, "a fetch that is under way goes on");
}

#[test]
fn an_image_in_a_registry_needs_no_second_worker_if_it_is_there_for_each_of_its_apps() {
    let workers = vec![worker("a", 0, true), worker("b", 0, true)];
    let mut world = World {
        images: images(&["+!"]),
        held: vec![held(&workers[0], "i1", true)],
        workers,
        ..World::default()
    };
    assert_eq!(plan(&world, &keep(1), now()).orders.len(), 1);
    world.in_registry.insert((world.images[0].app, "i1".to_owned()));
    assert_eq!(plan(&world, &keep(1), now()).orders.len(), 0);
    world.images.push(AppImage { image: "i1".to_owned(), ..image(AppId::new(), 7, "+!") });
    assert_eq!(plan(&world, &keep(1), now()).orders.len(), 1, "another organization may not have it there");
}
