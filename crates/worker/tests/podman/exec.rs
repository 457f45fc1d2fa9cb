//! Programs in instances, over the socket that the control plane uses.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use protocol::exec::{ExecTicket, FromClient, FromProgram, Open, Size, channel, frame};
use protocol::identity::{ApiKey, SigningKey};
use protocol::ids::{ExecId, InstanceId};
use protocol::report::InstanceState;
use protocol::spec::Probe;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;
use worker::tickets::TicketKeys;

use crate::support::{ControlPlane, MESH, on_a_host, processes};
use crate::{SERVER, instance, podman, reported, start_instances};

const PORT: u16 = 8090;
const SOON: Duration = Duration::from_secs(20);

/// A worker with one healthy instance.
pub(crate) struct Worker {
    pub(crate) key: SigningKey,
    pub(crate) instance: InstanceId,
    pub(crate) control_plane: ControlPlane,
    _tasks: Vec<JoinSet<anyhow::Result<()>>>,
}

impl Worker {
    pub(crate) async fn start() -> Self {
        let wanted = instance(20001, SERVER, Probe::default()).await;
        let id = wanted.id;
        let control_plane = ControlPlane::default();
        let (instances, fresh) = start_instances(&control_plane, vec![wanted]).await;
        reported(&control_plane, id, "healthy", |i| i.state == InstanceState::Healthy).await;
        let key = ApiKey::generate().signing_key();
        let stop = CancellationToken::new();
        let router =
            worker::exec::router(podman(), fresh.clone(), TicketKeys::new(key.clone()), stop.clone());
        let mut server = JoinSet::new();
        server.spawn(fresh.sweep(stop.clone()));
        server.spawn(worker::serve::serve(worker::serve::listen(MESH, PORT).expect("listen"), router, stop));
        Self { key, instance: id, control_plane, _tasks: vec![instances, server] }
    }

    async fn dial(&self, key: &SigningKey, instance: InstanceId) -> Result<Program, Error> {
        let ticket = ExecTicket { session: ExecId::new(), instance };
        let url = format!("ws://{MESH}:{PORT}{}", ticket.path());
        let mut request = url.into_client_request().expect("request");
        let bearer = format!("Bearer {}", ticket.seal(i64::MAX, key));
        request.headers_mut().insert("authorization", bearer.parse().expect("header"));
        connect_async(request).await.map(|(socket, _)| Program(socket))
    }

    pub(crate) async fn run(&self, command: &[&str], terminal: Option<Size>) -> Program {
        let mut program = self.dial(&self.key, self.instance).await.expect("admitted");
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let open = serde_json::to_string(&Open { command, terminal }).expect("json");
        program.0.send(Message::text(open)).await.expect("sent");
        program
    }
}

pub(crate) struct Program(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

/// All that a program said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
    pub(crate) last: Option<FromProgram>,
}

impl Program {
    pub(crate) async fn input(&mut self, data: &[u8]) {
        self.0.send(Message::binary(frame(channel::STDIN, data))).await.expect("sent");
    }

    pub(crate) async fn resize(&mut self, cols: u16, rows: u16) {
        let text = serde_json::to_string(&FromClient::Resize(Size { cols, rows })).expect("json");
        self.0.send(Message::text(text)).await.expect("sent");
    }

