//! `wh routes` and `wh route-token`.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, json as reply};

const ID: &str = "0198c0de-0000-7000-8000-0000aaaabbbb";

fn table() -> Value {
    json!({
        "generation": 42, "changed_at": chrono::Utc::now(), "total": 2,
        "consumers": [
            { "node": "p1", "kind": "proxy", "connected": true, "applied_generation": 42, "applied_at": chrono::Utc::now() },
            { "node": "p2", "kind": "proxy", "connected": false, "applied_generation": 40, "applied_at": null },
        ],
        "routes": [
            { "id": "1", "app": "hello", "hosts": ["hello.route.example.com"], "path": "/",
              "upstreams": ["10.50.0.2:20000"], "https_only": true, "unavailable": null, "options": ["compress"] },
            { "id": "2", "app": "idle", "hosts": ["idle.route.example.com"], "path": "/api",
              "upstreams": [], "https_only": true, "unavailable": "stopped", "options": [] },
        ],
    })
}

#[test]
fn the_table_tells_who_has_it_and_where_each_host_leads() {
    let mock = Mock::start(vec![("GET /routes", reply(200, table()))]);
    let run = User::new().wh(&mock, &["routes"]).succeeded();
    for part in
        ["10.50.0.2:20000", "idle.route.example.com/api", "none: stopped", "40, not yet 42", "https compress"]
    {
        assert!(run.out.contains(part), "{part} in {run:?}");
    }
}

#[test]
fn a_token_is_printed_once_replaced_with_an_overlap_and_revoked() {
    let made = json!({ "id": ID, "name": "edge", "token": "whr_abc", "endpoint": "http://10.50.0.1:8081/v1/traefik/proxy-config", "expires_at": null });
    let listed = json!({ "id": ID, "name": "edge", "worker": "w1", "created_by": "ann@example.com",
                         "last_used_at": null, "expires_at": null });
    let rotate = Box::leak(format!("POST /route-tokens/{ID}/rotate").into_boxed_str());
    let delete = Box::leak(format!("DELETE /route-tokens/{ID}").into_boxed_str());
    let mock = Mock::start(vec![
        ("POST /route-tokens", reply(201, made.clone())),
        ("GET /route-tokens", reply(200, json!({ "items": [listed], "next": null }))),
        (rotate, reply(201, made)),
        (delete, reply(204, json!(null))),
    ]);
    let words = ["route-token", "create", "edge", "--worker", "w1", "--expires", "90d"];
    let run = User::new().wh(&mock, &words).succeeded();
    assert_eq!(run.out.trim(), "whr_abc");
    assert!(run.err.contains("/v1/traefik/proxy-config"), "{run:?}");
    assert_eq!(mock.asked()[0].json(), json!({ "name": "edge", "worker": "w1", "expires_in_days": 90 }));
    let run = User::new().wh(&mock, &["route-token", "ls"]).succeeded();
    assert!(run.out.contains("zones of w1") && run.out.contains("never"), "{run:?}");
    let run = User::new().wh(&mock, &["route-token", "rotate", "aaaabbbb", "--overlap", "2h"]).succeeded();
    assert!(run.err.contains("2 more hours"), "{run:?}");
    let run = User::new().wh(&mock, &["route-token", "revoke", "aaaabbbb"]).succeeded();
    assert!(run.err.contains("revoked"), "{run:?}");
    User::new().wh(&mock, &["route-token", "create", "x", "--expires", "1h"]).failed(2);
}
