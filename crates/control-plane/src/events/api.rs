use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::Stream;
use protocol::ids::OrganizationId;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{store, stream};
use crate::app::AppState;
use crate::bus::{Change, Listener, Topic};
use crate::http::caller::Caller;
use crate::http::{Permission, Result, guard};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(follow_changes)))
}

/// What clients are told about.
const TOPICS: [Topic; 7] = [
    Topic::Apps,
    Topic::Deployments,
    Topic::Nodes,
    Topic::Instances,
    Topic::Certificates,
    Topic::Domains,
    Topic::Notices,
];
/// Changes within this time are told once.
const GATHER: Duration = Duration::from_millis(100);
/// More than these at once are told as "something of each topic".
const MOST: usize = 256;
const LIFETIME: Duration = Duration::from_hours(1);

/// The topics among [`Topic`] that clients see; for the document.
#[derive(utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
enum HintTopic {
    Apps,
    Deployments,
    Nodes,
    Instances,
    Certificates,
    Domains,
    Notices,
}

/// A hint to fetch again.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Change)]
struct Hint<'a> {
    #[schema(inline, value_type = HintTopic)]
    topic: Topic,
    /// Of what changed; empty when anything of the topic may have.
    id: &'a str,
}

/// Events `change`: hints to fetch something again. Nothing depends on getting all of them.
#[utoipa::path(get, path = "/events", tag = "events", responses((status = 200, body = Hint<'static>, content_type = "text/event-stream")))]
async fn follow_changes(State(app): State<AppState>, caller: Caller) -> Result<Response> {
    let permit = app.limits.stream()?;
    Ok(stream::sse(changes(app, caller.organization_id, permit)))
}

fn changes(
    app: AppState,
    organization: OrganizationId,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let watching = Watching {
        listener: app.bus.listen(),
        app,
        organization,
        until: Instant::now() + LIFETIME,
        ready: Vec::new(),
        _permit: permit,
    };
    futures_util::stream::unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        Some((Ok(event), watching))
    })
}

struct Watching {
    app: AppState,
    organization: OrganizationId,
    listener: Listener,
    until: Instant,
    ready: Vec<Event>,
    _permit: OwnedSemaphorePermit,
}

impl Watching {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop() {
                return Some(event);
            }
            let stopping = self.app.stopping.clone();
            let first = tokio::select! {
                () = stopping.cancelled() => return None,
                () = tokio::time::sleep_until(self.until) => return None,
                change = self.listener.until(&TOPICS, "") => change?,
            };
            let changes = self.gather(first).await;
            self.ready = self.hints(&changes).await;
        }
    }

    /// The changes of a short time; all topics without an id when there are too many or some may be missing.
    async fn gather(&mut self, first: Change) -> BTreeSet<(usize, String)> {
        let mut found = BTreeSet::new();
        let mut all = false;
        let deadline = Instant::now() + GATHER;
        let mut next = Some(first);
        while let Some(change) = next {
            match TOPICS.iter().position(|topic| *topic == change.topic) {
                Some(topic) => _ = found.insert((topic, change.id)),
                None => all = true,
            }
            all |= found.len() > MOST;
            next = tokio::time::timeout_at(deadline, self.listener.until(&TOPICS, "")).await.ok().flatten();
        }
        if all { (0..TOPICS.len()).map(|topic| (topic, String::new())).collect() } else { found }
    }

    async fn hints(&self, changes: &BTreeSet<(usize, String)>) -> Vec<Event> {
        let mut hints = Vec::new();
        for (topic, id) in changes {
            let topic = TOPICS[*topic];
            // Without the database nothing is told; the client polls.
            let visible = match self.app.db.acquire().await {
                Ok(mut conn) => {
                    store::is_visible(&mut conn, self.organization, topic, id).await.unwrap_or(false)
                }
                Err(_) => false,
            };
            if visible && let Ok(event) = Event::default().event("change").json_data(Hint { topic, id }) {
                hints.push(event);
            }
        }
        hints
    }
}
