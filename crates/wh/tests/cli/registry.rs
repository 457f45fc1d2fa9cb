//! `wh registry`.

use serde_json::json;

use crate::User;
use crate::mock::{Mock, json as reply};

fn stored() -> serde_json::Value {
    json!({ "host": "registry.example.com", "username": "ann", "updated_by": "ann@example.com",
            "updated_at": chrono::Utc::now(), "images_path": "team", "images_kept": 2, "images_waiting": 1,
            "image_problems": ["push registry.example.com/team/hello:v3: no space there"] })
}

#[test]
fn a_password_comes_from_standard_input_and_is_never_printed() {
    let mock = Mock::start(vec![("POST /registries", reply(200, stored()))]);
    let env = [("WH_URL", mock.url.as_str()), ("WH_TOKEN", "wht_test")];
    let words = ["registry", "login", "registry.example.com", "--username", "ann"];
    let run = User::new().bare(&[&words[..], &["--password-stdin"]].concat(), &env, "hunter2\n").succeeded();
    assert!(run.err.contains("pull from registry.example.com as ann"), "{run:?}");
    assert!(!format!("{run:?}").contains("hunter2"), "{run:?}");
    assert_eq!(
        mock.asked()[0].json(),
        json!({ "host": "registry.example.com", "username": "ann", "password": "hunter2" })
    );
    let run = User::new().bare(&words, &env, "").failed(2);
    assert!(run.err.contains("--password-stdin"), "{run:?}");
}

#[test]
fn logins_are_listed_and_forgotten() {
    let mock = Mock::start(vec![
        ("GET /registries", reply(200, json!({ "items": [stored()], "next": null }))),
        ("DELETE /registries/registry%2Eexample%2Ecom", reply(204, json!(null))),
    ]);
    let run = User::new().wh(&mock, &["registry"]).succeeded();
    assert!(run.out.contains("registry.example.com") && run.out.contains("ann@example.com"), "{run:?}");
    let run = User::new().wh(&mock, &["registry", "rm", "registry.example.com"]).succeeded();
    assert!(run.err.contains("forgotten"), "{run:?}");
}

#[test]
fn a_registry_is_chosen_for_built_images_and_given_up() {
    let mock = Mock::start(vec![
        ("GET /registries", reply(200, json!({ "items": [stored()], "next": null }))),
        ("POST /registries/registry%2Eexample%2Ecom/images", reply(200, stored())),
        ("DELETE /registries/registry%2Eexample%2Ecom/images", reply(204, json!(null))),
    ]);
    let words = ["registry", "use", "registry.example.com", "--path", "team"];
    let run = User::new().wh(&mock, &words).succeeded();
    assert!(run.err.contains("registry.example.com/team/APP:vN"), "{run:?}");
    assert_eq!(mock.asked()[0].json(), json!({ "path": "team" }));
    let run = User::new().wh(&mock, &["registry"]).succeeded();
    assert!(run.out.contains("2 in team/, 1 waiting") && run.err.contains("no space there"), "{run:?}");
    let run = User::new().wh(&mock, &["registry", "use", "--none"]).succeeded();
    assert!(run.err.contains("no more images are pushed"), "{run:?}");
    User::new().wh(&mock, &["registry", "use"]).failed(2);
    User::new().wh(&mock, &["registry", "use", "registry.example.com", "--none"]).failed(2);
}
