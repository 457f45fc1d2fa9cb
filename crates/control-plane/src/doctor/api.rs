use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::Utc;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use url::Host;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Finding, Level, Report, diagnose, evidence, private};
use crate::app::AppState;
use crate::http::caller::Caller;
use crate::http::{Body, Error, Permission, Result, guard};

/// For the whole examination.
const LIMIT: Duration = Duration::from_secs(30);

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(examine)))
}

/// Which name to look at.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct DoctorRequest {
    /// A host name such as `www.example.com`, or a name of the private network such as `api.shop.internal`.
    host: String,
    /// Slug of the project whose apps ask for a name of the private network; the name's own when absent.
    from: Option<String>,
}

/// Follows a request for a host name from public DNS to the app's probe, and tells where it goes wrong and what to do. Of a
/// name of the private network: from the resolvers of the workers whose containers ask for it to the app's probe. Changes nothing; takes some seconds.
#[utoipa::path(post, path = "/doctor", tag = "doctor", request_body = DoctorRequest, responses((status = 200, body = Report)))]
async fn examine(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<DoctorRequest>,
) -> Result<Json<Report>> {
    let host = host(&request.host)?;
    app.limits.examinations_by_organization.check(&caller.organization_id)?;
    let _place = app.limits.examination().await;
    if let Some(name) = private::Name::of(&host) {
        let gathered = private::gather(&app, caller.organization_id, name, request.from.as_deref());
        let evidence = tokio::time::timeout(LIMIT, gathered).await.map_err(|_| too_long(&host))??;
        return Ok(Json(report(host, private::diagnose(&evidence))));
    }
    if request.from.is_some() {
        return Err(Error::invalid("from", "only names of the private network are asked for by a project")
            .hint("Leave it out, or name APP.PROJECT.internal"));
    }
    let roots = Arc::new(roots(&app).await?);
    let gathered = evidence::gather(&app, caller.organization_id, &host, &roots);
    let evidence = tokio::time::timeout(LIMIT, gathered).await.map_err(|_| too_long(&host))??;
    let findings = diagnose(&evidence);
    Ok(Json(report(host, findings)))
}

fn report(host: String, findings: Vec<Finding>) -> Report {
    let level = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    Report { host, checked_at: Utc::now(), level, findings }
}

fn too_long(host: &str) -> anyhow::Error {
    anyhow::anyhow!("the examination of {host} took more than {} s", LIMIT.as_secs())
}

/// The name as it is in tables: people may paste an address, in any case and script.
fn host(text: &str) -> Result<String> {
    let text = text.trim();
    let name = text.split_once("://").map_or(text, |(_, rest)| rest);
    let name = name.split(['/', '?', '#']).next().unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default().trim_end_matches('.');
    match Host::parse(name) {
        Ok(Host::Domain(name)) if name.contains('.') && name.len() <= 253 && !name.contains('*') => Ok(name),
        _ => Err(Error::invalid("host", "must be a host name such as www.example.com")
            .hint("Of a wildcard domain, name one host that it covers")),
    }
}

/// Whom a browser would trust, and the configured CA.
async fn roots(app: &AppState) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = app.config.acme.as_ref().and_then(|acme| acme.root_certificate.as_ref()) {
        let pem = tokio::fs::read(path).await?;
        roots.add_parsable_certificates(
            CertificateDer::pem_slice_iter(&pem).filter_map(std::result::Result::ok),
        );
    }
    Ok(roots)
}

#[cfg(test)]
mod unit {
    use super::host;

    #[test]
    fn a_pasted_address_is_reduced_to_its_host() {
        for (text, name) in [
            ("www.example.com", "www.example.com"),
            (" https://WWW.Example.com:8443/x?y#z ", "www.example.com"),
            ("bücher.example.", "xn--bcher-kva.example"),
        ] {
            assert_eq!(host(text).expect(text), name);
        }
        for text in ["", "localhost", "10.0.0.1", "[::1]", "*.example.com", "exa mple.com"] {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
