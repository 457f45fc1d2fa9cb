//! Certificates of a fleet: two proxies, one control plane, a CA and a name server, through a day on which everything
//! happens. What waits, waits side by side: the CA's limit, the pause after a failure and the end of a certificate are
//! each about a minute.

mod ca;
mod fleet;
mod names;
mod steps;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;
use testbed::report::until;
use testbed::software::{CONTROL_PLANE, POSTGRES};
use testbed::topology::{DOMAIN, PROXY2};

use crate::bed::{Bed, MINUTE, SOON};
use crate::runner::tests;
use ca::Ca;
use fleet::Fleet;
use names::Names;
use steps::Steps;

tests![long a_fleet_has_its_certificates_through_everything_that_happens_to_them];

/// Seconds for which the first certificates are valid. They are renewed after two thirds of it.
const SHORT: u32 = 78;

async fn a_fleet_has_its_certificates_through_everything_that_happens_to_them(bed: Arc<Bed>) -> Result<()> {
    let names = Names::start(&bed.cluster).await?;
    let ca = Ca::start(&bed.cluster, SHORT)?;
    let app = bed.page("fleet", "by the fleet", "")?;
    tokio::try_join!(second_proxy(&bed), bed.deploy(&app))?;
    // The other CA knows nothing of its name.
    until("the dashboard's certificate", MINUTE, || async { bed.cluster.https(DOMAIN, "/").await.map(Some) })
        .await?;
    let fleet = Fleet::new(bed.clone(), bed.cluster.acme_root().await?);
    fleet.trust(&ca.root().await?);
    let before = configure(&bed, |config| {
        config["acme"]["directory"] = Value::from(Ca::directory());
        config["dns"]["resolvers"] = serde_json::json!([names::ADDRESS]);
    })
    .await?;

    let mut steps = Steps { fleet, ca, names, app };
    let result = play(&mut steps).await;

    let put_back = put_back(&bed, &steps, before).await;
    result.and(put_back)
}

async fn play(steps: &mut Steps<'_>) -> Result<()> {
    let start = Instant::now();
    let tell = |what: &str| println!("     {:5.1} s  {what}", start.elapsed().as_secs_f64());
    steps.prepare().await?;
    tell("a zone whose DNS can be set");
    let unreached = steps.ca_is_down().await?;
    tell("CA down: told, and tried again in a minute");
    steps.ca.open().await?;
    let mut limited = steps.ca_has_a_limit().await?;
    tell("CA at its limit: told, and left alone");
    let mut wildcard = steps.a_zone_has_a_wildcard().await?;
    tell("one wildcard by DNS, and a new app under it without another order");
    let visitors = steps.visitors();
    let ordered = steps.any_proxy_answers().await?;
    tell("the proxy that did not order answered the CA");
    steps.port_80_is_closed().await?;
    tell("TLS-ALPN-01 where port 80 is closed");
    steps.account_is_lost(&ordered).await?;
    tell("the CA was down and has lost the account: another one");
    steps.a_new_one_is_asked_for(&ordered, &limited).await?;
    tell("a new one on demand");
    wildcard = steps.wildcard_is_renewed(wildcard).await?;
    tell("the wildcard was renewed");
    steps.limit_is_over(&mut limited).await?;
    tell("the limit is over");
    steps.order_is_tried_again(&unreached).await?;
    tell("what failed was tried again");
    let [stay, go] = visitors;
    go.leave_content("one proxy").await?;
    steps.nothing_but_a_rebooted_proxy(&wildcard.serial).await?;
    tell("without control plane and Postgres a rebooted proxy has its certificates");
    stay.leave_content("the other").await
}

/// A second proxy joins.
async fn second_proxy(bed: &Bed) -> Result<()> {
    let name = PROXY2.name;
    let words = ["node", "token", "create", "--role", PROXY2.role, "--name", name];
    let token = bed.wh_json(&bed.root, &words).await?;
    bed.cluster.add_proxy(PROXY2, token["token"].as_str().context("no token")?)?;
    bed.online(name).await.map(|_| ())
}

/// Changes the control plane's configuration, and returns what it was.
async fn configure(bed: &Bed, change: impl FnOnce(&mut Value)) -> Result<Vec<u8>> {
    let path = bed.cluster.host("cp")?.folder.join(format!("etc/{CONTROL_PLANE}.json"));
    let before = std::fs::read(&path)?;
    let mut config = serde_json::from_slice(&before)?;
    change(&mut config);
    restart(bed, &serde_json::to_vec(&config)?).await?;
    Ok(before)
}

async fn restart(bed: &Bed, config: &[u8]) -> Result<()> {
    let host = bed.cluster.host("cp")?;
    host.stop_process(CONTROL_PLANE)?;
    std::fs::write(host.folder.join(format!("etc/{CONTROL_PLANE}.json")), config)?;
    host.start_process(CONTROL_PLANE)?;
    let api = bed.cluster.api()?;
    until("the control plane", SOON, || async { api.get("/nodes").await.map(Some) }).await?;
    Ok(())
}

/// Leaves the cluster as it was.
async fn put_back(bed: &Bed, steps: &Steps<'_>, config: Vec<u8>) -> Result<()> {
    bed.cluster.host("cp")?.start_process(POSTGRES)?;
    restart(bed, &config).await?;
    for app in [steps.app.name.as_str(), steps::NEW_APP] {
        bed.run_wh(&bed.root, &["apps", "rm", app, "--confirm", app]).await?;
    }
    bed.run_wh(&bed.root, &["dns-provider", "rm", names::ZONE, "--platform"]).await?;
    bed.run_wh(&bed.root, &["node", "rm", PROXY2.name]).await?;
    bed.cluster.power_off(PROXY2.name)?;
    steps.ca.stop()?;
    steps.names.stop()
}
