//! `wh traffic` and `wh requests`.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, Reply, json as reply};

fn numbers(successful: u64, failed: u64, took_ms: Value) -> Value {
    json!({
        "requests": { "1xx": 0, "2xx": successful, "3xx": 0, "4xx": 0, "5xx": failed },
        "received_bytes": 2048, "sent_bytes": 1_572_864, "upstream_errors": failed,
        "p50_ms": took_ms, "p95_ms": took_ms, "p99_ms": took_ms,
    })
}

fn traffic(points: Vec<Value>) -> Value {
    json!({
        "range": "24h", "step_s": 300, "from": "2026-11-21T10:00:00Z", "until": "2026-11-22T10:00:00Z",
        "points": points, "total": numbers(99, 1, json!(12.5)),
        "paths": [{ "path": "/users/*", "requests": 90, "errors": 1, "mean_ms": 1250.0 }],
        "sources": [{ "node": "edge1", "agent": "proxy", "reported_at": chrono::Utc::now() }],
    })
}

fn request(n: u32, status: u16) -> Value {
    json!({
        "id": n.to_string(), "at": chrono::Utc::now() + chrono::TimeDelta::seconds(n.into()), "method": "GET",
        "host": "hello.example.com", "path": format!("/{n}"), "status": status, "took_ms": 12.0,
        "received_bytes": 0, "sent_bytes": 5, "client": "192.0.2.0/24", "protocol": "HTTP/2.0", "tls": true,
        "user_agent": null, "referer": null, "upstream": null, "node": "edge1",
    })
}

fn page(items: &[Value], next: Value) -> Reply {
    let since = chrono::Utc::now() - chrono::TimeDelta::hours(3);
    reply(200, json!({ "items": items, "next": next, "kept_days": 7, "kept_since": since }))
}

#[test]
fn traffic_is_a_table_of_steps_with_totals_and_paths() {
    let mut point = numbers(99, 1, json!(12.5));
    point["at"] = json!("2026-11-22T09:55:00Z");
    let mock = Mock::start(vec![
        ("GET /apps/hello/traffic", reply(200, traffic(vec![point]))),
        ("GET /apps/quiet/traffic", reply(200, traffic(Vec::new()))),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["traffic", "hello"]).succeeded();
    let words: Vec<Vec<&str>> = run.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["AT", "REQUESTS", "4XX", "5XX", "IN", "OUT", "P50", "P95", "P99"]);
    let step = ["100", "0", "1", "2.0", "KiB", "1.5", "MiB", "12", "ms", "12", "ms", "12", "ms"];
    assert_eq!(words[1][1..], step);
    for line in [
        "requests  100 (99 2xx, 1 5xx)",
        "took      p50 12 ms, p95 12 ms, p99 12 ms",
        "failed    1× an instance gave no answer",
        "reported  edge1 now",
        "/users/*  90        1    1.25 s",
    ] {
        assert!(run.out.lines().any(|told| told == line), "{line}: {}", run.out);
    }
    let run = user.wh(&mock, &["traffic", "--app", "hello", "--range", "7d", "--json"]).succeeded();
    assert_eq!(run.json()["points"][0]["requests"]["2xx"], 99);
    let run = user.wh(&mock, &["traffic", "quiet"]).succeeded();
    assert!(run.out.is_empty() && run.err.contains("no requests in the last 24h"), "{run:?}");
    let asked = ["hello/traffic?range=24h", "hello/traffic?range=7d", "quiet/traffic?range=24h"];
    assert_eq!(mock.lines(), asked.map(|path| format!("GET /apps/{path}")));
    user.wh(&mock, &["traffic", "hello", "--range", "2h"]).failed(2);
}

