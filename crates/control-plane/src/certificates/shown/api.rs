use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reissue::{self, Refusal};
use super::store::{self, Shown};
use super::{CertificateDetail, CertificateView, Source};
use crate::app::{App, AppState};
use crate::audit;
use crate::certificates::imports;
use crate::config::Budget;
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::page::Page;
use crate::http::permission::MemberRole;
use crate::http::{Body, Code, Error, Permission, Result, guard};

/// Orders that are shown of one certificate.
const ATTEMPTS: i64 = 20;

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppRead, routes!(list_certificates)))
        .routes(guard(app, Permission::AppRead, routes!(show_certificate)))
        .routes(guard(app, Permission::AppRead, routes!(export_chain)))
        .routes(guard(app, Permission::AppDeploy, routes!(reissue_certificate)))
}

/// The certificates of all host names of the organization's apps, and of the dashboard's.
#[utoipa::path(get, path = "/certificates", tag = "certificates", responses((status = 200, body = Page<CertificateView>)))]
async fn list_certificates(
    State(app): State<AppState>,
    caller: Caller,
) -> Result<Json<Page<CertificateView>>> {
    let mut conn = app.db.acquire().await?;
    let shown = store::list(&mut conn, caller.organization_id, None, app.config.acme.is_some()).await?;
    Ok(Json(Page::whole(shown.into_iter().map(|shown| shown.view).collect())))
}

async fn find(app: &AppState, conn: &mut PgConnection, caller: &Caller, host: &str) -> Result<Shown> {
    let host = host.to_ascii_lowercase();
    let found = store::list(conn, caller.organization_id, Some(&host), app.config.acme.is_some()).await?;
    found.into_iter().next().ok_or_else(|| {
        Error::not_found(format!("certificate for {host}")).hint("`wh cert list` lists the host names")
    })
}

/// One certificate, what was tried for it, and which proxies serve it.
#[utoipa::path(get, path = "/certificates/{host}", tag = "certificates", params(("host" = String, Path)),
    responses((status = 200, body = CertificateDetail)))]
async fn show_certificate(
    State(app): State<AppState>,
    caller: Caller,
    Path(host): Path<String>,
) -> Result<Json<CertificateDetail>> {
    let mut conn = app.db.acquire().await?;
    let Shown { view, row, .. } = find(&app, &mut conn, &caller, &host).await?;
    let (attempts, past) = match &row {
        Some(row) => (store::attempts(&mut conn, row, ATTEMPTS).await?, store::past(&mut conn, row).await?),
        None => (Vec::new(), Vec::new()),
    };
    let proxies = store::servers(&mut conn).await?;
    let reissue_at = reissue::free_at(&past, &budget(&app), Utc::now());
    Ok(Json(CertificateDetail { certificate: view, attempts, proxies, reissue_at }))
}

/// What all orders keep to.
fn budget(app: &App) -> Budget {
    app.config.acme.as_ref().map_or_else(Budget::default, |acme| acme.budget.clone())
}

/// The chain that is served, the certificate first, as PEM. The key is never shown.
#[utoipa::path(get, path = "/certificates/{host}/chain", tag = "certificates", params(("host" = String, Path)),
    responses((status = 200, body = String, content_type = "application/pem-certificate-chain")))]
async fn export_chain(
    State(app): State<AppState>,
    caller: Caller,
    Path(host): Path<String>,
) -> Result<Response> {
    let mut conn = app.db.acquire().await?;
    let shown = find(&app, &mut conn, &caller, &host).await?;
    let chain = match (shown.view.import_id, &shown.row) {
        (Some(import), _) => imports::store::chain(&mut conn, import).await?,
        (None, Some(row)) => store::chain(&mut conn, row).await?,
        (None, None) => None,
    };
    let chain = chain.ok_or_else(|| Error::not_found(format!("certificate for {host} yet")))?;
    Ok(([(CONTENT_TYPE, "application/pem-certificate-chain")], chain).into_response())
}

/// A wish for a new certificate.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ReissueRequest {
    /// Also when there was an order within the last hour.
    #[serde(default)]
    again: bool,
}

/// Orders a new certificate at once, whatever the age of the one that is served, which stays until the new one is there.
#[utoipa::path(post, path = "/certificates/{host}/reissue", tag = "certificates", params(("host" = String, Path)),
    request_body = ReissueRequest, responses((status = 200, body = CertificateView)))]
async fn reissue_certificate(
    State(app): State<AppState>,
    caller: Caller,
    Path(host): Path<String>,
    Body(request): Body<ReissueRequest>,
) -> Result<Json<CertificateView>> {
    let mut tx = app.db.begin().await?;
    let shown = find(&app, &mut tx, &caller, &host).await?;
    if shown.view.app.is_none() && caller.role < MemberRole::Admin {
        return Err(Error::new(Code::Forbidden, "this is the dashboard's own certificate")
            .hint("Ask an admin or owner of the organization"));
    }
    let row = may_reissue(&app, &shown)?.to_owned();
    let past = store::past(&mut tx, &row).await?;
    reissue::check(&past, &budget(&app), request.again, Utc::now()).map_err(refusal)?;
    store::ask_anew(&mut tx, &row).await?;
    let target = format!("certificate:{}", shown.view.host);
    audit::record(&mut tx, &caller, "certificate.reissue", &target, json!({})).await?;
    let asked = find(&app, &mut tx, &caller, &host).await?;
    tx.commit().await?;
    Ok(Json(asked.view))
}

/// The row that is ordered anew.
fn may_reissue<'a>(app: &AppState, shown: &'a Shown) -> Result<&'a str> {
    let conflict = |message: &str| Error::new(Code::CertificateFixed, message);
    if app.config.acme.is_none() {
        return Err(conflict("no CA is configured that could issue one")
            .hint("Set `[acme]` in the control plane's configuration, or import a certificate"));
    }
    if shown.view.source == Source::Imported {
        return Err(conflict("this certificate was imported, and no CA of ours can renew it")
            .hint("Import a newer one; or remove it, and the proxies order one"));
    }
    if shown.view.source == Source::Resolver {
        return Err(conflict("this certificate is ordered by the proxies' own resolver")
            .hint("Traefik renews what it ordered, and keeps it in the resolver's storage; its log says what is wrong"));
    }
    match &shown.row {
        Some(row) if !shown.busy => Ok(row),
        _ => Err(conflict("an order is on its way already").hint("Wait for its end")),
    }
}

fn refusal(refusal: Refusal) -> Error {
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M UTC").to_string();
    match refusal {
        Refusal::Budget(at) => Error::new(
            Code::CertificateBudget,
            "so many were ordered or failed that the CA would soon refuse this name, its renewal as well",
        )
        .hint(format!("Try again from {}", time(at))),
        Refusal::Sure(at) => Error::new(
            Code::CertificateRecent,
            format!("one was ordered less than an hour ago, at {}", time(at)),
        )
        .hint("CAs count certificates for the same name: order another one only if the last was not right"),
    }
}
