//! What an app's owner does from day to day: look, go back, change variables, read the log.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::report::until;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::bed::{App, Bed, SOON};
use crate::runner::tests;

tests![
    a_rollback_serves_the_old_page_without_a_build,
    a_variable_makes_a_release_and_the_app_sees_it,
    a_staged_change_is_planned_and_applied_without_a_build,
    long settings_change_in_the_words_of_the_file_without_a_build,
    the_log_of_an_app_follows_its_requests,
    nodes_instances_and_releases_are_listed,
];

async fn a_rollback_serves_the_old_page_without_a_build(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("back", "one", "")?;
    bed.deploy(&app).await?;
    app.write("www/index.html", "two")?;
    bed.deploy(&app).await?;
    bed.serves(&app, |page| page == "two").await?;

    let start = Instant::now();
    let rollback = bed.wh_json(&app.folder, &["rollback", "--detach"]).await?;
    bed.serves(&app, |page| page == "one").await?;
    println!("     the first old page came after {:.2} s", start.elapsed().as_secs_f64());

    let rollback = bed.ended(text(&rollback, "id")?).await?;
    ensure!(rollback["kind"] == "rollback" && rollback["state"] == "live", "{rollback}");
    let stages = rollback["stages"].as_array().context("no stages")?;
    let build = stages.iter().find(|stage| stage["stage"] == "build");
    ensure!(build.is_none_or(|build| build["started_at"].is_null()), "it built: {rollback}");
    Ok(())
}

async fn a_variable_makes_a_release_and_the_app_sees_it(bed: Arc<Bed>) -> Result<()> {
    let app = bed.source(
        "greeter",
        "FROM busybox\nCOPY --chmod=755 index.cgi /www/cgi-bin/\nUSER nobody\nCMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n",
    )?;
    app.write("index.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n%s' \"$GREETING\"\n")?;
    bed.deploy(&app).await?;
    bed.run_wh(&app.folder, &["env", "set", "GREETING=good morning, \"you\" & 'all'"]).await?;
    bed.serves(&app, |page| page == "good morning, \"you\" & 'all'").await?;
    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    ensure!(releases[0]["number"] == 2 && releases[0]["current"] == true, "{releases}");
    ensure!(releases[0]["image"]["id"] == releases[1]["image"]["id"], "another image: {releases}");

    let listed = bed.wh_json(&app.folder, &["env"]).await?;
    ensure!(listed["variables"][0]["name"] == "GREETING", "{listed}");
    ensure!(listed["variables"][0]["value"].is_null(), "shown without being asked for: {listed}");
    let revealed = bed.run_wh(&app.folder, &["env", "ls", "--reveal"]).await?;
    ensure!(revealed.contains("good morning"), "{revealed}");
    Ok(())
}

async fn a_staged_change_is_planned_and_applied_without_a_build(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("staged", "here", "")?;
    bed.deploy(&app).await?;
    bed.run_wh(&app.folder, &["env", "set", "TOKEN=hunter2", "--stage"]).await?;
    let plan = bed.run_wh(&app.folder, &["plan"]).await?;
    ensure!(plan.trim() == "+ variable TOKEN", "{plan}");
    let applied = bed.wh_json(&app.folder, &["apply"]).await?;
    ensure!(applied["kind"] == "settings" && applied["state"] == "live", "{applied}");

    let plan = bed.wh_json(&app.folder, &["plan"]).await?;
    ensure!(plan["release"] == 2 && plan["changes"].as_array().is_some_and(Vec::is_empty), "{plan}");
    let compared = bed.wh_json(&app.folder, &["releases", "diff", "1"]).await?;
    let changes = compared["changes"].as_array().context("no changes")?;
    ensure!(changes.len() == 1 && changes[0]["field"] == "variables.TOKEN", "{compared}");
    ensure!(!compared.to_string().contains("hunter2"), "{compared}");
    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    ensure!(releases[0]["image"]["id"] == releases[1]["image"]["id"], "another image: {releases}");
    Ok(())
}

