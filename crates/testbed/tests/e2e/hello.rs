//! A first app: deployed as a user would, served over HTTPS, replaced without anybody noticing.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use testbed::report::until;

use crate::bed::{App, Bed, MINUTE};
use crate::runner::tests;
use crate::visitors::Visitors;

tests![
    an_app_is_served_over_https_with_a_certificate_of_the_authority,
    a_second_deployment_changes_the_page_without_a_failed_request,
    an_image_is_deployed_without_a_build,
];

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

async fn a_second_deployment_changes_the_page_without_a_failed_request(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("changing", "first", "")?;
    bed.deploy(&app).await?;
    let visitors = Visitors::come(&bed, &app);
    app.write("www/index.html", "second")?;
    bed.run_wh(&app.folder, &["deploy"]).await?;
    bed.serves(&app, |page| page == "second").await?;
    instances_of_the_old_release_are_gone(&bed, &app).await?;
    let seen = visitors.leave_content().await?;
    let pages: Vec<&str> = seen.pages.keys().map(String::as_str).collect();
    ensure!(pages == ["first", "second"], "seen: {pages:?}");
    Ok(())
}

/// Drained and stopped: from here on nothing happens any more.
async fn instances_of_the_old_release_are_gone(bed: &Bed, app: &App) -> Result<()> {
    until("the end of the old release", MINUTE, || async {
        let instances = bed.wh_json(&app.folder, &["ps"]).await?;
        let instances = instances.as_array().context("no list")?;
        let ended = |one: &serde_json::Value| one["wanted"] == false && one["state"] == "stopped";
        let (new, old): (Vec<_>, Vec<_>) = instances.iter().partition(|one| one["release"] == 2);
        ensure!(new.len() == 1 && old.into_iter().all(ended), "{instances:?}");
        Ok(Some(()))
    })
    .await
}

async fn an_image_is_deployed_without_a_build(bed: Arc<Bed>) -> Result<()> {
    let app = bed.source("from-image", "")?;
    let serve = "mkdir /www && echo -n 'from an image' > /www/index.html && exec httpd -f -p 8080 -h /www";
    app.write(
        "wisehosting.toml",
        &format!("app = \"from-image\"\n[run]\nport = 8080\ncommand = [\"sh\", \"-c\", \"{serve}\"]\n"),
    )?;
    bed.run_wh(&app.folder, &["deploy", "--image", "docker.io/library/busybox:stable"]).await?;
    bed.serves(&app, |page| page == "from an image").await?;
    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    ensure!(releases.to_string().contains("busybox:stable"), "{releases}");
    Ok(())
}
