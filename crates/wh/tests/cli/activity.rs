//! `wh activity`.

use serde_json::json;

use crate::User;
use crate::mock::{Mock, json as reply};

#[test]
fn what_happened_is_told_in_sentences() {
    let events = json!({ "next": "more", "items": [
        { "id": "2", "at": chrono::Utc::now(), "actor": "system", "action": "deployment.fail", "deployment": "d",
          "text": "Deployment 2 failed: nothing\nlistens" },
        { "id": "1", "at": chrono::Utc::now(), "actor": "user:a@example.com", "action": "app.create",
          "text": "Anna created the app" },
    ] });
    let mock = Mock::start(vec![("GET /apps/hello/activity", reply(200, events))]);
    let user = User::new();
    let run = user.wh(&mock, &["activity", "hello", "-n", "2"]).succeeded();
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(
        lines,
        ["WHEN  WHAT", "now   Deployment 2 failed: nothing listens", "now   Anna created the app"]
    );
    let run = user.wh(&mock, &["activity", "--app", "hello", "--json"]).succeeded();
    assert_eq!(run.json()[1]["actor"], "user:a@example.com");
    assert_eq!(mock.lines(), ["GET /apps/hello/activity?limit=2", "GET /apps/hello/activity?limit=20"]);
    user.wh(&mock, &["activity", "hello", "-n", "0"]).failed(2);
}
