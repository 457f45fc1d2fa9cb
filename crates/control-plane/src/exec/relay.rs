//! Passes frames on between a client and a worker. Each way reads the next frame when the one before has been taken, so
//! whoever is slow slows down the other side, and nothing piles up here.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use protocol::exec::{FromClient, FromProgram, MAX_DATA, PING_S, SILENCE_S, channel};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tracing::{info, warn};

use super::store::Attached;
use super::{Place, check_size, dial, store};
use crate::app::{App, AppState};
use crate::audit;
use crate::http::caller::Caller;

const BEAT: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(SILENCE_S);
/// Time for the last frame to leave.
const CLOSE: Duration = Duration::from_secs(5);

const EXEC_LIMIT: &str = "The limit is limits.exec_total_s of the control plane";
const RUN_LIMIT: &str = "The limit is limits.run_total_s of the control plane";

/// How a session ended.
#[derive(Debug)]
enum End {
    /// By what the worker said.
    Program(FromProgram),
    /// The client went.
    Left,
    /// For a reason of ours: a stable word, what to tell, the remedy.
    Ours(&'static str, String, &'static str),
}

impl End {
    /// A stable word.
    fn reason(&self) -> &str {
        match self {
            Self::Program(FromProgram::Exit { .. }) => "exit",
            Self::Program(FromProgram::Failed { code, .. }) => code,
            Self::Left => "left",
            Self::Ours(code, ..) => code,
        }
    }

    fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Program(FromProgram::Exit { code }) => Some(*code),
            _ => None,
        }
    }

    fn last_words(self) -> Option<FromProgram> {
        match self {
            Self::Program(said) => Some(said),
            Self::Left => None,
            Self::Ours(code, message, hint) => Some(FromProgram::failed(code, message, hint)),
        }
    }
}

/// From the upgrade to the last frame.
pub(super) async fn run(app: AppState, caller: Caller, session: Attached, client: WebSocket) {
    let began = Instant::now();
    let (mut to_client, mut from_client) = client.split();
    let end = match dial::dial(&app, &session).await {
        Ok(worker) => pass_on(&app, &caller, &session, (&mut to_client, &mut from_client), worker).await,
        Err(error) => {
            warn!(exec.id = %session.id, node.name = session.node_name, error = format!("{error:#}"), "cannot reach the worker of an instance");
            let message = format!("the worker {} cannot be reached", session.node_name);
            End::Ours("worker_unreachable", message, "`wh node ls` shows whether it is online")
        }
    };
    info!(exec.id = %session.id, app.id = %session.app_id, reason = end.reason(), seconds = began.elapsed().as_secs(), "a session in an instance ended");
    if let Err(error) = write_down(&app, &caller, &session, &end, began.elapsed()).await {
        warn!(exec.id = %session.id, error = format!("{error:#}"), "the end of a session is noted later");
    }
    if let Some(last) = end.last_words() {
        // The client may be gone, or take nothing more.
        let _ = timeout(CLOSE, to_client.send(Message::Text(last.to_json().into()))).await;
    }
    // A socket that is dropped with something unread, such as what was typed last, takes the last frame back.
    let _ = timeout(CLOSE, async {
        to_client.close().await?;
        while let Some(Ok(_)) = from_client.next().await {}
        Ok::<_, axum::Error>(())
    })
    .await;
}

async fn pass_on(
    app: &App,
    caller: &Caller,
    session: &Attached,
    (to_client, from_client): (&mut SplitSink<WebSocket, Message>, &mut SplitStream<WebSocket>),
    worker: WebSocketStream<TcpStream>,
) -> End {
    let (mut to_worker, from_worker) = worker.split();
    let activity = Activity::default();
    let end = tokio::select! {
        end = up(from_client, &mut to_worker, &activity) => end,
        end = down(from_worker, to_client, &activity) => end,
        end = limits(app, caller, session, &activity) => end,
        () = app.stopping.cancelled() => End::Ours(
            "control_plane_stops", "the control plane stops".to_owned(), "Try again in a moment",
        ),
    };
    // The worker hangs up on the program when its connection ends, said or not.
    let _ = timeout(CLOSE, to_worker.close()).await;
    end
}

/// What both ways know of each other.
#[derive(Debug)]
struct Activity {
    /// When something was typed or printed last.
    last: watch::Sender<Instant>,
    /// Whether the client takes no output.
    paused: watch::Sender<bool>,
}

impl Default for Activity {
    fn default() -> Self {
        Self { last: watch::Sender::new(Instant::now()), paused: watch::Sender::new(false) }
    }
}

impl Activity {
    fn note(&self) {
        self.last.send_replace(Instant::now());
    }

    fn last(&self) -> Instant {
        *self.last.borrow()
    }
}

