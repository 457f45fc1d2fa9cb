//! `wh doctor` of a name of the private network.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::report::until;

use super::Inside;
use crate::bed::{Bed, SOON};

const NAME: &str = "stock.shop.internal";

/// The project may not reach it, and is told how it may.
pub(super) async fn names_the_grant_that_is_missing(bed: &Bed) -> Result<()> {
    let own = examine(bed, "shop").await?;
    for check in ["domain", "access", "target", "probe", "resolver", "firewall"] {
        ensure!(finding(&own, check)["level"] == "ok", "{check}: {own:#}");
    }
    let other = examine(bed, "office").await?;
    let access = finding(&other, "access");
    ensure!(access["level"] == "problem", "{other:#}");
    ensure!(access["fix"].as_str().is_some_and(|fix| fix.contains("grant office shop/stock")), "{other:#}");
    Ok(())
}

/// It is granted, and works until a worker's rules are gone.
pub(super) async fn names_the_worker_that_is_broken(bed: &Bed, desk: &Inside) -> Result<()> {
    let works = examine(bed, "office").await?;
    ensure!(works["level"] == "ok", "{works:#}");
    let table = ["nft", "delete", "table", "inet", "wisehosting_worker"];
    until("the doctor's word on the firewall", SOON, || async {
        // The worker may have loaded it again.
        bed.cluster.exec(&desk.node, &table)?;
        let broken = examine(bed, "office").await?;
        let told = finding(&broken, "firewall");
        let named = told["summary"].as_str().is_some_and(|summary| summary.contains(&desk.node));
        Ok((told["level"] == "problem" && named && !told["fix"].is_null()).then_some(()))
    })
    .await
}

async fn examine(bed: &Bed, from: &str) -> Result<Value> {
    let output = bed.try_wh(&bed.root, &["doctor", NAME, "--from", from, "--json"]).await?;
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).with_context(|| format!("no report: {error}"))
}

fn finding<'a>(report: &'a Value, check: &str) -> &'a Value {
    let mut findings = report["findings"].as_array().into_iter().flatten();
    findings.find(|finding| finding["check"] == check).unwrap_or(&Value::Null)
}
