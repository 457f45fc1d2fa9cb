//! One program, from its first frame to its exit code. Each way waits for its slower side: a client that does not read
//! stops the program's writes, a program that does not read stops the client's.

use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use protocol::exec::{FromClient, FromProgram, Open, PING_S, SILENCE_S, channel, frame};
use protocol::ids::{ExecId, InstanceId};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::output::Output;
use crate::instances;
use crate::podman::{Error, NewExec, Podman};

const SILENCE: Duration = Duration::from_secs(SILENCE_S);
/// Time for the last frame to leave.
const CLOSE: Duration = Duration::from_secs(5);
/// Time for Podman to know how a program ended, after its stream did.
const SETTLE: Duration = Duration::from_secs(10);

/// Runs the program that the socket's first frame names.
pub(super) async fn run(
    podman: &Podman,
    instance: InstanceId,
    session: ExecId,
    socket: WebSocket,
    stop: &CancellationToken,
) {
    let (mut sink, mut stream) = socket.split();
    let last = match begin(podman, instance, &mut stream).await {
        Ok(program) => program.run(podman, &mut sink, stream, stop).await,
        Err(last) => Some(last),
    };
    info!(instance.id = %instance, exec.id = %session, ended = ?last, "a program in an instance ended");
    let Some(last) = last else { return };
    // The other side may be gone; nothing is left to be done for it then.
    let _ = timeout(CLOSE, async {
        sink.send(Message::Text(last.to_json().into())).await?;
        sink.close().await
    })
    .await;
}

/// A program that runs.
struct Program {
    id: String,
    terminal: bool,
    input: WriteHalf<reqwest::Upgraded>,
    output: ReadHalf<reqwest::Upgraded>,
}

async fn begin(
    podman: &Podman,
    instance: InstanceId,
    stream: &mut SplitStream<WebSocket>,
) -> Result<Program, FromProgram> {
    let Some(open) = first(stream).await else {
        return Err(FromProgram::failed("bad_request", "the first frame is no command", "Try again"));
    };
    let container = instances::running(podman, instance).await.map_err(|error| trouble(&error))?;
    let Some(container) = container else {
        return Err(FromProgram::failed(
            "not_running",
            "the instance does not run any more",
            "`wh ps` shows the ones that run",
        ));
    };
    let exec = NewExec::new(open.command, open.terminal.is_some());
    let started = async {
        let id = podman.create_exec(&container, &exec).await?;
        let stream = podman.start_exec(&id, open.terminal).await?;
        Ok::<_, Error>((id, stream))
    };
    let (id, stream) = started.await.map_err(|error| trouble(&error))?;
    let (output, input) = tokio::io::split(stream);
    Ok(Program { id, terminal: open.terminal.is_some(), input, output })
}

async fn first(stream: &mut SplitStream<WebSocket>) -> Option<Open> {
    match timeout(SILENCE, stream.next()).await {
        Ok(Some(Ok(Message::Text(text)))) => serde_json::from_str(&text).ok(),
        _ => None,
    }
}

fn trouble(error: &Error) -> FromProgram {
    FromProgram::failed("worker_error", format!("the worker cannot run it: {error}"), "Try again")
}

impl Program {
    /// Until the program ends. `None` when the other side went first.
    async fn run(
        self,
        podman: &Podman,
        sink: &mut SplitSink<WebSocket, Message>,
        stream: SplitStream<WebSocket>,
        stop: &CancellationToken,
    ) -> Option<FromProgram> {
        let Self { id, terminal, input, output } = self;
        tokio::select! {
            sent = send_output(output, terminal, sink) => match sent {
                Ok(()) => Some(exit(podman, &id).await),
                Err(_) => hang_up(podman, &id).await,
            },
            lost = take_input(podman, &id, input, stream) => {
                info!(exec.podman = id, reason = format!("{lost:#}"), "the other side of a program is gone");
                hang_up(podman, &id).await
            }
            () = stop.cancelled() => {
                hang_up(podman, &id).await;
                Some(FromProgram::failed("worker_stops", "the agent of the worker stops", "Try again in a moment"))
            }
        }
    }
}

