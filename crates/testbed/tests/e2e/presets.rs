//! Sources without a Containerfile.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::bed::{App, Bed};
use crate::runner::tests;

tests![
    a_folder_of_pages_is_served_without_a_containerfile_and_can_be_ejected,
    a_source_that_no_preset_fits_says_what_was_looked_for,
    a_site_names_its_folder_and_a_rule_that_cannot_be_kept_is_refused_before_anything_is_sent,
];

async fn a_folder_of_pages_is_served_without_a_containerfile_and_can_be_ejected(bed: Arc<Bed>) -> Result<()> {
    let app = bed.folder("pages")?;
    app.write("wisehosting.toml", "app = \"pages\"\n[build]\nfolder = \"site\"\n")?;
    app.write("site/index.html", "by a preset")?;
    app.write("site/404.html", "not here")?;
    app.write("site/.env", "SECRET=1")?;
    bed.deploy(&app).await?;
    bed.serves(&app, |page| page == "by a preset").await?;
    for path in ["/no/such/page", "/.env", "/wisehosting.toml"] {
        let answer = bed.cluster.https(&app.host(), path).await?;
        ensure!(
            answer.status == 404 && answer.text() == "not here",
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
    }

    let deployment = bed.wh_json(&app.folder, &["deployments", "show"]).await?;
    ensure!(deployment["recipe"]["preset"] == "static", "{deployment}");
    let containerfile = bed.run_wh(&app.folder, &["deployments", "show", "--containerfile"]).await?;
    ensure!(containerfile.contains("EXPOSE 8080"), "{containerfile}");
    let log = bed.build_log(deployment["id"].as_str().unwrap_or_default()).await?;
    ensure!(log.iter().any(|line| line.starts_with("Building with the preset static")), "{log:#?}");
    ensure!(log.iter().any(|line| line == "  | EXPOSE 8080"), "{log:#?}");

    bed.run_wh(&app.folder, &["init", "--eject"]).await?;
    let ejected = std::fs::read_to_string(app.folder.join("site/Containerfile"))?;
    ensure!(ejected.trim_end() == containerfile.trim_end(), "{ejected}");
    app.write("site/index.html", "by its own file")?;
    bed.run_wh(&app.folder, &["deploy", "--no-cache"]).await?;
    bed.serves(&app, |page| page == "by its own file").await?;
    let deployment = bed.wh_json(&app.folder, &["deployments", "show"]).await?;
    ensure!(deployment["recipe"].is_null(), "{deployment}");
    let log = bed.build_log(deployment["id"].as_str().unwrap_or_default()).await?;
    ensure!(!log.iter().any(|line| line.contains("Using cache")), "{log:#?}");
    Ok(())
}

async fn a_source_that_no_preset_fits_says_what_was_looked_for(bed: Arc<Bed>) -> Result<()> {
    let app: App = bed.folder("unknown")?;
    app.write("wisehosting.toml", "app = \"unknown\"\n")?;
    app.write("README.md", "nothing to build")?;
    let output = bed.try_wh(&app.folder, &["deploy"]).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2), "{said}");
    ensure!(said.contains("no preset fits: it has README.md") && said.contains("package.json"), "{said}");
    Ok(())
}

async fn a_site_names_its_folder_and_a_rule_that_cannot_be_kept_is_refused_before_anything_is_sent(
    bed: Arc<Bed>,
) -> Result<()> {
    let app = bed.folder("handbook")?;
    app.write("wisehosting.toml", "app = \"handbook\"\n[build]\npublish = \"out/html\"\n")?;
    app.write("out/html/index.html", "the published one")?;
    app.write("index.html", "another one")?;
    bed.deploy(&app).await?;
    bed.serves(&app, |page| page == "the published one").await?;

    app.write("out/html/_redirects", "/old /new\n/a /b;} 302\n")?;
    let output = bed.try_wh(&app.folder, &["deploy"]).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2), "{said}");
    ensure!(said.contains("out/html/_redirects line 2: the address has the character `}`"), "{said}");
    Ok(())
}
