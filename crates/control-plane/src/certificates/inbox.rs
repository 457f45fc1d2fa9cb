//! How an order ended.

use protocol::ids::JobId;
use protocol::job::{Issued, Outcome};
use sqlx::PgConnection;
use tracing::{info, warn};

use super::{leaf, store};
use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::jobs;
use crate::vault::Purpose;

pub async fn done(
    app: &AppState,
    conn: &mut PgConnection,
    job: JobId,
    host: &str,
    outcome: Outcome,
) -> anyhow::Result<()> {
    let result = match outcome {
        Outcome::Issued(issued) => take(app, conn, host, &issued).await?,
        Outcome::Failed(failure) => Err(match failure.hint {
            Some(hint) => format!("{} {hint}", failure.message),
            None => failure.message,
        }),
        Outcome::Cancelled => Err("the order was cancelled".to_owned()),
        Outcome::Built(_) => Err("the proxy answered an order with an image".to_owned()),
    };
    match &result {
        Ok(()) => jobs::store::finish(conn, job, "succeeded", None).await?,
        Err(error) => {
            jobs::store::finish(conn, job, "failed", Some(error)).await?;
            failed(conn, host, error).await?;
        }
    }
    if store::forget_challenges(conn, job).await? || result.is_ok() {
        generations::raise(conn, Consumer::Routes).await?;
    }
    bus::say(conn, Topic::Certificates, host).await?;
    Ok(())
}

/// An order failed, or its proxy was lost.
pub async fn failed(conn: &mut PgConnection, host: &str, error: &str) -> sqlx::Result<()> {
    warn!(host, error, "no certificate");
    store::store_failed(conn, host, error).await
}

async fn take(
    app: &AppState,
    conn: &mut PgConnection,
    host: &str,
    issued: &Issued,
) -> anyhow::Result<Result<(), String>> {
    let leaf = match leaf(&issued.chain_pem) {
        Ok(leaf) => leaf,
        Err(error) => return Ok(Err(format!("{error:#}"))),
    };
    if !leaf.names.iter().any(|name| name == host) {
        return Ok(Err(format!("the CA sent a certificate for {}, not for {host}", leaf.names.join(", "))));
    }
    let key =
        app.vault.seal(Purpose::CertificateKey, &format!("certificate:{host}"), issued.key_pem.as_bytes());
    store::store_issued(conn, host, &issued.chain_pem, &key, &leaf).await?;
    if let (Some(account), Some(acme)) = (&issued.account, &app.config.acme) {
        let directory = acme.directory.as_str();
        let sealed =
            app.vault.seal(Purpose::AcmeAccount, &format!("acme-account:{directory}"), account.as_bytes());
        store::add_account(conn, directory, &sealed).await?;
    }
    info!(host, issuer = leaf.issuer, not_after = %leaf.not_after, "certificate issued");
    Ok(Ok(()))
}
