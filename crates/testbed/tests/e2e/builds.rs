//! Builds outlive the processes around them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use testbed::report::until;
use testbed::software;

use crate::bed::{App, Bed, MINUTE};
use crate::runner::tests;

tests![a_build_survives_kill_9_of_the_worker_agent, a_build_survives_kill_9_of_the_control_plane];

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
