//! A report of an agent as it may be stored: within the bounds of the protocol, whatever the agent says.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use protocol::traffic::{
    AccessSample, AppTraffic, MAX_APPS, MAX_PATHS, MAX_SAMPLES, TrafficReport, cut, path_pattern,
};

/// How far the clock of an agent may be behind. More is taken for wrong, and ours is used, as where it is ahead: an hour
/// is added up when it can get no more, and nothing has come in later than now.
pub const SKEW: TimeDelta = TimeDelta::minutes(5);

/// The most of anything that is counted in one report: 4.4 TB in 10 s. Years of it fit in a `bigint`.
const MOST: u64 = 1 << 42;

/// The traffic of one app.
#[derive(Debug, PartialEq)]
pub struct Counted {
    pub requests: [i32; 5],
    pub received_bytes: i64,
    pub sent_bytes: i64,
    /// To the app's streams.
    pub connections: i64,
    pub upstream_errors: i64,
    /// By bucket.
    pub latency: Vec<i32>,
    pub paths: BTreeMap<String, PathCount>,
    /// The earliest first.
    pub samples: Vec<AccessSample>,
}

/// The requests for one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PathCount {
    pub requests: i64,
    pub errors: i64,
    pub took_us: i64,
}

/// What a report says, by slug. An app that is in it twice counts once.
pub fn of_report(report: TrafficReport, now: DateTime<Utc>) -> (DateTime<Utc>, HashMap<String, Counted>) {
    let mut apps = HashMap::new();
    for app in report.apps.into_iter().take(MAX_APPS) {
        let slug = app.app.clone();
        apps.entry(slug).or_insert_with(|| of_app(app, now));
    }
    (in_time(report.at, now), apps)
}

/// Numbers of reports only rise, and one beyond `bigint` is the last of its run.
pub fn number(report: &TrafficReport) -> i64 {
    i64::try_from(report.number).unwrap_or(i64::MAX)
}

fn of_app(app: AppTraffic, now: DateTime<Utc>) -> Counted {
    let mut paths: BTreeMap<String, PathCount> = BTreeMap::new();
    for path in app.paths.into_iter().take(MAX_PATHS) {
        let held = paths.entry(path_pattern(&path.path)).or_default();
        held.requests += count(path.requests);
        held.errors += count(path.errors.min(path.requests));
        held.took_us += count(path.took_us);
    }
    let mut samples: Vec<AccessSample> =
        app.samples.into_iter().take(MAX_SAMPLES).map(|sample| within(sample, now)).collect();
    samples.sort_by_key(|sample| sample.at);
    Counted {
        requests: app.requests.map(small),
        received_bytes: count(app.received_bytes),
        sent_bytes: count(app.sent_bytes),
        connections: count(app.connections),
        upstream_errors: count(app.upstream_errors),
        latency: app.latency.counts().iter().map(|count| small((*count).into())).collect(),
        paths,
        samples,
    }
}

/// Texts are cut, and what a query might hold is left out once more.
fn within(sample: AccessSample, now: DateTime<Utc>) -> AccessSample {
    let short = |text: &str| cut(text).to_owned();
    AccessSample {
        at: in_time(sample.at, now),
        method: short(&sample.method),
        host: short(&sample.host).to_ascii_lowercase(),
        path: short(sample.path.split('?').next().unwrap_or_default()),
        took_us: sample.took_us.min(MOST),
        received_bytes: sample.received_bytes.min(MOST),
        sent_bytes: sample.sent_bytes.min(MOST),
        protocol: short(&sample.protocol),
        user_agent: sample.user_agent.as_deref().map(short),
        referer: sample.referer.as_deref().map(|url| short(url.split('?').next().unwrap_or_default())),
        ..sample
    }
}

fn in_time(at: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    if (at - now).abs() <= SKEW { at.min(now) } else { now }
}

fn count(number: u64) -> i64 {
    i64::try_from(number.min(MOST)).unwrap_or(i64::MAX)
}

