//! Stop, start, restart, scale, delete.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use testbed::report::until;

use crate::bed::{App, Bed, SOON};
use crate::runner::tests;
use crate::visitors::Visitors;

tests![
    long restarting_and_scaling_lose_no_request,
    a_stopped_app_says_that_it_is_unavailable_until_it_starts,
    a_deleted_app_is_gone_and_comes_back,
];

async fn restarting_and_scaling_lose_no_request(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("elastic", "steady", "")?;
    bed.deploy(&app).await?;
    let visitors = Visitors::come(&bed, &app);
    bed.run_wh(&app.folder, &["scale", "3"]).await?;
    runs(&bed, &app, 3).await?;
    bed.run_wh(&app.folder, &["restart"]).await?;
    one_is_replaced(&bed, &app, 3).await?;
    bed.run_wh(&app.folder, &["scale", "1"]).await?;
    one_is_replaced(&bed, &app, 1).await?;
    visitors.make(20).await?;
    visitors.leave_content().await?;
    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    ensure!(releases.as_array().is_some_and(|all| all.len() == 1), "it made releases: {releases}");
    Ok(())
}

/// Restarts one of `count` instances. The others stay.
async fn one_is_replaced(bed: &Bed, app: &App, count: usize) -> Result<()> {
    let before = runs(bed, app, count).await?;
    let (goes, stay) = before.split_first().context("no instance")?;
    bed.run_wh(&app.folder, &["restart", "--instance", goes]).await?;
    let after = runs(bed, app, count).await?;
    ensure!(!after.contains(goes) && stay.iter().all(|id| after.contains(id)), "{before:?}, then {after:?}");
    Ok(())
}

async fn a_stopped_app_says_that_it_is_unavailable_until_it_starts(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("sleeper", "awake", "")?;
    bed.deploy(&app).await?;
    bed.run_wh(&app.folder, &["stop"]).await?;
    answers(&bed, &app, 503).await?;
    runs(&bed, &app, 0).await?;
    answers(&bed, &app, 503).await?;
    bed.run_wh(&app.folder, &["start"]).await?;
    bed.serves(&app, |page| page == "awake").await?;
    Ok(())
}

async fn a_deleted_app_is_gone_and_comes_back(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("phoenix", "ashes", "")?;
    bed.deploy(&app).await?;
    bed.run_wh(&app.folder, &["apps", "rm", "phoenix", "--confirm", "phoenix"]).await?;
    answers(&bed, &app, 404).await?;
    bed.run_wh(&app.folder, &["apps", "undelete", "phoenix"]).await?;
    bed.serves(&app, |page| page == "ashes").await?;
    Ok(())
}

async fn answers(bed: &Bed, app: &App, status: u16) -> Result<()> {
    until("another answer", SOON, || async {
        Ok((bed.cluster.https(&app.host(), "/").await?.status == status).then_some(()))
    })
    .await
}

/// The ids of that many instances, all in rotation and none on its way out. The ones that have ended are listed for a
/// while.
async fn runs(bed: &Bed, app: &App, count: usize) -> Result<Vec<String>> {
    until("the number of instances", SOON * 2, || async {
        let instances = bed.wh_json(&app.folder, &["ps"]).await?;
        let there = instances.as_array().into_iter().flatten().filter(|one| one["state"] != "stopped");
        let there: Vec<_> = there.collect();
        let ids = there.iter().filter_map(|one| Some(one["id"].as_str()?.to_owned())).collect();
        Ok((there.len() == count && there.iter().all(|one| one["in_rotation"] == true)).then_some(ids))
    })
    .await
}