#[test]
fn requests_are_asked_for_by_what_they_are() {
    let mock = Mock::start(vec![(
        "GET /apps/hello/requests",
        page(&[request(2, 502), request(1, 200)], json!("n")),
    )]);
    let user = User::new();
    let run = user.wh(&mock, &["requests", "hello"]).succeeded();
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(
        lines,
        [
            "WHEN  STATUS  METHOD  HOST               PATH  TOOK   CLIENT        NODE",
            "now   502     GET     hello.example.com  /2    12 ms  192.0.2.0/24  edge1",
            "now   200     GET     hello.example.com  /1    12 ms  192.0.2.0/24  edge1",
        ]
    );
    let mut args =
        vec!["requests", "--app", "hello", "--json", "-n", "5", "--status", "5xx", "--method", "GET"];
    args.extend(["--path", "/api", "--host", "h", "--client", "192.0.2.0/24", "--slower-than", "2s"]);
    let told = user.wh(&mock, &args).succeeded().json();
    assert_eq!(
        (&told["items"][0]["status"], &told["next"], &told["kept_days"]),
        (&json!(502), &json!("n"), &json!(7))
    );
    assert!(told["kept_since"].is_string(), "{told}");
    let filter =
        "status=5xx&method=GET&path=%2Fapi&host=h&client=192%2E0%2E2%2E0%2F24&slower_than_ms=2000&limit=5";
    assert_eq!(mock.lines(), ["limit=50", filter].map(|query| format!("GET /apps/hello/requests?{query}")));
    for wrong in [["-n", "201"], ["--slower-than", "500"]] {
        user.wh(&mock, &[&["requests", "hello"][..], &wrong].concat()).failed(2);
    }
}

#[test]
fn followed_requests_come_once_each_and_the_oldest_first() {
    let kinds = "GET /apps/hello/requests";
    let gone = reply(404, json!({ "code": "not_found", "message": "there is no app hello" }));
    let mock = Mock::start(vec![
        (kinds, page(&[request(3, 200), request(2, 200)], json!("older"))),
        // One that was there before and was not asked for, and one that came late.
        (kinds, page(&[request(9, 200), request(3, 200), request(1, 200)], json!(null))),
        (kinds, gone),
    ]);
    let run = User::new().wh(&mock, &["requests", "hello", "--follow", "-n", "2", "--json"]).failed(4);
    let ids: Vec<Value> = run
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line each")["id"].clone())
        .collect();
    assert_eq!(ids, ["2", "3", "9"]);
    let asked = ["limit=2", "limit=200", "limit=200"];
    assert_eq!(mock.lines(), asked.map(|query| format!("{kinds}?{query}")));
}

#[test]
fn who_finds_nothing_is_told_what_is_kept() {
    let none = |kept_days: u32, kept_since: Value| {
        let page = json!({ "items": [], "next": null, "kept_days": kept_days, "kept_since": kept_since });
        let mock = Mock::start(vec![("GET /apps/hello/requests", reply(200, page))]);
        User::new().wh(&mock, &["requests", "hello"]).succeeded().err
    };
    let since = json!(chrono::Utc::now() - chrono::TimeDelta::hours(3));
    for (told, words) in [
        (none(7, since), "7 days at most: the oldest came 3h ago"),
        (none(7, json!(null)), "no requests in the last 7 days"),
        (none(0, json!(null)), "requests_per_app"),
    ] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_request_that_came_late_is_followed_behind_ones_that_were_seen() {
    let kinds = "GET /apps/hello/requests";
    let gone = reply(404, json!({ "code": "not_found", "message": "there is no app hello" }));
    let mock = Mock::start(vec![
        (kinds, page(&[request(5, 200), request(4, 200), request(1, 200)], json!("older"))),
        (kinds, page(&[request(6, 200), request(5, 200)], json!("second"))),
        (kinds, page(&[request(4, 200), request(3, 200)], json!("third"))),
        (kinds, page(&[request(1, 200)], json!("fourth"))),
        (kinds, gone),
    ]);
    let run = User::new().wh(&mock, &["requests", "hello", "--follow", "--json"]).failed(4);
    let told: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    let ids: Vec<&Value> = told.iter().map(|request| &request["id"]).collect();
    assert_eq!(ids, ["1", "4", "5", "3", "6"]);
    let asked = ["limit=50", "limit=200", "limit=200&before=second", "limit=200&before=third", "limit=200"];
    assert_eq!(mock.lines(), asked.map(|query| format!("{kinds}?{query}")));
}
