//! Programs in containers of their own, over the socket that the control plane uses.

use std::process::Command;

use futures_util::SinkExt as _;
use protocol::exec::{FreshTicket, FromProgram, OpenFresh, Size};
use protocol::identity::{ApiKey, SigningKey};
use protocol::ids::ExecId;
use protocol::report::InstanceState;
use protocol::spec::{InstanceSpec, Probe};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::exec::{Program, Said, Worker, until};
use crate::support::{MESH, on_a_host, processes};
use crate::{instance, podman, reported};

const RUN: &str = "wisehosting.run";

async fn dial(key: &SigningKey) -> Result<Program, Error> {
    let ticket = FreshTicket { session: ExecId::new() };
    let mut request = format!("ws://{MESH}:8090{}", ticket.path()).into_client_request().expect("request");
    let bearer = format!("Bearer {}", ticket.seal(i64::MAX, key));
    request.headers_mut().insert("authorization", bearer.parse().expect("header"));
    connect_async(request).await.map(|(socket, _)| Program(socket))
}

pub(crate) async fn spec(command: &[&str]) -> InstanceSpec {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    InstanceSpec { command: Some(command), once: true, ..instance(20001, "", Probe::default()).await }
}

async fn run(worker: &Worker, command: &[&str], terminal: Option<Size>) -> Program {
    run_spec(worker, spec(command).await, terminal).await
}

pub(crate) async fn run_spec(worker: &Worker, container: InstanceSpec, terminal: Option<Size>) -> Program {
    let mut program = dial(&worker.key).await.expect("admitted");
    let open = OpenFresh { container, terminal };
    program.0.send(Message::text(serde_json::to_string(&open).expect("json"))).await.expect("sent");
    program
}

fn containers() -> usize {
    let list = Command::new("podman").args(["ps", "-aq", "--filter", &format!("label={RUN}")]).output();
    String::from_utf8_lossy(&list.expect("podman").stdout).lines().count()
}

#[test]
fn a_program_has_a_container_of_its_own_while_it_runs() {
    on_a_host("fresh::a_program_has_a_container_of_its_own_while_it_runs", async {
        let worker = Worker::start().await;
        let script = "echo $GREETING; echo bad >&2; cat; test -e /tmp/w && echo shared; exit 7";
        let mut program = run(&worker, &["sh", "-c", script], None).await;
        program.input(b"typed\n").await;
        program.input(b"").await;
        let said = program.end().await;
        assert_eq!(said.last, Some(FromProgram::Exit { code: 7 }), "{said:?}");
        assert_eq!((said.out.as_slice(), said.err.as_slice()), (&b"hello\ntyped\n"[..], &b"bad\n"[..]));
        assert_eq!(containers(), 0, "it is gone before its end is told");

        let mut program = run(&worker, &["sh"], Some(Size { cols: 81, rows: 25 })).await;
        let says = |text: &'static str| move |said: &Said| String::from_utf8_lossy(&said.out).contains(text);
        program.input(b"stty size\n").await;
        program.until(says("25 81")).await;
        program.resize(120, 40).await;
        program.input(b"stty size; echo $TERM\n").await;
        program.until(says("40 120\r\nxterm-256color")).await;
        program.input(b"exit 3\n").await;
        assert_eq!(program.end().await.last, Some(FromProgram::Exit { code: 3 }));

        let said = run(&worker, &["no-such-program"], None).await.end().await;
        let Some(FromProgram::Failed { code, message, .. }) = &said.last else { panic!("{said:?}") };
        assert!(code == "start_failed" && message.contains("no-such-program"), "{said:?}");
        until("the end of its container", || containers() == 0).await;
        let forged = dial(&ApiKey::generate().signing_key()).await;
        assert!(matches!(&forged, Err(Error::Http(answer)) if answer.status() == 401));
        // All the while the instance served.
        let healthy =
            |i: &protocol::report::InstanceReport| i.state == InstanceState::Healthy && i.restarts == 0;
        reported(&worker.control_plane, worker.instance, "healthy", healthy).await;
    });
}

#[test]
fn a_container_goes_with_its_client_and_with_its_agent() {
    on_a_host("fresh::a_container_goes_with_its_client_and_with_its_agent", async {
        // Left by an agent that died.
        let left =
            ["run", "-d", "--network", "none", "--label", "wisehosting.run=0", "busybox", "sleep", "97.9"];
        assert!(Command::new("podman").args(left).status().expect("podman").success());
        assert_eq!((containers(), processes("sleep 97.9")), (1, 1));
        let worker = Worker::start().await;
        until("the end of what was left", || containers() == 0 && processes("sleep 97.9") == 0).await;

        let program = run(&worker, &["sleep", "97.8"], None).await;
        until("the sleep", || processes("sleep 97.8") == 1).await;
        assert_eq!(containers(), 1);
        // The reconciler wants other containers, and lets this one be.
        let listed = podman().containers(RUN).await.expect("list");
        assert!(!listed[0].labels.contains_key("wisehosting.instance"), "{:?}", listed[0].labels);
        drop(program);
        until("its end", || containers() == 0 && processes("sleep 97.8") == 0).await;
    });
}
