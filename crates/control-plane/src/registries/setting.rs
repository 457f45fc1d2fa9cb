//! Which registry an organization keeps its built images in.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::{absent, stored};
use super::{Registry, checked_host, store};
use crate::app::AppState;
use crate::audit;
use crate::bus::{self, Topic};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::{Body, Error, Permission, Result, guard};

const DEFAULT_PATH: &str = "wisehosting";

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::RegistryWrite, routes!(keep_images))).routes(guard(
        app,
        Permission::RegistryWrite,
        routes!(keep_no_images),
    ))
}

/// Where in the registry.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct KeepImagesRequest {
    /// Below the host: images are named `HOST/PATH/APP:v3`; `wisehosting` when absent.
    path: Option<String>,
}

/// Keeps built images in this registry as well, and in no other. Its login has to allow pushing.
#[utoipa::path(post, path = "/registries/{host}/images", tag = "registries", params(("host" = String, Path)),
    request_body = KeepImagesRequest, responses((status = 200, body = Registry)))]
async fn keep_images(
    State(app): State<AppState>,
    caller: Caller,
    Path(host): Path<String>,
    Body(request): Body<KeepImagesRequest>,
) -> Result<Json<Registry>> {
    let (host, path) = (checked_host(&host)?, request.path.as_deref().unwrap_or(DEFAULT_PATH));
    check_path(path)?;
    let mut tx = app.db.begin().await?;
    if !store::keep_images(&mut tx, caller.organization_id, &host, path).await? {
        return Err(absent(&host).hint(format!("Log in first: `wh registry login {host}`")));
    }
    audit::record(&mut tx, &caller, "registry.use", &format!("registry:{host}"), json!({ "path": path }))
        .await?;
    let stored = stored(&mut tx, caller.organization_id, &host).await?;
    bus::say(&mut tx, Topic::Nodes, &host).await?;
    tx.commit().await?;
    Ok(Json(stored))
}

/// Pushes no more images to this registry. Those that are there can be pulled and are removed as before.
#[utoipa::path(delete, path = "/registries/{host}/images", tag = "registries", params(("host" = String, Path)), responses((status = 204)))]
async fn keep_no_images(
    State(app): State<AppState>,
    caller: Caller,
    Path(host): Path<String>,
) -> Result<StatusCode> {
    let host = checked_host(&host)?;
    let mut tx = app.db.begin().await?;
    stored(&mut tx, caller.organization_id, &host).await?;
    if store::keep_no_images(&mut tx, caller.organization_id, &host).await? {
        audit::record(&mut tx, &caller, "registry.disuse", &format!("registry:{host}"), json!({})).await?;
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The middle of a repository's name, as all registries take it.
fn check_path(path: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        part.starts_with(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit())
            && part.bytes().last().is_some_and(plain)
            && part.bytes().all(|byte| plain(byte) || b"-_.".contains(&byte))
            && !["..", "._", "_.", "__", ".-", "-."].iter().any(|pair| part.contains(pair))
    };
    if path.len() > 150 || !path.split('/').all(is_part) {
        return Err(Error::invalid("path", "this is not a path of images in a registry").hint(
            "Use lower-case letters, digits and single `.`, `_` or `-` between them, with `/` between parts: team/images",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod rules {
    use super::check_path;

    #[test]
    fn a_path_is_what_registries_take() {
        for good in ["wisehosting", "team/images", "a.b/c-d/e_f", "1"] {
            check_path(good).expect(good);
        }
        for bad in ["", "/team", "team/", "a//b", "Team", "a b", "-a", "a-", "a..b", "team:v1", "a@b"] {
            let error = check_path(bad).expect_err(bad);
            assert!(format!("{error:?}").contains("path"), "{error:?}");
        }
    }
}
