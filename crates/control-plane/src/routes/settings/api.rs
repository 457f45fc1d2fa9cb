use std::collections::HashMap;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use protocol::ids::{AppId, DomainId};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Own, Patch, View, check, detail, forward_auth, store, users, view};
use crate::app::{App, AppState};
use crate::apps::api::{find, hold};
use crate::audit;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::{Body, Error, Permission, Result, guard};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppRead, routes!(read_routes)))
        .routes(guard(app, Permission::AppWrite, routes!(replace_routes, update_routes)))
        .routes(guard(app, Permission::AppRead, routes!(read_domain_routes)))
        .routes(guard(app, Permission::AppWrite, routes!(replace_domain_routes, update_domain_routes)))
}

/// What is done with the requests of an app.
#[utoipa::path(get, path = "/apps/{app}/routes", tag = "routes", params(("app" = String, Path, description = "Id or slug")), responses((status = 200, body = View)))]
async fn read_routes(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<View>> {
    read(&app, &caller, &key, None).await
}

/// Sets all options of an app; those that are absent are off or at their default. They hold on every proxy within a
/// second, without a deployment.
#[utoipa::path(put, path = "/apps/{app}/routes", tag = "routes", params(("app" = String, Path, description = "Id or slug")), request_body = Own, responses((status = 200, body = View)))]
async fn replace_routes(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(all): Body<Map<String, Value>>,
) -> Result<Json<View>> {
    change(&app, &caller, &key, None, Wanted::All(all)).await
}

/// Changes options of an app. They hold on every proxy within a second, without a deployment.
#[utoipa::path(patch, path = "/apps/{app}/routes", tag = "routes", params(("app" = String, Path, description = "Id or slug")), request_body = Patch, responses((status = 200, body = View)))]
async fn update_routes(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(patch): Body<Patch>,
) -> Result<Json<View>> {
    change(&app, &caller, &key, None, Wanted::Some(patch)).await
}

/// What is done with the requests of a domain.
#[utoipa::path(get, path = "/apps/{app}/domains/{hostname}/routes", tag = "routes", params(("app" = String, Path, description = "Id or slug"), ("hostname" = String, Path)), responses((status = 200, body = View)))]
async fn read_domain_routes(
    State(app): State<AppState>,
    caller: Caller,
    Path((key, hostname)): Path<(String, String)>,
) -> Result<Json<View>> {
    read(&app, &caller, &key, Some(&hostname)).await
}

/// Sets all options in which a domain differs from its app.
#[utoipa::path(put, path = "/apps/{app}/domains/{hostname}/routes", tag = "routes", params(("app" = String, Path, description = "Id or slug"), ("hostname" = String, Path)), request_body = Own, responses((status = 200, body = View)))]
async fn replace_domain_routes(
    State(app): State<AppState>,
    caller: Caller,
    Path((key, hostname)): Path<(String, String)>,
    Body(all): Body<Map<String, Value>>,
) -> Result<Json<View>> {
    change(&app, &caller, &key, Some(&hostname), Wanted::All(all)).await
}

/// Changes options in which a domain differs from its app. Those that are unset are the app's again.
#[utoipa::path(patch, path = "/apps/{app}/domains/{hostname}/routes", tag = "routes", params(("app" = String, Path, description = "Id or slug"), ("hostname" = String, Path)), request_body = Patch, responses((status = 200, body = View)))]
async fn update_domain_routes(
    State(app): State<AppState>,
    caller: Caller,
    Path((key, hostname)): Path<(String, String)>,
    Body(patch): Body<Patch>,
) -> Result<Json<View>> {
    change(&app, &caller, &key, Some(&hostname), Wanted::Some(patch)).await
}

/// Whose options: an app's, or those of one of its domains.
struct Place {
    app: AppId,
    of_app: Own,
    domain: Option<(DomainId, Own)>,
    sites: Vec<store::Site>,
}

impl Place {
    async fn load(conn: &mut PgConnection, app: AppId, hostname: Option<&str>) -> Result<Self> {
        let domain = match hostname {
            None => None,
            Some(hostname) => Some(store::domain(conn, app, hostname).await?.ok_or_else(|| {
                Error::not_found(format!("domain {hostname} of this app"))
                    .hint("`wh domains` lists its domains")
            })?),
        };
        let of_app = store::of_app(conn, app).await?;
        Ok(Self { app, of_app, domain, sites: store::sites(conn, app).await? })
    }

    fn own(&self) -> &Own {
        self.domain.as_ref().map_or(&self.of_app, |(_, own)| own)
    }

    fn effective(&self) -> Own {
        self.domain.as_ref().map_or_else(|| self.of_app.clone(), |(_, own)| self.of_app.with(own))
    }

    fn put(&mut self, own: Own) {
        match &mut self.domain {
            None => self.of_app = own,
            Some((id, of_domain)) => {
                let site = self.sites.iter_mut().find(|site| site.domain == Some(*id));
                if let Some(site) = site {
                    site.own.0 = own.clone();
                }
                *of_domain = own;
            }
        }
    }

    /// Names that have no `*`.
    fn hosts(&self) -> Vec<String> {
        let hosts = self.sites.iter().map(|site| &site.host);
        hosts.filter(|host| !host.starts_with('*')).cloned().collect()
    }

    /// A canonical host that stays may have stopped being served: that is no reason to refuse another change.
    fn check(&self, canonical_before: Option<&str>) -> Result<()> {
        let options = self.effective().options()?;
        check::check(&options)?;
        match options.canonical_host.as_deref() {
            Some(host) if canonical_before != Some(host) => check::canonical_host(host, &self.hosts())?,
            _ => return Ok(()),
        }
        let mut canonical = HashMap::new();
        for site in &self.sites {
            if let Some(host) = self.of_app.with(&site.own.0).options()?.canonical_host {
                canonical.insert(site.host.clone(), host);
            }
        }
        self.sites.iter().try_for_each(|site| check::check_hops(&site.host, &canonical))
    }

    fn view(&self) -> View {
        view(&self.of_app, self.domain.as_ref().map(|(_, own)| own), self.hosts())
    }
}

async fn read(app: &App, caller: &Caller, key: &str, hostname: Option<&str>) -> Result<Json<View>> {
    let mut conn = app.db.acquire().await?;
    let found = find(&mut conn, caller, key).await?;
    Ok(Json(Place::load(&mut conn, found.id, hostname).await?.view()))
}

enum Wanted {
    All(Map<String, Value>),
    Some(Patch),
}

async fn change(
    app: &App,
    caller: &Caller,
    key: &str,
    hostname: Option<&str>,
    wanted: Wanted,
) -> Result<Json<View>> {
    let mut tx = app.db.begin().await?;
    let found = hold(&mut tx, caller, key).await?;
    let mut place = Place::load(&mut tx, found.id, hostname).await?;
    let before = place.own().clone();
    let (from, mut set, mut unset) = match wanted {
        Wanted::All(all) => (Own::default(), all, Vec::new()),
        Wanted::Some(patch) => (before.clone(), patch.set, patch.unset),
    };
    if hostname.is_none() {
        // Nothing stands below an app that null could switch off.
        unset.extend(set.iter().filter(|(_, value)| value.is_null()).map(|(key, _)| key.clone()));
        set.retain(|_, value| !value.is_null());
    }
    unset.iter().try_for_each(|key| check::known(key))?;
    let asks = set.contains_key("forward_auth");
    let after = from.changed(understood(set, &place).await?, &unset);
    let canonical = place.effective().options()?.canonical_host;
    place.put(after.clone());
    place.check(canonical.as_deref())?;
    if let Some(auth) = place.effective().options()?.forward_auth.filter(|_| asks) {
        forward_auth::check_for(&mut tx, place.app, &place.hosts(), &auth).await?;
    }
    if after != before {
        keep(&mut tx, &place).await?;
        let detail = detail(&before, &after, hostname);
        audit::record(&mut tx, caller, "routes.update", &format!("app:{}", found.slug), detail).await?;
        generations::raise(&mut tx, Consumer::Routes).await?;
        bus::say(&mut tx, Topic::Apps, found.id).await?;
    }
    let view = place.view();
    tx.commit().await?;
    Ok(Json(view))
}

async fn keep(conn: &mut PgConnection, place: &Place) -> sqlx::Result<()> {
    match &place.domain {
        None => store::set_of_app(conn, place.app, &place.of_app).await,
        Some((id, own)) => store::set_of_domain(conn, *id, own).await,
    }
}

/// What was said, as it is kept.
async fn understood(set: Map<String, Value>, place: &Place) -> Result<Map<String, Value>> {
    let mut understood = Map::new();
    for (key, mut value) in set {
        if key == "basic_auth" && !value.is_null() {
            let before = place.effective().0.get(&key).cloned();
            value = tokio::task::spawn_blocking(move || users::hashed(value, before.as_ref()))
                .await
                .context("passwords could not be hashed")??;
        }
        let value = check::read(&key, value)?;
        understood.insert(key, value);
    }
    Ok(understood)
}