/// Client → worker.
async fn up(
    client: &mut SplitStream<WebSocket>,
    worker: &mut SplitSink<WebSocketStream<TcpStream>, Frame>,
    activity: &Activity,
) -> End {
    let mut pings = pings();
    loop {
        let frame = tokio::select! {
            message = client.next() => match message {
                Some(Ok(Message::Binary(data))) if is_input(&data) => {
                    activity.note();
                    Frame::Binary(data)
                }
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(FromClient::Resize(size)) if check_size(size).is_ok() => Frame::text(text.as_str()),
                    Ok(said @ (FromClient::Pause | FromClient::Resume)) => {
                        activity.paused.send_replace(said == FromClient::Pause);
                        continue;
                    }
                    _ => return bad_frame(),
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Binary(_))) => return bad_frame(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Left,
            },
            _ = pings.tick() => Frame::Ping(Bytes::new()),
        };
        if worker.send(frame).await.is_err() {
            // What the worker said before is on its way down.
            std::future::pending::<()>().await;
        }
    }
}

fn is_input(data: &[u8]) -> bool {
    data.first() == Some(&channel::STDIN) && data.len() <= 1 + MAX_DATA
}

fn bad_frame() -> End {
    End::Ours(
        "bad_frame",
        "this client sent what is no input and no size".to_owned(),
        "`wh` and the control plane may be of different versions: compare with `wh version`",
    )
}

/// Worker → client.
async fn down(
    mut worker: SplitStream<WebSocketStream<TcpStream>>,
    client: &mut SplitSink<WebSocket, Message>,
    activity: &Activity,
) -> End {
    let lost = || {
        End::Ours("worker_lost", "the connection to the worker was lost".to_owned(), "Try again in a moment")
    };
    let mut pings = pings();
    let mut heard = Instant::now();
    let mut paused = activity.paused.subscribe();
    loop {
        let open = !*paused.borrow_and_update();
        let message = tokio::select! {
            frame = worker.next(), if open => {
                heard = Instant::now();
                match frame {
                    Some(Ok(Frame::Binary(data))) => {
                        activity.note();
                        Message::Binary(data)
                    }
                    Some(Ok(Frame::Text(text))) => return serde_json::from_str(&text).map_or_else(|_| lost(), End::Program),
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => continue,
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => return lost(),
                }
            }
            _ = pings.tick() => Message::Ping(Bytes::new()),
            _ = paused.changed() => {
                heard = Instant::now();
                continue;
            }
            // Only while waiting for it: a client that does not read is no fault of the worker.
            () = sleep_until(heard + SILENCE), if open => return lost(),
        };
        let blocked = Instant::now();
        if client.send(message).await.is_err() {
            return End::Left;
        }
        heard += blocked.elapsed();
    }
}

fn pings() -> tokio::time::Interval {
    let mut pings = interval(Duration::from_secs(PING_S));
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

/// Returns when a limit is reached or the caller may not go on.
async fn limits(app: &App, caller: &Caller, session: &Attached, activity: &Activity) -> End {
    let limits = &app.config.limits;
    let (idle, total, limit) = match session.place {
        Place::Instance(_) => (limits.exec_idle_s, limits.exec_total_s, EXEC_LIMIT),
        // What is run once, such as a migration, may say nothing for long.
        Place::Fresh(_) => (limits.run_total_s, limits.run_total_s, RUN_LIMIT),
    };
    let (idle, total) = (seconds(idle), seconds(total));
    let over = Instant::now() + total;
    let mut beat = Instant::now() + BEAT;
    loop {
        let quiet = activity.last() + idle;
        sleep_until(quiet.min(over).min(beat)).await;
        let now = Instant::now();
        if now >= over {
            let message = format!("a session lasts at most {total:?}");
            return End::Ours("too_long", message, limit);
        }
        if now >= activity.last() + idle {
            let message = format!("nothing was typed or printed for {idle:?}");
            return End::Ours("idle", message, "The limit is limits.exec_idle_s of the control plane");
        }
        if now >= beat {
            beat = now + BEAT;
            match store::beat(&app.db, caller, session.id).await {
                Ok(true) => {}
                Ok(false) => {
                    let message = "you may not run programs in this app any more".to_owned();
                    return End::Ours(
                        "revoked",
                        message,
                        "Sign in again, or ask an owner of the organization",
                    );
                }
                // A database that is away ends nobody's session.
                Err(error) => warn!(exec.id = %session.id, %error, "cannot note that a session lives"),
            }
        }
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

async fn write_down(
    app: &App,
    caller: &Caller,
    session: &Attached,
    end: &End,
    lasted: Duration,
) -> anyhow::Result<()> {
    let mut tx = app.db.begin().await?;
    store::end(&mut tx, session.id, end.exit_code(), end.reason()).await?;
    let detail = json!({
        "session": session.id, "instance": session.place.instance(), "seconds": lasted.as_secs(),
        "exit_code": end.exit_code(), "reason": end.reason(),
    });
    audit::record(&mut tx, caller, "exec.end", &format!("app:{}", session.app), detail).await?;
    tx.commit().await?;
    Ok(())
}
