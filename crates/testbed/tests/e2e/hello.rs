//! A first app: deployed as a user would, served over HTTPS, replaced without anybody noticing.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::bed::{App, Bed};
use crate::runner::tests;

tests![an_app_is_served_over_https_with_a_certificate_of_the_authority];

async fn an_app_is_served_over_https_with_a_certificate_of_the_authority(bed: Arc<Bed>) -> Result<()> {
    let app = App { name: "hello".to_owned(), folder: bed.root.join("examples/hello") };
    // The client trusts the authority alone and checks the name.
    let answer = bed.deploy(&app).await?;
    let page = std::fs::read(app.folder.join("www/index.html"))?;
    ensure!(answer.body == page, "another page: {}", answer.text());
    let issuer = answer.issuer.unwrap_or_default();
    ensure!(issuer.contains("Pebble"), "issued by {issuer}");

    let plain = bed.cluster.http(&app.host(), "/some/where?a=b").await?;
    let location = plain.headers.get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
    ensure!((300..400).contains(&plain.status), "plain HTTP answers {}", plain.status);
    ensure!(location == format!("https://{}/some/where?a=b", app.host()), "leads to {location}");
    Ok(())
}
