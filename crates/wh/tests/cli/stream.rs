//! `wh stream`.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, json as reply};

fn stream(protocol: &str, port: u16) -> Value {
    json!({
        "protocol": protocol, "port": port, "address": format!("db.example.com:{port}"), "allow": [],
        "proxy_protocol": false, "tls": null, "max_connections": 1000, "idle_timeout_s": 3600,
        "created_by": "ada@example.com", "created_at": "2026-11-22T10:00:00Z", "warning": null, "problems": [],
    })
}

fn of_db<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["--app", "db", "stream"], words].concat()
}

#[test]
fn a_stream_gets_a_free_port_and_its_address_is_the_output() {
    let mock = Mock::start(vec![("POST /apps/db/streams", reply(201, stream("tcp", 30000)))]);
    let run = User::new().wh(&mock, &of_db(&["add", "tcp", "--allow", "192.0.2.0/24"])).succeeded();
    assert_eq!(run.out, "db.example.com:30000\n");
    assert!(run.err.contains("port 30000/tcp leads to the app"), "{run:?}");
    let options = json!({ "allow": ["192.0.2.0/24"], "proxy_protocol": false });
    assert_eq!(mock.asked()[0].json(), json!({ "protocol": "tcp", "options": options }));
}

#[test]
fn a_port_that_is_named_is_put_there_with_all_that_is_said_of_it() {
    let put = "PUT /apps/db/streams/udp/27015";
    let warning = "1 of 2 instances began before the app had a UDP stream";
    let mut answer = stream("udp", 27015);
    answer["warning"] = json!(warning);
    let mock = Mock::start(vec![(put, reply(200, answer))]);
    let words = ["add", "udp", "--port", "27015", "--max-connections", "5", "--idle-timeout", "2m"];
    let run = User::new().wh(&mock, &of_db(&words)).succeeded();
    assert!(run.err.contains(warning), "{run:?}");
    let sent = json!({ "allow": [], "proxy_protocol": false, "max_connections": 5, "idle_timeout_s": 120 });
    assert_eq!(mock.asked()[0].json(), sent);
}

#[test]
fn streams_are_listed_with_what_is_wrong_and_removed() {
    let mut failing = stream("tcp", 5432);
    failing["tls"] = json!("db.example.com");
    failing["problems"] =
        json!([{ "node": "p1", "problem": "another process has the port", "since": "2026-11-22T10:00:00Z" }]);
    let items = json!({ "items": [failing, stream("udp", 30000)], "ports": "30000-30999" });
    let mock = Mock::start(vec![
        ("GET /apps/db/streams", reply(200, items)),
        ("GET /apps/db/streams", reply(200, json!({ "items": [], "ports": "30000-30999" }))),
        ("DELETE /apps/db/streams/tcp/5432", reply(204, Value::Null)),
    ]);
    let run = User::new().wh(&mock, &of_db(&["ls"])).succeeded();
    assert!(run.out.contains("5432/tcp") && run.out.contains("tls=db.example.com"), "{run:?}");
    assert!(run.err.contains("5432/tcp on p1: another process has the port"), "{run:?}");
    let run = User::new().wh(&mock, &of_db(&[])).succeeded();
    assert!(run.err.contains("30000-30999"), "{run:?}");
    let run = User::new().wh(&mock, &of_db(&["rm", "tcp", "5432"])).succeeded();
    assert!(run.err.contains("5432/tcp is closed"), "{run:?}");
}
