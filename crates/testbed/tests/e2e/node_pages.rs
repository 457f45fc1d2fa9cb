//! What a node tells of itself: numbers, containers of others, images that can go, and its agents' logs.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::report::until;

use crate::bed::{Bed, MINUTE};
use crate::runner::tests;

tests![
    hosts_tell_how_they_are_doing,
    long what_others_left_is_shown_and_cleaned_up_as_shown,
    agents_tell_their_logs
];

async fn hosts_tell_how_they_are_doing(bed: Arc<Bed>) -> Result<()> {
    let begin = Instant::now();
    until("numbers of every host", MINUTE, || async {
        let nodes = bed.wh_json(&bed.root, &["node", "ls"]).await?;
        for node in nodes.as_array().context("no list")? {
            let (now, name) = (&node["numbers"], &node["name"]);
            ensure!(now.is_object(), "{name} has told nothing");
            let memory = &now["memory"];
            ensure!(
                memory["used_bytes"].as_u64() > Some(0)
                    && memory["used_bytes"].as_u64() <= memory["total_bytes"].as_u64(),
                "{now}"
            );
            ensure!(now["cpu_percent"].as_f64().is_some_and(|cpu| (0.0..=100.0).contains(&cpu)), "{now}");
            ensure!(now["received_per_s"].is_u64() && now["uptime_s"].as_u64() > Some(0), "{now}");
        }
        Ok(Some(()))
    })
    .await?;
    until("a stored minute of w1", 2 * MINUTE, || async {
        let series = bed.wh_json(&bed.root, &["node", "stats", "w1", "--range", "1h"]).await?;
        let points = series["points"].as_array().context("no points")?;
        let point = points.first().context("none yet")?;
        ensure!(point["root"]["total_bytes"].as_u64() > Some(0), "{point}");
        Ok(Some(()))
    })
    .await?;
    println!("numbers of all hosts, and a minute of w1 after {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn podman(bed: &Bed, words: &[&str]) -> Result<String> {
    let output = bed.cluster.exec("w1", &[&["podman"], words].concat())?;
    ensure!(output.status.success(), "podman {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// An image that somebody made here by hand.
fn foreign(bed: &Bed, name: &str) -> Result<String> {
    let script = format!(
        "mkdir -p /tmp/{name} && head -c 300000 /dev/urandom > /tmp/{name}/data \
         && tar -C /tmp/{name} -c . | podman import - docker.io/library/{name}:1 && rm -r /tmp/{name}"
    );
    let output = bed.cluster.exec("w1", &["sh", "-c", &script])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    podman(bed, &["image", "inspect", "--format", "{{.Id}}", &format!("docker.io/library/{name}:1")])
        .map(|id| format!("sha256:{}", id.trim_start_matches("sha256:")))
}

async fn what_others_left_is_shown_and_cleaned_up_as_shown(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("kept-app", "an app whose image stays", "")?;
    bed.deploy(&app).await?;
    let (used, unused) = (foreign(&bed, "used-by-hand")?, foreign(&bed, "left-by-hand")?);
    podman(
        &bed,
        &[
            "create",
            "--name",
            "by-hand",
            "--env",
            "PASSWORD=hunter2-hunter2",
            "docker.io/library/used-by-hand:1",
            "/true",
        ],
    )?;
    until("the container of others", 2 * MINUTE, || async {
        let storage = bed.wh_json(&bed.root, &["node", "storage", "w1"]).await?;
        let all = storage["containers"].as_array().context("no containers")?;
        let one = all.iter().find(|one| one["name"] == "by-hand").context("not told yet")?;
        ensure!(one["image"] == "docker.io/library/used-by-hand:1" && one["state"] == "created", "{one}");
        ensure!(!storage.to_string().contains("hunter2"), "its environment is told");
        ensure!(all.len() == 1, "ours are told as others': {storage}");
        Ok(Some(()))
    })
    .await?;
    let ids = |preview: &Value| -> Vec<String> {
        let images = preview["images"].as_array();
        images.into_iter().flatten().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect()
    };
    let preview = bed.wh_json(&bed.root, &["node", "gc", "w1", "--dry-run"]).await?;
    let shown = ids(&preview);
    ensure!(shown.contains(&unused) && !shown.contains(&used), "{preview}");
    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    let ours = releases[0]["image"]["id"].as_str().context("no image")?.to_owned();
    ensure!(!shown.contains(&ours), "the image of a release would go: {preview}");
    ensure!(
        podman(&bed, &["images", "--quiet", "--no-trunc"])?.contains(&unused),
        "a preview removed something"
    );

    let begin = Instant::now();
    let done = bed.wh_json(&bed.root, &["node", "gc", "w1", "--yes"]).await?;
    ensure!(
        done["state"] == "done" && done["removed"].as_array().is_some_and(|all| all.len() == shown.len()),
        "{done}"
    );
    let left = podman(&bed, &["images", "--all", "--quiet", "--no-trunc"])?;
    ensure!(!left.contains(&unused) && left.contains(&used) && left.contains(&ours), "{left}");
    let history = bed.wh_json(&bed.root, &["node", "gc", "w1", "--history"]).await?;
    ensure!(history[0]["id"] == done["id"], "{history}");
    println!(
        "cleaned {} images, {} bytes, in {:.1} s",
        shown.len(),
        done["freed_bytes"],
        begin.elapsed().as_secs_f64()
    );
    bed.serves(&app, |page| page == "an app whose image stays").await?;
    podman(&bed, &["rm", "by-hand"])?;
    podman(&bed, &["rmi", "docker.io/library/used-by-hand:1"])?;
    Ok(())
}

async fn agents_tell_their_logs(bed: Arc<Bed>) -> Result<()> {
    for (node, agent, said) in [
        ("w1", "worker", "Podman answers"),
        ("w1", "mesh", "connected to the control plane"),
        ("proxy", "proxy", "health and metrics"),
    ] {
        let begin = Instant::now();
        let lines = bed.wh_json(&bed.root, &["node", "logs", node, "--agent", agent, "-n", "1000"]).await?;
        let lines = lines.as_array().context("no lines")?;
        let found = lines.iter().any(|line| line["text"].as_str().is_some_and(|text| text.contains(said)));
        ensure!(found, "the {agent} agent of {node} does not say `{said}`: {lines:?}");
        println!(
            "{} lines of the {agent} agent of {node} in {} ms",
            lines.len(),
            begin.elapsed().as_millis()
        );
    }
    let errors = bed.wh_json(&bed.root, &["node", "logs", "w1", "--level", "error"]).await?;
    let only = errors.as_array().context("no lines")?.iter().all(|line| line["level"] == "error");
    ensure!(only, "{errors}");
    let refused = bed.try_wh(&bed.root, &["node", "logs", "proxy", "--agent", "worker"]).await?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && said.contains("has no worker agent"), "{said}");
    Ok(())
}
