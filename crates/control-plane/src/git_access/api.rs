use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::job::{GitAccess as Open, GitSecret};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{GitAccess, check_token, checked_host, openssh, store};
use crate::app::AppState;
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::{Body, Error, Permission, Result, guard};
use crate::{apps, audit};

/// Lines of a `known_hosts` that is given.
const MOST_HOST_KEYS: usize = 16;

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppRead, routes!(read_git_access)))
        .routes(guard(app, Permission::AppWrite, routes!(put_git_access)))
        .routes(guard(app, Permission::AppWrite, routes!(delete_git_access)))
}

#[derive(Serialize, utoipa::ToSchema)]
struct GitAccessAnswer {
    /// Null: only public repositories can be fetched.
    access: Option<GitAccess>,
}

/// With what the app's private repositories are fetched. Secrets are never shown.
#[utoipa::path(get, path = "/apps/{app}/git-access", tag = "apps", params(("app" = String, Path, description = "Id or slug")), responses((status = 200, body = GitAccessAnswer)))]
async fn read_git_access(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<GitAccessAnswer>> {
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    Ok(Json(GitAccessAnswer { access: store::read(&mut conn, found.id).await? }))
}

/// A deploy token or a deploy key, for the repositories of one host.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum GitAccessRequest {
    Token {
        /// Host and perhaps port.
        host: String,
        /// What the host expects beside a token; `git` is as good as any where it expects nothing.
        #[serde(default = "git")]
        username: String,
        token: String,
    },
    Key {
        /// Host and perhaps port.
        host: String,
        /// In the format of OpenSSH, without a passphrase.
        private_key: String,
        /// Lines as in `known_hosts`. Without any the first key that the host shows is taken.
        #[serde(default)]
        known_hosts: String,
    },
}

fn git() -> String {
    "git".to_owned()
}

/// Stores it, in place of what the app had. Builds that are sent from now on use it.
#[utoipa::path(post, path = "/apps/{app}/git-access", tag = "apps", params(("app" = String, Path, description = "Id or slug")), request_body = GitAccessRequest, responses((status = 200, body = GitAccessAnswer)))]
async fn put_git_access(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(request): Body<GitAccessRequest>,
) -> Result<Json<GitAccessAnswer>> {
    let (access, public_key) = checked(request)?;
    let mut tx = app.db.begin().await?;
    let found = apps::api::find(&mut tx, &caller, &key).await?;
    store::put(&mut tx, &app.vault, found.id, &access, public_key.as_deref(), &caller.email).await?;
    let detail = match &access.secret {
        GitSecret::Token { username, .. } => {
            json!({ "host": access.host, "kind": "token", "username": username })
        }
        GitSecret::Key { .. } => json!({ "host": access.host, "kind": "key" }),
    };
    audit::record(&mut tx, &caller, "git.access", &format!("app:{}", found.slug), detail).await?;
    let stored = store::read(&mut tx, found.id).await?;
    tx.commit().await?;
    Ok(Json(GitAccessAnswer { access: stored }))
}

/// Forgets it.
#[utoipa::path(delete, path = "/apps/{app}/git-access", tag = "apps", params(("app" = String, Path, description = "Id or slug")), responses((status = 204)))]
async fn delete_git_access(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let found = apps::api::find(&mut tx, &caller, &key).await?;
    let Some(host) = store::delete(&mut tx, found.id).await? else {
        return Err(Error::not_found("token or key").hint("`wh git` shows what the app has"));
    };
    let detail = json!({ "host": host });
    audit::record(&mut tx, &caller, "git.forget", &format!("app:{}", found.slug), detail).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// With the public part of a key.
fn checked(request: GitAccessRequest) -> Result<(Open, Option<String>)> {
    match request {
        GitAccessRequest::Token { host, username, token } => {
            let host = checked_host(&host, 443)?;
            check_token(&username, &token)?;
            Ok((Open { host, secret: GitSecret::Token { username, token } }, None))
        }
        GitAccessRequest::Key { host, private_key, known_hosts } => {
            let host = checked_host(&host, 22)?;
            let public_key = openssh::public_key(&private_key).map_err(|problem| {
                Error::invalid("private_key", problem.to_string())
                    .hint("Make one with `ssh-keygen -t ed25519 -N '' -f deploy-key`, and paste the file without .pub")
            })?;
            let host_keys = checked_host_keys(&known_hosts)?;
            // ssh wants the last line to end.
            let private_key = format!("{}\n", private_key.trim());
            Ok((Open { host, secret: GitSecret::Key { private_key, host_keys } }, Some(public_key)))
        }
    }
}

fn checked_host_keys(text: &str) -> Result<Vec<String>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Option<Vec<String>> = lines.map(openssh::host_key).collect();
    keys.filter(|keys| keys.len() <= MOST_HOST_KEYS).ok_or_else(|| {
        Error::invalid("known_hosts", format!("these are not at most {MOST_HOST_KEYS} keys of a host"))
            .hint("`ssh-keyscan HOST` prints them; compare with what the host publishes")
    })
}
