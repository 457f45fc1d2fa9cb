//! Tunnels get other keys while they are used, and while hosts lose their power.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testbed::report::until;
use testbed::topology::{CONTROL_PLANE, PLACES, W1, W2};
use tokio::time::sleep;

use crate::bed::{App, Bed, MINUTE, SOON};
use crate::runner::tests;
use crate::visitors::Visitors;

tests![
    all_tunnels_of_a_cluster_get_other_keys_under_load,
    long a_host_that_loses_its_power_while_its_key_changes_comes_back,
];

async fn all_tunnels_of_a_cluster_get_other_keys_under_load(bed: Arc<Bed>) -> Result<()> {
    let app = spread(&bed, "rekeyed").await?;
    let before = keys(&bed).await?;
    let (slow, usual) = (Watch::come(&bed, &app, 4), Watch::come(&bed, &app, 1));
    usual.visitors[0].make(100).await?;
    let usual = usual.leave().await?;
    let begun = Instant::now();
    let told = bed.run_wh(&bed.root, &["mesh", "rotate", "--all"]).await?;
    let took = begun.elapsed();
    slow.visitors[0].make(50).await?;
    let slow = slow.leave().await?;
    let after = keys(&bed).await?;
    ensure!(before.is_disjoint(&after) && after.len() == PLACES.len(), "{told}: {before:?}, {after:?}");
    println!(
        "     {} tunnels have other keys after {:.1} s; {} requests, {} failed, the slowest took {} ms (before: {} ms)",
        after.len(),
        took.as_secs_f64(),
        slow.answered,
        slow.failures.len(),
        slow.slowest.as_millis(),
        usual.slowest.as_millis()
    );
    ensure!(slow.failures.is_empty(), "{:?}", slow.failures);
    well(&bed).await?;

    // The configuration names w1 by its first key, and w1 the control plane by its.
    bed.cluster.power_off(CONTROL_PLANE.name)?;
    bed.cluster.power_on(CONTROL_PLANE.name)?;
    for place in [W1, W2] {
        bed.online(place.name).await?;
    }
    ensure!(keys(&bed).await? == after, "the restart changed a key");
    well(&bed).await
}

async fn a_host_that_loses_its_power_while_its_key_changes_comes_back(bed: Arc<Bed>) -> Result<()> {
    for after in [0, 250, 500, 1000] {
        let before = key(&bed, W2.name).await?;
        bed.run_wh(&bed.root, &["mesh", "rotate", W2.name, "--detach"]).await?;
        sleep(Duration::from_millis(after)).await;
        bed.cluster.power_off(W2.name)?;
        bed.cluster.power_on(W2.name)?;
        let on = Instant::now();
        bed.online(W2.name).await?;
        let online = on.elapsed();
        changed(&bed, W2.name, &before).await?;
        println!(
            "     power lost {after} ms after the request: online {:.1} s after it was back, with another key after {:.1} s",
            online.as_secs_f64(),
            on.elapsed().as_secs_f64()
        );
        bed.online(W2.name).await?;
    }
    // Without a control plane the host is as reachable as before, whichever key it uses.
    let app = spread(&bed, "unruled").await?;
    let before = key(&bed, W2.name).await?;
    bed.run_wh(&bed.root, &["mesh", "rotate", W2.name, "--detach"]).await?;
    bed.cluster.power_off(CONTROL_PLANE.name)?;
    let visitors = Visitors::come(&bed, &app);
    visitors.make(100).await?;
    visitors.leave_content().await?;
    bed.cluster.power_on(CONTROL_PLANE.name)?;
    changed(&bed, W2.name, &before).await?;
    bed.online(W2.name).await?;
    well(&bed).await
}

