use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::cover::{self, Refusal};
use super::read::{Read, Wrong, read};
use super::{ImportedCertificate, store, trust};
use crate::app::AppState;
use crate::audit;
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::page::Page;
use crate::http::{Body, Error, Permission, Result, guard};

/// Imported certificates of one organization.
const COUNT_LIMIT: i64 = 200;

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppRead, routes!(list_imported_certificates)))
        .routes(guard(app, Permission::CertificateWrite, routes!(import_certificate)))
        .routes(guard(app, Permission::CertificateWrite, routes!(remove_imported_certificate)))
}

/// The certificates that people of the organization brought. Keys are never shown.
#[utoipa::path(get, path = "/certificates/imports", tag = "certificates", responses((status = 200, body = Page<ImportedCertificate>)))]
async fn list_imported_certificates(
    State(app): State<AppState>,
    caller: Caller,
) -> Result<Json<Page<ImportedCertificate>>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(Page::whole(store::list(&mut conn, caller.organization_id).await?)))
}

/// A certificate with its key.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportRequest {
    /// The certificate and its issuers in any order, PEM.
    chain_pem: String,
    /// Its private key without a passphrase, PEM.
    key_pem: String,
}

/// Stores a certificate, which is served in place of ordered ones for the host names of the organization's apps that it
/// covers. It takes the place of an earlier one for the same names or fewer.
#[utoipa::path(post, path = "/certificates/imports", tag = "certificates", request_body = ImportRequest,
    responses((status = 201, body = ImportedCertificate)))]
async fn import_certificate(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<ImportRequest>,
) -> Result<(StatusCode, Json<ImportedCertificate>)> {
    let (read, notes) = tokio::task::spawn_blocking(move || examine(&request))
        .await
        .map_err(anyhow::Error::new)?
        .map_err(|Wrong { field, message, hint }| Error::invalid(field, message).hint(hint))?;
    let mut tx = app.db.begin().await?;
    let owned = store::owned(&mut tx, caller.organization_id).await?;
    cover::check(&read.leaf.names, &owned).map_err(|refusal| refused(refusal, &read))?;
    let (id, replaced) =
        store::put(&mut tx, &app.vault, caller.organization_id, &read, &notes, &caller.email).await?;
    if store::count(&mut tx, caller.organization_id).await? > COUNT_LIMIT {
        return Err(Error::invalid(
            "chain_pem",
            format!("there are {COUNT_LIMIT} imported certificates already"),
        )
        .hint("Remove one that is not used any more"));
    }
    store::settle(&mut tx).await?;
    store::changed(&mut tx).await?;
    let detail = json!({ "names": read.leaf.names, "issuer": read.leaf.issuer, "not_after": read.leaf.not_after,
                         "fingerprint": read.fingerprint, "replaced": replaced });
    let target = format!("certificate:{}", read.leaf.names[0]);
    audit::record(&mut tx, &caller, "certificate.import", &target, detail).await?;
    let all = store::list(&mut tx, caller.organization_id).await?;
    tx.commit().await?;
    let stored = all.into_iter().find(|imported| imported.id == id);
    Ok((StatusCode::CREATED, Json(stored.ok_or_else(|| absent(id))?)))
}

fn examine(request: &ImportRequest) -> Result<(Read, Vec<String>), Wrong> {
    let now = Utc::now();
    let read = read(&request.chain_pem, &request.key_pem, now)?;
    let trust = trust::note(&read, trust::known_roots(), now);
    let notes = read.notes.iter().cloned().chain(trust).collect();
    Ok((read, notes))
}

fn refused(refusal: Refusal<'_>, read: &Read) -> Error {
    match refusal {
        Refusal::OfOthers(name) => {
            Error::invalid("chain_pem", format!("it is for {name}, which is a name of others or covers one"))
                .hint("Bring a certificate for the host names of your own apps alone")
        }
        Refusal::OfNobody => {
            let names = read.leaf.names.join(", ");
            Error::invalid("chain_pem", format!("none of your apps has a name that it is for: {names}"))
                .hint("Add and verify the domain first")
        }
    }
}

fn absent(id: Uuid) -> Error {
    Error::not_found(format!("imported certificate {id}")).hint("`wh cert list` lists the certificates")
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct RemoveQuery {
    /// The first of its names once more.
    confirm: String,
}

/// Forgets an imported certificate with its key. The proxies serve the ordered one again, or order one.
#[utoipa::path(delete, path = "/certificates/imports/{id}", tag = "certificates", params(("id" = Uuid, Path), RemoveQuery),
    responses((status = 204)))]
async fn remove_imported_certificate(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let all = store::list(&mut tx, caller.organization_id).await?;
    let imported = all.into_iter().find(|imported| imported.id == id).ok_or_else(|| absent(id))?;
    if query.confirm != imported.names[0] {
        return Err(Error::invalid("confirm", format!("this is not {}", imported.names[0]))
            .hint("Write the first name of the certificate to confirm"));
    }
    store::delete(&mut tx, caller.organization_id, id).await?;
    store::settle(&mut tx).await?;
    store::changed(&mut tx).await?;
    let detail = json!({ "names": imported.names, "fingerprint": imported.fingerprint });
    let target = format!("certificate:{}", imported.names[0]);
    audit::record(&mut tx, &caller, "certificate.remove", &target, detail).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
