//! `wh zone`.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, json as reply};

fn zone() -> Value {
    json!({ "id": "1", "suffix": "de.example.com", "mode": "direct", "worker": "w1", "port": 8080, "is_default": false,
            "is_configured": false, "apps": 2, "warning": "w1 does not listen for it",
            "records": [{ "name": "*.de.example.com", "kind": "A", "value": "203.0.113.7", "node": "w1" }] })
}

#[test]
fn zones_are_listed_with_who_answers_and_what_dns_has_to_say() {
    let first = json!({ "suffix": "route.example.com", "mode": "proxy", "worker": null, "port": null,
                        "is_default": true, "apps": 0, "records": [] });
    let mock =
        Mock::start(vec![("GET /zones", reply(200, json!({ "items": [first, zone()], "next": null })))]);
    let run = User::new().wh(&mock, &["zone"]).succeeded();
    assert!(run.err.contains("de.example.com: w1 does not listen"), "{run:?}");
    for part in ["proxies", "w1:8080", "A 203.0.113.7", "yes"] {
        assert!(run.out.contains(part), "{part} in {run:?}");
    }
}

#[test]
fn a_direct_zone_is_added_with_its_records_changed_and_removed() {
    let mock = Mock::start(vec![
        ("POST /zones", reply(201, zone())),
        ("PATCH /zones/de%2Eexample%2Ecom", reply(200, zone())),
        ("DELETE /zones/de%2Eexample%2Ecom", reply(204, json!(null))),
    ]);
    let words = ["zone", "add", "de.example.com", "--worker", "w1", "--port", "8080", "--default"];
    let run = User::new().wh(&mock, &words).succeeded();
    assert!(run.out.contains("*.de.example.com A 203.0.113.7"), "{run:?}");
    let sent = json!({ "suffix": "de.example.com", "worker": "w1", "port": 8080, "default": true });
    assert_eq!(mock.asked()[0].json(), sent);
    User::new().wh(&mock, &["zone", "set", "de.example.com", "--proxy"]).succeeded();
    assert_eq!(mock.asked()[1].json(), json!({ "mode": "proxy" }));
    User::new().wh(&mock, &["zone", "set", "de.example.com", "--proxy", "--worker", "w1"]).failed(2);
    let run = User::new().wh(&mock, &["zone", "set", "de.example.com", "--resolver", "le"]).succeeded();
    assert!(run.err.contains("does not listen"), "{run:?}");
    User::new().wh(&mock, &["zone", "set", "de.example.com", "--resolver", "none"]).succeeded();
    let sent: Vec<Value> = mock.asked()[2..].iter().map(crate::mock::Asked::json).collect();
    assert_eq!(sent, [json!({ "resolver": "le" }), json!({ "resolver": "none" })]);
    User::new().wh(&mock, &["zone", "set", "de.example.com", "--resolver", "le", "--worker", "w1"]).failed(2);
    let run = User::new().wh(&mock, &["zone", "rm", "de.example.com"]).succeeded();
    assert!(run.err.contains("removed"), "{run:?}");
}
