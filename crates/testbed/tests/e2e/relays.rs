//! Two hosts that do not reach each other any more do so through a third, and directly again when they can.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::report::until;
use testbed::topology::PROXY;
use tokio::time::{Instant, sleep, timeout};

use crate::bed::{App, Bed, MINUTE};
use crate::runner::tests;

tests![a_cut_between_a_proxy_and_a_worker_is_bridged_by_a_relay_and_healed];

/// How long a visitor waits for one answer.
const PATIENCE: Duration = Duration::from_secs(2);

async fn a_cut_between_a_proxy_and_a_worker_is_bridged_by_a_relay_and_healed(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("relayed", "relayed", "")?;
    bed.deploy(&app).await?;
    let instances = bed.wh_json(&app.folder, &["ps"]).await?;
    let serving = instances.as_array().into_iter().flatten().find(|one| one["in_rotation"] == true);
    let node = serving.and_then(|one| one["node"]["name"].as_str()).context("nothing serves")?.to_owned();
    way(&bed, &app, &node, "direct").await?;

    bed.cluster.cut_between(PROXY.name, &node)?;
    let cut = Instant::now();
    let first = first_answer(&bed, &app, cut).await?;
    let link = way(&bed, &app, &node, "relayed").await?;
    ensure!(link["via"] == "control-plane", "{link}");
    let told = bed.run_wh(&app.folder, &["mesh", "doctor"]).await?;
    ensure!(told.contains("only through control-plane"), "{told}");
    let table = bed.cluster.exec("cp", &["nft", "list", "table", "inet", "wisehosting_relay"])?;
    let pair = String::from_utf8_lossy(&table.stdout).into_owned();
    ensure!(table.status.success() && pair.contains("10.50.0."), "{pair}");
    ensure!(asked(&bed, &app, 50).await?.is_zero(), "requests fail over the relay");

    bed.cluster.heal_between(PROXY.name, &node)?;
    let healed = Instant::now();
    let gap = longest_gap(&bed, &app, &node).await?;
    let back = healed.elapsed();
    let told = bed.run_wh(&app.folder, &["mesh", "doctor"]).await?;
    ensure!(!told.contains("only through"), "{told}");
    until("the end of the relay's table", MINUTE, || async {
        let table = bed.cluster.exec("cp", &["nft", "list", "table", "inet", "wisehosting_relay"])?;
        Ok((!table.status.success()).then_some(()))
    })
    .await?;
    println!(
        "     first answer {:.1} s after the cut; direct again {:.1} s after it healed, with {} ms without an answer",
        first.as_secs_f64(),
        back.as_secs_f64(),
        gap.as_millis()
    );
    Ok(())
}

/// How the proxy reaches the node, once it does so in this way.
async fn way(bed: &Bed, app: &App, node: &str, state: &str) -> Result<Value> {
    until(&format!("{} {state} to {node}", PROXY.name), 2 * MINUTE, || async {
        for (from, to) in [(node, PROXY.name), (PROXY.name, node)] {
            let links = bed.wh_json(&app.folder, &["mesh", "peers", from]).await?;
            let link = links.as_array().into_iter().flatten().find(|link| link["to"] == to).cloned();
            let link = link.with_context(|| format!("{from} has no peer {to}"))?;
            ensure!(link["state"] == state, "{link}");
            if from == PROXY.name {
                return Ok(Some(link));
            }
        }
        Ok(None)
    })
    .await
}

/// Whether a new visitor is answered in time.
async fn answers(bed: &Bed, app: &App) -> bool {
    let host = app.host();
    let answer = timeout(PATIENCE, bed.cluster.https(&host, "/")).await;
    answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200))
}

/// The time from the cut to the first answer after it. One that was on its way already is none.
async fn first_answer(bed: &Bed, app: &App, cut: Instant) -> Result<Duration> {
    until("the end of direct answers", MINUTE, || async { Ok((!answers(bed, app).await).then_some(())) })
        .await?;
    until("an answer over the relay", MINUTE, || async { Ok(answers(bed, app).await.then_some(())) }).await?;
    Ok(cut.elapsed())
}

/// Failures of so many requests.
async fn asked(bed: &Bed, app: &App, count: usize) -> Result<Duration> {
    let mut lost = Duration::ZERO;
    for _ in 0..count {
        let begun = Instant::now();
        if !answers(bed, app).await {
            lost += begun.elapsed();
        }
    }
    Ok(lost)
}

/// The longest time between two answers until the two are direct again, and for a moment more.
async fn longest_gap(bed: &Bed, app: &App, node: &str) -> Result<Duration> {
    let begun = Instant::now();
    let (mut last, mut longest) = (begun, Duration::ZERO);
    let direct = way(bed, app, node, "direct");
    tokio::pin!(direct);
    loop {
        let look = async {
            sleep(Duration::from_millis(20)).await;
            answers(bed, app).await
        };
        tokio::select! {
            done = &mut direct => {
                done?;
                break;
            }
            answered = look => if answered {
                longest = longest.max(last.elapsed());
                last = Instant::now();
            },
        }
    }
    ensure!(asked(bed, app, 50).await?.is_zero(), "requests fail after the return");
    Ok(longest.max(last.elapsed()))
}
