//! Hosts are lost for good, or nearly: what ran there runs elsewhere, and never twice where it must not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::report::until;
use testbed::software;
use testbed::topology::{CONTROL_PLANE, W1};

use crate::bed::{App, Bed, MINUTE, SOON};
use crate::runner::tests;
use crate::visitors::Visitors;

tests![
    a_worker_that_loses_power_under_load_costs_the_requests_under_way,
    long an_app_that_is_pinned_to_a_lost_worker_waits_and_says_so,
    long an_exclusive_app_comes_back_from_a_reboot_only_with_the_control_plane,
    long an_agent_that_is_killed_again_and_again_loses_nothing,
    what_is_broken_or_strange_on_a_worker_is_put_right_and_told,
    long apps_serve_while_postgres_is_away_and_the_control_plane_is_cut_off,
    long two_sides_of_a_cut_never_both_run_an_exclusive_app,
];

async fn a_worker_that_loses_power_under_load_costs_the_requests_under_way(bed: Arc<Bed>) -> Result<()> {
    let app = placed(&bed, "survivor", &["run.replicas=2", "placement.grace_s=5"]).await?;
    on(&bed, &app, &["w1", "w2"]).await?;
    let crowd: Vec<Visitors> = (0..4).map(|_| Visitors::come(&bed, &app)).collect();
    crowd[0].make(20).await?;
    let lost = Instant::now();
    bed.cluster.power_off(W1.name)?;
    until("both replicas on the other worker", 4 * MINUTE, || async {
        Ok((nodes(&bed, &app).await? == ["w2", "w2"]).then_some(()))
    })
    .await?;
    let whole = lost.elapsed();
    let (mut answered, mut failures) = (0, Vec::new());
    for visitors in crowd {
        let seen = visitors.leave().await?;
        answered += seen.pages.values().sum::<u64>();
        failures.extend(seen.failures);
    }
    println!(
        "     {} of {} requests failed; full replicas after {:.0} s",
        failures.len(),
        answered + failures.len() as u64,
        whole.as_secs_f64()
    );
    ensure!(failures.len() <= 4, "more than were under way: {failures:?}");
    bed.cluster.power_on(W1.name)?;
    bed.online(W1.name).await?;
    // What ran there ends; nothing of it serves again.
    until("one instance too few on w1", 2 * SOON, || async {
        Ok((containers(&bed, W1.name, &app)?.is_empty() && nodes(&bed, &app).await? == ["w2", "w2"])
            .then_some(()))
    })
    .await
}

async fn an_app_that_is_pinned_to_a_lost_worker_waits_and_says_so(bed: Arc<Bed>) -> Result<()> {
    let app = placed(&bed, "faithful", &["placement.pin=w1", "placement.grace_s=5"]).await?;
    on(&bed, &app, &["w1"]).await?;
    let before = instances(&bed, &app).await?;
    bed.cluster.power_off(W1.name)?;
    let waits = until("the app says what it waits for", 2 * MINUTE, || async {
        let shown = bed.wh_json(&app.folder, &["apps", "info"]).await?;
        Ok(shown["waits_for"]["why"].as_str().map(str::to_owned))
    })
    .await?;
    ensure!(waits == "no worker can take it (w1: offline; w2: not w1, its only node)", "{waits}");
    let shown = bed.run_wh(&bed.root, &["node", "show", W1.name]).await?;
    ensure!(shown.contains("faithful") && shown.contains("its only node"), "{shown}");
    bed.cluster.power_on(W1.name)?;
    bed.serves(&app, |page| page == "faithful").await?;
    until("it waits no more", SOON, || async {
        Ok(bed.wh_json(&app.folder, &["apps", "info"]).await?["waits_for"].is_null().then_some(()))
    })
    .await?;
    on(&bed, &app, &["w1"]).await?;
    ensure!(instances(&bed, &app).await? == before, "it was placed anew where it was");
    Ok(())
}

/// Writes the time since the machine's start, which all hosts here share, as often as it can.
const WRITER: &str = "FROM docker.io/library/busybox:stable\nCOPY www /www\nCMD [\"sh\", \"-c\", \"while :; do read up rest < /proc/uptime; echo at $up; sleep 0.05; done & exec httpd -f -p 8080 -h /www\"]\n";

