//! A worker answers for a direct zone by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use testbed::http::{Answer, get};
use testbed::report::until;
use testbed::software;
use testbed::topology::{DIRECT_PORT, W1};
use tokio::task::JoinSet;

use crate::bed::{App, Bed, MINUTE, SOON};
use crate::runner::tests;

tests![a_worker_answers_for_its_zone_through_roll_outs_and_without_the_control_plane];

const ZONE: &str = "direct.wise.test";

async fn a_worker_answers_for_its_zone_through_roll_outs_and_without_the_control_plane(
    bed: Arc<Bed>,
) -> Result<()> {
    let app = bed.page("straight", "first", "")?;
    let folder = &app.folder;
    let port = DIRECT_PORT.to_string();
    bed.run_wh(folder, &["zone", "add", ZONE, "--worker", W1.name, "--port", &port]).await?;
    bed.run_wh(folder, &["apps", "create", &app.name, "--zone", ZONE]).await?;
    bed.run_wh(folder, &["deploy"]).await?;
    shows(&bed, &app, "first").await?;
    ensure!(bed.cluster.http(&host(&app), "/").await?.status == 404, "the proxy leaves the zone alone");

    let visitors = Visitors::come(&bed, &app);
    visitors.make(50).await?;
    app.write("www/index.html", "second")?;
    bed.run_wh(folder, &["deploy"]).await?;
    shows(&bed, &app, "second").await?;
    // The old instance is gone by then.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    visitors.make(50).await?;
    visitors.leave_content().await?;

    let cp = bed.cluster.host("cp")?;
    cp.stop_process(software::CONTROL_PLANE)?;
    let served = async {
        bed.cluster.power_off(W1.name)?;
        bed.cluster.power_on(W1.name)?;
        // Its own instance after the reboot, or one elsewhere over the mesh.
        shows(&bed, &app, "second").await
    };
    let served = served.await;
    cp.start_process(software::CONTROL_PLANE)?;
    served?;
    bed.online(W1.name).await?;
    bed.run_wh(folder, &["apps", "rm", &app.name, "--confirm", &app.name]).await?;
    until("nothing to answer for any more", MINUTE, || async {
        Ok(ask(&bed, &app).await.is_err().then_some(()))
    })
    .await
}

fn host(app: &App) -> String {
    format!("{}.{ZONE}", app.name)
}

async fn ask(bed: &Bed, app: &App) -> Result<Answer> {
    bed.cluster.public(W1.public, DIRECT_PORT, None)?.send(get(&host(app), "/")?).await
}

async fn shows(bed: &Bed, app: &App, page: &str) -> Result<()> {
    until(&format!("{page} at the worker itself"), 2 * SOON, || async {
        let answer = ask(bed, app).await?;
        ensure!(answer.status == 200 && answer.text() == page, "{}: {}", answer.status, answer.text());
        Ok(Some(()))
    })
    .await
}

/// Requests to the worker, one after the other, until told to stop.
struct Visitors {
    task: JoinSet<Vec<String>>,
    enough: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
}

impl Visitors {
    fn come(bed: &Arc<Bed>, app: &App) -> Self {
        let (enough, made) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (bed, app, stop, count) = (bed.clone(), app.clone(), enough.clone(), made.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut failures = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match ask(&bed, &app).await {
                    Ok(answer) if answer.status == 200 => {}
                    Ok(answer) => failures.push(format!("{}: {}", answer.status, answer.text())),
                    Err(error) => failures.push(format!("{error:#}")),
                }
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            failures
        });
        Self { task, enough, made }
    }

    async fn make(&self, more: u64) -> Result<()> {
        let goal = self.made.load(Ordering::Relaxed) + more;
        until("more requests", MINUTE, || async {
            Ok((self.made.load(Ordering::Relaxed) >= goal).then_some(()))
        })
        .await
    }

    /// No request may have failed.
    async fn leave_content(mut self) -> Result<()> {
        self.enough.store(true, Ordering::Relaxed);
        let failures = self.task.join_next().await.context("nobody came")??;
        let made = self.made.load(Ordering::Relaxed);
        ensure!(
            failures.is_empty(),
            "{} of {made} requests failed, the first: {}",
            failures.len(),
            failures[0]
        );
        println!("     {made} requests, none failed");
        Ok(())
    }
}
