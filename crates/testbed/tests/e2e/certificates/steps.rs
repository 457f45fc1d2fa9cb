//! What happens, step by step: each as people see it at the API or with `wh`, and as clients see it at both proxies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use testbed::report::until;
use testbed::software::{CONTROL_PLANE, POSTGRES};
use testbed::topology::{PROXY, PROXY2, Place};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::Receiver;

use super::ca::{Ca, Order};
use super::fleet::{Fleet, PROXIES, Visitors};
use super::names::{self, Names};
use crate::bed::{App, MINUTE, SOON};

/// A zone of ours within the one whose DNS can be set.
const APPS: &str = "apps.front.test";
const WILDCARD: &str = "*.apps.front.test";
pub(crate) const NEW_APP: &str = "newcomer";
/// Seconds that the CA wants to be left alone: a little more than the pause after a first failure.
const LIMIT: u32 = 64;
/// Seconds for which certificates are valid that are not to be renewed here.
const LONG: u32 = 86_400;

pub(crate) struct Steps<'a> {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) ca: Ca,
    pub(crate) names: Names<'a>,
    pub(crate) app: App,
}

/// A name of the app, its certificate, and its orders at the CA's counter.
pub(crate) struct Held {
    pub(crate) serial: String,
    host: String,
    orders: Receiver<Order>,
    since: Instant,
}

