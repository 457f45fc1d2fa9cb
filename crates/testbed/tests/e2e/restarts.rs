//! The proxy's process is replaced while people visit: its host holds the ports, so nobody is turned away.

use std::sync::Arc;

use anyhow::{Result, ensure};
use testbed::software;
use testbed::topology::PROXY;

use crate::bed::Bed;
use crate::runner::tests;
use crate::visitors::Visitors;

tests![a_proxy_that_restarts_under_load_fails_no_request];

async fn a_proxy_that_restarts_under_load_fails_no_request(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("unmoved", "unmoved", "")?;
    bed.deploy(&app).await?;
    let host = bed.cluster.host(PROXY.name)?;
    let crowd: Vec<Visitors> = (0..4).map(|_| Visitors::come(&bed, &app)).collect();
    for _ in 0..3 {
        crowd[0].make(20).await?;
        let before = host.inner_pid(software::PROXY);
        // Waits for the end of the old process.
        let restarted = host.clone();
        tokio::task::spawn_blocking(move || restarted.restart_process(software::PROXY)).await??;
        crowd[0].make(20).await?;
        let after = host.inner_pid(software::PROXY);
        ensure!(after.is_some() && after != before, "it was {before:?} and is {after:?}");
    }
    for visitors in crowd {
        let seen = visitors.leave_content().await?;
        ensure!(seen.pages.keys().eq(["unmoved"]), "seen: {:?}", seen.pages);
    }
    bed.online(PROXY.name).await?;
    Ok(())
}
