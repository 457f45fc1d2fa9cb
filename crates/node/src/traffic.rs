//! What an ingress of this host served, on its way to the control plane: each report once, one at a time. While the
//! control plane cannot be reached, nothing is taken from the ingress, where it adds up within bounds.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use protocol::message::{FromAgent, MAX_FROM_AGENT};
use protocol::traffic::{AppTraffic, MAX_APPS, TrafficReport};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

use crate::link::{Link, LinkHandle, SendError};

/// How often there is a report, if there was anything.
const EVERY: Duration = Duration::from_secs(10);
/// Bytes of a report's apps, well below what the link carries.
const MAX_BYTES: usize = MAX_FROM_AGENT / 2;
/// How long the last report may take at the end of the process.
const LAST: Duration = Duration::from_secs(2);

/// The way to the control plane.
pub trait Uplink {
    /// Returns when the control plane has acknowledged `message`, however many connections that takes.
    fn deliver(&self, message: FromAgent) -> impl Future<Output = Result<(), SendError>> + Send;

    fn is_connected(&self) -> bool;
}

impl Uplink for LinkHandle {
    async fn deliver(&self, message: FromAgent) -> Result<(), SendError> {
        self.send_acked(message).await?.await.map_err(|_| SendError::Closed)
    }

    fn is_connected(&self) -> bool {
        Self::is_connected(self)
    }
}

type Source = dyn Fn() -> Vec<AppTraffic> + Send + Sync;

/// The reports of one run of the program. It outlives links: what one did not deliver, the next one does.
pub struct Reports {
    run: Uuid,
    /// Of the last report.
    number: u64,
    /// Takes what was recorded since it was asked last.
    source: Arc<Source>,
    /// It is being asked. What it takes is not lost with who waits for it.
    asking: Option<JoinHandle<Vec<Vec<AppTraffic>>>>,
    /// Taken, and not acknowledged yet.
    outstanding: VecDeque<TrafficReport>,
    every: Duration,
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports")
            .field("run", &self.run)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Reports {
    /// `source` takes what was recorded since it was asked last; it may take its time.
    pub fn new(source: impl Fn() -> Vec<AppTraffic> + Send + Sync + 'static) -> Self {
        let source = Arc::new(source);
        Self {
            run: Uuid::now_v7(),
            number: 0,
            source,
            asking: None,
            outstanding: VecDeque::new(),
            every: EVERY,
        }
    }

    /// Runs `link` and what takes its messages with the reports beside them. The link outlives what is said over it at
    /// last.
    pub async fn beside(
        &mut self,
        link: Link,
        handle: &LinkHandle,
        inbox: impl Future<Output = anyhow::Result<()>>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let reported = CancellationToken::new();
        let reports = self.run(handle, stop, reported.clone());
        tokio::try_join!(link.run(reported), inbox, reports).map(|((), (), ())| ())
    }

    /// Reports over `link` until `stop`, and then, if the control plane listens, what came last; `after` is cancelled
    /// when that is done, so that the link may end.
    pub async fn run(
        &mut self,
        link: &impl Uplink,
        stop: CancellationToken,
        after: CancellationToken,
    ) -> anyhow::Result<()> {
        let _after = after.drop_guard();
        let reporting = async {
            let mut ticks = tokio::time::interval(self.every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.report(link).await?;
            }
        };
        // An end of the link is the link's to tell.
        let ended: Option<anyhow::Result<()>> = stop.run_until_cancelled(reporting).await;
        match ended {
            Some(Err(error)) if error.is::<SendError>() => stop.cancelled().await,
            Some(ended) => return ended,
            None if link.is_connected() => {
                if let Ok(ended) = tokio::time::timeout(LAST, self.report_all(link)).await {
                    return ended;
                }
                warn!("the last traffic was not reported: the control plane did not answer");
            }
            None => {}
        }
        Ok(())
    }

    /// What is outstanding, and what came since.
    async fn report_all(&mut self, link: &impl Uplink) -> anyhow::Result<()> {
        self.report(link).await?;
        self.report(link).await
    }

    /// What is outstanding, or else what came since. Cancel-safe.
    async fn report(&mut self, link: &impl Uplink) -> anyhow::Result<()> {
        if self.outstanding.is_empty() {
            let asking = self.asking.get_or_insert_with(|| {
                let source = Arc::clone(&self.source);
                tokio::task::spawn_blocking(move || split(source()))
            });
            let taken = asking.await;
            self.asking = None;
            for apps in taken? {
                self.number += 1;
                let report = TrafficReport { run: self.run, number: self.number, at: Utc::now(), apps };
                self.outstanding.push_back(report);
            }
        }
        self.deliver(link).await
    }

    /// Cancel-safe: a report is forgotten once it is acknowledged. One that was sent is sent again with its number.
    async fn deliver(&mut self, link: &impl Uplink) -> anyhow::Result<()> {
        while let Some(report) = self.outstanding.front() {
            match link.deliver(FromAgent::Traffic(report.clone())).await {
                Err(error @ SendError::TooLarge { .. }) => error!(%error, "a report of traffic is lost"),
                sent => sent?,
            }
            self.outstanding.pop_front();
        }
        Ok(())
    }
}

/// In as many parts as messages need.
fn split(apps: Vec<AppTraffic>) -> Vec<Vec<AppTraffic>> {
    let mut parts: Vec<Vec<AppTraffic>> = Vec::new();
    let mut bytes = 0;
    for app in apps {
        // Numbers, texts and times can be written.
        let more = serde_json::to_string(&app).map_or(0, |text| text.len() + 1);
        match parts.last_mut() {
            Some(part) if part.len() < MAX_APPS && bytes + more <= MAX_BYTES => {
                part.push(app);
                bytes += more;
            }
            _ => {
                parts.push(vec![app]);
                bytes = more;
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests;
