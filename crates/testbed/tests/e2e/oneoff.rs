//! Programs in containers of their own, through the control plane and over the mesh.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::report::until;

use crate::bed::{Bed, MINUTE, SOON};
use crate::runner::tests;

tests![long a_program_runs_once_beside_its_app_with_its_variables_and_is_gone_afterwards];

async fn a_program_runs_once_beside_its_app_with_its_variables_and_is_gone_afterwards(
    bed: Arc<Bed>,
) -> Result<()> {
    let app = bed.page("once", "here", "")?;
    bed.run_wh(&app.folder, &["apps", "create", "once"]).await?;
    let early = bed.try_wh(&app.folder, &["run", "--", "true"]).await?;
    let said = String::from_utf8_lossy(&early.stderr);
    ensure!(early.status.code() == Some(5) && said.contains("no live release"), "{said}");

    bed.run_wh(&app.folder, &["env", "set", "WHERE=there"]).await?;
    bed.deploy(&app).await?;
    let before = bed.wh_json(&app.folder, &["ps"]).await?;
    let script = "echo \"$WHERE $(cat /www/index.html)\"; echo bad >&2; pidof httpd || echo alone; exit 9";
    let ended = bed.try_wh(&app.folder, &["run", "--", "sh", "-c", script]).await?;
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    ensure!(ended.status.code() == Some(9), "{}: {out}{err}", ended.status);
    ensure!(out == "there here\nalone\n" && err == "bad\n", "{out}{err}");
    ensure!(containers(&bed)? == 0, "its container is still there");

    // Whoever goes takes it along.
    let mut sleeps = bed.wh(&app.folder, &["run", "--", "sleep", "4712"])?;
    let mut child = sleeps.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    until("the container", SOON, || async { Ok((containers(&bed)? == 1).then_some(())) }).await?;
    ensure!(bed.wh_json(&app.folder, &["ps"]).await?.as_array().context("no list")?.len() == 1);
    child.kill().await?;
    until("its end", MINUTE, || async { Ok((containers(&bed)? == 0).then_some(())) }).await?;

    let after = bed.wh_json(&app.folder, &["ps"]).await?;
    for same in ["id", "started_at", "restarts"] {
        ensure!(before[0][same] == after[0][same], "{same}: {before} {after}");
    }
    bed.serves(&app, |page| page == "here").await?;
    let audit = bed.cluster.api()?.get("/audit").await?;
    let events = audit["items"].as_array().context("no events")?;
    let ended = |event: &Value| event["action"] == "exec.end" && event["target"] == "app:once";
    let codes: Vec<&Value> =
        events.iter().filter(|event| ended(event)).map(|event| &event["detail"]["exit_code"]).collect();
    ensure!(codes.contains(&&Value::from(9)), "{audit}");
    Ok(())
}

/// On all workers: no other test makes some.
fn containers(bed: &Bed) -> Result<usize> {
    let mut count = 0;
    for node in ["w1", "w2"] {
        let listed = bed.cluster.exec(node, &["podman", "ps", "-aq", "--filter", "label=wisehosting.run"])?;
        ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        count += String::from_utf8(listed.stdout)?.lines().count();
    }
    Ok(count)
}
