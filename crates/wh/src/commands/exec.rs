//! Programs in instances: this terminal becomes theirs, or standard input and both outputs do.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{Shell, logs};
use crate::api::path;
use crate::api::socket::Socket;
use crate::args::Exec;
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

/// `wh exec`. The exit code is the program's own.
pub(crate) async fn run(shell: &Shell, exec: Exec) -> Result<u8> {
    let client = shell.client()?;
    let app = exec.app_name.map_or_else(|| shell.app(), Ok)?;
    let instance = match &exec.instance {
        Some(part) => Some(logs::instance_id(&client, &app, part).await?),
        None => None,
    };
    let size = if exec.no_terminal { None } else { terminal::size() };
    let command = if exec.command.is_empty() { vec!["sh".to_owned()] } else { exec.command };
    let body = json!({
        "command": command, "instance": instance,
        "terminal": size.map(|(cols, rows)| json!({ "cols": cols, "rows": rows })),
    });
    let session: Session = client.send(Method::POST, &path(&["apps", &app, "exec"]), &body).await?;
    let socket = client.socket(&path(&["exec", &session.id])).await?;
    let raw = size.map(|_| Raw::start()).transpose();
    let raw = raw.map_err(|error| Failure::io("cannot take over the terminal", &error))?;
    let ended = talk(socket, size.is_some()).await;
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

async fn talk(socket: Socket, terminal: bool) -> Result<Last> {
    let (sink, stream) = socket.split();
    let catch = |kind| signal(kind).map_err(|error| Failure::io("cannot listen for signals", &error));
    let resized = catch(SignalKind::window_change())?;
    let [mut hung_up, mut terminated] = [catch(SignalKind::hangup())?, catch(SignalKind::terminate())?];
    tokio::select! {
        ended = receive(stream) => ended,
        () = send(sink, resized, terminal) => Err(lost()),
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

async fn receive(mut stream: SplitStream<Socket>) -> Result<Last> {
    let (mut out, mut err) = (tokio::io::stdout(), tokio::io::stderr());
    loop {
        let message = timeout(SILENCE, stream.next()).await.map_err(|_| lost())?;
        match message {
            Some(Ok(Message::Binary(frame))) => match frame.split_first() {
                Some((&STDERR, data)) => write(&mut err, data).await?,
                Some((_, data)) => write(&mut out, data).await?,
                None => {}
            },
            Some(Ok(Message::Text(text))) => {
                return serde_json::from_str(&text).map_err(|error| {
                    let message = format!("the server's last words are not understood: {error}");
                    Failure::new(Exit::Error, "answer_unknown", message)
                });
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(lost()),
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

fn lost() -> Box<Failure> {
    Failure::new(Exit::Error, "connection_lost", "the connection was lost")
        .hint("the program was hung up on; what it started with `nohup` goes on")
}

fn interrupted() -> Box<Failure> {
    Failure::new(Exit::Interrupted, "interrupted", "ended by a signal")
}
