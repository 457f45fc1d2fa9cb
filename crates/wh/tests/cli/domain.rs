//! `wh domain`.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, json as reply};

const HOST: &str = "www.example.com";
const PLACE: &str = "/apps/shop/domains/www%2Eexample%2Ecom";

fn domain(state: &str, certificate: &str) -> Value {
    let error = (state == "pending").then_some("_wisehosting.www.example.com has no TXT record yet");
    json!({
        "hostname": HOST, "app": "shop", "state": state, "error": error,
        "checked_at": chrono::Utc::now(), "next_check_at": chrono::Utc::now(),
        "records": {
            "proof": { "name": "_wisehosting.www.example.com", "type": "TXT", "value": "6e0c" },
            "address": [{ "name": HOST, "type": "CNAME", "value": "shop.route.example.com" }],
            "zone_file": "_wisehosting.www.example.com. 300 IN TXT \"6e0c\"\n",
        },
        "certificate": { "state": certificate },
        "paths": [{ "id": "p1", "path": "/api", "app": "api", "strip_prefix": true }],
    })
}

fn of_shop<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["--app", "shop", "domain"], words].concat()
}

#[test]
fn adding_tells_the_records_and_waiting_ends_with_the_certificate() {
    let post = "POST /apps/shop/domains";
    let mock = Mock::start(vec![(post, reply(201, domain("pending", "none")))]);
    let run = User::new().wh(&mock, &of_shop(&["add", HOST])).succeeded();
    assert!(run.out.contains("_wisehosting.www.example.com") && run.out.contains("6e0c"), "{run:?}");
    assert!(run.out.contains("CNAME") && run.out.contains("shop.route.example.com"), "{run:?}");
    assert_eq!(mock.asked()[0].json(), json!({ "hostname": HOST }));

    let get = format!("GET {PLACE}");
    let mock = Mock::start(vec![
        (post, reply(201, domain("pending", "none"))),
        (&get, reply(200, domain("verified", "pending"))),
        (&get, reply(200, domain("verified", "issued"))),
    ]);
    let run = User::new().wh(&mock, &of_shop(&["add", HOST, "--wait"])).succeeded();
    assert!(run.err.contains("has no TXT record yet") && run.err.contains("is ordered"), "{run:?}");
    assert!(run.out.contains("https://www.example.com"), "{run:?}");
}

#[test]
fn a_domain_that_is_not_verified_fails_with_the_reason_and_the_record() {
    let post = format!("POST {PLACE}/verify");
    let mock = Mock::start(vec![(&post, reply(200, domain("pending", "none")))]);
    let run = User::new().wh(&mock, &of_shop(&["verify", HOST])).failed(1);
    assert!(run.err.contains("no TXT record yet") && run.err.contains("with the value 6e0c"), "{run:?}");
    let mock = Mock::start(vec![(&post, reply(200, domain("verified", "none")))]);
    let run = User::new().wh(&mock, &of_shop(&["verify", HOST])).succeeded();
    assert!(run.err.contains("verified and served"), "{run:?}");
}

#[test]
fn domains_are_listed_shown_moved_and_removed() {
    let (get, patch, delete) = (format!("GET {PLACE}"), format!("PATCH {PLACE}"), format!("DELETE {PLACE}"));
    let mock = Mock::start(vec![
        ("GET /apps/shop/domains", reply(200, json!({ "items": [domain("pending", "none")], "next": null }))),
        (&get, reply(200, domain("verified", "issued"))),
        (&patch, reply(200, domain("verified", "issued"))),
        (&delete, reply(204, json!(null))),
    ]);
    let run = User::new().wh(&mock, &of_shop(&[])).succeeded();
    assert!(run.out.contains(HOST) && run.out.contains("/api→api") && run.err.contains("no TXT"), "{run:?}");
    let run = User::new().wh(&mock, &of_shop(&["show", HOST])).succeeded();
    assert!(run.out.contains("/api leads to api, without the prefix"), "{run:?}");
    let run = User::new().wh(&mock, &of_shop(&["show", HOST, "--zone-file"])).succeeded();
    assert_eq!(run.out, "_wisehosting.www.example.com. 300 IN TXT \"6e0c\"\n");
    User::new().wh(&mock, &of_shop(&["move", HOST, "other"])).succeeded();
    assert_eq!(mock.asked().last().expect("asked").json(), json!({ "app": "other" }));
    let run = User::new().wh(&mock, &of_shop(&["rm", HOST, "--json"])).succeeded();
    assert!(run.out.contains("\"removed\": true"), "{run:?}");
}

#[test]
fn paths_are_led_elsewhere_and_back() {
    let (get, post) = (format!("GET {PLACE}"), format!("POST {PLACE}/paths"));
    let delete = format!("DELETE {PLACE}/paths/p1");
    let mock = Mock::start(vec![
        (&get, reply(200, domain("verified", "issued"))),
        (&post, reply(200, domain("verified", "issued"))),
        (&delete, reply(204, json!(null))),
    ]);
    User::new().wh(&mock, &of_shop(&["path", "add", HOST, "/api", "api", "--strip"])).succeeded();
    assert_eq!(mock.asked()[0].json(), json!({ "path": "/api", "app": "api", "strip_prefix": true }));
    let run = User::new().wh(&mock, &of_shop(&["path", "rm", HOST, "/api/"])).succeeded();
    assert!(run.err.contains("leads to shop again"), "{run:?}");
    User::new().wh(&mock, &of_shop(&["path", "rm", HOST, "/nothing"])).failed(4);
}
