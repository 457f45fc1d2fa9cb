//! Builds outlive the processes around them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testbed::report::until;
use testbed::software;

use crate::bed::{App, Bed, MINUTE};
use crate::runner::tests;

tests![
    long a_build_survives_kill_9_of_the_worker_agent,
    a_build_survives_kill_9_of_the_control_plane,
    a_build_that_is_cancelled_stops_at_once_and_leaves_the_app_as_it_was,
];

const LINES: usize = 25;

async fn a_build_survives_kill_9_of_the_worker_agent(bed: Arc<Bed>) -> Result<()> {
    let (app, deployment) = slow(&bed, "slow-one").await?;
    let builder = ["w1", "w2"].into_iter().find(|name| builds(&bed, name)).context("nobody builds")?;
    bed.cluster.host(builder)?.kill_process(software::WORKER)?;
    every_line_came_once(&bed, &app, &deployment).await
}

async fn a_build_survives_kill_9_of_the_control_plane(bed: Arc<Bed>) -> Result<()> {
    let (app, deployment) = slow(&bed, "slow-two").await?;
    bed.cluster.host("cp")?.kill_process(software::CONTROL_PLANE)?;
    every_line_came_once(&bed, &app, &deployment).await
}

async fn a_build_that_is_cancelled_stops_at_once_and_leaves_the_app_as_it_was(bed: Arc<Bed>) -> Result<()> {
    let (app, deployment) = slow(&bed, "slow-three").await?;
    bed.run_wh(&app.folder, &["cancel"]).await?;
    let asked = Instant::now();
    until("the end of its processes", MINUTE, || async {
        Ok(["w1", "w2"].iter().all(|name| !builds(&bed, name)).then_some(()))
    })
    .await?;
    // The worker takes a second at most; the rest is for a busy machine.
    ensure!(asked.elapsed() < Duration::from_secs(5), "the build went on for {:?}", asked.elapsed());
    let ended = bed.ended(&deployment).await?;
    ensure!(ended["state"] == "cancelled", "{ended}");
    ensure!(
        bed.cluster.api()?.get("/apps/slow-three").await?["release"].is_null(),
        "a release of half a build"
    );
    bed.deploy(&app).await?;
    Ok(())
}

/// An app whose build is in its middle.
async fn slow(bed: &Bed, name: &str) -> Result<(App, String)> {
    let step = format!("RUN for i in $(seq {LINES}); do echo \"{name}: line $i\"; sleep 0.2; done");
    let app = bed.page(name, "built", &step)?;
    let deployment = bed.wh_json(&app.folder, &["deploy", "--detach"]).await?;
    let id = deployment["id"].as_str().context("no id")?.to_owned();
    until("the middle of the build", MINUTE, || async {
        let log = bed.build_log(&id).await?;
        Ok(log.iter().any(|line| *line == format!("{name}: line 3")).then_some(()))
    })
    .await?;
    Ok((app, id))
}

/// Whether a build runs on the host.
fn builds(bed: &Bed, host: &str) -> bool {
    let found = bed.cluster.exec(host, &["pgrep", "-f", "podman build|buildah"]);
    found.is_ok_and(|output| output.status.success())
}

async fn every_line_came_once(bed: &Bed, app: &App, deployment: &str) -> Result<()> {
    let ended = bed.ended(deployment).await?;
    ensure!(ended["state"] == "live", "{ended}");
    let log = bed.build_log(deployment).await?;
    let start = format!("{}: line", app.name);
    let said: Vec<&str> = log.iter().filter(|line| line.starts_with(&start)).map(String::as_str).collect();
    let expected: Vec<String> = (1..=LINES).map(|number| format!("{start} {number}")).collect();
    ensure!(said == expected, "{said:#?}");
    bed.serves(app, |page| page == "built").await?;
    Ok(())
}
