//! `wh exec`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, json as reply, program};

fn mock(last: Value) -> Mock {
    let session = json!({ "id": "s-1", "instance": "i", "node": "w1", "release": 3 });
    Mock::start(vec![
        ("POST /apps/hello/exec", reply(201, session)),
        ("GET /exec/s-1", program(last)),
        (
            "GET /apps/hello/instances",
            reply(
                200,
                json!({ "items": [{ "id": "0198-abcdef12", "node": { "id": "n", "name": "w1" } }], "next": null }),
            ),
        ),
    ])
}

fn exec(mock: &Mock, args: &[&str], stdin: &str) -> crate::Run {
    User::new().bare(args, &[("WH_URL", &mock.url), ("WH_TOKEN", "wht_test")], stdin)
}

#[test]
fn a_program_gets_the_input_and_gives_outputs_and_exit_code() {
    let mock = mock(json!({ "type": "exit", "code": 7 }));
    let run = exec(&mock, &["exec", "hello", "--", "sh", "-c", "cat; exit 7"], "some input").failed(7);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("some input", "complaint\n"));
    let asked = mock.one("POST /apps/hello/exec").json();
    assert_eq!(asked, json!({ "command": ["sh", "-c", "cat; exit 7"], "instance": null, "terminal": null }));
    assert_eq!(mock.frames().last(), Some(&vec![0]), "the end of the input");
    assert_eq!(mock.one("GET /exec/s-1").header("authorization"), "Bearer wht_test");
}

#[test]
fn an_instance_is_named_by_the_end_of_its_id_and_failures_say_what_to_do() {
    let last = json!({ "type": "failed", "code": "idle", "message": "too quiet", "hint": "type" });
    let mock = mock(last);
    let args = ["exec", "--app", "hello", "--instance", "ef12", "--json", "--", "true"];
    let run = exec(&mock, &args, "").failed(1);
    assert!(run.err.starts_with("complaint\n"), "{run:?}");
    let error: Value = serde_json::from_str(run.err.trim_start_matches("complaint\n")).expect("JSON");
    assert_eq!((&error["error"]["code"], &error["error"]["hint"]), (&json!("idle"), &json!("type")));
    assert_eq!(mock.one("POST /apps/hello/exec").json()["instance"], "0198-abcdef12");

    let refused = json!({ "code": "not_running", "message": "no instance of hello runs" });
    let mock = Mock::start(vec![("POST /apps/hello/exec", reply(409, refused))]);
    exec(&mock, &["exec", "hello"], "").failed(5);
}

#[test]
fn a_program_that_runs_once_gets_a_container_of_its_own() {
    let mock = mock(json!({ "type": "exit", "code": 9 }));
    let run = exec(&mock, &["run", "hello", "--", "migrate", "--all"], "y\n").failed(9);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("y\n", "complaint\n"));
    let asked = mock.one("POST /apps/hello/exec").json();
    assert_eq!(asked, json!({ "command": ["migrate", "--all"], "fresh": true, "terminal": null }));

    let refused =
        json!({ "code": "nothing_deployed", "message": "hello has no live release", "hint": "deploy" });
    let mock = Mock::start(vec![("POST /apps/hello/exec", reply(409, refused))]);
    assert!(exec(&mock, &["run", "--app", "hello"], "").failed(5).err.contains("no live release"));
}

#[test]
fn a_server_that_is_gone_is_no_success() {
    let session = json!({ "id": "s-1", "instance": "i", "node": "w1", "release": 3 });
    let mock = Mock::start(vec![
        ("POST /apps/hello/exec", reply(201, session)),
        ("GET /exec/s-1", reply(200, json!({}))),
    ]);
    assert!(exec(&mock, &["exec", "hello"], "").failed(1).err.contains("no_websocket"));
}

#[test]
fn a_terminal_is_handed_over_with_every_key_and_comes_back() {
    let mock = mock(json!({ "type": "exit", "code": 0 }));
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    let size = Winsize { ws_col: 100, ws_row: 30, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&pty.slave, size).expect("size");
    let end = || Stdio::from(pty.slave.try_clone().expect("clone"));
    let user = User::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_wh"))
        .args(["exec", "hello"])
        .env_clear()
        .envs([("WH_URL", mock.url.as_str()), ("WH_TOKEN", "wht_test")])
        .env("HOME", user.home.path())
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .expect("wh starts");
    let mut master = File::from(pty.master.try_clone().expect("clone"));
    wait("raw mode", || !tcgetattr(&pty.slave).expect("modes").local_modes.contains(LocalModes::ISIG));
    let mut shown = [0; 64];
    let read = master.read(&mut shown).expect("read");
    // Raw: no carriage return is added.
    assert_eq!(&shown[..read], b"complaint\n");
    master.write_all(b"\x03").expect("Ctrl-C");
    wait("Ctrl-C", || mock.frames().contains(&vec![0, 3]));
    master.write_all(b"\x04").expect("Ctrl-D");
    assert!(child.wait().expect("ends").success());
    assert!(tcgetattr(&pty.slave).expect("modes").local_modes.contains(LocalModes::ISIG), "still raw");
    let asked = mock.one("POST /apps/hello/exec").json();
    assert_eq!(
        asked,
        json!({ "command": ["sh"], "instance": null, "terminal": { "cols": 100, "rows": 30 } })
    );
}

fn wait(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}
