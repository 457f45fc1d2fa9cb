//! Apps that end by themselves.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use testbed::report::until;

use crate::bed::{App, Bed, MINUTE};
use crate::runner::tests;

tests![long an_app_that_crashes_again_and_again_is_stopped_says_why_and_can_be_restarted];

/// Serves until somebody asks for `/cgi-bin/break`, and from then on ends a moment after each start.
const FRAGILE: &str = r#"FROM docker.io/library/busybox:stable
RUN mkdir -p /www/cgi-bin /state && chmod 777 /state && echo whole > /www/index.html \
 && printf '#!/bin/sh\ntouch /state/broken\nprintf "\\n"\n' > /www/cgi-bin/break && chmod +x /www/cgi-bin/break
USER nobody
CMD ["sh", "-c", "httpd -p 8080 -h /www; while [ ! -e /state/broken ]; do sleep 0.2; done; sleep 1.5; echo the flux has gone; exit 3"]
"#;

async fn an_app_that_crashes_again_and_again_is_stopped_says_why_and_can_be_restarted(
    bed: Arc<Bed>,
) -> Result<()> {
    let app = bed.source("fragile", FRAGILE)?;
    let settings = std::fs::read_to_string(app.folder.join("wisehosting.toml"))?;
    app.write("wisehosting.toml", &format!("{settings}[crash_guard]\nrestarts = 2\n"))?;
    bed.deploy(&app).await?;
    // The answer may be cut off by the end that it asks for.
    let _ = bed.cluster.https(&app.host(), "/cgi-bin/break").await;

    let shown = until("the crash guard", MINUTE, || async {
        let shown = info(&bed, &app).await?;
        Ok((shown["status"] == "crash-looping").then_some(shown))
    })
    .await?;
    let failure = &shown["failure"];
    ensure!(failure["code"] == "crash_looping" && failure["exit_code"] == 3, "{failure}");
    let lines = failure["last_lines"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(lines.iter().any(|line| line == "the flux has gone"), "{failure}");
    ensure!(instances(&bed, &app).await?[0]["restarts"] == 2, "the setting says two restarts");
    bed.fails(&app).await?;
    let audit = bed.cluster.api()?.get("/audit").await?;
    let told = audit["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|event| event["action"] == "app.crash-loop" && event["target"] == "app:fragile");
    ensure!(told.count() == 1, "{audit}");

    // The next pause would have been of 4 s.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let still = instances(&bed, &app).await?;
    ensure!(still[0]["restarts"] == 2 && still[0]["state"] == "failed", "it started again: {still}");

    bed.run_wh(&app.folder, &["restart"]).await?;
    bed.serves(&app, |page| page == "whole\n").await?;
    let shown = info(&bed, &app).await?;
    ensure!(shown["status"] == "running" && shown["failure"].is_null(), "{shown}");
    Ok(())
}

async fn info(bed: &Bed, app: &App) -> Result<Value> {
    bed.wh_json(&app.folder, &["apps", "info"]).await
}

async fn instances(bed: &Bed, app: &App) -> Result<Value> {
    bed.wh_json(&app.folder, &["ps"]).await
}
