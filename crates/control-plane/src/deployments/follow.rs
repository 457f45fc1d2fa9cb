//! A deployment as it goes on: its state and its log as server-sent events.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use protocol::ids::{DeploymentId, OrganizationId};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{api, store};
use crate::app::{App, AppState};
use crate::apps;
use crate::bus::Topic;
use crate::events::stream::{self, Batch, Follow};
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::{Permission, Result, guard};

pub(super) fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(follow_deployment)))
}

/// Lines of one query.
const LINES: i64 = 500;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct FollowQuery {
    /// Number of the last line that is known. `Last-Event-ID` wins.
    #[serde(default)]
    after: i64,
}

/// Events `deployment` (at once and at each change), `log` (id: number of the line) and `end`.
#[utoipa::path(get, path = "/deployments/{id}/events", tag = "deployments", params(("id" = DeploymentId, Path), FollowQuery), responses((status = 200, body = String, content_type = "text/event-stream")))]
async fn follow_deployment(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<DeploymentId>,
    Query(query): Query<FollowQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let organization = caller.organization_id;
    let mut conn = app.db.acquire().await?;
    store::view(&mut conn, organization, id, apps::api::scheme(&app)).await?.ok_or_else(api::unknown)?;
    drop(conn);
    let after = stream::last_event_id(&headers).unwrap_or(query.after);
    stream::answer(&app, FollowDeployment { id, organization, after, shown: String::new() })
}

struct FollowDeployment {
    id: DeploymentId,
    organization: OrganizationId,
    after: i64,
    /// The deployment as last sent.
    shown: String,
}

impl Follow for FollowDeployment {
    fn topics(&self) -> &'static [Topic] {
        &[Topic::Deployments, Topic::DeploymentLog]
    }

    fn id(&self) -> String {
        self.id.to_string()
    }

    async fn poll(&mut self, app: &App) -> anyhow::Result<Batch> {
        let mut conn = app.db.acquire().await?;
        // The state first: lines are written before the state that ends them.
        let scheme = apps::api::scheme(app);
        let Some(deployment) = store::view(&mut conn, self.organization, self.id, scheme).await? else {
            return Ok(Batch::end());
        };
        let mut batch = Batch::default();
        let text = serde_json::to_string(&deployment)?;
        if text != self.shown {
            batch.events.push(Event::default().event("deployment").data(&text));
            self.shown.clone_from(&text);
        }
        let lines = store::log(&mut conn, self.id, self.after, LINES).await?;
        batch.more = i64::try_from(lines.len()) == Ok(LINES);
        for line in lines {
            self.after = line.seq;
            let data = serde_json::to_string(&line)?;
            batch.events.push(Event::default().event("log").id(line.seq.to_string()).data(data));
        }
        if deployment.state.is_final() && !batch.more {
            batch.events.push(Event::default().event("end").data(text));
            batch.end = true;
        }
        Ok(batch)
    }
}
