//! The TXT record of a challenge: set, waited for, removed. Its row is there before it and goes after it, so that a
//! crash in between leaves nothing behind.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use protocol::ids::JobId;
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::delegation::{self, Place};
use super::{Open, Record, authority, store};
use crate::app::AppState;
use crate::certificates;
use crate::http::{Code, Error, Result};

/// The proxy asks again after this; it gives up an answer after 30 s.
const PATIENCE: Duration = Duration::from_secs(12);
const POLL: Duration = Duration::from_secs(1);

/// Whether a challenge is where the CA looks.
#[derive(Debug, PartialEq, Eq)]
pub enum Published {
    Everywhere,
    /// Continues the sentence "Waiting:".
    Waiting(String),
}

/// The record of a challenge (RFC 8555 section 8.4).
pub fn record(host: &str, key_authorization: &str) -> Record {
    let value = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(key_authorization));
    Record { name: delegation::challenge_name(host), value }
}

/// Sets the challenge's record for the order `ordered`, if it is not set, and waits a while for the name servers.
pub async fn publish(
    app: &AppState,
    job: JobId,
    ordered: &str,
    host: &str,
    key_authorization: &str,
) -> Result<Published> {
    let place = place(app, ordered, host).await?;
    let record = Record { name: place.name, ..record(host, key_authorization) };
    let mut conn = app.db.acquire().await?;
    let provider = store::open(&mut conn, &app.vault, place.provider).await?;
    let lacks = store::note(&mut conn, place.provider, job, &record).await?;
    drop(conn);
    // Setting it twice is setting it once.
    if lacks {
        provider.set(&record).await.map_err(unavailable)?;
        info!(name = record.name, zone = provider.zone, "DNS record set");
        let mut conn = app.db.acquire().await?;
        if !store::set(&mut conn, job, &record).await? {
            // The order ended meanwhile, and its record was removed before it was set.
            provider.remove(&record).await.map_err(unavailable)?;
            return Err(Error::new(Code::Unavailable, "the order has ended"));
        }
    }
    wait(&provider, &record, PATIENCE).await
}

/// Where the record of a challenge for the order `ordered` goes.
async fn place(app: &AppState, ordered: &str, host: &str) -> Result<Place> {
    let mut conn = app.db.acquire().await?;
    let owner = certificates::store::owner(&mut conn, ordered).await?;
    // The record of a wildcard domain answers for the challenge's name as well: that is no alias which anybody made.
    if let Ok(place) = delegation::place(&mut conn, host, owner, None).await? {
        return Ok(place);
    }
    drop(conn);
    let target = delegation::target(app, host).await.map_err(|error| {
        Error::new(Code::Unavailable, format!("{error:#}")).hint("See `dns.resolvers` of the configuration")
    })?;
    let mut conn = app.db.acquire().await?;
    let place = delegation::place(&mut conn, host, owner, target.as_deref()).await?;
    place.map_err(|why| Error::invalid("host", why.to_string()).hint(why.remedy(host)))
}

/// Waits until each name server answers the record.
pub(super) async fn wait(provider: &Open, record: &Record, patience: Duration) -> Result<Published> {
    let started = Instant::now();
    let servers = authority::servers(provider, &record.name).await.map_err(unavailable)?;
    loop {
        let lacking = authority::lacking(&servers, record).await.map_err(unavailable)?;
        if lacking.is_empty() {
            return Ok(Published::Everywhere);
        }
        if started.elapsed() >= patience {
            return Ok(Published::Waiting(lacking.join("; ")));
        }
        tokio::time::sleep(POLL).await;
    }
}

pub(super) fn unavailable(error: anyhow::Error) -> Error {
    Error::new(Code::Unavailable, format!("{error:#}"))
        .hint("Try the provider by itself: `wh dns-provider test`")
}

/// Removes the records of orders that do not run any more.
pub async fn sweep(app: &AppState) -> anyhow::Result<()> {
    let over = store::over(&mut *app.db.acquire().await?).await?;
    for set in over {
        let mut conn = app.db.acquire().await?;
        let provider = store::open(&mut conn, &app.vault, set.provider_id).await?;
        drop(conn);
        let removed = provider.remove(&set.record).await;
        let mut conn = app.db.acquire().await?;
        match removed {
            Ok(()) => {
                info!(name = set.record.name, zone = provider.zone, "DNS record removed");
                store::forget(&mut conn, set.id).await?;
            }
            Err(error) => {
                let problem = format!("{error:#}");
                warn!(
                    name = set.record.name,
                    zone = provider.zone,
                    problem,
                    "a DNS record cannot be removed yet"
                );
                store::put_off(&mut conn, set.id, &problem).await?;
            }
        }
    }
    Ok(())
}
