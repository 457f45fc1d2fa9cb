//! Every hostname that is routed has a certificate: ordered when it is missing, renewed at two thirds of its time,
//! tried again with growing pauses when an order failed.

use anyhow::Context;
use chrono::Utc;
use daemon::reconcile::Reconciler;
use protocol::job::{CertificateOrder, Work};
use sqlx::PgConnection;
use tracing::info;

use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::certificates::{imports, renew_at, store};
use crate::config::Acme;
use crate::jobs;
use crate::vault::Purpose;

pub struct Certificates(pub AppState);

/// Orders on their way at the same time; CAs limit new orders.
const AT_ONCE: i64 = 10;

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
        order_due(app, &mut tx, acme).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn order_due(app: &AppState, conn: &mut PgConnection, acme: &Acme) -> anyhow::Result<()> {
    let now = Utc::now();
    let account = account(app, conn, acme).await?;
    // The first order makes the account; others beside it would make more.
    let most = if account.is_some() { AT_ONCE } else { 1 };
    let room = usize::try_from(most - store::orders(conn).await?).unwrap_or(0);
    let root_pem = match &acme.root_certificate {
        Some(path) => Some(
            tokio::fs::read_to_string(path)
                .await
                .with_context(|| format!("`acme.root_certificate`: cannot read {}", path.display()))?,
        ),
        None => None,
    };
    let due = store::without_order(conn).await?.into_iter().filter(|host| {
        match (host.not_before, host.not_after) {
            (Some(from), Some(to)) => renew_at(&host.host, from, to) <= now,
            _ => true,
        }
    });
    for due in due.take(room) {
        let order = CertificateOrder {
            host: due.host.clone(),
            directory: acme.directory.to_string(),
            root_pem: root_pem.clone(),
            contact: acme.contact.clone(),
            account: account.clone(),
        };
        let job = jobs::store::enqueue(conn, &app.vault, &Work::Certificate(order)).await?;
        bus::say(conn, Topic::Certificates, &due.host).await?;
        info!(host = due.host, job.id = %job, "certificate order queued");
    }
    Ok(())
}

async fn account(app: &AppState, conn: &mut PgConnection, acme: &Acme) -> anyhow::Result<Option<String>> {
    let directory = acme.directory.as_str();
    let Some(sealed) = store::account(conn, directory).await? else { return Ok(None) };
    let plain = app.vault.open(Purpose::AcmeAccount, &format!("acme-account:{directory}"), &sealed)?;
    Ok(Some(String::from_utf8(plain)?))
}
