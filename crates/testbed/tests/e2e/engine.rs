//! Traefik as the engine of a proxy: the agent writes its table, Traefik serves it, and only then it counts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::BoxFuture;
use serde_json::Value;
use testbed::host::Host;
use testbed::report::until;
use testbed::software;
use testbed::topology::PROXY;

use crate::bed::{Bed, MINUTE, SOON};
use crate::runner::tests;
use crate::traefik::program;

tests![
    behind_traefik_an_app_gets_its_certificate_and_serves_without_the_control_plane,
    a_table_that_traefik_does_not_serve_is_not_acknowledged,
    an_app_without_instances_holds_up_no_other_app_behind_traefik,
];

async fn behind_traefik_an_app_gets_its_certificate_and_serves_without_the_control_plane(
    bed: Arc<Bed>,
) -> Result<()> {
    behind_traefik(&bed, Box::pin(certificate_and_reboot(&bed))).await
}

async fn certificate_and_reboot(bed: &Bed) -> Result<()> {
    // A name without a certificate: the CA's question comes through Traefik to the agent.
    let app = bed.page("engine", "by Traefik", "")?;
    let answer = bed.deploy(&app).await?;
    ensure!(answer.issuer.as_deref().is_some_and(|issuer| issuer.contains("Pebble")), "{answer:?}");
    let plain = bed.cluster.http(&app.host(), "/").await?;
    // The built-in engine would say 308.
    ensure!(plain.status == 301, "{}", plain.status);
    ensure!(plain.headers["location"] == format!("https://{}/", app.host()), "{:?}", plain.headers);

    let cp = bed.cluster.host("cp")?;
    cp.stop_process(software::CONTROL_PLANE)?;
    cp.stop_process(software::POSTGRES)?;
    let served = async {
        bed.cluster.power_off(PROXY.name)?;
        bed.cluster.power_on(PROXY.name)?;
        bed.serves(&app, |page| page == "by Traefik").await
    };
    let served = served.await;
    cp.start_process(software::POSTGRES)?;
    cp.start_process(software::CONTROL_PLANE)?;
    served?;

    bed.online(PROXY.name).await?;
    app.write("www/index.html", "still by Traefik")?;
    bed.deploy(&app).await?;
    bed.serves(&app, |page| page == "still by Traefik").await?;
    Ok(())
}

async fn a_table_that_traefik_does_not_serve_is_not_acknowledged(bed: Arc<Bed>) -> Result<()> {
    behind_traefik(&bed, Box::pin(waits_for_traefik(&bed))).await
}

async fn waits_for_traefik(bed: &Bed) -> Result<()> {
    let app = bed.page("patient", "before", "")?;
    bed.deploy(&app).await?;
    let host = bed.cluster.host(PROXY.name)?;
    host.stop_process(software::TRAEFIK)?;
    app.write("www/index.html", "after")?;
    let deployment = bed.wh_json(&app.folder, &["deploy", "--detach"]).await?;
    let id = deployment["id"].as_str().context("no id")?;
    let routing = until("the stage in which proxies acknowledge", MINUTE, || async {
        let deployment = bed.cluster.api()?.get(&format!("/deployments/{id}")).await?;
        Ok(stage(&deployment, "route").is_some_and(|at| !at["started_at"].is_null()).then_some(deployment))
    });
    routing.await?;
    // Twice what a proxy takes that serves by itself, and more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let deployment = bed.cluster.api()?.get(&format!("/deployments/{id}")).await?;
    ensure!(deployment["state"] == "rolling-out", "{deployment}");

    host.start_process(software::TRAEFIK)?;
    let deployment = bed.ended(id).await?;
    ensure!(deployment["state"] == "live", "{deployment}");
    let answer = bed.cluster.https(&app.host(), "/").await?;
    ensure!(answer.status == 200 && answer.text() == "after", "live, but not served: {answer:?}");
    Ok(())
}

async fn an_app_without_instances_holds_up_no_other_app_behind_traefik(bed: Arc<Bed>) -> Result<()> {
    behind_traefik(&bed, Box::pin(one_is_stopped(&bed))).await
}

async fn one_is_stopped(bed: &Bed) -> Result<()> {
    let stopped = bed.page("stopped-engine", "stopped", "")?;
    bed.deploy(&stopped).await?;
    bed.run_wh(&stopped.folder, &["stop"]).await?;
    let app = bed.page("beside-it", "beside it", "")?;
    bed.deploy(&app).await?;
    let answer = bed.cluster.https(&stopped.host(), "/").await?;
    ensure!(answer.status == 503, "{answer:?}");
    Ok(())
}

fn stage<'a>(deployment: &'a Value, name: &str) -> Option<&'a Value> {
    deployment["stages"].as_array()?.iter().find(|stage| stage["stage"] == name)
}

/// Puts Traefik in the place of the built-in engine during `test`.
async fn behind_traefik(bed: &Bed, test: BoxFuture<'_, Result<()>>) -> Result<()> {
    let host = bed.cluster.host(PROXY.name)?;
    let program = program()?;
    host.stop_process(software::PROXY)?;
    host.set_service(&software::proxy_behind_traefik(&host)?)?;
    file_exists(&host).await?;
    host.set_service(&software::traefik(&host, &program)?)?;
    let result = test.await;
    host.stop_process(software::TRAEFIK)?;
    host.stop_process(software::PROXY)?;
    host.set_service(&software::proxy(&host)?)?;
    bed.online(PROXY.name).await?;
    result
}

/// Traefik's file provider gives up at a file that is not there when Traefik starts.
async fn file_exists(host: &Host) -> Result<()> {
    let path = host.folder.join("lib/traefik/dynamic.yaml");
    until("the agent's file", SOON, || async { Ok(path.exists().then_some(())) }).await
}
