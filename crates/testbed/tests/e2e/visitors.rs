//! People who look at an app while something happens to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::report::until;
use tokio::task::JoinSet;

use crate::bed::{App, Bed, MINUTE};

/// Requests, one after the other, each on a connection of its own, until told to stop.
pub(crate) struct Visitors {
    task: JoinSet<Seen>,
    enough: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
}

/// What they saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How often each page was seen.
    pub(crate) pages: BTreeMap<String, u64>,
    pub(crate) failures: Vec<String>,
}

impl Visitors {
    /// Of the app's address, over HTTPS.
    pub(crate) fn come(bed: &Arc<Bed>, app: &App) -> Self {
        let (bed, host) = (bed.clone(), app.host());
        Self::asking(move || {
            let (bed, host) = (bed.clone(), host.clone());
            async move {
                let answer = bed.cluster.https(&host, "/").await?;
                ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
                Ok(answer.text())
            }
        })
    }

    /// `ask` gets a page in whichever way.
    pub(crate) fn asking<A>(ask: impl Fn() -> A + Send + 'static) -> Self
    where
        A: Future<Output = Result<String>> + Send,
    {
        let (enough, made) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stop, count) = (enough.clone(), made.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut seen = Seen::default();
            while !stop.load(Ordering::Relaxed) {
                match ask().await {
                    Ok(page) => *seen.pages.entry(page).or_default() += 1,
                    Err(error) => seen.failures.push(format!("{error:#}")),
                }
                count.fetch_add(1, Ordering::Relaxed);
                // Leaves the machine's cores to what is being watched.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            seen
        });
        Self { task, enough, made }
    }

    /// Waits until they have made `more` requests.
    pub(crate) async fn make(&self, more: u64) -> Result<()> {
        let goal = self.made.load(Ordering::Relaxed) + more;
        until("more requests", MINUTE, || async {
            Ok((self.made.load(Ordering::Relaxed) >= goal).then_some(()))
        })
        .await
    }

    /// They leave, whatever they saw.
    pub(crate) async fn leave(mut self) -> Result<Seen> {
        self.enough.store(true, Ordering::Relaxed);
        Ok(self.task.join_next().await.context("nobody came")??)
    }

    /// No request may have failed.
    pub(crate) async fn leave_content(self) -> Result<Seen> {
        let seen = self.leave().await?;
        let answered: u64 = seen.pages.values().sum();
        let first = seen.failures.first().map(String::as_str).unwrap_or_default();
        ensure!(
            seen.failures.is_empty(),
            "{} of {} requests failed, the first: {first}",
            seen.failures.len(),
            answered + seen.failures.len() as u64
        );
        ensure!(answered > 0, "no request was made");
        println!("     {answered} requests, none failed");
        Ok(seen)
    }
}
