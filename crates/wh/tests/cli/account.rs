//! Signing in and out, contexts, and what happens to errors.

use serde_json::json;

use crate::mock::{Mock, Reply, hangs, json as reply};
use crate::{User, mode};

fn session() -> Reply {
    reply(
        200,
        json!({ "user": { "id": "u", "email": "ann@example.com", "name": "Ann" },
                "organization": { "id": "o", "slug": "acme", "name": "Acme", "role": "owner" }, "later": 1 }),
    )
}

#[test]
fn a_password_becomes_a_token_that_only_the_private_file_holds() {
    let made = reply(201, json!({ "id": "t1", "name": "wh", "token": "wht_secret", "expires_at": null }));
    let mock = Mock::start(vec![
        ("POST /tokens", made),
        ("GET /session", session()),
        ("DELETE /tokens/t1", reply(204, json!(null))),
    ]);
    let user = User::new();
    let args = ["login", &mock.url, "--email", "ann@example.com", "--password-stdin"];
    let login = user.bare(&args, &[], "hunter2\n").succeeded();
    assert!(!format!("{login:?}").contains("wht_secret") && !format!("{login:?}").contains("hunter2"));
    let asked = mock.one("POST /tokens");
    assert_eq!(
        (&asked.json()["email"], &asked.json()["password"]),
        (&json!("ann@example.com"), &json!("hunter2"))
    );
    assert_eq!(asked.header("authorization"), "");
    assert_eq!(mock.one("GET /session").header("authorization"), "Bearer wht_secret");
    assert_eq!(mode(&user.config()), 0o600);

    assert!(user.bare(&["whoami"], &[], "").succeeded().out.contains("ann@example.com"));
    for args in [&["context", "ls"][..], &["context", "show"], &["context", "ls", "--json"]] {
        let shown = user.bare(args, &[], "").succeeded().out;
        assert!(shown.contains("127.0.0.1") && !shown.contains("wht_secret"), "{shown}");
    }
    user.bare(&["logout"], &[], "").succeeded();
    assert_eq!(mock.one("DELETE /tokens/t1").header("authorization"), "Bearer wht_secret");
    assert!(!std::fs::read_to_string(user.config()).expect("read").contains("wht_secret"));
    assert!(user.bare(&["whoami"], &[], "").failed(3).err.contains("wh login"));
}

#[test]
fn a_token_from_standard_input_is_tried_before_it_is_kept() {
    let refused = reply(401, json!({ "code": "token_unknown", "message": "the token is not known" }));
    let mock = Mock::start(vec![("GET /session", refused), ("GET /session", session())]);
    let user = User::new();
    let login = || user.bare(&["--context", "home", "login", &mock.url, "--token"], &[], "wht_typed\n");
    login().failed(3);
    assert!(!user.config().exists());
    login().succeeded();
    assert_eq!(mock.asked()[1].header("authorization"), "Bearer wht_typed");
    user.bare(&["context", "use", "hone"], &[], "").failed(4).err.contains("did you mean home?");
    user.bare(&["context", "rm", "home"], &[], "").succeeded();
    user.bare(&["apps"], &[], "").failed(3);
}

#[test]
fn clear_text_to_a_public_address_is_refused() {
    let env = [("WH_URL", "http://cp.example.com"), ("WH_TOKEN", "wht_test")];
    let run = User::new().bare(&["apps"], &env, "").failed(2);
    assert!(
        run.err.starts_with("error: http://cp.example.com/ would send your token in clear text"),
        "{run:?}"
    );
}

#[test]
fn errors_have_their_exit_codes_and_shapes() {
    let error = |status: u16| {
        reply(
            status,
            json!({ "code": "some_code", "message": "what happened", "hint": "do this", "request_id": "r-1" }),
        )
    };
    for (status, code) in [(401, 3), (403, 3), (404, 4), (409, 5), (422, 1), (500, 1)] {
        let mock = Mock::start(vec![("GET /apps", error(status))]);
        let run = User::new().wh(&mock, &["apps"]).failed(code);
        assert_eq!(run.err, "error: what happened (some_code, request r-1)\nhint: do this\n");
        assert_eq!(mock.one("GET /apps").header("authorization"), "Bearer wht_test");
        let run = User::new().wh(&mock, &["apps", "--output", "json"]).failed(code);
        assert_eq!(
            (run.error()["code"].as_str(), run.error()["exit_code"].as_i64()),
            (Some("some_code"), Some(code.into()))
        );
        assert_eq!(run.out, "");
    }
}

#[test]
fn usage_errors_are_json_too_when_asked() {
    let run = User::new().bare(&["apps", "--json", "--weather"], &[], "").failed(2);
    assert_eq!(run.error()["code"], "usage");
    User::new().bare(&["ps"], &[("WH_URL", "https://127.0.0.1"), ("WH_TOKEN", "x")], "").failed(2);
}

#[test]
fn a_silent_server_is_given_up_in_time() {
    let mock = Mock::start(vec![("GET /apps", hangs())]);
    let run = User::new().wh(&mock, &["apps", "--timeout", "1s"]).failed(7);
    assert!(run.err.contains("not done within 1.0 s"), "{run:?}");
}

#[test]
fn a_token_does_not_follow_a_redirect() {
    let mock = Mock::start(vec![("GET /apps", reply(307, json!({})))]);
    let run = User::new().wh(&mock, &["apps"]).failed(1);
    assert!(run.err.contains("redirects elsewhere"), "{run:?}");
    assert_eq!(mock.lines(), ["GET /apps"]);
}

#[test]
fn a_server_that_is_not_there_is_an_error_in_one_line() {
    let env = [("WH_URL", "http://127.0.0.1:9"), ("WH_TOKEN", "wht_test")];
    let run = User::new().bare(&["apps"], &env, "").failed(1);
    assert!(run.err.starts_with("error: cannot reach http://127.0.0.1:9/: "), "{run:?}");
}

#[test]
fn completion_scripts_and_versions_need_no_server() {
    assert!(User::new().bare(&["completion", "bash"], &[], "").succeeded().out.contains("rollback"));
    let version = User::new().bare(&["version", "--json"], &[], "").succeeded().json();
    assert_eq!(version, json!({ "wh": env!("CARGO_PKG_VERSION"), "control_plane": null }));
}
