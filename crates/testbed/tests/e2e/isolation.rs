//! What an app may do to its host and to its neighbours, through the whole system.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::report::until;

use crate::bed::{App, Bed, MINUTE};
use crate::runner::tests;

tests![long limits_of_an_app_hold_from_its_next_release_and_what_a_node_cannot_enforce_is_shown];

const LARGE: &str = "RUN dd if=/dev/zero of=/www/large bs=1M count=4";
/// Far below what the tunnels of a busy machine carry.
const MBIT: f64 = 4.0;

async fn limits_of_an_app_hold_from_its_next_release_and_what_a_node_cannot_enforce_is_shown(
    bed: Arc<Bed>,
) -> Result<()> {
    let app = bed.page("caged", "here", LARGE)?;
    bed.deploy(&app).await?;
    let free = download(&bed, &app).await?;
    let refused = bed.try_wh(&app.folder, &["settings", "set", "isolation.tmpfs=/proc/x=4"]).await?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && said.contains("kernel's"), "{said}");

    let limits = [
        "isolation.read_only=true",
        "isolation.tmpfs=/data=2",
        "isolation.disk_mb=50",
        "isolation.egress_mbit=4",
    ];
    bed.run_wh(&app.folder, &[&["settings", "set"], &limits[..]].concat()).await?;
    // They wait for a release.
    let plan = bed.run_wh(&app.folder, &["plan"]).await?;
    ensure!(plan.contains("root: writable → read-only") && plan.contains("4 Mbit/s"), "{plan}");
    run(&bed, &app, "exec", "touch /tmp/now").await?;
    bed.run_wh(&app.folder, &["apply"]).await?;
    bed.serves(&app, |page| page == "here").await?;

    for verb in ["exec", "run"] {
        let seen =
            run(&bed, &app, verb, "touch /x; touch /tmp/x /data/x && echo written; df -m /data | tail -n 1")
                .await?;
        ensure!(seen.contains("/x: Read-only file system") && seen.contains("written"), "{verb}: {seen}");
        ensure!(seen.contains(" 2 "), "{verb}: the folder has another size: {seen}");
        let status = run(&bed, &app, verb, "grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status").await?;
        let status: Vec<&str> = status.split_whitespace().collect();
        ensure!(
            status == ["CapBnd:", "00000000000004eb", "NoNewPrivs:", "1", "Seccomp:", "2"],
            "{verb}: {status:?}"
        );
    }
    let held = download(&bed, &app).await?;
    let rate = 4.0 * 1.048_576 * 8.0 / held.as_secs_f64();
    let ratio = held.as_secs_f64() / free.as_secs_f64();
    println!("isolation: {rate:.1} Mbit/s of {MBIT}, {ratio:.1} times as long as without a limit");
    ensure!(rate < MBIT * 1.15, "{rate:.1} Mbit/s");
    ensure!(ratio > 2.0, "{held:?} with a limit, {free:?} without");

    // The disks of the test bed have no quota: said, not pretended.
    let shown = until("the numbers", MINUTE, || async {
        let instances = bed.wh_json(&app.folder, &["ps"]).await?;
        Ok(instances
            .as_array()
            .and_then(|all| all.iter().find(|one| one["wanted"] == true && one["stats"]["pids"].is_u64()))
            .cloned())
    })
    .await?;
    let unenforced: Vec<&Value> = shown["unenforced"].as_array().into_iter().flatten().collect();
    ensure!(unenforced.len() == 1 && unenforced[0]["setting"] == "isolation.disk_mb", "{shown}");
    let node = shown["node"]["name"].as_str().context("no node")?;
    let node = bed.wh_json(&bed.root, &["node", "show", node]).await?;
    let enforced = &node["host"]["enforced"];
    for limit in ["memory", "cpu", "pids", "bandwidth"] {
        ensure!(enforced[limit]["by"].is_string(), "{limit}: {enforced}");
    }
    ensure!(enforced["disk"]["why_not"].is_string() && enforced["disk"]["by"].is_null(), "{enforced}");
    let used = bed.run_wh(&app.folder, &["ps", "--use"]).await?;
    ensure!(used.contains("of 4 Mbit/s") && used.contains("of 512 MiB"), "{used}");
    Ok(())
}

/// How long the large file takes over HTTPS.
async fn download(bed: &Bed, app: &App) -> Result<Duration> {
    let begun = Instant::now();
    let answer = bed.cluster.https(&app.host(), "/large").await?;
    ensure!(answer.status == 200, "{}", answer.status);
    Ok(begun.elapsed())
}

/// What a script prints, in the instance or in a container beside it.
async fn run(bed: &Bed, app: &App, verb: &str, script: &str) -> Result<String> {
    let output = bed.try_wh(&app.folder, &[verb, "--", "sh", "-c", script]).await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}
