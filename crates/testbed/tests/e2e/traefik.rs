//! Any Traefik can serve the apps: it polls the same routes and certificates over the mesh.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::cluster::Cluster;
use testbed::http::{Answer, Server, get};
use testbed::report::until;
use testbed::topology::PROXY;
use testbed::traefik::{HTTPS, PATH, PROVIDER, polling};

use crate::bed::{App, Bed, SOON};
use crate::runner::tests;

tests![
    the_provider_knows_its_token_and_unchanged_tables,
    a_traefik_serves_an_app_over_https_and_follows_its_releases,
];

async fn the_provider_knows_its_token_and_unchanged_tables(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("polled", "polled", "")?;
    bed.deploy(&app).await?;
    let token = bed.cluster.proxy_token();
    // A certificate or an instance of another test may still change the table.
    until("an unchanged table", SOON, || async {
        let whole = poll(&bed, token, None).await?;
        ensure!(whole.status == 200, "{}", whole.status);
        ensure!(whole.text().contains(&app.host()), "{}", whole.text());
        let tag = whole.headers.get("etag").context("no ETag")?.to_str()?;
        let again = poll(&bed, token, Some(tag)).await?;
        ensure!(again.status == 304 && again.body.is_empty(), "{}", again.status);
        Ok(Some(()))
    })
    .await?;
    let refused = poll(&bed, "another", None).await?;
    ensure!(refused.status == 401, "{}", refused.status);
    ensure!(!refused.text().contains(&app.host()), "{}", refused.text());
    Ok(())
}

async fn a_traefik_serves_an_app_over_https_and_follows_its_releases(bed: Arc<Bed>) -> Result<()> {
    // Traefik refuses a whole table for one section that it does not like.
    let stopped = bed.page("stopped-traefik", "stopped", "")?;
    bed.deploy(&stopped).await?;
    bed.run_wh(&stopped.folder, &["stop"]).await?;
    let app = bed.page("through-traefik", "through Traefik", "")?;
    bed.deploy(&app).await?;
    let program = program()?;
    let host = bed.cluster.host(PROXY.name)?;
    host.set_service(&polling(&host, &program, bed.cluster.proxy_token(), "500ms")?)?;
    let served = async {
        until("the app through Traefik", SOON, || async {
            let answer = through(&bed.cluster, &app).await?;
            ensure!(answer.status == 200 && answer.text() == "through Traefik", "{}", answer.text());
            ensure!(answer.issuer.as_deref().is_some_and(|issuer| issuer.contains("Pebble")), "{answer:?}");
            Ok(Some(()))
        })
        .await?;
        app.write("www/index.html", "the second one")?;
        bed.deploy(&app).await?;
        until("the new release through Traefik", SOON, || async {
            let answer = through(&bed.cluster, &app).await?;
            ensure!(answer.status == 200 && answer.text() == "the second one", "{answer:?}");
            Ok(Some(()))
        })
        .await?;
        one_upstream_is_left(&bed, &app).await
    };
    let served = served.await;
    host.stop_process("traefik")?;
    served
}

/// Traefik itself.
pub(crate) fn program() -> Result<String> {
    std::env::var("WH_TRAEFIK")
        .context("WH_TRAEFIK is not set: `scripts/test e2e` gets Traefik and sets it to the program")
}

async fn through(cluster: &Cluster, app: &App) -> Result<Answer> {
    let roots = Some(cluster.acme_root().await?.to_owned());
    cluster.public(PROXY.public, HTTPS, roots)?.send(get(&app.host(), "/")?).await
}

/// Asks the provider over the mesh, from the proxy.
async fn poll(bed: &Bed, token: &str, tag: Option<&str>) -> Result<Answer> {
    let from = bed.cluster.host(PROXY.name)?;
    let mut request = get(PROVIDER, PATH)?;
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
    if let Some(tag) = tag {
        request.headers_mut().insert("if-none-match", tag.parse()?);
    }
    Server { from, address: PROVIDER.parse()?, roots: None }.send(request).await
}

async fn one_upstream_is_left(bed: &Bed, app: &App) -> Result<()> {
    let table: Value = serde_json::from_slice(&poll(bed, bed.cluster.proxy_token(), None).await?.body)?;
    let routers = table["http"]["routers"].as_object().context("no routers")?;
    let router = routers
        .values()
        .find(|router| router["rule"].as_str().is_some_and(|rule| rule.contains(&app.host())))
        .context("the app has no router")?;
    let service = router["service"].as_str().context("no service")?;
    let servers = &table["http"]["services"][service]["loadBalancer"]["servers"];
    ensure!(servers.as_array().is_some_and(|servers| servers.len() == 1), "{servers}");
    Ok(())
}
