//! Domains and routes from the project file: told by `wh plan`, brought by `wh apply` and `wh deploy`.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, Reply, events, json as reply};

const FILE: &str = r#"app = "a"
[routes]
compress = true
canonical_host = "new.example"
[domains]
"new.example" = true
"old.example" = false
[domains."www.example"]
paths = { "/api" = "api" }
routes = { compress = false }
"#;

fn domain(host: &str, state: &str) -> Value {
    let proof =
        json!({ "name": format!("_wisehosting.{host}"), "type": "TXT", "value": format!("token-of-{host}") });
    json!({ "hostname": host, "state": state, "records": { "proof": proof } })
}

fn routes(own: Value) -> Reply {
    reply(200, json!({ "own": own, "effective": own, "origins": {}, "hosts": ["a.route.test"] }))
}

fn pending() -> Reply {
    reply(
        200,
        json!({ "release": 3, "deployment": null, "applicable": false, "changes": [], "impact": "nothing" }),
    )
}

/// What the app has before.
fn before() -> Vec<(&'static str, Reply)> {
    let domains = json!([domain("www.example", "pending"), domain("old.example", "verified")]);
    vec![
        ("GET /apps/a/pending", pending()),
        ("GET /apps/a/routes", routes(json!({ "timeout_s": 5 }))),
        ("GET /apps/a/domains", reply(200, json!({ "items": domains, "next": null }))),
        ("GET /apps/a/domains/www%2Eexample/routes", routes(json!({}))),
    ]
}

#[test]
fn a_plan_tells_what_changes_and_which_records_are_missing() {
    let mock = Mock::start(before());
    let user = User::with_files(&[("wisehosting.toml", FILE)]);
    let run = user.wh(&mock, &["plan"]).succeeded();
    assert_eq!(
        run.out,
        "wisehosting.toml: domain new.example – → added\n\
         wisehosting.toml: domain www.example/api – → api\n\
         wisehosting.toml: routes.compress – → true\n\
         wisehosting.toml: domain www.example: compress – → false\n\
         wisehosting.toml: domain old.example verified → removed\n"
    );
    for part in [
        "`wh apply` brings its domains and routes into force at once",
        "write a TXT record _wisehosting.www.example with the value token-of-www.example",
        "new.example will need a TXT record _wisehosting.new.example",
        "canonical_host waits until new.example is verified",
    ] {
        assert!(run.err.contains(part), "{part}: {run:#?}");
    }
    let plan = user.wh(&mock, &["plan", "--json"]).succeeded().json();
    assert_eq!(plan["local"][0]["label"], "domain new.example");
    assert_eq!(plan["records"][0]["value"], "token-of-www.example");
    assert_eq!(plan["records"][1]["value"], Value::Null);
    assert!(
        mock.lines().iter().all(|line| line.starts_with("GET")),
        "a plan changes nothing: {:?}",
        mock.lines()
    );
}

#[test]
fn applying_does_it_in_order_and_tells_the_new_record() {
    let mut script = before();
    script.extend([
        ("POST /apps/a/domains", reply(201, domain("new.example", "pending"))),
        ("POST /apps/a/domains/www%2Eexample/paths", reply(200, domain("www.example", "pending"))),
        ("PATCH /apps/a/routes", routes(json!({ "compress": true }))),
        ("PATCH /apps/a/domains/www%2Eexample/routes", routes(json!({ "compress": false }))),
        ("DELETE /apps/a/domains/old%2Eexample", reply(204, Value::Null)),
    ]);
    let mock = Mock::start(script);
    let user = User::with_files(&[("wisehosting.toml", FILE)]);
    let run = user.wh(&mock, &["apply"]).succeeded();
    let changes: Vec<String> = mock.lines().into_iter().filter(|line| !line.starts_with("GET")).collect();
    assert_eq!(
        changes,
        [
            "POST /apps/a/domains",
            "POST /apps/a/domains/www%2Eexample/paths",
            "PATCH /apps/a/routes",
            "PATCH /apps/a/domains/www%2Eexample/routes",
            "DELETE /apps/a/domains/old%2Eexample",
        ]
    );
    assert_eq!(mock.one("PATCH /apps/a/routes").json(), json!({ "set": { "compress": true } }));
    let path = mock.one("POST /apps/a/domains/www%2Eexample/paths").json();
    assert_eq!(path, json!({ "path": "/api", "app": "api", "strip_prefix": false }));
    for part in [
        "✓ domain new.example – → added",
        "_wisehosting.new.example with the value token-of-new.example",
        "nothing waits",
    ] {
        assert!(run.err.contains(part), "{part}: {run:#?}");
    }
}

#[test]
fn a_deployment_brings_them_along_and_a_name_of_another_app_stops_it() {
    let taken =
        json!({ "code": "domain_taken", "message": "new.example leads to the app b", "field": "hostname" });
    let live = json!({ "id": "d-1", "app": { "id": "a", "slug": "a" }, "number": 1, "kind": "image", "state": "live",
                       "stages": [], "url": "https://a.example", "created_at": "2026-01-01T00:00:00Z" });
    let script = |added: Reply| {
        vec![
            ("GET /apps/a", reply(200, json!({ "slug": "a", "settings": {} }))),
            ("GET /apps/a/routes", routes(json!({}))),
            ("GET /apps/a/domains", reply(200, json!({ "items": [], "next": null }))),
            ("POST /apps/a/domains", added),
            ("POST /apps/a/deployments", reply(202, live.clone())),
            ("GET /deployments/d-1/events", events(&format!("event: end\ndata: {live}\n\n"))),
        ]
    };
    let user = User::with_files(&[("wisehosting.toml", "app = \"a\"\n[domains]\n\"new.example\" = true\n")]);
    let deploy = ["deploy", "--image", "example.com/a:1"];
    let mock = Mock::start(script(reply(201, domain("new.example", "pending"))));
    let run = user.wh(&mock, &deploy).succeeded();
    assert!(run.err.contains("with the value token-of-new.example"), "{run:#?}");
    mock.one("POST /apps/a/deployments");
    let mock = Mock::start(script(reply(409, taken)));
    let run = user.wh(&mock, &deploy).failed(5);
    assert!(run.err.contains("leads to the app b"), "{run:#?}");
    assert!(!mock.lines().contains(&"POST /apps/a/deployments".to_owned()), "{:?}", mock.lines());
}
