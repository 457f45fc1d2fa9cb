use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::patch::VariablesPatch;
use super::predefined::{self, Predefined};
use super::{COUNT_LIMIT, Open, Values, dotenv, file, store};
use crate::app::{App, AppState};
use crate::bus::{self, Topic};
use crate::deployments::{self, Deployment};
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::{apps, audit, releases};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppRead, routes!(read_env)))
        .routes(guard(app, Permission::AppWrite, routes!(update_env)))
        .merge(file::router(app))
}

#[derive(Serialize, utoipa::ToSchema)]
struct Variable {
    name: String,
    /// Null unless values were asked for, and always for a locked one.
    value: Option<String>,
    /// Whether build steps may mount it: `RUN --mount=type=secret,id=NAME`.
    build_time: bool,
    /// Whether nothing is deployed while it has no value.
    required: bool,
    /// Whether its value is never shown, but can be replaced.
    locked: bool,
    /// Null for those who may not change it: an old value may stand there.
    comment: Option<String>,
    updated_at: DateTime<Utc>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Variables {
    variables: Vec<Variable>,
    /// Whether the running release has other variables or settings.
    pending: bool,
    /// What every container is told besides, without anybody setting it.
    predefined: Vec<Predefined>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct EnvQuery {
    /// Shows values. Needs the permission to change them, and is recorded.
    #[serde(default)]
    reveal: bool,
}

/// The variables of an app.
#[utoipa::path(get, path = "/apps/{app}/env", tag = "variables", params(("app" = String, Path, description = "Id or slug"), EnvQuery), responses((status = 200, body = Variables)))]
async fn read_env(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Query(query): Query<EnvQuery>,
) -> Result<Json<Variables>> {
    if query.reveal && caller.role < Permission::AppWrite.least_role() {
        return Err(Error::new(Code::Forbidden, "your role may not read the values of variables")
            .hint("Leave out reveal to see their names"));
    }
    let mut tx = app.db.begin().await?;
    let found = apps::api::find(&mut tx, &caller, &key).await?;
    if query.reveal {
        audit::record(&mut tx, &caller, "env.reveal", &format!("app:{}", found.slug), json!({})).await?;
    }
    let variables = read(&app, &mut tx, &caller, &found, query.reveal).await?;
    tx.commit().await?;
    Ok(Json(variables))
}

async fn read(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    of: &apps::store::App,
    reveal: bool,
) -> Result<Variables> {
    let may_write = caller.role >= Permission::AppWrite.least_role();
    let mut open = Open::default();
    let mut variables = Vec::new();
    for sealed in store::list(conn, of.id).await? {
        let value = sealed.open(&app.vault, of.id)?;
        let above = sealed.open_above(&app.vault, of.id)?;
        open.add(&sealed, value.clone());
        variables.push(Variable {
            name: sealed.name,
            value: (reveal && !sealed.locked).then_some(value),
            build_time: sealed.build_time,
            required: sealed.required,
            locked: sealed.locked,
            comment: may_write.then(|| dotenv::comment(&above)),
            updated_at: sealed.updated_at,
        });
    }
    let pending = releases::pending::of(app, conn, of, &open).await?.is_runtime();
    let predefined = predefined::list(&known(app, conn, of).await?);
    Ok(Variables { variables, pending, predefined })
}

/// What is so for all instances of the live release.
async fn known(app: &App, conn: &mut PgConnection, of: &apps::store::App) -> Result<Values> {
    let mut known = store::place(conn, of.id).await?.variables(apps::api::scheme(app));
    if let Some(live) = releases::store::current(conn, of.id).await? {
        predefined::add_release(&mut known, live.number, live.commit_id.as_deref(), live.source.as_ref());
        known.extend(live.settings.port.map(|port| ("PORT".to_owned(), port.to_string())));
    }
    Ok(known)
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct VariablesPatched {
    #[serde(flatten)]
    now: Variables,
    /// Null when none was asked for or nothing is deployed yet.
    deployment: Option<Deployment>,
}

/// Changes variables. They take effect with the next release.
#[utoipa::path(patch, path = "/apps/{app}/env", tag = "variables", params(("app" = String, Path, description = "Id or slug")), request_body = VariablesPatch, responses((status = 200, body = VariablesPatched)))]
async fn update_env(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(patch): Body<VariablesPatch>,
) -> Result<Json<VariablesPatched>> {
    patch.check()?;
    let mut tx = app.db.begin().await?;
    let found = apps::api::hold(&mut tx, &caller, &key).await?;
    patch.carry_out(&app, &mut tx, found.id).await?;
    let patched = saved(&app, &mut tx, &caller, &found, patch.detail(), patch.deploy).await?;
    tx.commit().await?;
    Ok(Json(patched))
}

/// What follows a change.
pub async fn saved(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    of: &apps::store::App,
    detail: serde_json::Value,
    deploy: bool,
) -> Result<VariablesPatched> {
    let words = in_words(&detail);
    audit::record(conn, caller, "env.update", &format!("app:{}", of.slug), detail).await?;
    bus::say(conn, Topic::Apps, of.id).await?;
    let now = read(app, conn, caller, of, false).await?;
    if now.variables.len() > COUNT_LIMIT {
        return Err(Error::invalid("set", format!("an app may have at most {COUNT_LIMIT} variables")));
    }
    let deployment = if deploy && releases::store::current(conn, of.id).await?.is_some() {
        Some(deployments::create::settings(app, conn, caller, of, &words).await?)
    } else {
        None
    };
    Ok(VariablesPatched { now, deployment })
}

/// Names only: values are nobody's business.
fn in_words(detail: &serde_json::Value) -> String {
    let names = |verb: &str| {
        let names = detail[verb].as_array().into_iter().flatten().filter_map(|name| name.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        (!names.is_empty()).then(|| format!("{verb} {names}"))
    };
    let words = ["set", "unset"].into_iter().filter_map(names).collect::<Vec<_>>().join("; ");
    words.chars().take(apps::rules::MESSAGE_LIMIT).collect()
}