fn small(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use protocol::traffic::{MAX_TEXT, PathTraffic};
    use uuid::Uuid;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-22T13:37:42Z".parse().expect("time")
    }

    fn sample(at: DateTime<Utc>) -> AccessSample {
        AccessSample {
            at,
            method: "GET".to_owned(),
            host: "Hello.Example.com".to_owned(),
            path: "/a?token=hunter2".to_owned(),
            status: 200,
            took_us: u64::MAX,
            received_bytes: u64::MAX,
            sent_bytes: u64::MAX,
            client: [192, 0, 2, 1].into(),
            protocol: "HTTP/1.1".to_owned(),
            tls: true,
            user_agent: Some("ä".repeat(1000)),
            referer: Some("https://example.com/?q=hunter2".to_owned()),
            upstream: None,
        }
    }

    fn report(at: DateTime<Utc>, apps: Vec<AppTraffic>) -> TrafficReport {
        TrafficReport { run: Uuid::nil(), number: 1, at, apps }
    }

    #[test]
    fn what_an_agent_says_beyond_the_bounds_is_cut() {
        let path =
            |path: String| PathTraffic { path, requests: u64::MAX, errors: u64::MAX, took_us: u64::MAX };
        let paths = (0..99).map(|n| path(format!("/{}{n}", "x".repeat(n * 9)))).collect();
        let hello = AppTraffic {
            app: "hello".to_owned(),
            requests: [u64::MAX; 5],
            received_bytes: u64::MAX,
            paths,
            samples: vec![sample(now()); 99],
            ..AppTraffic::default()
        };
        let many = (0..300).map(|n| AppTraffic { app: format!("app-{n}"), ..AppTraffic::default() });
        let (_, apps) = of_report(report(now(), [hello].into_iter().chain(many).collect()), now());
        assert_eq!(apps.len(), MAX_APPS);
        let hello = &apps["hello"];
        assert_eq!((hello.requests, hello.received_bytes), ([i32::MAX; 5], 1 << 42));
        assert!(hello.paths.len() <= MAX_PATHS && hello.samples.len() == MAX_SAMPLES);
        assert!(hello.paths.keys().all(|path| path.chars().count() <= MAX_TEXT));
        let sample = &hello.samples[0];
        assert_eq!(sample.user_agent.as_deref().map(|text| text.chars().count()), Some(MAX_TEXT));
        assert!(i64::try_from(sample.took_us.max(sample.sent_bytes)).is_ok());
        assert_eq!((sample.path.as_str(), sample.host.as_str()), ("/a", "hello.example.com"));
        assert_eq!(sample.referer.as_deref(), Some("https://example.com/"));
    }

    #[test]
    fn an_app_that_is_told_of_twice_counts_once_and_paths_of_one_kind_are_one() {
        let path = |path: &str| PathTraffic { path: path.to_owned(), requests: 2, errors: 5, took_us: 10 };
        let of = |requests, paths| AppTraffic {
            app: "hello".to_owned(),
            requests: [0, requests, 0, 0, 0],
            paths,
            ..AppTraffic::default()
        };
        let twice = vec![of(1, vec![path("/users/1"), path("/users/*")]), of(7, Vec::new())];
        let (_, apps) = of_report(report(now(), twice), now());
        assert_eq!((apps.len(), apps["hello"].requests[1]), (1, 1));
        let users = PathCount { requests: 4, errors: 4, took_us: 20 };
        assert_eq!(apps["hello"].paths, BTreeMap::from([("/users/*".to_owned(), users)]));
    }

    #[test]
    fn a_clock_that_is_off_is_not_believed() {
        let minutes = TimeDelta::minutes;
        for (off, believed) in
            [(0, true), (-4, true), (4, false), (-6, false), (6, false), (-60_000_000, false)]
        {
            let said = now() + minutes(off);
            let hello =
                AppTraffic { app: "hello".to_owned(), samples: vec![sample(said)], ..AppTraffic::default() };
            let (at, apps) = of_report(report(said, vec![hello]), now());
            let wanted = if believed { said } else { now() };
            assert_eq!((at, apps["hello"].samples[0].at), (wanted, wanted), "{off} min");
        }
    }

    #[test]
    fn a_number_that_is_too_large_is_the_last_one() {
        let report = TrafficReport { number: u64::MAX, ..report(now(), Vec::new()) };
        assert_eq!(number(&report), i64::MAX);
    }
}
