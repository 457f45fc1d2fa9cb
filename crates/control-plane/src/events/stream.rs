//! One way to follow something: what is new is read from the tables, at once, whenever the bus says so, and by the
//! clock in any case. A missed notification costs seconds, never an event.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::warn;

use crate::app::{App, AppState};
use crate::bus::{Listener, Topic};
use crate::http::Result;

/// A look at the tables without a notification.
const FALLBACK: Duration = Duration::from_secs(3);
/// Notifications within this time cost one look.
const GATHER: Duration = Duration::from_millis(50);
/// After this a client connects again, which checks anew who it is.
const LIFETIME: Duration = Duration::from_hours(1);

/// Something that can be followed.
pub trait Follow: Send + 'static {
    fn topics(&self) -> &'static [Topic];

    /// The id to wait for on these topics; empty for all.
    fn id(&self) -> String;

    /// What is new since the last call.
    fn poll(&mut self, app: &App) -> impl Future<Output = anyhow::Result<Batch>> + Send;
}

/// What one look found.
#[derive(Debug, Default)]
pub struct Batch {
    pub events: Vec<Event>,
    /// There is more at once.
    pub more: bool,
    /// Nothing will come any more.
    pub end: bool,
}

impl Batch {
    pub fn end() -> Self {
        Self { end: true, ..Self::default() }
    }
}

/// Answers with the events of `follow` until it ends, the process stops or the client goes.
pub fn answer(app: &AppState, follow: impl Follow) -> Result<Response> {
    let permit = app.limits.stream()?;
    let events = events(app.clone(), follow, permit);
    Ok(sse(events))
}

/// `events` as an answer that proxies neither buffer nor cut.
pub fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15)).text("alive");
    let headers = [("cache-control", "no-cache"), ("x-accel-buffering", "no")];
    (headers, Sse::new(events).keep_alive(keep_alive)).into_response()
}

/// The `Last-Event-ID` of a client that comes back.
pub fn last_event_id(headers: &HeaderMap) -> Option<i64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

struct Following<F> {
    app: AppState,
    follow: F,
    listener: Listener,
    ready: VecDeque<Event>,
    look: bool,
    end: bool,
    until: Instant,
    _permit: OwnedSemaphorePermit,
}

fn events<F: Follow>(
    app: AppState,
    follow: F,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    // Listening begins before the first look, so that nothing falls between them.
    let listener = app.bus.listen();
    let following = Following {
        app,
        follow,
        listener,
        ready: VecDeque::new(),
        look: true,
        end: false,
        until: Instant::now() + LIFETIME,
        _permit: permit,
    };
    futures_util::stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok(event), following))
    })
}

impl<F: Follow> Following<F> {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.end || Instant::now() >= self.until || self.app.stopping.is_cancelled() {
                return None;
            }
            if !self.look {
                self.wait().await?;
            }
            match self.follow.poll(&self.app).await {
                Ok(batch) => {
                    self.ready.extend(batch.events);
                    self.look = batch.more;
                    self.end = batch.end;
                }
                // The fallback tries again.
                Err(error) => {
                    warn!(error = format!("{error:#}"), "cannot read for an event stream");
                    self.look = false;
                }
            }
        }
    }

    async fn wait(&mut self) -> Option<()> {
        let id = self.follow.id();
        let stopping = self.app.stopping.clone();
        tokio::select! {
            () = stopping.cancelled() => return None,
            () = tokio::time::sleep(FALLBACK) => {}
            change = self.listener.until(self.follow.topics(), &id) => {
                change?;
                tokio::time::sleep(GATHER).await;
            }
        }
        Some(())
    }
}
