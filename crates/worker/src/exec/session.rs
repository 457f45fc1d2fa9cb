//! One program, from its first frame to its exit code. Each way waits for its slower side: a client that does not read
//! stops the program's writes, a program that does not read stops the client's.

use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use protocol::exec::{FromClient, FromProgram, Open, OpenFresh, PING_S, SILENCE_S, channel, frame};
use protocol::ids::{ExecId, InstanceId};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::fresh::Fresh;
use super::output::Output;
use super::program::{Handle, Place, Program, trouble};
use crate::instances;
use crate::podman::{Error, NewExec, Podman};

const SILENCE: Duration = Duration::from_secs(SILENCE_S);
/// Time for the last frame to leave.
const CLOSE: Duration = Duration::from_secs(5);

type Out = SplitSink<WebSocket, Message>;
type In = SplitStream<WebSocket>;

/// Runs the program that the socket's first frame names, in an instance.
pub(super) async fn run(
    podman: &Podman,
    instance: InstanceId,
    session: ExecId,
    socket: WebSocket,
    stop: &CancellationToken,
) {
    let (mut sink, mut stream) = socket.split();
    let last = match begin(podman, instance, &mut stream).await {
        Ok(program) => program.run(&mut sink, &mut stream, stop).await,
        Err(last) => Some(last),
    };
    info!(instance.id = %instance, exec.id = %session, ended = ?last, "a program in an instance ended");
    say_last(&mut sink, &mut stream, last).await;
}

/// Runs it in a container of its own, which is gone when this returns.
pub(super) async fn run_fresh(fresh: &Fresh, session: ExecId, socket: WebSocket, stop: &CancellationToken) {
    let (mut sink, mut stream) = socket.split();
    let _live = fresh.keep(session);
    let last = match begin_fresh(fresh, session, (&mut sink, &mut stream), stop).await {
        Ok(Some(program)) => program.run(&mut sink, &mut stream, stop).await,
        Ok(None) => None,
        Err(last) => Some(last),
    };
    fresh.clear(session).await;
    info!(exec.id = %session, ended = ?last, "a program in a container of its own ended");
    say_last(&mut sink, &mut stream, last).await;
}

async fn say_last(sink: &mut Out, stream: &mut In, last: Option<FromProgram>) {
    let Some(last) = last else { return };
    // The other side may be gone; nothing is left to be done for it then.
    let _ = timeout(CLOSE, async {
        sink.send(Message::Text(last.to_json().into())).await?;
        sink.close().await?;
        // A socket that is dropped with something unread, such as an answer to a ping, takes the last frame back.
        while let Some(Ok(_)) = stream.next().await {}
        Ok::<_, axum::Error>(())
    })
    .await;
}

async fn begin(podman: &Podman, instance: InstanceId, stream: &mut In) -> Result<Program, FromProgram> {
    let open: Open = first(stream).await?;
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
    let handle = Handle { podman: podman.clone(), id, place: Place::Instance };
    Ok(Program::new(handle, open.terminal.is_some(), stream))
}

/// An image may take its time to come, so the other side hears of us meanwhile. `None` when it went.
async fn begin_fresh(
    fresh: &Fresh,
    session: ExecId,
    (sink, stream): (&mut Out, &mut In),
    stop: &CancellationToken,
) -> Result<Option<Program>, FromProgram> {
    let open: OpenFresh = first(stream).await?;
    let mut pings = pings();
    let mut starting = std::pin::pin!(fresh.start(session, open));
    loop {
        tokio::select! {
            started = &mut starting => return started.map(Some),
            _ = pings.tick() => if sink.send(Message::Ping(Bytes::new())).await.is_err() {
                return Ok(None);
            },
            () = stop.cancelled() => return Err(stopping()),
        }
    }
}

async fn first<T: DeserializeOwned>(stream: &mut In) -> Result<T, FromProgram> {
    let open = match timeout(SILENCE, stream.next()).await {
        Ok(Some(Ok(Message::Text(text)))) => serde_json::from_str(&text).ok(),
        _ => None,
    };
    open.ok_or_else(|| FromProgram::failed("bad_request", "the first frame is no command", "Try again"))
}

fn stopping() -> FromProgram {
    FromProgram::failed("worker_stops", "the agent of the worker stops", "Try again in a moment")
}

fn pings() -> Interval {
    let mut pings = interval(Duration::from_secs(PING_S));
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

impl Program {
    /// Until the program ends. `None` when the other side went first.
    async fn run(self, sink: &mut Out, stream: &mut In, stop: &CancellationToken) -> Option<FromProgram> {
        let Self { handle, terminal, input, output } = self;
        tokio::select! {
            sent = send_output(output, terminal, sink) => {
                if sent.is_ok() {
                    return Some(handle.exit().await);
                }
                handle.hang_up().await;
                None
            }
            lost = take_input(&handle, input, stream) => {
                info!(exec.podman = handle.id, reason = format!("{lost:#}"), "the other side of a program is gone");
                handle.hang_up().await;
                None
            }
            () = stop.cancelled() => {
                handle.hang_up().await;
                Some(stopping())
            }
        }
    }
}

/// `Ok` when the program has closed its outputs.
async fn send_output(output: impl AsyncRead + Unpin, terminal: bool, sink: &mut Out) -> anyhow::Result<()> {
    let mut output = FramedRead::new(output, Output::new(terminal));
    let mut pings = pings();
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
async fn take_input(handle: &Handle, input: impl AsyncWrite + Unpin, stream: &mut In) -> anyhow::Error {
    let mut input = Some(input);
    loop {
        let taken = async {
            let message = timeout(SILENCE, stream.next()).await.context("it says nothing")?;
            match message.context("it closed the connection")?.context("the connection broke")? {
                Message::Binary(frame) => write(&mut input, &frame).await,
                Message::Text(text) => {
                    if let Ok(FromClient::Resize(size)) = serde_json::from_str(&text) {
                        handle.resize(size).await;
                    }
                }
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
