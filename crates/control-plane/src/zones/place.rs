//! Which zone an app is served in.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{api, store};
use crate::app::{App, AppState};
use crate::apps::AppView;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::{apps, audit};

pub(super) fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppWrite, routes!(move_app)))
}

/// No app may have the dashboard's host, on whatever port that is: cookies do not keep ports apart.
pub fn check_host(app: &App, slug: &str, suffix: &str) -> Result<()> {
    if app.config.reserved_label(suffix) == Some(slug) {
        return Err(Error::new(Code::SlugInvalid, format!("the slug {slug} is the dashboard's"))
            .field("slug")
            .hint("Choose another slug: this one's hostname is the address of the dashboard"));
    }
    Ok(())
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct MoveRequest {
    /// Suffix of the zone.
    zone: String,
}

/// Serves the app in another zone, at once and without touching its instances. Its name in the zone before is no longer
/// answered; domains of its own stay.
#[utoipa::path(post, path = "/apps/{app}/zone", tag = "zones", params(("app" = String, Path, description = "Id or slug")),
    request_body = MoveRequest, responses((status = 200, body = AppView)))]
async fn move_app(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(request): Body<MoveRequest>,
) -> Result<Json<AppView>> {
    let mut tx = app.db.begin().await?;
    let found = apps::api::hold(&mut tx, &caller, &key).await?;
    let zone = api::enter(&mut tx, Some(&request.zone)).await?;
    check_host(&app, &found.slug, &zone.suffix)?;
    let before = apps::api::view(&app, &mut tx, caller.organization_id, found.id).await?;
    if before.hostname != format!("{}.{}", found.slug, zone.suffix) {
        store::move_app(&mut tx, found.id, zone.id).await?;
        let detail = json!({ "from": before.hostname, "zone": zone.suffix });
        audit::record(&mut tx, &caller, "app.move-zone", &format!("app:{}", found.slug), detail).await?;
        generations::raise(&mut tx, Consumer::Routes).await?;
        bus::say(&mut tx, Topic::Apps, found.id).await?;
    }
    let moved = apps::api::view(&app, &mut tx, caller.organization_id, found.id).await?;
    tx.commit().await?;
    Ok(Json(moved))
}
