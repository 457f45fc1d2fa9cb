use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCEPT, HeaderMap};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use protocol::ids::{AppId, InstanceId};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::store::{self, AppLogLine, Filter};
use crate::app::{App, AppState};
use crate::apps;
use crate::bus::Topic;
use crate::events::stream::{self, Batch, Follow};
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::{Error, Permission, Result, guard};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(read_app_log)))
}

/// Lines of one query of a follower.
const LINES: i64 = 500;
/// Lines that a follower gets first when it does not say.
const TAIL: i64 = 100;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct LogQuery {
    /// Id of the last line that is known; the newest lines when absent. `Last-Event-ID` wins.
    after: Option<String>,
    /// At most 1000; 500 when absent.
    limit: Option<i64>,
    /// Only this instance's lines.
    instance: Option<InstanceId>,
    /// Only lines of this release, by its number.
    release: Option<i32>,
    /// Only lines with this in them, in whatever case; at most 200 characters.
    text: Option<String>,
    /// How many of the newest lines a follower gets first; at most 1000, 100 when absent.
    tail: Option<i64>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AppLog {
    lines: Vec<AppLogLine>,
    /// `after` of the next request.
    next: Option<String>,
}

/// What the app's instances print. With `Accept: text/event-stream` it goes on: events `line`, id: that of the line.
#[utoipa::path(get, path = "/apps/{app}/logs", tag = "logs", params(("app" = String, Path, description = "Id or slug"), LogQuery), responses((status = 200, body = AppLog)))]
async fn read_app_log(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let after = match &query.after {
        Some(text) => {
            Some(text.parse().map_err(|_| Error::invalid("after", "after must be the id of a line"))?)
        }
        None => None,
    };
    if let Some(text) = &query.text {
        apps::rules::check_text("text", text, 1, 200)?;
    }
    let filter = Filter { instance: query.instance, release: query.release, text: query.text };
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    let follows = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"));
    if follows {
        drop(conn);
        let after = stream::last_event_id(&headers).or(after);
        let tail = query.tail.unwrap_or(TAIL).clamp(0, 1000);
        return stream::answer(&app, FollowLog { app: found.id, filter, after, tail });
    }
    let limit = query.limit.unwrap_or(LINES).clamp(1, 1000);
    let lines = match after {
        Some(after) => store::after(&mut conn, found.id, &filter, after, limit).await?,
        None => store::newest(&mut conn, found.id, &filter, limit).await?,
    };
    let next = lines.last().map(|line| line.id.clone()).or(query.after);
    Ok(Json(AppLog { lines, next }).into_response())
}

struct FollowLog {
    app: AppId,
    filter: Filter,
    /// Id of the last line sent; none before the first look.
    after: Option<i64>,
    tail: i64,
}

impl Follow for FollowLog {
    fn topics(&self) -> &'static [Topic] {
        &[Topic::AppLog]
    }

    fn id(&self) -> String {
        self.app.to_string()
    }

    async fn poll(&mut self, app: &App) -> anyhow::Result<Batch> {
        let mut conn = app.db.acquire().await?;
        let lines = match self.after {
            Some(after) => store::after(&mut conn, self.app, &self.filter, after, LINES).await?,
            // One at least, to know where following begins.
            None => store::newest(&mut conn, self.app, &self.filter, self.tail.max(1)).await?,
        };
        let first = self.after.is_none();
        let mut batch = Batch { more: !first && i64::try_from(lines.len()) == Ok(LINES), ..Batch::default() };
        self.after = Some(self.after.unwrap_or(0));
        for line in lines {
            self.after = Some(line.id.parse()?);
            if !first || self.tail > 0 {
                let data = serde_json::to_string(&line)?;
                batch.events.push(Event::default().event("line").id(line.id).data(data));
            }
        }
        Ok(batch)
    }
}
