//! Every name that is served has a certificate: ordered when it is missing, renewed when the CA wants it or at two thirds
//! of its time, tried again with growing pauses when an order failed, and never more often than the budget allows.

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use daemon::reconcile::Reconciler;
use protocol::job::{CertificateOrder, ChallengeKind, Work};
use sqlx::PgConnection;
use tracing::info;

use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::certificates::order::{self, Kind, Wait};
use crate::certificates::renewal::certificate_id;
use crate::certificates::store::attempts::{self, Attempt};
use crate::certificates::store::{self, Due};
use crate::certificates::{account, imports};
use crate::config::Acme;
use crate::dns_providers;
use crate::dns_providers::delegation::{self, Targets};
use crate::jobs;

pub struct Certificates(pub AppState);

/// Orders on their way at the same time; CAs limit new orders.
const AT_ONCE: i64 = 10;
/// How soon it is looked again whether what is in an order's way has gone.
const LOOK_AGAIN: TimeDelta = TimeDelta::minutes(30);
/// How soon resolvers are asked again that could not tell.
const ASK_AGAIN: TimeDelta = TimeDelta::minutes(2);

impl Reconciler for Certificates {
    fn name(&self) -> &'static str {
        "certificates"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let app = &self.0;
        let Some(acme) = &app.config.acme else { return Ok(()) };
        let mut tx = app.db.begin().await?;
        store::want_for_routed(&mut tx).await?;
        imports::store::settle(&mut tx).await?;
        tx.commit().await?;
        // Resolvers are asked before anything is held.
        let delegated = delegated(app, acme).await?;
        let mut tx = app.db.begin().await?;
        order_due(app, &mut tx, acme, &delegated).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Of what the challenges of names are aliases that no provider covers and that want DNS-01.
async fn delegated(app: &AppState, acme: &Acme) -> anyhow::Result<Targets> {
    let mut conn = app.db.acquire().await?;
    let mut uncovered = Vec::new();
    if dns_providers::store::is_any(&mut conn).await? {
        for due in store::without_order(&mut conn).await? {
            let wants = due.host.starts_with("*.") || acme.challenge == ChallengeKind::Dns01;
            let is_due = order::due(&due.present(), acme.is_staging(), Utc::now()).is_some();
            if wants
                && is_due
                && dns_providers::store::covering(&mut conn, &due.host, due.organization_id).await?.is_none()
            {
                uncovered.push(due.host);
            }
        }
    }
    drop(conn);
    Ok(delegation::targets(app, uncovered).await)
}

async fn order_due(
    app: &AppState,
    conn: &mut PgConnection,
    acme: &Acme,
    delegated: &Targets,
) -> anyhow::Result<()> {
    let now = Utc::now();
    let account = account::find(app, conn, acme.directory()).await?;
    // The first order makes the account; others beside it would make more.
    let most = if account.is_some() { AT_ONCE } else { 1 };
    let mut room = most - store::orders(conn).await?;
    let root_pem = root_pem(acme).await?;
    for due in store::without_order(conn).await? {
        if room <= 0 {
            break;
        }
        let Some(kind) = order::due(&due.present(), acme.is_staging(), now) else { continue };
        let (attempt, replaces) = match plan(conn, acme, &due, kind, delegated).await? {
            Ok(planned) => planned,
            Err(wait) => {
                info!(host = due.host, why = wait.why, until = %wait.until, "certificate order put off");
                store::postpone(conn, &due.host, &wait.why, wait.until.min(now + LOOK_AGAIN)).await?;
                bus::say(conn, Topic::Certificates, &due.host).await?;
                continue;
            }
        };
        let order = CertificateOrder {
            host: due.host,
            names: attempt.names.clone(),
            challenge: attempt.challenge,
            directory: attempt.directory.clone(),
            root_pem: root_pem.clone(),
            contact: acme.contact.clone(),
            account: account.clone(),
            binding: acme.binding(),
            replaces,
        };
        send(app, conn, order, &attempt).await?;
        room -= 1;
    }
    Ok(())
}

async fn send(
    app: &AppState,
    conn: &mut PgConnection,
    order: CertificateOrder,
    attempt: &Attempt,
) -> anyhow::Result<()> {
    let job = jobs::store::enqueue(conn, &app.vault, &Work::Certificate(Box::new(order))).await?;
    attempts::begin(conn, job, attempt).await?;
    store::forget_reissue(conn, &attempt.host).await?;
    bus::say(conn, Topic::Certificates, &attempt.host).await?;
    info!(host = attempt.host, challenge = %attempt.challenge, job.id = %job, "certificate order queued");
    Ok(())
}

/// The order that goes out now, and what it replaces in the CA's words; or what is in its way.
async fn plan(
    conn: &mut PgConnection,
    acme: &Acme,
    due: &Due,
    kind: Kind,
    delegated: &Targets,
) -> anyhow::Result<Result<(Attempt, Option<String>), Wait>> {
    let host = &due.host;
    let target = match delegated.get(host) {
        Some(Ok(target)) => target.as_deref(),
        Some(Err(error)) => {
            let why = format!("Tried again soon: {error:#}");
            return Ok(Err(Wait { until: Utc::now() + ASK_AGAIN, why }));
        }
        None => None,
    };
    let place = delegation::place(conn, host, due.organization_id, target).await?;
    let last = attempts::last(conn, host).await?;
    let Some(challenge) = order::challenge(host, place.is_ok(), acme.challenge, last.as_ref()) else {
        let why = place.err().map(|why| format!("Wildcards need DNS-01, but {why}. {}.", why.remedy(host)));
        return Ok(Err(Wait { until: Utc::now() + LOOK_AGAIN, why: why.unwrap_or_default() }));
    };
    // CAs that said when to renew know what is replaced, and do not count it.
    let knows = due.renew_at.is_some() && due.directory.as_deref() == Some(acme.directory());
    let replaced = if knows { store::chain(conn, host).await? } else { None };
    let replaces = replaced.as_deref().and_then(certificate_id);
    let attempt = Attempt {
        host: host.clone(),
        names: vec![host.clone()],
        domain: order::registered_domain(host).to_owned(),
        directory: acme.directory().to_owned(),
        staging: acme.is_staging(),
        kind,
        challenge,
        replaces: replaces.is_some(),
    };
    let spent = attempts::spent(conn, &attempt, &acme.budget).await?;
    Ok(match order::wait(&spent, host, &attempt.domain, &acme.budget, attempt.replaces) {
        Some(wait) => Err(wait),
        None => Ok((attempt, replaces)),
    })
}

/// The roots of a CA that the system does not know.
pub(super) async fn root_pem(acme: &Acme) -> anyhow::Result<Option<String>> {
    let Some(path) = &acme.root_certificate else { return Ok(None) };
    let pem = tokio::fs::read_to_string(path)
        .await
        .with_context(|| format!("`acme.root_certificate`: cannot read {}", path.display()))?;
    Ok(Some(pem))
}
