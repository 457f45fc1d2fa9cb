//! `wh route`.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, Reply, json as reply};

fn routes(effective: Value) -> Reply {
    let origins: serde_json::Map<String, Value> =
        effective.as_object().expect("options").keys().map(|key| (key.clone(), json!("app"))).collect();
    reply(
        200,
        json!({ "own": effective, "effective": effective, "origins": origins, "hosts": ["a.example"] }),
    )
}

const AT: &str = "GET /apps/a/routes";
const PATCH: &str = "PATCH /apps/a/routes";

#[test]
fn options_are_shown_with_where_they_were_set() {
    let mock = Mock::start(vec![
        (AT, routes(json!({ "compress": true, "basic_auth": { "users": { "ann": null } } }))),
        ("GET /apps/a/domains/www%2Eexample%2Ecom/routes", routes(json!({}))),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["route", "--app", "a"]).succeeded();
    assert!(run.out.contains("compress") && run.out.contains("basic_auth.users.ann"), "{run:#?}");
    let json = user.wh(&mock, &["route", "show", "--app", "a", "--json"]).succeeded().json();
    assert_eq!(json["origins"]["compress"], "app");
    let run = user.wh(&mock, &["route", "show", "--app", "a", "--domain", "www.example.com"]).succeeded();
    assert!(run.err.contains("nothing is set"), "{run:#?}");
}

#[test]
fn what_is_set_is_sent_and_told() {
    let mock = Mock::start(vec![(AT, routes(json!({}))), (PATCH, routes(json!({ "timeout_s": 5 })))]);
    let run = User::new().wh(&mock, &["route", "set", "--app", "a", "timeout_s=5"]).succeeded();
    assert!(run.err.contains("timeout_s – → 5") && run.err.contains("within a second"), "{run:#?}");
    assert_eq!(mock.one(PATCH).json(), json!({ "set": { "timeout_s": 5 }, "unset": [] }));
    let run = User::new().wh(&mock, &["route", "set", "--app", "a", "timeout=5"]).failed(2);
    assert!(run.err.contains("did you mean `timeout_s`?"), "{run:#?}");
}

#[test]
fn maintenance_is_one_word() {
    let mock = Mock::start(vec![(AT, routes(json!({}))), (PATCH, routes(json!({ "maintenance": {} })))]);
    let words =
        ["route", "maintenance", "on", "--app", "a", "--message", "Back at five", "--allow", "10.0.0.0/8"];
    let run = User::new().wh(&mock, &words).succeeded();
    assert!(run.err.contains("maintenance – → on"), "{run:#?}");
    let sent = json!({ "set": { "maintenance": { "message": "Back at five", "allow": ["10.0.0.0/8"] } } });
    assert_eq!(mock.one(PATCH).json(), sent);
    let mock = Mock::start(vec![(AT, routes(json!({ "maintenance": {} }))), (PATCH, routes(json!({})))]);
    User::new().wh(&mock, &["route", "maintenance", "off", "--app", "a"]).succeeded();
    assert_eq!(mock.one(PATCH).json(), json!({ "unset": ["maintenance"] }));
}

#[test]
fn a_service_is_put_in_front_and_changed_part_by_part() {
    let auth = json!({ "url": "app:door/verify", "response_headers": ["Remote-User"], "skip": ["/health"] });
    let sent = |before: Value, after: Value, words: &[&str]| {
        let mock = Mock::start(vec![(AT, routes(before)), (PATCH, routes(after))]);
        let run = User::new().wh(&mock, &[&["route"], words, &["--app", "a"]].concat()).succeeded();
        (mock.one(PATCH).json(), run.err)
    };
    let guarded = || json!({ "forward_auth": auth.clone() });
    let on =
        ["forward-auth", "on", "app:door/verify", "--response-header", "Remote-User", "--skip", "/health"];
    let (all, told) = sent(json!({}), guarded(), &on);
    assert_eq!(all, json!({ "set": { "forward_auth": auth.clone() } }));
    assert!(told.contains("forward_auth.url – → app:door/verify"), "{told}");
    let (one, _) = sent(guarded(), guarded(), &["set", "forward_auth.skip=/health /public/*"]);
    assert_eq!(one["set"]["forward_auth"]["skip"], json!(["/health", "/public/*"]));
    assert_eq!(one["set"]["forward_auth"]["url"], "app:door/verify");
    let (none, _) = sent(guarded(), json!({}), &["forward-auth", "off"]);
    assert_eq!(none, json!({ "unset": ["forward_auth"] }));
}

#[test]
fn a_password_comes_from_standard_input_and_others_stay() {
    let before = json!({ "basic_auth": { "realm": "Staff", "users": { "ann": null } } });
    let mock = Mock::start(vec![(AT, routes(before.clone())), (PATCH, routes(before))]);
    let env = [("WH_URL", mock.url.as_str()), ("WH_TOKEN", "wht_test")];
    let words = ["route", "auth", "add", "bob", "--app", "a"];
    let run = User::new().bare(&[&words[..], &["--password-stdin"]].concat(), &env, "hunter22\n").succeeded();
    assert!(!format!("{run:?}").contains("hunter22"), "{run:?}");
    let users = json!({ "ann": null, "bob": { "password": "hunter22" } });
    assert_eq!(
        mock.one(PATCH).json(),
        json!({ "set": { "basic_auth": { "realm": "Staff", "users": users } } })
    );
    let run = User::new().bare(&words, &env, "").failed(2);
    assert!(run.err.contains("--password-stdin"), "{run:?}");
    let run = User::new().wh(&mock, &["route", "auth", "rm", "eve", "--app", "a"]).failed(2);
    assert!(run.err.contains("there is no user eve"), "{run:?}");
}

#[test]
fn redirects_and_networks_are_added_and_removed_one_by_one() {
    let before =
        json!({ "redirects": [{ "from": "/a", "to": "/b", "status": 308 }], "allow": ["192.0.2.1/32"] });
    let sent = |words: &[&str]| {
        let mock = Mock::start(vec![(AT, routes(before.clone())), (PATCH, routes(before.clone()))]);
        User::new().wh(&mock, &[&["route"], words, &["--app", "a"]].concat()).succeeded();
        mock.one(PATCH).json()
    };
    let all = sent(&["redirect", "add", "/c/*", "https://c.example/*", "--status", "302"]);
    assert_eq!(
        all["set"]["redirects"][1],
        json!({ "from": "/c/*", "to": "https://c.example/*", "status": 302 })
    );
    assert_eq!(sent(&["redirect", "add", "/a", "/d"])["set"]["redirects"][0]["to"], "/d");
    assert_eq!(sent(&["redirect", "remove", "/a"]), json!({ "unset": ["redirects"] }));
    assert_eq!(sent(&["allow", "add", "10.0.0.0/8"])["set"]["allow"], json!(["192.0.2.1/32", "10.0.0.0/8"]));
    assert_eq!(sent(&["allow", "remove", "192.0.2.1"]), json!({ "unset": ["allow"] }));
}
