//! How an order ended.

use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::JobId;
use protocol::job::{ChallengeKind, Failure, Issued, Outcome, Stage};
use sqlx::PgConnection;
use tracing::{info, warn};

use super::store::attempts::{self, Attempt};
use super::store::{self, Stored};
use super::{account, leaf, order};
use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::jobs;
use crate::vault::Purpose;

/// A CA that names a later time than this is asked again nevertheless.
const LONGEST_PAUSE: TimeDelta = TimeDelta::days(8);

/// Ends of an order that somebody asked for which another one would not change.
const FINAL: [&str; 2] = ["cancelled", "staging_certificate"];

pub async fn done(
    app: &AppState,
    conn: &mut PgConnection,
    job: JobId,
    host: &str,
    outcome: Outcome,
) -> anyhow::Result<()> {
    let result = match outcome {
        Outcome::Issued(issued) => take(app, conn, job, host, &issued).await?.map_err(|error| (error, None)),
        Outcome::Failed(failure) => Err((failure, None)),
        Outcome::Limited { failure, until } => Err((failure, Some(until))),
        Outcome::Cancelled => Err((failure("cancelled", "The order was cancelled."), None)),
        Outcome::Built(_) => {
            Err((failure("wrong_answer", "The proxy answered an order with an image."), None))
        }
    };
    match &result {
        Ok(()) => {
            attempts::end(conn, job, "issued", None).await?;
            jobs::store::finish(conn, job, "succeeded", None).await?;
        }
        Err((failure, until)) => {
            failed(conn, job, host, failure, *until).await?;
            jobs::store::finish(conn, job, "failed", Some(&failure.message)).await?;
        }
    }
    if store::forget_challenges(conn, job).await? || result.is_ok() {
        generations::raise(conn, Consumer::Routes).await?;
    }
    bus::say(conn, Topic::Certificates, host).await?;
    Ok(())
}

/// An order failed, or its proxy was lost.
pub async fn failed(
    conn: &mut PgConnection,
    job: JobId,
    host: &str,
    failure: &Failure,
    until: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    let error = match &failure.hint {
        Some(hint) => format!("{} {hint}", failure.message),
        None => failure.message.clone(),
    };
    warn!(host, code = failure.code, error, "no certificate");
    attempts::end(conn, job, if failure.code == "cancelled" { "cancelled" } else { "failed" }, Some(failure))
        .await?;
    let attempt = attempts::of_job(conn, job).await?;
    if !FINAL.contains(&failure.code.as_str()) && attempt.is_some_and(|one| one.kind == order::Kind::Reissue)
    {
        store::keep_reissue(conn, host).await?;
    }
    let until = until.map(|until| until.min(Utc::now() + LONGEST_PAUSE));
    store::store_failed(conn, host, &error, until).await
}

fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure {
        code: code.to_owned(),
        message: message.into(),
        hint: None,
        stage: Stage::Route,
        exit_code: None,
        out_of_memory: false,
        last_lines: Vec::new(),
        probe: None,
    }
}

async fn take(
    app: &AppState,
    conn: &mut PgConnection,
    job: JobId,
    host: &str,
    issued: &Issued,
) -> anyhow::Result<Result<(), Failure>> {
    let attempt = match attempts::of_job(conn, job).await? {
        Some(attempt) => attempt,
        None => of_an_earlier_release(app, host),
    };
    if let Some(credentials) = &issued.account {
        account::keep(app, conn, &attempt.directory, credentials).await?;
    }
    let leaf = match leaf(&issued.chain_pem) {
        Ok(leaf) => leaf,
        Err(error) => return Ok(Err(failure("unreadable_certificate", format!("{error:#}")))),
    };
    if let Some(name) = attempt.names.iter().find(|name| !leaf.names.contains(name)) {
        let names = leaf.names.join(", ");
        let message = format!("The CA sent a certificate for {names}, not for {name}.");
        return Ok(Err(failure("wrong_certificate", message)));
    }
    if attempt.staging && store::is_trusted(conn, host).await? {
        let message = "A certificate of a staging CA does not replace one that browsers trust.";
        return Ok(Err(failure("staging_certificate", message)));
    }
    let identity = format!("certificate:{host}");
    let sealed_key = app.vault.seal(Purpose::CertificateKey, &identity, issued.key_pem.as_bytes());
    let stored = Stored {
        host,
        chain_pem: &issued.chain_pem,
        sealed_key: &sealed_key,
        leaf: &leaf,
        challenge: attempt.challenge,
        directory: &attempt.directory,
        staging: attempt.staging,
    };
    store::store_issued(conn, &stored).await?;
    info!(host, issuer = leaf.issuer, not_after = %leaf.not_after, "certificate issued");
    Ok(Ok(()))
}

fn of_an_earlier_release(app: &AppState, host: &str) -> Attempt {
    let acme = app.config.acme.as_ref();
    Attempt {
        host: host.to_owned(),
        names: vec![host.to_owned()],
        domain: order::registered_domain(host).to_owned(),
        directory: acme.map_or_else(String::new, |acme| acme.directory().to_owned()),
        staging: acme.is_some_and(crate::config::Acme::is_staging),
        kind: order::Kind::First,
        challenge: ChallengeKind::Http01,
        replaces: false,
    }
}
