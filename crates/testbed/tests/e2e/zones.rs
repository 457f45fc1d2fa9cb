//! A worker answers for a direct zone by itself.

use std::sync::Arc;

use anyhow::{Result, ensure};
use testbed::http::{Answer, get};
use testbed::report::until;
use testbed::software;
use testbed::topology::{DIRECT_PORT, W1};

use crate::bed::{App, Bed, MINUTE, SOON};
use crate::runner::tests;
use crate::visitors::Visitors;

tests![a_worker_answers_for_its_zone_through_roll_outs_and_without_the_control_plane];

const ZONE: &str = "direct.wise.test";

async fn a_worker_answers_for_its_zone_through_roll_outs_and_without_the_control_plane(
    bed: Arc<Bed>,
) -> Result<()> {
    let app = bed.page("straight", "first", "")?;
    let folder = &app.folder;
    let port = DIRECT_PORT.to_string();
    bed.run_wh(folder, &["zone", "add", ZONE, "--worker", W1.name, "--port", &port]).await?;
    bed.run_wh(folder, &["apps", "create", &app.name, "--zone", ZONE]).await?;
    bed.run_wh(folder, &["deploy"]).await?;
    shows(&bed, &app, "first").await?;
    ensure!(bed.cluster.http(&host(&app), "/").await?.status == 404, "the proxy leaves the zone alone");

    let visitors = {
        let (bed, app) = (bed.clone(), app.clone());
        Visitors::asking(move || {
            let (bed, app) = (bed.clone(), app.clone());
            async move { page(&bed, &app).await }
        })
    };
    visitors.make(50).await?;
    app.write("www/index.html", "second")?;
    bed.run_wh(folder, &["deploy"]).await?;
    shows(&bed, &app, "second").await?;
    // The old instance is gone by then.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    visitors.make(50).await?;
    visitors.leave_content().await?;

    let cp = bed.cluster.host("cp")?;
    cp.stop_process(software::CONTROL_PLANE)?;
    let served = async {
        bed.cluster.power_off(W1.name)?;
        bed.cluster.power_on(W1.name)?;
        // Its own instance after the reboot, or one elsewhere over the mesh.
        shows(&bed, &app, "second").await
    };
    let served = served.await;
    cp.start_process(software::CONTROL_PLANE)?;
    served?;
    bed.online(W1.name).await?;
    bed.run_wh(folder, &["apps", "rm", &app.name, "--confirm", &app.name]).await?;
    until("nothing to answer for any more", MINUTE, || async {
        Ok(ask(&bed, &app).await.is_err().then_some(()))
    })
    .await
}

fn host(app: &App) -> String {
    format!("{}.{ZONE}", app.name)
}

async fn ask(bed: &Bed, app: &App) -> Result<Answer> {
    bed.cluster.public(W1.public, DIRECT_PORT, None)?.send(get(&host(app), "/")?).await
}

async fn page(bed: &Bed, app: &App) -> Result<String> {
    let answer = ask(bed, app).await?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(answer.text())
}

async fn shows(bed: &Bed, app: &App, wanted: &str) -> Result<()> {
    until(&format!("{wanted} at the worker itself"), 2 * SOON, || async {
        let shown = page(bed, app).await?;
        ensure!(shown == wanted, "{shown}");
        Ok(Some(()))
    })
    .await
}
