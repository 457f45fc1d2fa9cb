//! A name of one's own: shown to be one's own by the DNS, served by the proxies, with a certificate.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::report::until;

use crate::bed::{App, Bed, MINUTE, SOON};
use crate::runner::tests;

tests![a_domain_is_served_as_soon_as_its_record_is_there_and_no_container_is_touched];

const HOST: &str = "www.own-name.test";
const RECORD: &str = "_wisehosting.www.own-name.test";

async fn a_domain_is_served_as_soon_as_its_record_is_there_and_no_container_is_touched(
    bed: Arc<Bed>,
) -> Result<()> {
    let app = bed.page("own-name", "at home", "")?;
    bed.deploy(&app).await?;
    let before = instances(&bed, &app).await?;
    let added = bed.wh_json(&app.folder, &["domain", "add", HOST]).await?;
    ensure!(added["state"] == "pending" && added["records"]["proof"]["name"] == RECORD, "{added}");
    ensure!(added["records"]["address"][0]["value"] == app.host(), "{added}");
    let token = added["records"]["proof"]["value"].as_str().context("no token")?;
    let refused = bed.try_wh(&app.folder, &["domain", "verify", HOST]).await?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && said.contains(RECORD), "verified without a record: {said}");
    ensure!(!is_routed(&bed).await?, "routed before it is verified");

    bed.cluster.set_txt(RECORD, token).await?;
    let asked = Instant::now();
    let path = format!("/apps/{}/domains/{HOST}/verify", app.name);
    let verified = bed.cluster.api()?.post(&path, serde_json::json!({})).await?;
    ensure!(verified["state"] == "verified", "{verified}");
    let answered = Instant::now();
    until("the first routed request", SOON, || async { Ok(is_routed(&bed).await?.then_some(())) }).await?;
    let (since_asked, since_answered) = (asked.elapsed(), answered.elapsed());
    println!(
        "     routed {} ms after the verification was asked for, {} ms after its answer",
        since_asked.as_millis(),
        since_answered.as_millis()
    );

    let page = until("the domain over HTTPS", MINUTE, || async {
        let answer = bed.cluster.https(HOST, "/").await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        Ok(Some(answer))
    })
    .await?;
    ensure!(page.text() == "at home", "another page: {}", page.text());
    ensure!(page.issuer.as_deref().is_some_and(|issuer| issuer.contains("Pebble")), "{:?}", page.issuer);
    ensure!(instances(&bed, &app).await? == before, "a container was touched");

    bed.run_wh(&app.folder, &["domain", "rm", HOST]).await?;
    until("the end of the domain", SOON, || async { Ok((!is_routed(&bed).await?).then_some(())) }).await?;
    bed.serves(&app, |page| page == "at home").await?;
    bed.cluster.clear_txt(RECORD).await?;
    Ok(())
}

/// Plain HTTP is redirected for a name that a proxy knows.
async fn is_routed(bed: &Bed) -> Result<bool> {
    Ok((300..400).contains(&bed.cluster.http(HOST, "/").await?.status))
}

/// Ids and beginnings of the app's containers.
async fn instances(bed: &Bed, app: &App) -> Result<Vec<(Value, Value)>> {
    let instances = bed.wh_json(&app.folder, &["ps"]).await?;
    let instances = instances.as_array().context("no list")?;
    Ok(instances.iter().map(|one| (one["id"].clone(), one["started_at"].clone())).collect())
}
