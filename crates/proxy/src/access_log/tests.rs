use std::io::Write;
use std::path::Path;

use protocol::spec::Route;

use super::*;

/// As Traefik 3.7.15 wrote them.
const LINES: &str = include_str!("traefik-3.7.jsonl");

fn log(folder: &Path) -> AccessLog {
    let route = |id: &str, app: &str| Route {
        id: id.to_owned(),
        app: app.to_owned(),
        hosts: Vec::new(),
        path: "/".to_owned(),
        upstreams: Vec::new(),
        https_only: false,
        options: Box::default(),
        unavailable: None,
    };
    let log = AccessLog::new(folder.join("access.log"));
    log.take(&ProxySpec {
        routes: vec![route("12", "shop").into(), route("13-down", "blog").into()],
        ..ProxySpec::default()
    });
    log
}

fn append(log: &AccessLog, text: &[u8]) {
    let mut file = OpenOptions::new().create(true).append(true).open(&log.path).expect("open");
    file.write_all(text).expect("write");
}

fn requests(log: &AccessLog) -> u64 {
    log.traffic().iter().flat_map(|app| app.requests).sum()
}

#[test]
fn lines_of_a_real_traefik_are_the_requests_of_the_apps() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, mut place) = (log(folder.path()), Place::default());
    append(&log, LINES.as_bytes());
    log.read(&mut place).expect("readable");
    let mut traffic = log.traffic();
    traffic.sort_by(|one, other| one.app.cmp(&other.app));
    let [blog, shop] = traffic.as_slice() else { panic!("{traffic:?}") };
    assert_eq!((blog.app.as_str(), blog.requests), ("blog", [0, 0, 0, 0, 1]));
    assert_eq!((shop.app.as_str(), shop.requests), ("shop", [0, 3, 1, 1, 1]));
    assert_eq!((shop.received_bytes, shop.sent_bytes), (4, 500 * 4 + 17 + 21));
    let slow = protocol::traffic::Latency::bucket(1_002_762);
    assert_eq!(shop.latency.counts()[slow], 1);
    assert!(shop.paths.iter().any(|path| path.path == "/users/*" && path.took_us == 4233), "{shop:?}");
    let sample = shop.samples.iter().find(|sample| sample.path == "/users/17").expect("told whole");
    assert_eq!(
        serde_json::to_value(sample).expect("JSON"),
        serde_json::json!({
            "at": "2026-11-22T02:05:43.611783446Z",
            "method": "GET", "host": "a.test", "path": "/users/17", "status": 200, "took_us": 4233,
            "received_bytes": 0, "sent_bytes": 500, "client": "127.0.0.1", "protocol": "HTTP/1.1", "tls": false,
            "user_agent": "curl/7.88.1", "referer": "http://x.test/", "upstream": "127.0.0.1:18781",
        })
    );
    let moved = shop.samples.iter().find(|sample| sample.status == 301).expect("told whole");
    assert_eq!(moved.upstream, None);
}

#[test]
fn how_long_a_websocket_stayed_is_no_time_of_a_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, mut place) = (log(folder.path()), Place::default());
    let line = LINES.lines().find(|line| line.contains("/users/17")).expect("a request");
    let upgraded = line.replace(r#""DownstreamStatus":200"#, r#""DownstreamStatus":101"#);
    append(&log, format!("{line}\n{upgraded}\n").as_bytes());
    log.read(&mut place).expect("readable");
    let traffic = log.traffic();
    let [shop] = traffic.as_slice() else { panic!("{traffic:?}") };
    assert_eq!((shop.requests, shop.latency.count()), ([1, 1, 0, 0, 0], 1));
}

#[test]
fn a_line_counts_once_however_it_arrives_and_broken_ones_are_skipped() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, mut place) = (log(folder.path()), Place::default());
    log.read(&mut place).expect("no file yet");
    let mixed = format!("{{\"broken\n{LINES}not JSON\n\n{LINES}");
    for piece in mixed.as_bytes().chunks(7) {
        append(&log, piece);
        log.read(&mut place).expect("readable");
    }
    assert_eq!(requests(&log), 14);
    log.read(&mut place).expect("readable");
    append(&log, &vec![b'x'; PIECE * 2]);
    log.read(&mut place).expect("readable");
    assert!(place.rest.len() <= PIECE);
    append(&log, format!("\n{LINES}").as_bytes());
    log.read(&mut place).expect("readable");
    assert_eq!(requests(&log), 7);
}

#[test]
fn what_was_there_before_is_not_counted_and_another_file_is_read_from_its_begin() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = log(folder.path());
    append(&log, LINES.as_bytes());
    let mut place = log.end();
    log.read(&mut place).expect("readable");
    assert_eq!(requests(&log), 0);
    std::fs::rename(&log.path, folder.path().join("access.log.1")).expect("rename");
    append(&log, [LINES, LINES].concat().as_bytes());
    log.read(&mut place).expect("readable");
    assert_eq!(requests(&log), 14);
    std::fs::write(&log.path, LINES).expect("shorter");
    log.read(&mut place).expect("readable");
    assert_eq!(requests(&log), 7);
}

#[test]
fn a_long_file_is_emptied_once_it_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, mut place) = (log(folder.path()), Place::default());
    let times = usize::try_from(LONG).expect("small") / LINES.len() + 1;
    append(&log, LINES.repeat(times).as_bytes());
    log.read(&mut place).expect("readable");
    log.empty(&mut place).expect("writable");
    assert_eq!(std::fs::metadata(&log.path).expect("there").len(), 0);
    append(&log, LINES.as_bytes());
    log.read(&mut place).expect("readable");
    assert_eq!(requests(&log), 7 * (times as u64 + 1));
}

#[test]
fn a_long_file_that_cannot_be_emptied_is_a_failure_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, mut place) = (log(folder.path()), Place::default());
    append(&log, LINES.as_bytes());
    log.read(&mut place).expect("readable");
    let behind = LONG + 1;
    place.offset = behind;
    std::fs::remove_file(&log.path).expect("remove");
    std::fs::create_dir(&log.path).expect("what nobody can empty");
    let error = log.empty(&mut place).expect_err("a folder");
    assert!(format!("{error:#}").contains("`traefik.access_log`"), "{error:#}");
    assert_eq!((place.offset, requests(&log)), (behind, 7));
}

#[tokio::test]
async fn what_came_last_is_read_before_its_end_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Arc::new(log(folder.path()));
    let (stop, after) = (CancellationToken::new(), CancellationToken::new());
    let follow = Arc::clone(&log).follow(stop.clone(), after.clone());
    let write = async {
        append(&log, LINES.as_bytes());
        stop.cancel();
        after.cancelled().await;
        assert_eq!(requests(&log), 7);
    };
    let (ended, ()) = tokio::join!(follow, write);
    ended.expect("a soft end");
}
