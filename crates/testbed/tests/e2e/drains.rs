//! A worker is emptied while people visit what runs on it, and gets its share again.

use std::sync::Arc;

use anyhow::{Result, ensure};
use testbed::report::until;
use testbed::topology::W1;

use crate::bed::{App, Bed, SOON};
use crate::runner::tests;
use crate::visitors::Visitors;

tests![a_drain_under_load_fails_no_request];

async fn a_drain_under_load_fails_no_request(bed: Arc<Bed>) -> Result<()> {
    let pair = bed.page("pair", "pair", "")?;
    bed.deploy(&pair).await?;
    bed.run_wh(&pair.folder, &["scale", "2"]).await?;
    on(&bed, &pair, &["w1", "w2"]).await?;
    let alone = bed.page("alone", "alone", "")?;
    bed.run_wh(&alone.folder, &["apps", "create", "alone"]).await?;
    bed.run_wh(&alone.folder, &["settings", "set", "placement.pin=w1"]).await?;
    bed.deploy(&alone).await?;
    on(&bed, &alone, &["w1"]).await?;
    let crowd = [Visitors::come(&bed, &pair), Visitors::come(&bed, &alone)];

    // The one is pinned and told so; everything else goes on.
    let stays = bed.wh_json(&bed.root, &["node", "drain", W1.name, "--plan"]).await?;
    let nowhere = |one: &&serde_json::Value| one["to"].is_null();
    ensure!(stays.as_array().is_some_and(|all| all.iter().filter(nowhere).count() == 1), "{stays}");
    bed.run_wh(&alone.folder, &["settings", "set", "placement.pin="]).await?;
    bed.run_wh(&bed.root, &["node", "drain", W1.name]).await?;
    for app in [&pair, &alone] {
        ensure!(nodes(&bed, app).await?.iter().all(|node| node == "w2"), "{} is still on w1", app.name);
    }
    let node = bed.online(W1.name).await?;
    ensure!(node["instances"] == 0, "{node}");

    bed.run_wh(&bed.root, &["node", "uncordon", W1.name]).await?;
    bed.run_wh(&bed.root, &["rebalance", "--apply"]).await?;
    on(&bed, &pair, &["w1", "w2"]).await?;
    crowd[0].make(20).await?;
    for visitors in crowd {
        visitors.leave_content().await?;
    }
    Ok(())
}

/// Waits until its instances are there, and nowhere else.
async fn on(bed: &Bed, app: &App, wanted: &[&str]) -> Result<()> {
    until("instances at their places", SOON * 2, || async {
        Ok((nodes(bed, app).await? == wanted).then_some(()))
    })
    .await
}

/// Of the instances that get requests.
async fn nodes(bed: &Bed, app: &App) -> Result<Vec<String>> {
    let instances = bed.wh_json(&app.folder, &["ps"]).await?;
    let serving = instances.as_array().into_iter().flatten().filter(|one| one["in_rotation"] == true);
    let mut nodes: Vec<String> =
        serving.filter_map(|one| Some(one["node"]["name"].as_str()?.to_owned())).collect();
    nodes.sort_unstable();
    Ok(nodes)
}