/// `Ok` when the program has closed its outputs.
async fn send_output(
    output: impl AsyncRead + Unpin,
    terminal: bool,
    sink: &mut SplitSink<WebSocket, Message>,
) -> anyhow::Result<()> {
    let mut output = FramedRead::new(output, Output::new(terminal));
    let mut pings = interval(Duration::from_secs(PING_S));
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            piece = output.next() => match piece {
                // A stream that breaks off says that the container is gone; Podman knows how the program ended.
                None | Some(Err(_)) => return Ok(()),
                Some(Ok((channel, data))) => sink.send(Message::Binary(frame(channel, &data).into())).await?,
            },
            _ = pings.tick() => sink.send(Message::Ping(Bytes::new())).await?,
        }
    }
}

/// Returns why the other side is gone.
async fn take_input(
    podman: &Podman,
    exec: &str,
    input: impl AsyncWrite + Unpin,
    mut stream: SplitStream<WebSocket>,
) -> anyhow::Error {
    let mut input = Some(input);
    loop {
        let taken = async {
            let message = timeout(SILENCE, stream.next()).await.context("it says nothing")?;
            match message.context("it closed the connection")?.context("the connection broke")? {
                Message::Binary(frame) => write(&mut input, &frame).await,
                Message::Text(text) => resize(podman, exec, &text).await,
                Message::Close(_) => bail!("it closed the connection"),
                Message::Ping(_) | Message::Pong(_) => {}
            }
            anyhow::Ok(())
        };
        if let Err(reason) = taken.await {
            return reason;
        }
    }
}

/// A program may close its input and go on: what comes then has no reader.
async fn write(input: &mut Option<impl AsyncWrite + Unpin>, frame: &[u8]) {
    let Some((&channel::STDIN, data)) = frame.split_first() else { return };
    let Some(open) = input else { return };
    let written = async {
        if data.is_empty() {
            open.shutdown().await?;
        } else {
            open.write_all(data).await?;
            open.flush().await?;
        }
        Ok::<_, std::io::Error>(())
    };
    if written.await.is_err() || data.is_empty() {
        *input = None;
    }
}

async fn resize(podman: &Podman, exec: &str, text: &str) {
    let Ok(FromClient::Resize(size)) = serde_json::from_str::<FromClient>(text) else { return };
    if let Err(error) = podman.resize_exec(exec, size).await {
        // It may just have ended.
        tracing::debug!(exec.podman = exec, %error, "cannot resize a terminal");
    }
}

/// How the program ended.
async fn exit(podman: &Podman, exec: &str) -> FromProgram {
    let ended = timeout(SETTLE, async {
        loop {
            match podman.inspect_exec(exec).await {
                Ok(found) if found.running => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(found) => return FromProgram::Exit { code: found.exit_code },
                // Its container was removed with it.
                Err(error) if error.is_not_found() => {
                    return FromProgram::failed(
                        "instance_gone",
                        "the instance was stopped",
                        "`wh ps` shows the others",
                    );
                }
                Err(error) => return trouble(&error),
            }
        }
    });
    ended.await.unwrap_or_else(|_| {
        FromProgram::failed(
            "still_running",
            "the program closed its outputs and goes on",
            "It ends with its instance",
        )
    })
}

/// As when a terminal is closed: what ignores SIGHUP goes on.
async fn hang_up(podman: &Podman, exec: &str) -> Option<FromProgram> {
    match podman.inspect_exec(exec).await {
        // It leads the group of its children.
        Ok(found) if found.running && found.pid > 1 => {
            if let Err(error) = killpg(Pid::from_raw(found.pid), Signal::SIGHUP) {
                warn!(exec.podman = exec, %error, "cannot hang up on a program");
            }
        }
        Ok(_) => {}
        Err(error) => warn!(exec.podman = exec, %error, "cannot hang up on a program"),
    }
    None
}
