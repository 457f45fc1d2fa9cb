//! `wh notices`.

use serde_json::json;

use crate::User;
use crate::mock::{Mock, json as reply};

#[test]
fn notices_are_told_with_what_to_do() {
    let open = json!({
        "id": "n", "kind": "certificate-ends", "subject": "certificate:shop.test", "severity": "critical",
        "text": "The certificate for shop.test ends on 2026-06-03.", "hint": "Import a newer one.",
        "first_seen": chrono::Utc::now(), "told_at": chrono::Utc::now(), "resolved_at": null,
    });
    let mut over = open.clone();
    over["resolved_at"] = json!(chrono::Utc::now());
    let mock = Mock::start(vec![
        ("GET /notices", reply(200, json!({ "items": [open], "next": null }))),
        ("GET /notices", reply(200, json!({ "items": [over], "next": null }))),
    ]);
    let run = User::new().wh(&mock, &["notices"]).succeeded();
    let line = run.out.lines().nth(1).expect("a row");
    assert!(line.starts_with("critical  now") && line.ends_with("Import a newer one."), "{run:?}");
    let run = User::new().wh(&mock, &["notices", "--all"]).succeeded();
    assert!(run.out.contains("\nresolved"), "{run:?}");
    assert!(mock.asked()[1].line.ends_with("/notices?resolved=true"), "{run:?}");
    let none = Mock::start(vec![("GET /notices", reply(200, json!({ "items": [], "next": null })))]);
    let run = User::new().wh(&none, &["notices"]).succeeded();
    assert!(run.out.is_empty() && run.err.contains("nothing to look at"), "{run:?}");
}
