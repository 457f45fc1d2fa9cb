//! A host whose clock is off: it is named, with what to do, and what runs there serves.
//!
//! All hosts here have the machine's one clock, which no namespace changes. So the agent is told another time by Debian's
//! libfaketime, which stands between a program and its C library: it is the agent's whole idea of the time of day. The
//! clock that only goes on is left alone, as a wrong time of day leaves it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::init::INSIDE;
use testbed::report::until;
use testbed::software;
use testbed::topology::W1;

use crate::bed::{Bed, MINUTE};
use crate::runner::tests;
use crate::visitors::Visitors;

tests![long a_host_whose_clock_is_off_is_named_and_its_apps_serve];

async fn a_host_whose_clock_is_off_is_named_and_its_apps_serve(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("punctual", "punctual", "")?;
    bed.run_wh(&app.folder, &["apps", "create", &app.name]).await?;
    bed.run_wh(&app.folder, &["settings", "set", "placement.pin=w1"]).await?;
    bed.deploy(&app).await?;
    let visitors = Visitors::come(&bed, &app);
    visitors.make(20).await?;

    set_clock(&bed, Some("+90s"))?;
    let ahead =
        warned(&bed, |said| said.contains("its clock is 1 min 3") || said.contains("its clock is 1 min 2"));
    let ahead = ahead.await?;
    ensure!(
        ahead.contains("s ahead. From 5 minutes on its messages are refused: set it on the host"),
        "{ahead}"
    );
    bed.online(W1.name).await?;

    set_clock(&bed, Some("-7m"))?;
    let behind = warned(&bed, |said| said.contains("its worker agent is refused")).await?;
    ensure!(behind.contains("behind. Its messages are refused: set it on the host"), "{behind}");
    let shown = bed.run_wh(&bed.root, &["node", "show", W1.name]).await?;
    ensure!(shown.contains("chrony"), "{shown}");
    visitors.make(20).await?;

    set_clock(&bed, None)?;
    bed.online(W1.name).await?;
    until("nothing to say of it", 2 * MINUTE, || async {
        let node = bed.cluster.api()?.get("/nodes/w1").await?;
        Ok((!node["warnings"].to_string().contains("clock")).then_some(()))
    })
    .await?;
    visitors.leave_content().await?;
    Ok(())
}

/// Waits until what is said of the host is like that.
async fn warned(bed: &Bed, like: impl Fn(&str) -> bool) -> Result<String> {
    until("a word of its clock", MINUTE, || async {
        let node: Value = bed.cluster.api()?.get("/nodes/w1").await?;
        Ok(Some(node["warnings"].to_string()).filter(|said| like(said)))
    })
    .await
}

/// How far the worker's agent is from the right time, from its next start, which is now.
fn set_clock(bed: &Bed, off: Option<&str>) -> Result<()> {
    let host = bed.cluster.host(W1.name)?;
    let services = host.services()?;
    let mut worker =
        services.into_iter().find(|service| service.name == software::WORKER).context("no worker")?;
    for name in ["LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC"] {
        worker.env.remove(name);
    }
    if let Some(off) = off {
        // Where it comes from may be nowhere that the host sees. Once: a program may have the copy open.
        let copy = host.folder.join("etc/faketime.so");
        if !copy.exists() {
            std::fs::copy(library()?, copy)?;
        }
        let library = format!("{INSIDE}/etc/faketime.so");
        worker =
            worker.env("LD_PRELOAD", &library).env("FAKETIME", off).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    host.stop_process(software::WORKER)?;
    worker.wanted = true;
    host.set_service(&worker)
}

/// For programs with threads. `WH_FAKETIME` says where it is on a machine that is not Debian's.
fn library() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("WH_FAKETIME") {
        return Ok(path.into());
    }
    let folders = std::fs::read_dir("/usr/lib")?.filter_map(Result::ok);
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.exists()).context("libfaketime is missing: apt-get install libfaketime")
}
