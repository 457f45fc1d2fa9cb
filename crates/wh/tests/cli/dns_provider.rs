//! `wh dns-provider`.

use serde_json::json;

use crate::User;
use crate::mock::{Mock, json as reply};

fn stored(id: &str, platform: bool) -> serde_json::Value {
    json!({ "id": id, "zone": "example.com", "kind": "rfc2136", "platform": platform,
            "summary": "ns1.example.com, key wisehosting", "updated_by": "ann@example.com",
            "updated_at": chrono::Utc::now(), "records": 1, "problem": "name server 192.0.2.53:53 over TCP" })
}

#[test]
fn a_key_comes_from_standard_input_and_is_never_printed() {
    let mock = Mock::start(vec![("POST /dns-providers", reply(200, stored("1", true)))]);
    let env = [("WH_URL", mock.url.as_str()), ("WH_TOKEN", "wht_test")];
    let words =
        ["dns-provider", "add", "example.com", "--rfc2136", "ns1.example.com", "--key-name", "wisehosting"];
    let more = ["--platform", "--secret-stdin"];
    let run = User::new().bare(&[&words[..], &more].concat(), &env, "aHVudGVyMg==\n").succeeded();
    assert!(run.err.contains("test example.com --platform"), "{run:?}");
    assert!(!format!("{run:?}").contains("aHVudGVyMg"), "{run:?}");
    let settings = json!({ "kind": "rfc2136", "server": "ns1.example.com", "key_name": "wisehosting",
                           "algorithm": "hmac-sha256", "secret": "aHVudGVyMg==", "check_servers": [] });
    assert_eq!(
        mock.asked()[0].json(),
        json!({ "zone": "example.com", "platform": true, "settings": settings })
    );
    let run = User::new().bare(&words, &env, "").failed(2);
    assert!(run.err.contains("--secret-stdin"), "{run:?}");
    User::new().bare(&["dns-provider", "add", "example.com"], &env, "").failed(2);
    User::new().bare(&[&words[..], &["--cloudflare"]].concat(), &env, "").failed(2);
}

#[test]
fn providers_are_listed_tried_and_forgotten_by_their_zone() {
    let tested =
        json!({ "record": "_acme-challenge.x.example.com", "servers": ["ns1", "ns2"], "took_ms": 1500 });
    let listed = json!({ "items": [stored("1", false), stored("2", true)], "next": null });
    let mock = Mock::start(vec![
        ("GET /dns-providers", reply(200, listed)),
        ("POST /dns-providers/2/test", reply(200, tested)),
        ("DELETE /dns-providers/1", reply(204, json!(null))),
    ]);
    let run = User::new().wh(&mock, &["dns-provider"]).succeeded();
    assert!(run.out.contains("organization") && run.out.contains("key wisehosting"), "{run:?}");
    assert!(run.err.contains("cannot remove a record of example.com"), "{run:?}");
    let run = User::new().wh(&mock, &["dns-provider", "test", "example.com", "--platform"]).succeeded();
    assert!(run.err.contains("ns1, ns2 after 1.5 s"), "{run:?}");
    let run = User::new().wh(&mock, &["dns-provider", "rm", "example.com"]).succeeded();
    assert!(run.err.contains("forgotten"), "{run:?}");
    let run = User::new().wh(&mock, &["dns-provider", "rm", "example.org"]).failed(4);
    assert!(run.err.contains("wh dns-provider ls"), "{run:?}");
}