async fn settings_change_in_the_words_of_the_file_without_a_build(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("sized", "here", "")?;
    bed.deploy(&app).await?;
    bed.run_wh(&app.folder, &["resize", "--memory", "96M"]).await?;
    let plan = bed.wh_json(&app.folder, &["plan"]).await?;
    ensure!(plan["changes"][0]["field"] == "resources.memory_mb", "{plan}");
    ensure!(plan["preview"]["downtime"] == false, "{plan}");
    let steps = plan["preview"]["steps"].as_array().context("no steps")?;
    ensure!(steps.iter().any(|step| step == "go live"), "{plan}");

    let file = std::fs::read_to_string(app.folder.join("wisehosting.toml"))?;
    app.write("wisehosting.toml", &(file + "[resources]\npids = 128\n"))?;
    let plan = bed.run_wh(&app.folder, &["plan"]).await?;
    ensure!(plan.contains("wisehosting.toml: resources.pids 512 → 128"), "{plan}");
    let applied = bed.wh_json(&app.folder, &["apply", "-m", "smaller"]).await?;
    ensure!(applied["kind"] == "settings" && applied["state"] == "live", "{applied}");
    ensure!(applied["message"] == "smaller" && applied["from_release"] == 1, "{applied}");
    let settings = bed.wh_json(&app.folder, &["settings"]).await?;
    ensure!(settings["resources.memory_mb"] == 96 && settings["resources.pids"] == 128, "{settings}");
    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    ensure!(releases[0]["image"]["id"] == releases[1]["image"]["id"], "another image: {releases}");
    ensure!(releases[0]["origin"]["message"] == "smaller", "{releases}");
    Ok(())
}

async fn the_log_of_an_app_follows_its_requests(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("talker", "listen", "")?;
    bed.deploy(&app).await?;
    let mut follow = bed.wh(&app.folder, &["logs", "-f", "--json"])?;
    let mut child = follow.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    bed.cluster.https(&app.host(), "/a-page-nobody-else-asks-for").await?;
    let found = async {
        while let Some(line) = lines.next_line().await? {
            let line: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
            if text(&line, "text")?.contains("/a-page-nobody-else-asks-for") {
                return Ok(line);
            }
        }
        anyhow::bail!("`wh logs -f` ended")
    };
    let line = tokio::time::timeout(SOON, found).await.context("the line did not come")??;
    ensure!(line["release"] == 1 && line["stream"] == "stderr", "{line}");
    child.kill().await?;
    Ok(())
}

async fn nodes_instances_and_releases_are_listed(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("listed", "here", "")?;
    bed.deploy(&app).await?;
    the_only_instance_is_healthy(&bed, &app).await?;
    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    ensure!(releases.as_array().is_some_and(|all| all.len() == 1), "{releases}");
    ensure!(releases[0]["image"]["size_bytes"].as_u64().is_some_and(|size| size > 0), "{releases}");
    let nodes = bed.wh_json(&app.folder, &["node", "ls"]).await?;
    let names: Vec<_> = nodes.as_array().context("no list")?.iter().map(|node| &node["name"]).collect();
    for name in ["w1", "w2", "proxy"] {
        ensure!(names.iter().any(|&known| known == name), "no {name} in {nodes}");
    }
    for words in [&["ps"][..], &["releases"], &["node", "ls"], &["apps"], &["deployments"]] {
        let table = bed.run_wh(&app.folder, words).await?;
        ensure!(table.lines().count() >= 2, "wh {}: {table}", words.join(" "));
        ensure!(!table.contains("null") && !table.contains('\u{1b}'), "wh {}: {table}", words.join(" "));
    }
    Ok(())
}

/// Two are kept here.
async fn the_only_instance_is_healthy(bed: &Bed, app: &App) -> Result<()> {
    until("a healthy instance", SOON, || async {
        let instances = bed.wh_json(&app.folder, &["ps"]).await?;
        ensure!(instances.as_array().is_some_and(|all| all.len() == 1), "{instances}");
        let one = &instances[0];
        ensure!(one["state"] == "healthy" && one["in_rotation"] == true && one["wanted"] == true, "{one}");
        ensure!(one["node"]["name"].as_str().is_some_and(|name| name.starts_with('w')), "{one}");
        Ok(Some(()))
    })
    .await
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no {key} in {value}"))
}