impl Steps<'_> {
    /// The DNS of the zone can be set, which is tried first.
    pub(crate) async fn prepare(&self) -> Result<()> {
        let (bed, server) = (&self.fleet.bed, names::ADDRESS.ip().to_string());
        let words = ["dns-provider", "add", names::ZONE, "--platform", "--rfc2136", &server];
        let key = ["--key-name", names::KEY.0, "--secret-stdin"];
        let mut add =
            bed.wh(&bed.root, &[&words[..], &key].concat())?.stdin(std::process::Stdio::piped()).spawn()?;
        let mut stdin = add.stdin.take().context("no stdin")?;
        stdin.write_all(names::KEY.1.as_bytes()).await?;
        drop(stdin);
        ensure!(add.wait().await?.success(), "the provider is not stored");
        bed.run_wh(&bed.root, &["dns-provider", "test", names::ZONE, "--platform"]).await?;
        bed.run_wh(&bed.root, &["zone", "add", APPS]).await?;
        Ok(())
    }

    /// Nothing listens at the CA: the order fails and says so. Returns the name.
    pub(crate) async fn ca_is_down(&self) -> Result<String> {
        let host = self.domain("unreached", PROXY).await?;
        let order = self.fleet.order(&host, 1).await?;
        let trouble = &order["trouble"];
        ensure!(order["outcome"] == "failed" && trouble["code"] == "acme_unreachable", "{order}");
        let told = format!("The CA at {} cannot be reached", Ca::directory());
        let card = self.card(&host).await?;
        ensure!(card.contains(&told) && card.contains("ordered again, 1 in a row failed"), "{card}");
        let pause = self.until_next(&host).await?;
        ensure!((40..=60).contains(&pause), "the next order is in {pause} s");
        self.fleet.serial(&self.app.host()).await?;
        Ok(host)
    }

    /// The CA takes no order of a name for a while, and says for how long.
    pub(crate) async fn ca_has_a_limit(&self) -> Result<Held> {
        let host = format!("limited.{}", names::ZONE);
        let mut orders = self.ca.hold(&host);
        self.domain("limited", PROXY).await?;
        next(&mut orders).await?.limit(LIMIT)?;
        let since = Instant::now();
        let order = self.fleet.order(&host, 1).await?;
        ensure!(order["trouble"]["code"] == "acme_rate_limited", "{order}");
        let card = self.card(&host).await?;
        let told = format!(
            "The CA's rate limit is reached: too many certificates already issued; retry after {LIMIT} s"
        );
        ensure!(card.contains(&told), "{card}");
        let left = self.until_next(&host).await?;
        let wanted = i64::from(LIMIT) - i64::try_from(since.elapsed().as_secs())?;
        ensure!(
            (wanted - 2..=wanted + 1).contains(&left),
            "the next order is in {left} s, not in {wanted} s"
        );
        Ok(Held { serial: String::new(), host, orders, since })
    }

    /// A zone whose DNS can be set has one certificate for all its apps, also for those that come later.
    pub(crate) async fn a_zone_has_a_wildcard(&self) -> Result<Held> {
        let (bed, fleet) = (&self.fleet.bed, &self.fleet);
        let (host, mut orders) = (self.host(), self.ca.hold(WILDCARD));
        bed.run_wh(&self.app.folder, &["zone", "move", APPS]).await?;
        next(&mut orders).await?.pass();
        let since = Instant::now();
        let (order, serial) = fleet.issued(&host, 1, None).await?;
        ensure!(order["challenge"] == "dns-01" && order["names"] == json!([WILDCARD]), "{order}");
        says(&order, "Every name server of the zone answers it")?;
        // The order before made it, though the CA did not take that order.
        ensure!(says(&order, "Making an account").is_err(), "another account: {order}");

        let newcomer = bed.page(NEW_APP, "just arrived", "")?;
        bed.run_wh(&newcomer.folder, &["apps", "create", NEW_APP, "--zone", APPS]).await?;
        bed.run_wh(&newcomer.folder, &["deploy"]).await?;
        let new_host = format!("{NEW_APP}.{APPS}");
        ensure!(fleet.serial(&new_host).await? == serial, "the new app has another certificate");
        let shown = fleet.certificate(&new_host).await?;
        ensure!(shown["names"] == json!([WILDCARD]) && orders.is_empty(), "{shown}");
        self.records_are_swept(1).await?;
        Ok(Held { serial, host, orders, since })
    }

    /// Each of so many orders has set its record and removed it.
    async fn records_are_swept(&self, times: usize) -> Result<()> {
        let record = format!("_acme-challenge.{APPS}");
        until("no record of the challenge", SOON, || async {
            Ok(self.names.texts(&record)?.trim().is_empty().then_some(()))
        })
        .await?;
        // BIND quotes the name in one of them.
        let log = self.names.log()?.replace('\'', "");
        for did in ["adding", "deleting"] {
            let line = format!(
                "key {}: updating zone {}/IN: {did} an RR at {record} TXT",
                names::KEY.0,
                names::ZONE
            );
            ensure!(log.matches(&line).count() == times, "not {times} times: {line}");
        }
        Ok(())
    }

    /// People at both proxies, for the time that follows.
    pub(crate) fn visitors(&self) -> [Visitors; 2] {
        PROXIES.map(|proxy| Visitors::come(&self.fleet, proxy, &self.host()))
    }

    /// HTTP-01: the name leads to the proxy that does not have the order. Returns the name.
    pub(crate) async fn any_proxy_answers(&self) -> Result<String> {
        let host = format!("shop.{}", names::ZONE);
        let mut orders = self.ca.hold(&host);
        self.domain("shop", PROXY).await?;
        let order = next(&mut orders).await?;
        let [has_it, other] = match PROXIES {
            [one, other] if order.from == one.public => [one, other],
            [one, other] => [other, one],
        };
        self.names.lead(&host, other.public)?;
        order.pass();
        let (order, _) = self.fleet.issued(&host, 1, None).await?;
        ensure!(order["challenge"] == "http-01" && order["proxy"] == has_it.name, "{order}");
        says(&order, "Every proxy answers it")?;
        Ok(host)
    }

    /// The CA cannot connect to port 80, and the next order does without.
    pub(crate) async fn port_80_is_closed(&self) -> Result<()> {
        let fleet = &self.fleet;
        self.port_80("-I")?;
        let host = self.domain("closed", PROXY2).await?;
        let order = fleet.order(&host, 1).await?;
        ensure!(order["trouble"]["code"] == "acme_connection", "{order}");
        let card = self.card(&host).await?;
        ensure!(card.contains("port 80 is open to the whole internet"), "{card}");
        self.reissue(&host).await?;
        let (order, _) = fleet.issued(&host, 2, None).await?;
        ensure!(order["challenge"] == "tls-alpn-01", "{order}");
        self.port_80("-D")
    }

    /// Closes it at one proxy (`-I`), or opens it again (`-D`).
    fn port_80(&self, change: &str) -> Result<()> {
        let rule = ["INPUT", "-p", "tcp", "--dport", "80", "-j", "REJECT", "--reject-with", "tcp-reset"];
        let words = [&["iptables", change], &rule[..]].concat();
        let changed = self.fleet.bed.cluster.exec(PROXY2.name, &words)?;
        ensure!(changed.status.success(), "iptables: {}", String::from_utf8_lossy(&changed.stderr));
        Ok(())
    }

    /// The CA is away while a certificate is ordered anew, and knows no account when it is back.
    pub(crate) async fn account_is_lost(&mut self, host: &str) -> Result<()> {
        let before = self.fleet.serial(host).await?;
        self.ca.close().await;
        self.reissue(host).await?;
        let order = self.fleet.order(host, 2).await?;
        ensure!(order["trouble"]["code"] == "acme_unreachable", "{order}");
        ensure!(self.fleet.serial(host).await? == before, "served as before");
        let card = self.card(host).await?;
        ensure!(card.contains("the last order failed"), "{card}");

        self.ca.forget_everything(LONG)?;
        self.fleet.trust(&self.ca.root().await?);
        self.ca.open().await?;
        self.reissue(host).await?;
        let (order, _) = self.fleet.issued(host, 3, Some(&before)).await?;
        ensure!(order["kind"] == "reissue", "{order}");
        let lost = "The CA does not know this account any more: making a new one.";
        let card = self.card(host).await?;
        ensure!(says(&order, lost).is_ok() && card.contains(lost), "{card}");
        Ok(())
    }

    /// When the time has come that the CA named, people ask for a new certificate, as orders that are due go out when
    /// something happens, and every half minute.
    pub(crate) async fn a_new_one_is_asked_for(&self, host: &str, limited: &Held) -> Result<()> {
        until("the time of the limited order", 2 * MINUTE, || async {
            Ok(self.fleet.certificate(&limited.host).await?["next"]["at"].is_null().then_some(()))
        })
        .await?;
        let before = self.fleet.serial(host).await?;
        self.reissue(host).await?;
        let (order, _) = self.fleet.issued(host, 4, Some(&before)).await?;
        ensure!(order["kind"] == "reissue" && order["challenge"] == "http-01", "{order}");
        ensure!(says(&order, "account").is_err(), "the account is known: {order}");
        Ok(())
    }

    /// Two thirds of its time are over: it is ordered anew by itself.
    pub(crate) async fn wildcard_is_renewed(&self, mut wildcard: Held) -> Result<Held> {
        next(&mut wildcard.orders).await?.pass();
        let age = wildcard.since.elapsed().as_secs();
        ensure!(age >= u64::from(super::SHORT) / 2, "renewed after {age} s already");
        let (order, serial) = self.fleet.issued(&wildcard.host, 2, Some(&wildcard.serial)).await?;
        ensure!(order["kind"] == "renewal" && order["challenge"] == "dns-01", "{order}");
        says(&order, "Ordering a certificate for")?;
        self.records_are_swept(2).await?;
        Ok(Held { serial, ..wildcard })
    }

    /// The order that the CA did not take is made when it takes it, not before.
    pub(crate) async fn limit_is_over(&self, limited: &mut Held) -> Result<()> {
        let order = next(&mut limited.orders).await?;
        let waited = limited.since.elapsed();
        ensure!(waited >= Duration::from_secs(LIMIT.into()), "ordered again after {waited:?}");
        order.pass();
        let (order, _) = self.fleet.issued(&limited.host, 2, None).await?;
        ensure!(order["kind"] == "first", "{order}");
        Ok(())
    }

    pub(crate) async fn order_is_tried_again(&self, host: &str) -> Result<()> {
        self.fleet.serves(host, None).await?;
        let (order, _) = self.fleet.issued(host, 2, None).await?;
        ensure!(order["kind"] == "first", "{order}");
        Ok(())
    }

    /// A proxy that boots beside nobody has what it needs on its disk.
    pub(crate) async fn nothing_but_a_rebooted_proxy(&self, serial: &str) -> Result<()> {
        let (cluster, cp) = (&self.fleet.bed.cluster, self.fleet.bed.cluster.host("cp")?);
        cp.stop_process(CONTROL_PLANE)?;
        cp.stop_process(POSTGRES)?;
        cluster.power_off(PROXY2.name)?;
        cluster.power_on(PROXY2.name)?;
        let booted = Instant::now();
        let answer = until("HTTPS at the rebooted proxy", MINUTE, || async {
            self.fleet.look(PROXY2, &self.host()).await.map(Some)
        })
        .await?;
        println!("              HTTPS {} ms after the proxy's boot", booted.elapsed().as_millis());
        ensure!(answer.serial.as_deref() == Some(serial), "{answer:?}");
        Ok(())
    }

    /// The app's name in the zone.
    fn host(&self) -> String {
        format!("{}.{APPS}", self.app.name)
    }

    /// Gives the app a name of its own that leads to `proxy`.
    async fn domain(&self, label: &str, proxy: Place) -> Result<String> {
        let (bed, folder) = (&self.fleet.bed, &self.app.folder);
        let host = format!("{label}.{}", names::ZONE);
        self.names.lead(&host, proxy.public)?;
        let added = bed.wh_json(folder, &["domain", "add", &host]).await?;
        let proof = &added["records"]["proof"];
        let text = |key: &str| proof[key].as_str().with_context(|| format!("no {key}: {added}"));
        self.names.add_txt(text("name")?, text("value")?)?;
        bed.run_wh(folder, &["domain", "verify", &host]).await?;
        Ok(host)
    }

    async fn reissue(&self, host: &str) -> Result<()> {
        let bed = &self.fleet.bed;
        bed.run_wh(&bed.root, &["cert", "reissue", host, "--again"]).await.map(|_| ())
    }

    /// What `wh` shows of the certificate.
    async fn card(&self, host: &str) -> Result<String> {
        let bed = &self.fleet.bed;
        bed.run_wh(&bed.root, &["cert", "show", host]).await
    }

    /// Seconds until the next order, as the API says.
    async fn until_next(&self, host: &str) -> Result<i64> {
        let shown = self.fleet.certificate(host).await?;
        let at: DateTime<Utc> = shown["next"]["at"].as_str().with_context(|| format!("{shown}"))?.parse()?;
        Ok((at - Utc::now()).num_seconds())
    }
}

/// The next order at the CA's counter.
async fn next(orders: &mut Receiver<Order>) -> Result<Order> {
    let order = tokio::time::timeout(2 * MINUTE, orders.recv()).await.context("no order came to the CA")?;
    order.context("the counter is gone")
}

/// Whether an order said a line that contains this.
fn says(order: &Value, words: &str) -> Result<()> {
    let mut lines = order["log"].as_array().into_iter().flatten().filter_map(Value::as_str);
    ensure!(lines.any(|line| line.contains(words)), "not said: {words}: {order}");
    Ok(())
}