async fn two_sides_of_a_cut_never_both_run_an_exclusive_app(bed: Arc<Bed>) -> Result<()> {
    let app = bed.source("writer", WRITER)?;
    app.write("www/index.html", "writer")?;
    set_up(&bed, &app, &["run.exclusive=true", "placement.pin=w1", "placement.grace_s=5"]).await?;
    bed.deploy(&app).await?;
    bed.run_wh(&app.folder, &["settings", "set", "placement.pin="]).await?;
    let refused = bed.try_wh(&app.folder, &["scale", "2"]).await?;
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.contains("an exclusive app has one instance, not 2"), "{refused}");
    // Nobody can hand the image over once its builder is cut off.
    let releases = bed.wh_json(&app.folder, &["releases"]).await?;
    let image = releases[0]["image"]["id"].as_str().context("no image")?;
    until("a copy of the image on w2", MINUTE, || async {
        let held = run(&bed, "w2", &["podman", "images", "--quiet", "--no-trunc"])?;
        Ok(held.contains(image).then_some(()))
    })
    .await?;
    let cut = Instant::now();
    bed.cluster.cut(W1.name)?;
    until("the writer on the other side", 4 * MINUTE, || async {
        Ok((!containers(&bed, "w2", &app)?.is_empty()).then_some(()))
    })
    .await?;
    let taken_over = cut.elapsed();
    bed.serves(&app, |page| page == "writer").await?;
    ensure!(containers(&bed, W1.name, &app)?.is_empty(), "it runs on both sides");
    let before = written(&bed, W1.name, &app)?;
    // What it did meanwhile it knows although it lost its power before it could tell anybody.
    bed.cluster.power_off(W1.name)?;
    bed.cluster.power_on(W1.name)?;
    bed.cluster.heal(W1.name)?;
    bed.online(W1.name).await?;
    let fenced = "stopped an exclusive instance, because its lease was over";
    until("the node says what it did", SOON, || async {
        let put_right = bed.run_wh(&app.folder, &["node", "corrections", W1.name]).await?;
        ensure!(put_right.contains(fenced) && put_right.contains(&app.name), "{put_right}");
        Ok(Some(()))
    })
    .await?;
    let activity = bed.cluster.api()?.get("/apps/writer/activity").await?;
    let told = format!("w1 {fenced}: the control plane had not renewed it in time");
    ensure!(says(&activity, |said| said == told), "{activity}");
    ensure!(containers(&bed, W1.name, &app)?.is_empty(), "it runs again where it was");
    let after = written(&bed, "w2", &app)?;
    let (last, first) = (before.last().context("w1 never wrote")?, after.first().context("w2 never wrote")?);
    println!(
        "     {} lines by the one, {} by the other, {:.1} s without a writer; elsewhere {:.0} s after the cut",
        before.len(),
        after.len(),
        first - last,
        taken_over.as_secs_f64()
    );
    ensure!(last < first, "w1 wrote until {last}, w2 from {first}");
    ensure!(after.last() > after.first(), "w2 writes no more");
    Ok(())
}

/// As the test bed's control plane grants it: nothing starts in its second half.
const LEASE: Duration = Duration::from_secs(10);

async fn an_exclusive_app_comes_back_from_a_reboot_only_with_the_control_plane(bed: Arc<Bed>) -> Result<()> {
    let only = placed(&bed, "careful", &["run.exclusive=true"]).await?;
    let any = placed(&bed, "careless", &["run.replicas=2"]).await?;
    let cp = bed.cluster.host(CONTROL_PLANE.name)?;
    cp.stop_process(software::CONTROL_PLANE)?;
    for host in ["w1", "w2"] {
        bed.cluster.power_off(host)?;
    }
    // A lease ends with the host's run. The hosts here share the machine's, so what is left of it is to be too little for
    // a start.
    tokio::time::sleep(LEASE / 2).await;
    let began = Instant::now();
    for host in ["w1", "w2"] {
        bed.cluster.power_on(host)?;
    }
    bed.serves(&any, |page| page == "careless").await?;
    println!(
        "     without a control plane apps serve {:.1} s after both workers were rebooted",
        began.elapsed().as_secs_f64()
    );
    for host in ["w1", "w2"] {
        ensure!(containers(&bed, host, &only)?.is_empty(), "it runs on {host} without a lease");
    }
    cp.start_process(software::CONTROL_PLANE)?;
    bed.serves(&only, |page| page == "careful").await?;
    for host in ["w1", "w2"] {
        bed.online(host).await?;
    }
    Ok(())
}

/// Of each agent.
const KILLS: u32 = 12;

