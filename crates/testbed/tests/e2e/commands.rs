//! Commands of a release, before it serves and after.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::report::until;
use testbed::software;

use crate::bed::{App, Bed, MINUTE, SOON};
use crate::runner::tests;
use crate::visitors::Visitors;

tests![
    commands_of_a_release_run_once_with_its_variables_and_a_bad_one_keeps_the_old_release,
    long a_command_goes_on_while_agent_and_control_plane_are_killed,
];

async fn commands_of_a_release_run_once_with_its_variables_and_a_bad_one_keeps_the_old_release(
    bed: Arc<Bed>,
) -> Result<()> {
    let app = commanded(
        &bed,
        "migrated",
        "echo before $WHERE in $WISEHOSTING_APP; test -e /www/index.html && ! test -e /www/broken",
        "echo after $WHERE; exit 4",
    )?;
    bed.run_wh(&app.folder, &["apps", "create", &app.name]).await?;
    bed.run_wh(&app.folder, &["env", "set", "WHERE=here"]).await?;
    bed.deploy(&app).await?;
    let live = until("the failure of the second command", SOON, || async {
        let newest = newest(&bed, &app).await?;
        Ok((!newest["failure"].is_null()).then_some(newest))
    })
    .await?;
    ensure!(live["state"] == "live" && live["failure"]["code"] == "post_deploy_failed", "{live}");
    ensure!(live["failure"]["exit_code"] == 4, "{live}");
    printed(&bed, &app, &["before here in migrated", "after here"]).await?;
    ensure!(bed.wh_json(&app.folder, &["ps"]).await?.as_array().is_some_and(|all| all.len() == 1));

    let visitors = Visitors::come(&bed, &app);
    app.write("www/broken", "")?;
    app.write("www/index.html", "second")?;
    let output = bed.try_wh(&app.folder, &["deploy"]).await?;
    ensure!(!output.status.success(), "it went live");
    let failed = newest(&bed, &app).await?;
    ensure!(failed["state"] == "failed" && failed["failure"]["code"] == "release_command_failed", "{failed}");
    let lines = failed["failure"]["last_lines"].as_array().context("no lines")?;
    ensure!(lines.iter().any(|line| line == "before here in migrated"), "{failed}");
    visitors.make(50).await?;
    visitors.leave_content().await?;
    bed.serves(&app, |page| page == "first").await?;
    printed(&bed, &app, &["before here in migrated", "after here", "before here in migrated"]).await
}

async fn a_command_goes_on_while_agent_and_control_plane_are_killed(bed: Arc<Bed>) -> Result<()> {
    let app = commanded(&bed, "stubborn", "echo begun; sleep 8; echo finished", "true")?;
    bed.run_wh(&app.folder, &["deploy", "--detach"]).await?;
    let begun = || async { Ok(lines(&bed, &app).await?.contains(&"begun".to_owned()).then_some(())) };
    until("the command", MINUTE, begun).await?;
    bed.cluster.host("cp")?.kill_process(software::CONTROL_PLANE)?;
    for host in ["w1", "w2"] {
        bed.cluster.host(host)?.kill_process(software::WORKER)?;
    }
    bed.serves(&app, |page| page == "first").await?;
    let ended = until("its end", MINUTE, || async {
        let newest = newest(&bed, &app).await?;
        Ok((!newest["finished_at"].is_null()).then_some(newest))
    })
    .await?;
    ensure!(ended["state"] == "live" && ended["failure"].is_null(), "{ended}");
    printed(&bed, &app, &["begun", "finished"]).await
}

/// A page with a command before each release and one after.
fn commanded(bed: &Bed, name: &str, before: &str, after: &str) -> Result<App> {
    let app = bed.page(name, "first", "")?;
    let settings = std::fs::read_to_string(app.folder.join("wisehosting.toml"))?;
    let commands = format!(
        "[deploy]\npre_command = [\"sh\", \"-c\", \"{before}\"]\npost_command = [\"sh\", \"-c\", \"{after}\"]\n"
    );
    app.write("wisehosting.toml", &settings.replace("[deploy]\n", &commands))?;
    Ok(app)
}

async fn newest(bed: &Bed, app: &App) -> Result<Value> {
    let all = bed.cluster.api()?.get(&format!("/apps/{}/deployments", app.name)).await?;
    let newest = all["items"][0]["id"].as_str().with_context(|| format!("no deployment: {all}"))?;
    bed.cluster.api()?.get(&format!("/deployments/{newest}")).await
}

/// What commands of the app printed, without what its server says of requests.
async fn lines(bed: &Bed, app: &App) -> Result<Vec<String>> {
    let log = bed.cluster.api()?.get(&format!("/apps/{}/logs?limit=1000", app.name)).await?;
    let lines = log["lines"].as_array().with_context(|| format!("no lines: {log}"))?;
    let texts = lines.iter().filter_map(|line| line["text"].as_str());
    let said =
        |text: &&str| ["before", "after", "begun", "finished"].iter().any(|word| text.starts_with(word));
    Ok(texts.filter(said).map(str::to_owned).collect())
}

/// Waits until exactly these lines are in the log.
async fn printed(bed: &Bed, app: &App, expected: &[&str]) -> Result<()> {
    until("the log", SOON, || async {
        let lines = lines(bed, app).await?;
        ensure!(lines == expected, "{lines:?}");
        Ok(Some(()))
    })
    .await
}
