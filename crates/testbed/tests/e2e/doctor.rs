//! Why a host name does not answer: told from real DNS, real ports, the proxies' table and the instances.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bed::{App, Bed};
use crate::runner::tests;

tests![the_doctor_follows_a_request_to_the_app_and_names_what_is_broken];

async fn the_doctor_follows_a_request_to_the_app_and_names_what_is_broken(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("examined", "well", "")?;
    bed.deploy(&app).await?;
    bed.serves(&app, |page| page == "well").await?;
    // The test bed's CA is unknown to browsers; all else is in order.
    let (works, report) = examine(&bed, &app, &app.host()).await?;
    ensure!(works && report["level"] == "warning", "{report:#}");
    for check in ["domain", "dns", "ports", "route", "target", "probe"] {
        ensure!(level(&report, check) == "ok", "{check}: {report:#}");
    }
    ensure!(level(&report, "certificate") == "warning", "{report:#}");

    bed.run_wh(&app.folder, &["domain", "add", "www.examined.test"]).await?;
    let (works, report) = examine(&bed, &app, "www.examined.test").await?;
    ensure!(!works && level(&report, "domain") == "problem", "{report:#}");
    let record = &report["findings"][0]["records"][0];
    ensure!(record["name"] == "_wisehosting.www.examined.test" && record["type"] == "TXT", "{report:#}");

    bed.run_wh(&app.folder, &["stop"]).await?;
    let (works, report) = examine(&bed, &app, &app.host()).await?;
    ensure!(!works && level(&report, "target") == "problem", "{report:#}");
    let told = report["findings"].as_array().and_then(|findings| findings.last()).context("no findings")?;
    ensure!(told["fix"].as_str().is_some_and(|fix| fix.contains("wh start")), "{report:#}");
    bed.run_wh(&app.folder, &["start"]).await?;

    let (works, report) = examine(&bed, &app, "nobody.examined.test").await?;
    ensure!(!works && level(&report, "domain") == "problem", "{report:#}");
    Ok(())
}

/// Whether the command ended well, and what it printed.
async fn examine(bed: &Bed, app: &App, host: &str) -> Result<(bool, Value)> {
    let output = bed.try_wh(&app.folder, &["doctor", host, "--json"]).await?;
    let error = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).with_context(|| format!("no report: {error}"))?;
    Ok((output.status.success(), report))
}

fn level<'a>(report: &'a Value, check: &str) -> &'a str {
    let findings = report["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.and_then(|finding| finding["level"].as_str()).unwrap_or("missing")
}
