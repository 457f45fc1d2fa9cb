//! A relay is lost, one goes on without the control plane that chose it, and where there is none.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::report::until;
use testbed::software;
use testbed::topology::{CONTROL_PLANE, PROXY, W1, W2};
use tokio::time::{Instant, sleep};

use crate::bed::{Bed, MINUTE};
use crate::runner::tests;

tests![
    long a_relay_goes_on_without_the_control_plane_and_another_takes_over_when_it_loses_its_power,
    long a_node_that_is_cut_off_from_the_only_control_plane_is_not_relayed_and_comes_back,
];

/// For how long the control plane is away.
const AWAY: Duration = Duration::from_secs(20);

async fn a_relay_goes_on_without_the_control_plane_and_another_takes_over_when_it_loses_its_power(
    bed: Arc<Bed>,
) -> Result<()> {
    let there = address(&bed, W2.name).await?;
    let cp = bed.cluster.host(CONTROL_PLANE.name)?;
    // A host whose mesh agent says nothing relays nothing: the proxy is the only one left.
    cp.stop_process(software::MESH)?;
    until("the control plane's host counts as silent", 3 * MINUTE, || async {
        let doctor = bed.try_wh(&bed.root, &["mesh", "doctor"]).await?;
        Ok(String::from_utf8_lossy(&doctor.stdout).contains("has not reported since").then_some(()))
    })
    .await?;
    bed.cluster.cut_between(W1.name, W2.name)?;
    let cut = Instant::now();
    relayed_by(&bed, PROXY.name).await?;
    answers(&bed, &there).await?;
    let first = cut.elapsed();
    cp.start_process(software::MESH)?;

    cp.stop_process(software::CONTROL_PLANE)?;
    let (left, mut asked, mut lost) = (Instant::now(), 0, 0);
    while left.elapsed() < AWAY {
        asked += 1;
        lost += u32::from(!pings(&bed, &there)?);
        sleep(Duration::from_millis(100)).await;
    }
    ensure!(lost == 0, "{lost} of {asked} pings lost over the relay without a control plane");
    cp.start_process(software::CONTROL_PLANE)?;
    for name in [W1.name, W2.name, PROXY.name] {
        bed.online(name).await?;
    }
    until("the control plane's host can relay", MINUTE, || async {
        let doctor = bed.try_wh(&bed.root, &["mesh", "doctor"]).await?;
        Ok((!String::from_utf8_lossy(&doctor.stdout).contains("has not reported")).then_some(()))
    })
    .await?;

    bed.cluster.power_off(PROXY.name)?;
    let lost = Instant::now();
    until("the end of the relay", MINUTE, || async { Ok((!pings(&bed, &there)?).then_some(())) }).await?;
    answers(&bed, &there).await?;
    let another = lost.elapsed();
    relayed_by(&bed, "control-plane").await?;
    bed.cluster.power_on(PROXY.name)?;
    bed.cluster.heal_between(W1.name, W2.name)?;
    bed.online(PROXY.name).await?;
    until("the direct way", 2 * MINUTE, || async {
        let links = bed.wh_json(&bed.root, &["mesh", "peers", W1.name]).await?;
        let link = links.as_array().into_iter().flatten().find(|link| link["to"] == W2.name).cloned();
        Ok(link.filter(|link| link["state"] == "direct"))
    })
    .await?;
    println!(
        "     relayed {:.1} s after the cut; {asked} pings over {} s without a control plane, none lost; another relay {:.1} s after the power of the first",
        first.as_secs_f64(),
        AWAY.as_secs(),
        another.as_secs_f64()
    );
    Ok(())
}

/// It could not be told of the relay: the control plane's host would go by it alone, and never hear the node again.
async fn a_node_that_is_cut_off_from_the_only_control_plane_is_not_relayed_and_comes_back(
    bed: Arc<Bed>,
) -> Result<()> {
    bed.cluster.cut_between(W1.name, CONTROL_PLANE.name)?;
    let path = format!("/nodes/{}", W1.name);
    until("the loss noticed", 2 * MINUTE, || async {
        let node = bed.cluster.api()?.get(&path).await?;
        Ok((node["status"] == "offline").then_some(()))
    })
    .await?;
    let links = bed.wh_json(&bed.root, &["mesh", "peers", "control-plane"]).await?;
    let link = links.as_array().into_iter().flatten().find(|link| link["to"] == W1.name);
    let link = link.context("the control plane has no peer w1")?;
    ensure!(link["state"] == "silent" && link["via"].is_null(), "{link}");
    bed.cluster.heal_between(W1.name, CONTROL_PLANE.name)?;
    let healed = Instant::now();
    bed.online(W1.name).await?;
    println!("     online {:.1} s after the cut was over", healed.elapsed().as_secs_f64());
    Ok(())
}

async fn address(bed: &Bed, name: &str) -> Result<String> {
    let node = bed.online(name).await?;
    Ok(node["mesh_address"].as_str().context("no address")?.to_owned())
}

/// Whether w1 reaches the address within a second.
fn pings(bed: &Bed, address: &str) -> Result<bool> {
    Ok(bed.cluster.exec(W1.name, &["ping", "-c", "1", "-W", "1", address])?.status.success())
}

async fn answers(bed: &Bed, address: &str) -> Result<()> {
    until("an answer from w2 to w1", 2 * MINUTE, || async { Ok(pings(bed, address)?.then_some(())) }).await
}

async fn relayed_by(bed: &Bed, relay: &str) -> Result<()> {
    until(&format!("w1 and w2 relayed by {relay}"), MINUTE, || async {
        let links = bed.wh_json(&bed.root, &["mesh", "peers", W1.name]).await?;
        let link = links.as_array().into_iter().flatten().find(|link| link["to"] == W2.name).cloned();
        let link = link.context("w1 has no peer w2")?;
        ensure!(link["state"] == "relayed" && link["via"] == relay, "{link}");
        Ok(Some(()))
    })
    .await
}
