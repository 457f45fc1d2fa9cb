//! Two proxies, as clients on the internet and people at the API see them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::http::{Answer, get};
use testbed::report::until;
use testbed::topology::{PROXY, PROXY2, Place};
use tokio::task::JoinSet;

use crate::bed::{Bed, MINUTE, SOON};

pub(crate) const PROXIES: [Place; 2] = [PROXY, PROXY2];

pub(crate) struct Fleet {
    pub(crate) bed: Arc<Bed>,
    /// Whom clients trust, PEM.
    roots: Mutex<String>,
}

impl Fleet {
    pub(crate) fn new(bed: Arc<Bed>, roots: &str) -> Arc<Self> {
        Arc::new(Self { bed, roots: Mutex::new(roots.to_owned()) })
    }

    /// Clients trust this root as well.
    pub(crate) fn trust(&self, root: &str) {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner).push_str(root);
    }

    /// `GET https://<host>/` at one proxy.
    pub(crate) async fn look(&self, proxy: Place, host: &str) -> Result<Answer> {
        let roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let server = self.bed.cluster.public(proxy.public, 443, Some(roots))?;
        let answer = server.send(get(host, "/")?).await.with_context(|| format!("at {}", proxy.name))?;
        ensure!(answer.status == 200, "{}: {} {}", proxy.name, answer.status, answer.text());
        Ok(answer)
    }

    /// What both serve the name with, now: the serial number.
    pub(crate) async fn serial(&self, host: &str) -> Result<String> {
        let [one, other] = PROXIES.map(|proxy| self.look(proxy, host));
        let (one, other) = tokio::try_join!(one, other)?;
        ensure!(one.serial == other.serial, "{host}: two certificates: {one:?} {other:?}");
        one.serial.context("no certificate")
    }

    /// Waits until both serve the name, with another certificate than `before`.
    pub(crate) async fn serves(&self, host: &str, before: Option<&str>) -> Result<String> {
        until(&format!("{host} at both proxies"), MINUTE, || async {
            let serial = self.serial(host).await?;
            Ok((Some(serial.as_str()) != before).then_some(serial))
        })
        .await
    }

    /// The certificate of the name with its orders.
    pub(crate) async fn certificate(&self, host: &str) -> Result<Value> {
        self.bed.cluster.api()?.get(&format!("/certificates/{host}")).await
    }

    /// Waits until `count` orders of the name have ended, and returns the newest; there may be no more.
    pub(crate) async fn order(&self, host: &str, count: usize) -> Result<Value> {
        until(&format!("the end of order {count} of {host}"), 2 * SOON, || async {
            let shown = self.certificate(host).await?;
            let orders = shown["attempts"].as_array().context("no attempts")?;
            ensure!(orders.len() <= count, "more than {count} orders: {shown}");
            let newest = orders.first().filter(|_| orders.len() == count);
            Ok(newest.filter(|order| !order["finished_at"].is_null()).cloned())
        })
        .await
    }

    /// Waits for the end of the name's order `count`, which must have brought a certificate that both proxies serve.
    pub(crate) async fn issued(
        &self,
        host: &str,
        count: usize,
        before: Option<&str>,
    ) -> Result<(Value, String)> {
        let order = self.order(host, count).await?;
        ensure!(order["outcome"] == "issued", "{order}");
        Ok((order, self.serves(host, before).await?))
    }
}

/// Requests to one proxy, each on a connection of its own, until told to stop.
pub(crate) struct Visitors {
    task: JoinSet<Seen>,
    enough: Arc<AtomicBool>,
}

/// What they saw.
#[derive(Debug, Default)]
struct Seen {
    made: u64,
    serials: BTreeSet<String>,
    failures: Vec<String>,
}

impl Visitors {
    pub(crate) fn come(fleet: &Arc<Fleet>, proxy: Place, host: &str) -> Self {
        let (fleet, host, enough) = (fleet.clone(), host.to_owned(), Arc::<AtomicBool>::default());
        let stop = enough.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut seen = Seen::default();
            while !stop.load(Ordering::Relaxed) {
                match fleet.look(proxy, &host).await {
                    Ok(answer) => seen.serials.extend(answer.serial),
                    Err(error) => seen.failures.push(format!("{error:#}")),
                }
                seen.made += 1;
                // Leaves the machine's cores to what is being watched.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            seen
        });
        Self { task, enough }
    }

    /// No request may have failed.
    pub(crate) async fn leave_content(mut self, place: &str) -> Result<()> {
        self.enough.store(true, Ordering::Relaxed);
        let Seen { made, serials, failures } = self.task.join_next().await.context("nobody came")??;
        let first = failures.first().map(String::as_str).unwrap_or_default();
        ensure!(failures.is_empty(), "{} of {made} requests failed, the first: {first}", failures.len());
        println!("              {made} requests at {place}, {} certificates, none failed", serials.len());
        Ok(())
    }
}
