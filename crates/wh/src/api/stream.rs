//! A stream of events that survives lost connections: it goes on after the last id that arrived.

use std::collections::VecDeque;
use std::time::Duration;

use daemon::backoff::Backoff;
use reqwest::header::{ACCEPT, HeaderName};
use reqwest::{Method, Response};
use tokio::time::Instant;

use super::sse::{Event, Parser};
use super::{Client, and_query};
use crate::failure::{Exit, Failure, Result};

/// How long the server may be away before following ends.
const PATIENCE: Duration = Duration::from_mins(5);
/// A stream lasts as long as it lasts; a silent one ends by the client's read timeout, as the server sends a comment
/// every 15 s.
const STREAM_TIMEOUT: Duration = Duration::from_hours(30 * 24);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What following brings.
#[derive(Debug)]
pub(crate) enum Next {
    Event(Event),
    /// The connection was lost; the next call tries again.
    Lost,
}

/// Follows one address.
#[derive(Debug)]
pub(crate) struct Events {
    client: Client,
    path: String,
    /// Left out once there is an id to go on from: the beginning must not come twice.
    first_query: Option<(&'static str, String)>,
    last_id: Option<String>,
    connection: Option<(Response, Parser)>,
    ready: VecDeque<Event>,
    backoff: Backoff,
    lost_since: Option<Instant>,
}

impl Events {
    pub(crate) fn new(client: &Client, path: String, first_query: Option<(&'static str, String)>) -> Self {
        Self {
            client: client.clone(),
            path,
            first_query,
            last_id: None,
            connection: None,
            ready: VecDeque::new(),
            backoff: Backoff::new(Duration::from_millis(250), Duration::from_secs(10)),
            lost_since: None,
        }
    }

    /// The next event, in order and once; an error when the server refuses or is away too long.
    pub(crate) async fn next(&mut self) -> Result<Next> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if let Some(id) = &event.id {
                    self.last_id = Some(id.clone());
                }
                return Ok(Next::Event(event));
            }
            let Some((mut response, mut parser)) = self.connection.take() else {
                match self.connect().await {
                    Ok(response) => self.connection = Some((response, Parser::default())),
                    Err(failure) => self.wait(failure).await?,
                }
                continue;
            };
            let Ok(Some(bytes)) = response.chunk().await else {
                self.lost_since.get_or_insert_with(Instant::now);
                tokio::time::sleep(self.backoff.wait()).await;
                return Ok(Next::Lost);
            };
            self.ready.extend(parser.feed(&bytes)?);
            self.connection = Some((response, parser));
            if !self.ready.is_empty() {
                self.lost_since = None;
                self.backoff.reset();
            }
        }
    }

    async fn connect(&self) -> Result<Response> {
        let path = match (&self.last_id, &self.first_query) {
            (Some(id), _) => and_query(&self.path, "after", id),
            (None, Some((name, value))) => and_query(&self.path, name, value),
            (None, None) => self.path.clone(),
        };
        let request = self.client.request(Method::GET, &path);
        let mut request = request.header(ACCEPT, "text/event-stream").timeout(STREAM_TIMEOUT);
        if let Some(id) = &self.last_id {
            request = request.header(LAST_EVENT_ID, id);
        }
        self.client.response(request).await
    }

    /// After a failed attempt: waits, unless waiting cannot help or has lasted long enough.
    async fn wait(&mut self, failure: Box<Failure>) -> Result<()> {
        let passing =
            matches!(failure.code.as_str(), "unreachable" | "timeout" | "http_502" | "http_503" | "http_504")
                || failure.code == "unavailable"
                || failure.code == "starting";
        // The first attempt fails at once: the address may be wrong.
        let Some(since) = self.lost_since.filter(|_| passing) else { return Err(failure) };
        if since.elapsed() > PATIENCE {
            return Err(Failure::new(
                Exit::Timeout,
                "stream_lost",
                "the server has been away for five minutes",
            )
            .hint("nothing stopped on the server because of this"));
        }
        tokio::time::sleep(self.backoff.wait()).await;
        Ok(())
    }
}
