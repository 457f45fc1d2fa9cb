//! `wh project`.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, json as reply};

fn project(slug: &str, name: &str, apps: i64, deleted: i64) -> Value {
    json!({ "id": slug, "slug": slug, "name": name, "apps": apps, "deleted_apps": deleted })
}

#[test]
fn projects_are_listed_with_the_number_of_their_apps() {
    let items = json!([project("default", "Default", 2, 0), project("shop", "The shop", 1, 3)]);
    let mock = Mock::start(vec![("GET /projects", reply(200, json!({ "items": items, "next": null })))]);
    let run = User::new().wh(&mock, &["project"]).succeeded();
    assert_eq!(
        run.out,
        "PROJECT  NAME      APPS\n\
         default  Default   2\n\
         shop     The shop  1, 3 deleted\n"
    );
    let run = User::new().wh(&mock, &["projects", "list", "--json"]).succeeded();
    assert_eq!(run.json()[1]["deleted_apps"], 3);
}

#[test]
fn whoever_has_no_project_is_told_how_to_make_one() {
    let mock = Mock::start(vec![("GET /projects", reply(200, json!({ "items": [], "next": null })))]);
    let run = User::new().wh(&mock, &["project", "ls"]).succeeded();
    assert!(run.out.is_empty() && run.err.contains("wh project create SLUG"), "{run:?}");
    assert_eq!(User::new().wh(&mock, &["project", "ls", "--json"]).succeeded().json(), json!([]));
}

#[test]
fn a_project_is_made_and_renamed() {
    let mock = Mock::start(vec![
        ("POST /projects", reply(201, project("shop", "The shop", 0, 0))),
        ("PATCH /projects/shop", reply(200, project("shop", "Le magasin", 0, 0))),
    ]);
    let run = User::new().wh(&mock, &["project", "create", "shop", "--name", "The shop"]).succeeded();
    assert!(run.err.contains("created project shop") && run.err.contains("--project shop"), "{run:?}");
    User::new().wh(&mock, &["project", "create", "shop"]).succeeded();
    let run = User::new().wh(&mock, &["project", "rename", "shop", "Le magasin"]).succeeded();
    assert!(run.err.contains("project shop is called Le magasin"), "{run:?}");
    let sent: Vec<Value> = mock.asked().iter().map(crate::mock::Asked::json).collect();
    let made = json!({ "slug": "shop", "name": "The shop" });
    assert_eq!(sent, [made, json!({ "slug": "shop" }), json!({ "name": "Le magasin" })]);
    let run = User::new().wh(&mock, &["project", "create", "shop", "--json"]).succeeded();
    assert_eq!(run.json()["slug"], "shop");
}

#[test]
fn a_project_goes_when_somebody_is_sure() {
    let mock = Mock::start(vec![("DELETE /projects/shop", reply(204, json!(null)))]);
    let run = User::new().wh(&mock, &["project", "rm", "shop"]).failed(2);
    assert!(run.err.contains("wh project rm shop --yes") && mock.lines().is_empty(), "{run:?}");
    let run = User::new().wh(&mock, &["project", "rm", "shop", "--yes"]).succeeded();
    assert!(run.err.contains("project shop is removed"), "{run:?}");
    let run = User::new().wh(&mock, &["project", "remove", "shop", "-y", "--json"]).succeeded();
    assert_eq!(run.json(), json!({ "slug": "shop", "removed": true }));
}

#[test]
fn a_project_that_has_apps_stays_and_the_remedy_is_told() {
    let refused = json!({ "code": "project_in_use", "message": "project shop has 1 app", "field": "project",
                          "hint": "Delete them first: `wh apps rm APP`", "request_id": "r1" });
    let mock = Mock::start(vec![("DELETE /projects/shop", reply(409, refused))]);
    let run = User::new().wh(&mock, &["project", "rm", "shop", "--yes"]).failed(5);
    assert!(run.err.contains("project shop has 1 app") && run.err.contains("wh apps rm APP"), "{run:?}");
}
