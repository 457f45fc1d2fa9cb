//! `wh doctor`.

use serde_json::json;

use crate::User;
use crate::mock::{Mock, json as reply};

#[test]
fn findings_are_told_in_order_and_a_problem_is_an_error() {
    let report = json!({ "host": "www.example.com", "level": "problem", "checked_at": chrono::Utc::now(), "findings": [
        { "check": "domain", "level": "ok", "summary": "It is a domain of shop." },
        { "check": "dns", "level": "problem", "summary": "There is no\nsuch name.", "fix": "Create this.",
          "records": [{ "type": "CNAME", "name": "www.example.com", "value": "shop.apps.test." }] },
    ] });
    let mock = Mock::start(vec![("POST /doctor", reply(200, report))]);
    let user = User::new();
    let run = user.wh(&mock, &["doctor", "www.example.com"]).failed(1);
    assert_eq!(
        run.out,
        "✓ domain       It is a domain of shop.\n\
         ✗ dns          There is no such name.\n               → Create this.\n                 \
         www.example.com  CNAME  shop.apps.test.\n"
    );
    assert!(run.err.contains("www.example.com has 1 problem"), "{}", run.err);
}

#[test]
fn a_warning_is_no_error() {
    let report = json!({ "host": "www.example.com", "level": "warning", "findings": [
        { "check": "ports", "level": "warning", "summary": "Port 80 is shut." },
    ] });
    let mock = Mock::start(vec![("POST /doctor", reply(200, report))]);
    let run = User::new().wh(&mock, &["doctor", "www.example.com", "--json"]).succeeded();
    assert_eq!(run.json()["findings"][0]["check"], "ports");
}