    /// Everything until `enough`, or the end.
    pub(crate) async fn until(&mut self, enough: impl Fn(&Said) -> bool) -> Said {
        let mut said = Said::default();
        let read = async {
            while !enough(&said) {
                match self.0.next().await {
                    Some(Ok(Message::Binary(frame))) if frame[0] == channel::STDERR => {
                        said.err.extend(&frame[1..]);
                    }
                    Some(Ok(Message::Binary(frame))) => said.out.extend(&frame[1..]),
                    Some(Ok(Message::Text(text))) => {
                        said.last = Some(serde_json::from_str(&text).expect("a last frame"));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break,
                }
            }
        };
        let in_time = timeout(SOON, read).await.is_ok();
        assert!(in_time, "it goes on: {said:?}");
        said
    }

    pub(crate) async fn end(&mut self) -> Said {
        self.until(|said| said.last.is_some()).await
    }
}

#[test]
fn a_program_has_its_outputs_its_input_and_its_exit_code() {
    on_a_host("exec::a_program_has_its_outputs_its_input_and_its_exit_code", async {
        let worker = Worker::start().await;
        let command = ["sh", "-c", "echo $GREETING; echo bad >&2; cat; exit 7"];
        let mut program = worker.run(&command, None).await;
        program.input(b"first ").await;
        // Podman's keys to detach are no such keys here.
        program.input(&[0x10]).await;
        program.input(&[0x11]).await;
        program.input(b"").await;
        let said = program.end().await;
        assert_eq!(said.last, Some(FromProgram::Exit { code: 7 }), "{said:?}");
        assert_eq!(said.out, b"hello\nfirst \x10\x11", "{said:?}");
        assert_eq!(said.err, b"bad\n", "{said:?}");

        // More than fits into anybody's buffers, both ways.
        let mut program = worker.run(&["cat"], None).await;
        let data: Vec<u8> = (0..4_000_000_u32).map(|at| (at % 251) as u8).collect();
        let (mut sink, mut stream) = (&mut program.0).split();
        let send = async {
            for piece in data.chunks(30_000) {
                sink.send(Message::binary(frame(channel::STDIN, piece))).await.expect("sent");
            }
            sink.send(Message::binary(frame(channel::STDIN, b""))).await.expect("sent");
        };
        let receive = async {
            let mut back: Vec<u8> = Vec::new();
            while let Some(Ok(message)) = stream.next().await {
                match message {
                    Message::Binary(frame) => back.extend(&frame[1..]),
                    Message::Text(_) => break,
                    _ => {}
                }
            }
            back
        };
        let ((), back) = timeout(2 * SOON, async { tokio::join!(send, receive) }).await.expect("in time");
        assert!(back == data, "{} of {} bytes came back", back.len(), data.len());

        // Podman's own words; the code is the one that shells give.
        let said = worker.run(&["no-such-program"], None).await.end().await;
        assert_eq!(said.last, Some(FromProgram::Exit { code: 127 }), "{said:?}");
        assert!(String::from_utf8_lossy(&said.err).contains("no-such-program"), "{said:?}");
    });
}

#[test]
fn a_terminal_is_resized_interrupted_and_hung_up() {
    on_a_host("exec::a_terminal_is_resized_interrupted_and_hung_up", async {
        let worker = Worker::start().await;
        let mut program = worker.run(&["sh"], Some(Size { cols: 80, rows: 24 })).await;
        let says = |text: &'static str| move |said: &Said| String::from_utf8_lossy(&said.out).contains(text);
        program.input(b"stty size\n").await;
        program.until(says("24 80")).await;
        program.resize(120, 40).await;
        program.input(b"stty size; echo $TERM\n").await;
        program.until(says("40 120\r\nxterm-256color")).await;
        program.input(b"sleep 98.7\n").await;
        until("the sleep", || processes("sleep 98.7") == 1).await;
        program.input(&[3]).await;
        until("the interrupt", || processes("sleep 98.7") == 0).await;
        program.input(b"sleep 98.6\n").await;
        until("the next sleep", || processes("sleep 98.6") == 1).await;
        // Its window is closed, or its line is cut.
        drop(program);
        until("the end of what ran in the terminal", || processes("sleep 98.6") == 0).await;

        let program = worker.run(&["sh", "-c", "sleep 98.5; true"], None).await;
        until("a sleep without a terminal", || processes("sleep 98.5") == 1).await;
        drop(program);
        until("its end", || processes("sleep 98.5") == 0).await;
    });
}

pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !so() {
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn nothing_runs_without_a_ticket_or_where_nothing_runs() {
    on_a_host("exec::nothing_runs_without_a_ticket_or_where_nothing_runs", async {
        let worker = Worker::start().await;
        let forged = worker.dial(&ApiKey::generate().signing_key(), worker.instance).await;
        assert!(matches!(&forged, Err(Error::Http(answer)) if answer.status() == 401));
        let other = Worker {
            instance: InstanceId::new(),
            key: worker.key.clone(),
            control_plane: worker.control_plane.clone(),
            _tasks: Vec::new(),
        };
        let said = other.run(&["true"], None).await.end().await;
        assert!(
            matches!(&said.last, Some(FromProgram::Failed { code, .. }) if code == "not_running"),
            "{said:?}"
        );
    });
}
