//! Every certificate is renewed when its CA wants it: the CA is asked again and again, because it may change its mind.

use chrono::{TimeDelta, Utc};
use daemon::reconcile::Reconciler;
use tracing::{debug, info};

use super::certificates::root_pem;
use crate::app::AppState;
use crate::certificates::renewal::{Ca, certificate_id, next};
use crate::certificates::store;

pub struct Renewals(pub AppState);

/// Certificates in one pass: CAs are asked one question at a time.
const AT_ONCE: i64 = 20;

impl Reconciler for Renewals {
    fn name(&self) -> &'static str {
        "renewals"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let app = &self.0;
        let Some(acme) = &app.config.acme else { return Ok(()) };
        let to_ask = {
            let mut conn = app.db.acquire().await?;
            store::to_ask(&mut conn, acme.directory(), AT_ONCE).await?
        };
        if to_ask.is_empty() {
            return Ok(());
        }
        let ca = Ca::find(acme.directory(), root_pem(acme).await?.as_deref()).await;
        for certificate in to_ask {
            let (host, now) = (&certificate.host, Utc::now());
            let answer = match (&ca, certificate_id(&certificate.chain_pem)) {
                (Ok(Some(ca)), Some(id)) => ca.ask(&id, now).await.map(Some),
                (Err(error), _) => Err(anyhow::anyhow!("{error:#}")),
                // Two thirds of the lifetime it is.
                _ => Ok(None),
            };
            let (renew_at, ask_at) = match answer {
                Ok(Some(answer)) => (answer.window.pick(host), answer.ask_at),
                Ok(None) => (None, now + TimeDelta::days(1)),
                Err(error) => {
                    info!(host, error = format!("{error:#}"), "the CA does not say when to renew");
                    (None, next(now, None))
                }
            };
            debug!(host, ?renew_at, %ask_at, "asked when to renew");
            let mut conn = app.db.acquire().await?;
            store::note_renewal(&mut conn, host, renew_at, ask_at).await?;
        }
        Ok(())
    }
}
