//! Programs in instances and in containers of their own: this terminal becomes theirs, or standard input and both outputs do.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{Shell, logs};
use crate::api::socket::Socket;
use crate::api::{Client, path};
use crate::args::{Exec, Run};
use crate::failure::{Exit, Failure, Result};
use crate::ui::terminal::{self, Raw};

/// First bytes of binary frames.
const STDIN: u8 = 0;
const STDERR: u8 = 2;
/// Bytes of one frame of input.
const DATA: usize = 32 * 1024;
/// The server says something every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

#[derive(Deserialize)]
struct Session {
    id: String,
}

/// How it ended; text frames.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Last {
    Exit { code: i32 },
    Failed { code: String, message: String, hint: Option<String> },
}

/// Hints for a connection that was lost.
const HUNG_UP: &str = "the program was hung up on; what it started with `nohup` goes on";
const REMOVED: &str = "the program is ended and its container removed";

/// `wh exec`. The exit code is the program's own.
pub(crate) async fn run(shell: &Shell, exec: Exec) -> Result<u8> {
    let client = shell.client()?;
    let app = exec.app_name.map_or_else(|| shell.app(), Ok)?;
    let instance = match &exec.instance {
        Some(part) => Some(logs::instance_id(&client, &app, part).await?),
        None => None,
    };
    let program = Program::new(exec.command, exec.no_terminal, HUNG_UP);
    let request = json!({ "instance": instance });
    program.run(&client, &app, request).await
}

/// `wh run`: the same, in a container that is there for the program.
pub(crate) async fn run_fresh(shell: &Shell, run: Run) -> Result<u8> {
    let client = shell.client()?;
    let app = run.app_name.map_or_else(|| shell.app(), Ok)?;
    let program = Program::new(run.command, run.no_terminal, REMOVED);
    program.run(&client, &app, json!({ "fresh": true })).await
}

/// What is to run, as far as it does not matter where.
struct Program {
    command: Vec<String>,
    /// Of the terminal that becomes the program's.
    size: Option<(u16, u16)>,
    /// What a lost connection means for it.
    when_lost: &'static str,
}

impl Program {
    fn new(command: Vec<String>, no_terminal: bool, when_lost: &'static str) -> Self {
        let size = if no_terminal { None } else { terminal::size() };
        let command = if command.is_empty() { vec!["sh".to_owned()] } else { command };
        Self { command, size, when_lost }
    }

    async fn run(self, client: &Client, app: &str, mut request: Value) -> Result<u8> {
        request["command"] = json!(self.command);
        request["terminal"] = json!(self.size.map(|(cols, rows)| json!({ "cols": cols, "rows": rows })));
        let session: Session = client.send(Method::POST, &path(&["apps", app, "exec"]), &request).await?;
        let socket = client.socket(&path(&["exec", &session.id])).await?;
        let raw = self.size.map(|_| Raw::start()).transpose();
        let raw = raw.map_err(|error| Failure::io("cannot take over the terminal", &error))?;
        let ended = talk(socket, self.size.is_some(), self.when_lost).await;
        drop(raw);
        match ended? {
            // As shells do.
            Last::Exit { code } => Ok(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
            Last::Failed { code, message, hint } => {
                let mut failure = Failure::new(Exit::Error, &code, message);
                failure.hint = hint;
                Err(failure)
            }
        }
    }
}

async fn talk(socket: Socket, terminal: bool, when_lost: &str) -> Result<Last> {
    let (sink, stream) = socket.split();
    let catch = |kind| signal(kind).map_err(|error| Failure::io("cannot listen for signals", &error));
    let resized = catch(SignalKind::window_change())?;
    let [mut hung_up, mut terminated] = [catch(SignalKind::hangup())?, catch(SignalKind::terminate())?];
    tokio::select! {
        ended = receive(stream) => ended?.ok_or_else(|| lost(when_lost)),
        () = send(sink, resized, terminal) => Err(lost(when_lost)),
        _ = hung_up.recv() => Err(interrupted()),
        _ = terminated.recv() => Err(interrupted()),
    }
}

/// Everything that is typed, and the sizes of the terminal. Ends when the connection does not take it.
async fn send(mut sink: SplitSink<Socket, Message>, mut resized: Signal, terminal: bool) {
    let mut input = tokio::io::stdin();
    let mut data = vec![STDIN; 1 + DATA];
    let mut open = true;
    loop {
        let message = tokio::select! {
            read = input.read(&mut data[1..]), if open => {
                // What cannot be read has ended.
                let read = read.unwrap_or(0);
                open = read > 0;
                Message::binary(data[..=read].to_vec())
            }
            _ = resized.recv(), if terminal => {
                let Some((cols, rows)) = terminal::size() else { continue };
                Message::text(json!({ "type": "resize", "cols": cols, "rows": rows }).to_string())
            }
            else => return std::future::pending().await,
        };
        if sink.send(message).await.is_err() {
            // The other half knows why.
            return std::future::pending().await;
        }
    }
}

/// `None` when the connection was lost.
async fn receive(mut stream: SplitStream<Socket>) -> Result<Option<Last>> {
    let (mut out, mut err) = (tokio::io::stdout(), tokio::io::stderr());
    loop {
        let Ok(message) = timeout(SILENCE, stream.next()).await else { return Ok(None) };
        match message {
            Some(Ok(Message::Binary(frame))) => match frame.split_first() {
                Some((&STDERR, data)) => write(&mut err, data).await?,
                Some((_, data)) => write(&mut out, data).await?,
                None => {}
            },
            Some(Ok(Message::Text(text))) => {
                return serde_json::from_str(&text).map(Some).map_err(|error| {
                    let message = format!("the server's last words are not understood: {error}");
                    Failure::new(Exit::Error, "answer_unknown", message)
                });
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(None),
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), data: &[u8]) -> Result<()> {
    let written = async {
        to.write_all(data).await?;
        to.flush().await
    };
    match written.await {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(|error| Failure::io("cannot write what the program says", &error)),
    }
}

fn lost(hint: &str) -> Box<Failure> {
    Failure::new(Exit::Error, "connection_lost", "the connection was lost").hint(hint)
}

fn interrupted() -> Box<Failure> {
    Failure::new(Exit::Interrupted, "interrupted", "ended by a signal")
}