/// A page on both workers.
async fn spread(bed: &Arc<Bed>, name: &str) -> Result<App> {
    let app = bed.page(name, name, "")?;
    let project = std::fs::read_to_string(app.folder.join("wisehosting.toml"))?;
    app.write("wisehosting.toml", &project.replace("[run]\n", "[run]\nreplicas = 2\n"))?;
    bed.deploy(&app).await?;
    until("one instance on each worker", MINUTE, || async {
        let instances = bed.wh_json(&app.folder, &["ps"]).await?;
        let nodes: BTreeSet<&str> = instances
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| one["in_rotation"] == true)
            .filter_map(|one| one["node"]["name"].as_str())
            .collect();
        Ok((nodes.len() == 2).then_some(()))
    })
    .await?;
    Ok(app)
}

/// Visitors whose longest wait is known.
struct Watch {
    visitors: Vec<Visitors>,
    slowest_us: Arc<AtomicU64>,
}

struct Watched {
    answered: u64,
    failures: Vec<String>,
    slowest: Duration,
}

impl Watch {
    fn come(bed: &Arc<Bed>, app: &App, count: usize) -> Self {
        let slowest_us = Arc::<AtomicU64>::default();
        let one = |_| {
            let (bed, host, slowest) = (bed.clone(), app.host(), slowest_us.clone());
            Visitors::asking(move || {
                let (bed, host, slowest) = (bed.clone(), host.clone(), slowest.clone());
                async move {
                    let begun = Instant::now();
                    let answer = bed.cluster.https(&host, "/").await?;
                    let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                    slowest.fetch_max(took, Ordering::Relaxed);
                    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
                    Ok(answer.text())
                }
            })
        };
        Self { visitors: (0..count).map(one).collect(), slowest_us }
    }

    async fn leave(self) -> Result<Watched> {
        let (mut answered, mut failures) = (0, Vec::new());
        for visitors in self.visitors {
            let seen = visitors.leave().await?;
            answered += seen.pages.values().sum::<u64>();
            failures.extend(seen.failures);
        }
        let slowest = Duration::from_micros(self.slowest_us.load(Ordering::Relaxed));
        Ok(Watched { answered, failures, slowest })
    }
}

/// The key that the device of a host uses, which a host that has just come up may not have yet.
async fn key(bed: &Bed, host: &str) -> Result<String> {
    until(&format!("the tunnel of {host}"), SOON, || async {
        let shown = bed.cluster.exec(host, &["wg", "show", "wh0", "public-key"])?;
        ensure!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        Ok(Some(String::from_utf8(shown.stdout)?.trim().to_owned()))
    })
    .await
}

async fn keys(bed: &Bed) -> Result<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    for place in PLACES {
        keys.insert(key(bed, place.name).await?);
    }
    Ok(keys)
}

/// Waits until the control plane knows the host by another key, which is the one of its device and of its disk.
async fn changed(bed: &Bed, host: &str, before: &str) -> Result<()> {
    let api = bed.cluster.api()?;
    let known = until(&format!("another key of {host}"), 2 * MINUTE, || async {
        let mesh = api.get("/mesh").await?;
        let node = mesh["nodes"].as_array().into_iter().flatten().find(|node| node["name"] == host);
        let node = node.context("no such node")?;
        ensure!(node["rotation"].is_null(), "{}", node["rotation"]);
        Ok(node["public_key"].as_str().filter(|key| *key != before).map(str::to_owned))
    })
    .await?;
    ensure!(
        key(bed, host).await? == known,
        "the device of {host} has another key than the one that is known"
    );
    let published = bed.cluster.host(host)?.folder.join("lib/mesh/public.key");
    ensure!(std::fs::read_to_string(published)?.trim() == known, "another public.key");
    Ok(())
}

/// Waits until every node reaches every other.
async fn well(bed: &Bed) -> Result<()> {
    until("a mesh without problems", 2 * MINUTE, || async {
        let doctor = bed.try_wh(&bed.root, &["mesh", "doctor"]).await?;
        let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
        ensure!(doctor.status.success() && !told.contains("relayed"), "{told}");
        Ok(Some(()))
    })
    .await
}
