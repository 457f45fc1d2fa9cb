use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::ids::DnsProviderId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::challenge::{self, Published};
use super::{COUNT_LIMIT, DnsProvider, Record, Settings, authority, checked_zone, store};
use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::page::Page;
use crate::http::permission::MemberRole;
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::{audit, certificates, digest};

/// For the name servers of a zone to answer the record of a test.
const TEST_PATIENCE: Duration = Duration::from_secs(20);

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::DnsRead, routes!(list_dns_providers)))
        .routes(guard(app, Permission::DnsWrite, routes!(put_dns_provider)))
        .routes(guard(app, Permission::DnsWrite, routes!(delete_dns_provider)))
        .routes(guard(app, Permission::DnsWrite, routes!(test_dns_provider)))
}

/// The DNS providers of the organization and of the platform. Secrets are never shown.
#[utoipa::path(get, path = "/dns-providers", tag = "dns-providers", responses((status = 200, body = Page<DnsProvider>)))]
async fn list_dns_providers(State(app): State<AppState>, caller: Caller) -> Result<Json<Page<DnsProvider>>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(Page::whole(store::list(&mut conn, caller.organization_id).await?)))
}

/// A DNS provider with its secret.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct DnsProviderRequest {
    /// It can set this name and all below it.
    zone: String,
    /// For all apps of the platform: needs an owner.
    #[serde(default)]
    platform: bool,
    settings: Settings,
}

/// Stores a DNS provider, in place of an earlier one for the same zone. Certificates that wait for one are ordered.
#[utoipa::path(post, path = "/dns-providers", tag = "dns-providers", request_body = DnsProviderRequest, responses((status = 200, body = DnsProvider)))]
async fn put_dns_provider(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<DnsProviderRequest>,
) -> Result<Json<DnsProvider>> {
    let DnsProviderRequest { zone, platform, settings } = request;
    let zone = checked_zone(&zone)?;
    settings.check()?;
    may_change(&caller, platform)?;
    let organization = (!platform).then_some(caller.organization_id);
    let mut tx = app.db.begin().await?;
    let id = store::put(&mut tx, &app.vault, organization, &zone, &settings, &caller.email).await?;
    if store::count(&mut tx, organization).await? > COUNT_LIMIT {
        return Err(Error::invalid("zone", format!("there are {COUNT_LIMIT} DNS providers already"))
            .hint("Remove one that is not used any more"));
    }
    let detail =
        json!({ "zone": zone, "platform": platform, "kind": settings.kind(), "summary": settings.summary() });
    audit::record(&mut tx, &caller, "dns-provider.put", &format!("dns-provider:{zone}"), detail).await?;
    certificates::store::retry_below(&mut tx, &zone).await?;
    bus::say(&mut tx, Topic::Certificates, &zone).await?;
    let stored = stored(&mut tx, &caller, id).await?;
    tx.commit().await?;
    Ok(Json(stored))
}

/// Forgets a DNS provider. Certificates that were had through it are served until their end.
#[utoipa::path(delete, path = "/dns-providers/{id}", tag = "dns-providers", params(("id" = DnsProviderId, Path)), responses((status = 204)))]
async fn delete_dns_provider(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<DnsProviderId>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let provider = stored(&mut tx, &caller, id).await?;
    may_change(&caller, provider.platform)?;
    if provider.records > 0 && provider.problem.is_none() {
        return Err(Error::invalid("id", format!("{} records of it are set", provider.records))
            .hint("Wait until the orders that need them have ended"));
    }
    store::delete(&mut tx, id).await?;
    let target = format!("dns-provider:{}", provider.zone);
    audit::record(&mut tx, &caller, "dns-provider.delete", &target, json!({ "platform": provider.platform }))
        .await?;
    bus::say(&mut tx, Topic::Certificates, &provider.zone).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A test that went well.
#[derive(Serialize, utoipa::ToSchema)]
struct DnsProviderTest {
    /// The record that was set, and is removed again.
    record: String,
    /// The name servers that answered it.
    servers: Vec<String>,
    took_ms: u64,
}

/// Sets a record, waits until every name server of the zone answers it, and removes it.
#[utoipa::path(post, path = "/dns-providers/{id}/test", tag = "dns-providers", params(("id" = DnsProviderId, Path)), responses((status = 200, body = DnsProviderTest)))]
async fn test_dns_provider(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<DnsProviderId>,
) -> Result<Json<DnsProviderTest>> {
    let mut conn = app.db.acquire().await?;
    let zone = stored(&mut conn, &caller, id).await?.zone;
    let provider = store::open(&mut conn, &app.vault, id).await?;
    let record = Record {
        name: format!("_acme-challenge.wisehosting-test.{zone}"),
        value: digest::new_token("test-"),
    };
    let row = store::note_test(&mut conn, id, &record).await?;
    drop(conn);
    let started = Instant::now();
    let tried = try_out(&provider, &record).await;
    // Also after a failure: the record may be there for all that.
    let removed = provider.remove(&record).await.map_err(challenge::unavailable);
    if removed.is_ok() {
        store::forget(&mut *app.db.acquire().await?, row).await?;
    }
    let servers = tried?;
    removed?;
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Json(DnsProviderTest { record: record.name, servers, took_ms }))
}

async fn try_out(provider: &super::Open, record: &Record) -> Result<Vec<String>> {
    provider.set(record).await.map_err(challenge::unavailable)?;
    match challenge::wait(provider, record, TEST_PATIENCE).await? {
        Published::Everywhere => {
            let servers = authority::servers(provider, &record.name).await.map_err(challenge::unavailable)?;
            Ok(servers.into_iter().map(|server| server.name).collect())
        }
        Published::Waiting(what) => {
            let message = format!("the record was set, but after {} s: {what}", TEST_PATIENCE.as_secs());
            Err(Error::new(Code::Unavailable, message)
                .hint("Check that the zone's NS records name the servers that get the change"))
        }
    }
}

fn may_change(caller: &Caller, platform: bool) -> Result<()> {
    if platform && caller.role < MemberRole::Owner {
        return Err(Error::new(Code::Forbidden, "a DNS provider of the platform is changed by owners")
            .hint("Ask an owner of the organization"));
    }
    Ok(())
}

async fn stored(conn: &mut PgConnection, caller: &Caller, id: DnsProviderId) -> Result<DnsProvider> {
    let all = store::list(conn, caller.organization_id).await?;
    all.into_iter()
        .find(|provider| provider.id == id)
        .ok_or_else(|| Error::not_found(format!("DNS provider {id}")).hint("`wh dns-provider ls` lists them"))
}
