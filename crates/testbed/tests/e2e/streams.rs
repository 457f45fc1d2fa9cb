//! Ports of the proxy that lead to an app past HTTP.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::http::get;
use testbed::report::until;
use testbed::topology::PROXY;

use crate::bed::{Bed, SOON};
use crate::runner::tests;
use crate::visitors::Visitors;

tests![a_port_of_the_proxy_leads_to_an_app_through_roll_outs_and_says_when_it_cannot_be_had];

async fn a_port_of_the_proxy_leads_to_an_app_through_roll_outs_and_says_when_it_cannot_be_had(
    bed: Arc<Bed>,
) -> Result<()> {
    let app = bed.page("ported", "first", "")?;
    let folder = &app.folder;
    bed.deploy(&app).await?;
    let address = bed.run_wh(folder, &["stream", "add", "tcp"]).await?;
    let port = address.trim().strip_prefix(&format!("{}:", app.host()));
    let port: u16 = port.with_context(|| format!("another address: {address}"))?.parse()?;
    shows(&bed, port, "first").await?;

    let visitors = {
        let bed = bed.clone();
        Visitors::asking(move || {
            let bed = bed.clone();
            async move { page(&bed, port).await }
        })
    };
    visitors.make(50).await?;
    app.write("www/index.html", "second")?;
    bed.run_wh(folder, &["deploy"]).await?;
    shows(&bed, port, "second").await?;
    // The old instance is gone by then.
    tokio::time::sleep(Duration::from_secs(4)).await;
    visitors.make(50).await?;
    visitors.leave_content().await?;

    let number = port.to_string();
    bed.run_wh(folder, &["stream", "add", "tcp", "--port", &number, "--allow", "192.0.2.1"]).await?;
    closed(&bed, port).await.context("to others than 192.0.2.1")?;
    bed.run_wh(folder, &["stream", "add", "tcp", "--port", &number]).await?;
    shows(&bed, port, "second").await?;
    bed.run_wh(folder, &["stream", "rm", "tcp", &number]).await?;
    closed(&bed, port).await.context("after it was removed")?;

    // Somebody else on the proxy has the port.
    let taken = (port + 1).to_string();
    let mut holder = bed.cluster.command(PROXY.name, &["busybox", "nc", "-l", "-p", &taken])?;
    let mut holder = holder.stdin(Stdio::null()).spawn()?;
    let told = async {
        bed.run_wh(folder, &["stream", "add", "tcp", "--port", &taken]).await?;
        until("the proxy's word on it", SOON, || async {
            let streams = bed.wh_json(folder, &["stream"]).await?;
            let problem = &streams[0]["problems"][0];
            let told = problem["node"] == PROXY.name
                && problem["problem"].as_str().is_some_and(|problem| problem.contains("ss -ltnp"));
            ensure!(told, "{streams}");
            Ok(Some(()))
        })
        .await
    };
    let told = told.await;
    // It ends with its first connection.
    let _ = page(&bed, port + 1).await;
    let _ = holder.kill();
    holder.wait()?;
    told?;
    shows(&bed, port + 1, "second").await?;
    until("no problem any more", SOON, || async {
        let streams = bed.wh_json(folder, &["stream"]).await?;
        ensure!(streams[0]["problems"].as_array().is_some_and(Vec::is_empty), "{streams}");
        Ok(Some(()))
    })
    .await
}

/// The page at a port of the proxy: what comes is the app's alone, whatever the proxy thinks of HTTP.
async fn page(bed: &Bed, port: u16) -> Result<String> {
    let server = bed.cluster.public(PROXY.public, port, None)?;
    let asked = tokio::time::timeout(SOON, server.send(get("any.name.test", "/")?));
    let answer = asked.await.context("no answer")??;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(answer.text())
}

async fn shows(bed: &Bed, port: u16, wanted: &str) -> Result<()> {
    until(&format!("{wanted} at port {port}"), 2 * SOON, || async {
        let page = page(bed, port).await?;
        ensure!(page == wanted, "{page}");
        Ok(Some(()))
    })
    .await
}

async fn closed(bed: &Bed, port: u16) -> Result<()> {
    until(&format!("port {port} to be closed"), SOON, || async {
        Ok(page(bed, port).await.is_err().then_some(()))
    })
    .await
}
