use std::thread;
use std::time::Instant;

use protocol::traffic::Latency;

use super::*;

fn total(drained: &[AppTraffic]) -> u64 {
    drained.iter().flat_map(|app| app.requests).sum()
}

#[test]
fn what_is_recorded_while_it_is_drained_is_told_once() {
    const EACH: u64 = 20_000;
    let recorder = Recorder::default();
    let mut drained = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for number in 0..EACH {
                        let app = recorder.app(["one", "two"][usize::from(number % 2 == 0)]);
                        app.finished(200, number, 1, 2);
                    }
                })
            })
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            drained.extend(recorder.drain());
        }
    });
    drained.extend(recorder.drain());
    assert_eq!(total(&drained), 4 * EACH);
    assert_eq!(drained.iter().map(|app| app.latency.count()).sum::<u64>(), 4 * EACH);
    assert_eq!(drained.iter().map(|app| app.received_bytes).sum::<u64>(), 4 * EACH);
    assert_eq!(drained.iter().map(|app| app.sent_bytes).sum::<u64>(), 8 * EACH);
    assert!(recorder.drain().is_empty());
}

#[test]
fn an_app_that_nobody_holds_is_told_and_forgotten() {
    let recorder = Recorder::default();
    let held = recorder.app("held");
    recorder.app("gone").finished(404, 10, 0, 0);
    held.finished(200, 10, 0, 0);
    let mut names: Vec<String> = recorder.drain().into_iter().map(|app| app.app).collect();
    names.sort();
    assert_eq!(names, ["gone", "held"]);
    let known = |name: &str| recorder.apps.lock().expect("lock").contains_key(name);
    assert!(known("held") && !known("gone"));
}

#[test]
fn counts_are_those_of_the_requests() {
    let recorder = Recorder::default();
    let app = recorder.app("app");
    for status in [101, 200, 204, 301, 404, 503, 999] {
        app.finished(status, 2000, 10, 100);
    }
    app.upstream_failed();
    let drained = recorder.drain();
    let [traffic] = drained.as_slice() else { panic!("{drained:?}") };
    assert_eq!(traffic.requests, [1, 2, 1, 1, 2]);
    assert_eq!((traffic.received_bytes, traffic.sent_bytes, traffic.upstream_errors), (70, 700, 1));
    assert_eq!(traffic.latency.counts()[Latency::bucket(2000)], 7);
    app.moved(3, 4);
    let drained = recorder.drain();
    assert_eq!((total(&drained), drained[0].received_bytes, drained[0].sent_bytes), (0, 3, 4));
}

#[test]
fn paths_of_a_busy_app_are_counted_in_part_and_told_about_right() {
    const ALL: u64 = 200_000;
    let recorder = Recorder::default();
    let app = recorder.app("busy");
    let now = Instant::now();
    let mut whole = 0;
    // In turns of eight, as a page and what belongs to it.
    for number in 0..ALL {
        let chosen = app.choose(200, now);
        whole += usize::from(chosen.whole);
        app.finished(200, 1000, 0, 0);
        if chosen.weight > 0 {
            app.keep(&format!("/asset-{}.js", number % 8), chosen.weight, 200, 1000, None);
        }
    }
    assert_eq!(whole, 5, "the burst of one moment");
    let drained = recorder.drain();
    assert_eq!(drained[0].paths.len(), 8);
    for path in &drained[0].paths {
        let off = path.requests.abs_diff(ALL / 8);
        assert!(off < ALL / 8 / 10, "{} has {} requests", path.path, path.requests);
        assert_eq!(path.took_us, path.requests * 1000);
    }
}

#[test]
fn errors_are_told_apart_from_other_requests() {
    let recorder = Recorder::default();
    let app = recorder.app("app");
    let now = Instant::now();
    let whole = |status, count: usize| (0..count).filter(|_| app.choose(status, now).whole).count();
    assert_eq!((whole(200, 100), whole(503, 100), whole(404, 100)), (5, 50, 0));
}

#[test]
fn however_many_apps_there_are_their_texts_have_one_bound() {
    let recorder = Recorder { texts: Arc::new(Budget::new(10_000)), ..Recorder::default() };
    let apps: Vec<_> = (0..1000).map(|number| recorder.app(&number.to_string())).collect();
    for app in &apps {
        app.finished(200, 1, 0, 0);
        app.keep("/a/path/of/some/length", 1, 200, 1, None);
    }
    assert!(!recorder.texts.take(100), "the bound was reached");
    let drained = recorder.drain();
    let named = drained.iter().filter(|app| !app.paths.is_empty()).count();
    assert!(named > 50 && named < 1000, "{named}");
    assert_eq!(total(&drained), 1000);
    assert!(recorder.texts.take(10_000), "all room is given back");
}