async fn an_agent_that_is_killed_again_and_again_loses_nothing(bed: Arc<Bed>) -> Result<()> {
    let app = placed(&bed, "stoic", &["run.replicas=2"]).await?;
    on(&bed, &app, &["w1", "w2"]).await?;
    let before = (containers(&bed, "w1", &app)?, containers(&bed, "w2", &app)?);
    let crowd: Vec<Visitors> = (0..4).map(|_| Visitors::come(&bed, &app)).collect();
    for round in 0..KILLS {
        for host in ["w1", "w2"] {
            bed.cluster.host(host)?.kill_process(software::WORKER)?;
        }
        tokio::time::sleep(Duration::from_millis(u64::from(round % 4) * 700)).await;
    }
    for host in ["w1", "w2"] {
        bed.online(host).await?;
    }
    crowd[0].make(20).await?;
    for visitors in crowd {
        visitors.leave_content().await?;
    }
    let after = (containers(&bed, "w1", &app)?, containers(&bed, "w2", &app)?);
    ensure!(before == after && before.0.len() == 1 && before.1.len() == 1, "{before:?}, then {after:?}");
    on(&bed, &app, &["w1", "w2"]).await?;
    println!("     {} kills, the same two containers", 2 * KILLS);
    Ok(())
}

async fn what_is_broken_or_strange_on_a_worker_is_put_right_and_told(bed: Arc<Bed>) -> Result<()> {
    let app = placed(&bed, "mended", &["placement.pin=w1"]).await?;
    let container = containers(&bed, "w1", &app)?.pop().context("no container")?;
    run(&bed, "w1", &["podman", "rm", "--force", "--time=0", &container])?;
    let again = until("another container", SOON, || async {
        Ok(containers(&bed, "w1", &app)?.pop().filter(|now| *now != container))
    })
    .await?;
    bed.serves(&app, |page| page == "mended").await?;
    let image = run(&bed, "w1", &["podman", "inspect", "--format", "{{.Image}}", &again])?;
    // Noticed together with the next event on the host, else within half a minute.
    run(&bed, "w1", &["podman", "update", "--memory=77m", "--memory-swap=77m", &again])?;
    let stranger = "00000000-0000-7000-8000-000000000001";
    let label = format!("wisehosting.instance={stranger}");
    let words = ["podman", "run", "--detach", "--name=stranger", "--label", &label, "--network=none", &image];
    run(&bed, "w1", &[&words[..], &["sleep", "1000"]].concat())?;
    let strays = until("the stray is stopped and told", MINUTE, || async {
        let strays = bed.wh_json(&bed.root, &["node", "strays", "w1"]).await?;
        Ok(strays[0]["state"].as_str().is_some_and(|state| state == "exited").then_some(strays))
    })
    .await?;
    ensure!(strays[0]["name"] == "stranger" && strays[0]["remove_at"].is_string(), "{strays}");
    let shown = bed.run_wh(&bed.root, &["node", "show", "w1"]).await?;
    ensure!(shown.contains("1 containers that nobody knows"), "{shown}");
    run(&bed, "w1", &["podman", "inspect", "stranger"])?;
    let activity = bed.cluster.api()?.get("/apps/mended/activity").await?;
    let gone = "w1 made an instance again: its container was gone";
    ensure!(says(&activity, |said| said == gone), "{activity}");
    let limited = "w1 set the limits of an instance again: its limit of memory was 77 MiB, not ";
    until("the limit as it was", MINUTE, || async {
        let activity = bed.cluster.api()?.get("/apps/mended/activity").await?;
        Ok(says(&activity, |said| said.starts_with(limited)).then_some(()))
    })
    .await?;
    ensure!(containers(&bed, "w1", &app)? == [again.clone()], "it was made again for a limit");
    let network = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}";
    let network = run(&bed, "w1", &["podman", "inspect", "--format", network, &again])?;
    run(&bed, "w1", &["podman", "network", "disconnect", &network, &again])?;
    run(&bed, "w1", &["podman", "rm", "--force", "--time=0", "stranger"])?;
    let cut_off = "w1 made an instance again: it was not in the network of its project";
    until("an instance that can be reached", MINUTE, || async {
        let activity = bed.cluster.api()?.get("/apps/mended/activity").await?;
        Ok(says(&activity, |said| said == cut_off).then_some(()))
    })
    .await?;
    bed.serves(&app, |page| page == "mended").await?;
    until("it is forgotten", MINUTE, || async {
        let strays = bed.wh_json(&bed.root, &["node", "strays", "w1"]).await?;
        Ok(strays.as_array().is_some_and(Vec::is_empty).then_some(()))
    })
    .await
}

