//! Hosts and cables fail; what serves goes on, or comes back by itself.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use testbed::report::until;
use testbed::software;
use testbed::topology::{PROXY, W1};

use crate::bed::{App, Bed, MINUTE, SOON};
use crate::runner::tests;
use crate::visitors::Visitors;

tests![
    long a_rollback_finds_a_copy_although_the_node_that_built_the_image_is_gone,
    an_app_comes_back_with_its_host,
    long an_app_comes_back_although_the_power_cut_took_files_of_its_container,
    long an_app_comes_back_with_its_cable,
    without_the_control_plane_apps_serve_and_come_back_from_reboots,
];

async fn an_app_comes_back_with_its_host(bed: Arc<Bed>) -> Result<()> {
    let (app, node) = placed(&bed, "rebooted").await?;
    bed.cluster.power_off(&node)?;
    bed.fails(&app).await?;
    bed.cluster.power_on(&node)?;
    bed.serves(&app, |page| page == "rebooted").await?;
    bed.online(&node).await?;
    Ok(())
}

/// Podman does not wait for the disk: after a power cut the file that names a container's layers may be empty, and the
/// container never starts again.
async fn an_app_comes_back_although_the_power_cut_took_files_of_its_container(bed: Arc<Bed>) -> Result<()> {
    let (app, node) = placed(&bed, "damaged").await?;
    let label = format!("label=wisehosting.app={}", app.name);
    let container = on(&bed, &node, &["podman", "ps", "--quiet", "--filter", &label])?;
    let layer =
        on(&bed, &node, &["podman", "inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", &container])?;
    let lower = layer.strip_suffix("/diff").context("no overlay")?.to_owned() + "/lower";
    on(&bed, &node, &["truncate", "--size=0", &lower])?;
    bed.cluster.power_off(&node)?;
    bed.cluster.power_on(&node)?;
    bed.serves(&app, |page| page == "damaged").await?;
    let another = on(&bed, &node, &["podman", "ps", "--quiet", "--filter", &label])?;
    ensure!(another != container, "the damaged container runs again");
    bed.online(&node).await?;
    Ok(())
}

/// What a command prints on the node.
fn on(bed: &Bed, node: &str, words: &[&str]) -> Result<String> {
    let output = bed.cluster.exec(node, words)?;
    ensure!(output.status.success(), "{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

async fn an_app_comes_back_with_its_cable(bed: Arc<Bed>) -> Result<()> {
    let (app, node) = placed(&bed, "unplugged").await?;
    bed.cluster.cut(&node)?;
    bed.fails(&app).await?;
    missed(&bed, &app, &node).await?;
    bed.cluster.heal(&node)?;
    bed.serves(&app, |page| page == "unplugged").await?;
    bed.online(&node).await?;
    let history = bed.wh_json(&app.folder, &["node", "history", &node]).await?;
    let gone = history.as_array().into_iter().flatten().find(|one| one["to"] == "offline");
    let reason = gone.and_then(|one| one["reason"].as_str()).context("never offline")?;
    ensure!(history[0]["to"] == "online", "{history}");
    ensure!(reason.contains("checks in a row failed: no answer from 10.50.0."), "{reason}");
    Ok(())
}

/// A node that was cut off is offline with the reason, and nobody waits for it.
async fn missed(bed: &Bed, app: &App, node: &str) -> Result<()> {
    let path = format!("/nodes/{node}");
    let health = until("the loss noticed", 2 * MINUTE, || async {
        let node = bed.cluster.api()?.get(&path).await?;
        Ok((node["status"] == "offline").then(|| node["health"].clone()))
    })
    .await?;
    ensure!(health["missing_since"].is_string() && health["next_check_at"].is_string(), "{health}");
    let said = |output: std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let check = said(bed.try_wh(&app.folder, &["node", "check", node]).await?);
    ensure!(check.contains("does not answer: no answer from"), "{check}");
    let exec = said(bed.try_wh(&app.folder, &["exec", &app.name, "--", "true"]).await?);
    ensure!(exec.contains("missing since"), "{exec}");
    Ok(())
}

async fn a_rollback_finds_a_copy_although_the_node_that_built_the_image_is_gone(bed: Arc<Bed>) -> Result<()> {
    let (app, _) = placed(&bed, "duplicated").await?;
    app.write("www/index.html", "second")?;
    bed.deploy(&app).await?;
    bed.serves(&app, |page| page == "second").await?;
    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    let first = releases[1]["image"]["id"].as_str().context("no image")?;
    let held = |node: &str| -> Result<bool> {
        let output = bed.cluster.exec(node, &["podman", "images", "--quiet", "--no-trunc"])?;
        Ok(String::from_utf8(output.stdout)?.contains(first))
    };
    until("a copy of the first image", 2 * MINUTE, || async {
        ensure!(held("w1")? && held("w2")?, "{first} is on one node only");
        Ok(Some(()))
    })
    .await?;
    let instances = bed.wh_json(&app.folder, &["ps"]).await?;
    let serving = instances.as_array().into_iter().flatten().find(|one| one["in_rotation"] == true);
    let node = serving.and_then(|one| one["node"]["name"].as_str()).context("nothing serves")?.to_owned();
    bed.cluster.power_off(&node)?;
    let path = format!("/nodes/{node}");
    until("the loss noticed", 2 * MINUTE, || async {
        let node = bed.cluster.api()?.get(&path).await?;
        Ok((node["status"] == "offline").then_some(()))
    })
    .await?;
    bed.run_wh(&app.folder, &["rollback", "1", "--detach"]).await?;
    bed.serves(&app, |page| page == "duplicated").await?;
    bed.cluster.power_on(&node)?;
    bed.online(&node).await?;
    Ok(())
}

async fn without_the_control_plane_apps_serve_and_come_back_from_reboots(bed: Arc<Bed>) -> Result<()> {
    let (app, node) = placed(&bed, "independent").await?;
    let cp = bed.cluster.host("cp")?;
    let visitors = Visitors::come(&bed, &app);
    cp.stop_process(software::CONTROL_PLANE)?;
    cp.stop_process(software::POSTGRES)?;
    visitors.make(200).await?;
    visitors.leave_content().await?;

    for host in [PROXY.name, &node] {
        bed.cluster.power_off(host)?;
    }
    for host in [PROXY.name, &node] {
        bed.cluster.power_on(host)?;
    }
    bed.serves(&app, |page| page == "independent").await?;

    cp.start_process(software::POSTGRES)?;
    cp.start_process(software::CONTROL_PLANE)?;
    for host in [W1.name, "w2", PROXY.name] {
        bed.online(host).await?;
    }
    app.write("www/index.html", "changed")?;
    bed.deploy(&app).await?;
    bed.serves(&app, |page| page == "changed").await?;
    Ok(())
}

/// An app that shows its name, and the host it runs on.
async fn placed(bed: &Bed, name: &str) -> Result<(App, String)> {
    let app = bed.page(name, name, "")?;
    bed.deploy(&app).await?;
    let node = until("the instance", SOON, || async {
        let instances = bed.wh_json(&app.folder, &["ps"]).await?;
        let node = instances[0]["node"]["name"].as_str().context("no node")?;
        ensure!(instances[0]["state"] == "healthy", "{instances}");
        Ok(Some(node.to_owned()))
    })
    .await?;
    Ok((app, node))
}
