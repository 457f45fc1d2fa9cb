use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::predefined::{self, Predefined};
use super::{COUNT_LIMIT, Open, Values, check_free, check_name, check_value, store};
use crate::app::{App, AppState};
use crate::bus::{self, Topic};
use crate::deployments::{self, Deployment};
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::{apps, audit, releases};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(read_env))).routes(guard(
        app,
        Permission::AppWrite,
        routes!(update_env),
    ))
}

#[derive(Serialize, utoipa::ToSchema)]
struct Variable {
    name: String,
    /// Null unless values were asked for.
    value: Option<String>,
    /// Whether build steps may mount it: `RUN --mount=type=secret,id=NAME`.
    build_time: bool,
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
    let variables = read(&app, &mut tx, &found, query.reveal).await?;
    tx.commit().await?;
    Ok(Json(variables))
}

async fn read(app: &App, conn: &mut PgConnection, of: &apps::store::App, reveal: bool) -> Result<Variables> {
    let mut open = Open::default();
    let mut variables = Vec::new();
    for sealed in store::list(conn, of.id).await? {
        let value = sealed.open(&app.vault, of.id)?;
        let shown = reveal.then(|| value.clone());
        variables.push(Variable {
            name: sealed.name.clone(),
            value: shown,
            build_time: sealed.build_time,
            updated_at: sealed.updated_at,
        });
        open.add(sealed, value);
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

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct VariablesPatch {
    /// Names and new values.
    #[serde(default)]
    set: Values,
    #[serde(default)]
    unset: Vec<String>,
    /// Names, and whether build steps may mount the variable. Others keep what they have.
    #[serde(default)]
    build_time: BTreeMap<String, bool>,
    /// Whether to deploy the running release's image with the new variables and settings.
    #[serde(default)]
    deploy: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
struct VariablesPatched {
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
    check(&patch)?;
    let mut tx = app.db.begin().await?;
    let found = apps::api::hold(&mut tx, &caller, &key).await?;
    for name in &patch.unset {
        store::unset(&mut tx, found.id, name).await?;
    }
    for (name, value) in &patch.set {
        store::set(&mut tx, &app.vault, found.id, name, value).await?;
    }
    for (name, build_time) in &patch.build_time {
        if !store::flag_build_time(&mut tx, found.id, name, *build_time).await? {
            let field = format!("build_time.{name}");
            return Err(Error::invalid(field, format!("there is no variable {name}")).hint("Set it first"));
        }
    }
    let names: Vec<&String> = patch.set.keys().collect();
    let detail = json!({ "set": names, "unset": patch.unset, "build_time": patch.build_time });
    audit::record(&mut tx, &caller, "env.update", &format!("app:{}", found.slug), detail).await?;
    bus::say(&mut tx, Topic::Apps, found.id).await?;
    let now = read(&app, &mut tx, &found, false).await?;
    if now.variables.len() > COUNT_LIMIT {
        return Err(Error::invalid("set", format!("an app may have at most {COUNT_LIMIT} variables")));
    }
    let deployment = if patch.deploy && releases::store::current(&mut tx, found.id).await?.is_some() {
        Some(deployments::create::settings(&app, &mut tx, &caller, &found, "").await?)
    } else {
        None
    };
    tx.commit().await?;
    Ok(Json(VariablesPatched { now, deployment }))
}

fn check(patch: &VariablesPatch) -> Result<()> {
    for (name, value) in &patch.set {
        check_free(name, "set")?;
        check_value(name, value)?;
        if patch.unset.contains(name) {
            return Err(Error::invalid(format!("unset.{name}"), format!("{name} is both set and unset")));
        }
    }
    patch.build_time.keys().try_for_each(|name| check_name(name, "build_time"))?;
    patch.unset.iter().try_for_each(|name| check_name(name, "unset"))
}