async fn apps_serve_while_postgres_is_away_and_the_control_plane_is_cut_off(bed: Arc<Bed>) -> Result<()> {
    let app = placed(&bed, "unimpressed", &["run.replicas=2", "placement.grace_s=5"]).await?;
    on(&bed, &app, &["w1", "w2"]).await?;
    let ids = instances(&bed, &app).await?;
    let visitors = Visitors::come(&bed, &app);
    let cp = bed.cluster.host(CONTROL_PLANE.name)?;
    cp.stop_process(software::POSTGRES)?;
    visitors.make(300).await?;
    cp.start_process(software::POSTGRES)?;
    for host in ["w1", "w2", "proxy"] {
        bed.online(host).await?;
    }
    bed.cluster.cut(CONTROL_PLANE.name)?;
    until("nobody there, as the control plane sees it", 2 * MINUTE, || async {
        let nodes = bed.cluster.api()?.get("/nodes").await?;
        let gone =
            |one: &&Value| ["offline", "unreachable"].contains(&one["status"].as_str().unwrap_or_default());
        let gone = nodes["items"].as_array().into_iter().flatten().filter(gone).count();
        Ok((gone >= 3).then_some(()))
    })
    .await?;
    // Longer than the app waits for its nodes.
    tokio::time::sleep(Duration::from_secs(8)).await;
    visitors.make(20).await?;
    let healed = Instant::now();
    bed.cluster.heal(CONTROL_PLANE.name)?;
    for host in ["w1", "w2", "proxy"] {
        bed.online(host).await?;
    }
    println!("     all nodes are back {:.0} s after the control plane is", healed.elapsed().as_secs_f64());
    tokio::time::sleep(Duration::from_secs(10)).await;
    visitors.leave_content().await?;
    // Until all have been told of again some are unknown, which is an error.
    until("the instances of before", MINUTE, || async {
        let now = instances(&bed, &app).await?;
        ensure!(now == ids, "some were placed anew although only the control plane was cut off");
        Ok(Some(()))
    })
    .await
}

/// Whether one of an app's events says so.
fn says(activity: &Value, like: impl Fn(&str) -> bool) -> bool {
    let items = activity["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().any(|one| one["text"].as_str().is_some_and(&like))
}

/// An app that shows its name and has these settings.
async fn placed(bed: &Bed, name: &str, settings: &[&str]) -> Result<App> {
    let app = bed.page(name, name, "")?;
    set_up(bed, &app, settings).await?;
    bed.deploy(&app).await?;
    Ok(app)
}

async fn set_up(bed: &Bed, app: &App, settings: &[&str]) -> Result<()> {
    bed.run_wh(&app.folder, &["apps", "create", &app.name]).await?;
    bed.run_wh(&app.folder, &[&["settings", "set"], settings].concat()).await?;
    Ok(())
}

async fn listed(bed: &Bed, app: &App) -> Result<Vec<Value>> {
    let instances = bed.wh_json(&app.folder, &["ps"]).await?;
    let all = instances.as_array().cloned().unwrap_or_default();
    Ok(all.into_iter().filter(|one| one["in_rotation"] == true).collect())
}

/// Names of the nodes of those that are in rotation and healthy.
async fn nodes(bed: &Bed, app: &App) -> Result<Vec<String>> {
    let all = listed(bed, app).await?;
    let healthy = all.iter().filter(|one| one["state"] == "healthy");
    let mut nodes: Vec<String> =
        healthy.filter_map(|one| Some(one["node"]["name"].as_str()?.to_owned())).collect();
    nodes.sort_unstable();
    Ok(nodes)
}

async fn instances(bed: &Bed, app: &App) -> Result<BTreeMap<String, String>> {
    let all = listed(bed, app).await?;
    let one = |one: &Value| Some((one["id"].as_str()?.to_owned(), one["node"]["name"].as_str()?.to_owned()));
    Ok(all.iter().filter_map(one).collect())
}

async fn on(bed: &Bed, app: &App, wanted: &[&str]) -> Result<()> {
    until("instances at their places", SOON * 2, || async {
        Ok((nodes(bed, app).await? == wanted).then_some(()))
    })
    .await
}

/// The app's containers that run on the host, as Podman there says.
fn containers(bed: &Bed, host: &str, app: &App) -> Result<Vec<String>> {
    let label = format!("label=wisehosting.app={}", app.name);
    let found = run(bed, host, &["podman", "ps", "--quiet", "--no-trunc", "--filter", &label])?;
    Ok(found.lines().map(str::to_owned).collect())
}

/// When the app's containers on the host wrote, running or not.
fn written(bed: &Bed, host: &str, app: &App) -> Result<Vec<f64>> {
    let label = format!("label=wisehosting.app={}", app.name);
    let all = run(bed, host, &["podman", "ps", "--all", "--quiet", "--filter", &label])?;
    let mut times = Vec::new();
    for container in all.lines() {
        let log = run(bed, host, &["podman", "logs", container])?;
        times.extend(log.lines().filter_map(|line| line.strip_prefix("at ")?.parse::<f64>().ok()));
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// What a command prints on the host.
fn run(bed: &Bed, host: &str, words: &[&str]) -> Result<String> {
    let output = bed.cluster.exec(host, words)?;
    ensure!(output.status.success(), "{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
