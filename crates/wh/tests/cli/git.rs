//! `wh git` and repositories.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, json as reply};

fn stored(kind: &str) -> Value {
    json!({ "access": {
        "kind": kind, "host": "git.example.com", "username": (kind == "token").then_some("ci"),
        "public_key": (kind == "key").then_some("ssh-ed25519 AAAA"), "host_keys": [],
        "updated_by": "ann@example.com", "updated_at": chrono::Utc::now(),
    } })
}

#[test]
fn a_token_comes_from_standard_input_and_is_never_printed() {
    let mock = Mock::start(vec![("POST /apps/a/git-access", reply(200, stored("token")))]);
    let env = [("WH_URL", mock.url.as_str()), ("WH_TOKEN", "wht_test"), ("WH_APP", "a")];
    let words = ["git", "token", "git.example.com", "--username", "ci"];
    let run = User::new().bare(&[&words[..], &["--token-stdin"]].concat(), &env, "hunter2\n").succeeded();
    assert!(run.err.contains("repositories of git.example.com are fetched with this token"), "{run:?}");
    assert!(!format!("{run:?}").contains("hunter2"), "{run:?}");
    assert_eq!(
        mock.asked()[0].json(),
        json!({ "kind": "token", "host": "git.example.com", "username": "ci", "token": "hunter2" })
    );
    let run = User::new().bare(&words, &env, "").failed(2);
    assert!(run.err.contains("--token-stdin"), "{run:?}");
}

#[test]
fn a_key_is_read_from_a_file_and_its_public_part_told() {
    let mock = Mock::start(vec![("POST /apps/a/git-access", reply(200, stored("key")))]);
    let user =
        User::with_files(&[("deploy-key", "the key\n"), ("hosts", "git.example.com ssh-ed25519 BBBB\n")]);
    let words = ["git", "key", "git.example.com", "deploy-key", "--known-hosts", "hosts", "--app", "a"];
    let run = user.wh(&mock, &words).succeeded();
    assert!(run.err.contains("ssh-ed25519 AAAA") && !run.err.contains("the key"), "{run:?}");
    assert_eq!(
        mock.asked()[0].json(),
        json!({ "kind": "key", "host": "git.example.com", "private_key": "the key\n",
                "known_hosts": "git.example.com ssh-ed25519 BBBB\n" })
    );
    let run = user.wh(&mock, &["git", "key", "git.example.com", "absent", "--app", "a"]).failed(1);
    assert!(run.err.contains("cannot read absent"), "{run:?}");
}

#[test]
fn access_is_shown_and_forgotten() {
    let mock = Mock::start(vec![
        ("GET /apps/a/git-access", reply(200, stored("key"))),
        ("DELETE /apps/a/git-access", reply(204, json!(null))),
        ("GET /apps/a/git-access", reply(200, json!({ "access": null }))),
    ]);
    let run = User::new().wh(&mock, &["git", "--app", "a"]).succeeded();
    assert!(run.out.contains("host key    the first that it shows"), "{run:?}");
    let run = User::new().wh(&mock, &["git", "rm", "--app", "a"]).succeeded();
    assert!(run.err.contains("public repositories only"), "{run:?}");
    let run = User::new().wh(&mock, &["git", "--app", "a"]).succeeded();
    assert!(run.out.is_empty() && run.err.contains("wh git token HOST"), "{run:?}");
}

#[test]
fn a_repository_is_deployed_with_its_submodules_and_large_files() {
    let refused = reply(422, json!({ "code": "source_invalid", "message": "no" }));
    let app = json!({ "id": "a", "slug": "a", "project": { "id": "p", "slug": "default" } });
    let mock = Mock::start(vec![("GET /apps/a", reply(200, app)), ("POST /apps/a/deployments", refused)]);
    let words = ["deploy", "--app", "a", "--git", "https://git.example.com/a.git", "--submodules", "--lfs"];
    User::new().wh(&mock, &words).failed(1);
    assert_eq!(
        mock.asked()[1].json()["source"],
        json!({ "type": "git", "url": "https://git.example.com/a.git", "ref": "main", "submodules": true,
                "lfs": true })
    );
}
