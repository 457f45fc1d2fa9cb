//! The virtual cables between a container and the host, and the queues on both their ends.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::linux::fs::MetadataExt as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::process::Command;

use crate::guard::is_interface;
use crate::podman::Podman;

const LIMIT: Duration = Duration::from_secs(10);
/// Of our queues, so that they are told from those that others made.
const HANDLE: &str = "7757:";
/// Bytes that may go at once: as many as the kernel puts into one piece.
const LEAST_BURST: u64 = 64 * 1024;

/// The network namespace of a running container.
#[derive(Debug)]
pub(super) struct Network(File);

/// Names of the interfaces at both ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cable {
    inner: String,
    outer: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Link {
    ifindex: u32,
    ifname: String,
    /// The number of the other end, in its own namespace.
    link_index: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Queue {
    kind: String,
    handle: String,
    root: bool,
    options: QueueOptions,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct QueueOptions {
    /// Bytes a second.
    rate: u64,
}

impl Network {
    /// `None` when it does not run any more.
    pub(super) async fn of(podman: &Podman, container: &str) -> anyhow::Result<Option<Self>> {
        let running = async || {
            let state = podman.inspect(container).await?.state;
            Ok::<_, crate::podman::Error>(Some(state.pid).filter(|pid| state.running && *pid != 0))
        };
        let Some(pid) = running().await? else { return Ok(None) };
        let Ok(namespace) = File::open(format!("/proc/{pid}/ns/net")) else { return Ok(None) };
        // The number may have become another process's in between: what is opened must still be the container's.
        if running().await? != Some(pid) {
            return Ok(None);
        }
        let own = std::fs::metadata("/proc/self/ns/net").context("cannot see this host's network")?;
        anyhow::ensure!(namespace.metadata()?.st_ino() != own.st_ino(), "it shares the host's network");
        Ok(Some(Self(namespace)))
    }

    pub(super) async fn cables(&self) -> anyhow::Result<Vec<Cable>> {
        let inner: Vec<Link> =
            said(self.inside("ip").args(["-json", "link", "show", "type", "veth"])).await?;
        let outer: Vec<Link> =
            said(Command::new("ip").args(["-json", "link", "show", "type", "veth"])).await?;
        Ok(pair(&inner, &outer))
    }

    /// What the container sends.
    pub(super) async fn limit_inner(&self, cable: &Cable, mbit: Option<u32>) -> anyhow::Result<()> {
        limit(|| self.inside("tc"), &cable.inner, mbit).await
    }

    /// What it receives.
    pub(super) async fn limit_outer(&self, cable: &Cable, mbit: Option<u32>) -> anyhow::Result<()> {
        limit(|| Command::new("tc"), &cable.outer, mbit).await
    }

    /// `program` of the host in this network.
    fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()));
        command.arg("--").arg(program);
        command
    }
}

/// The ends that name each other. Numbers are the namespaces' own, so one side alone does not tell.
fn pair(inner: &[Link], outer: &[Link]) -> Vec<Cable> {
    let other_end = |link: &Link| {
        let leads_back =
            |other: &&Link| Some(other.ifindex) == link.link_index && other.link_index == Some(link.ifindex);
        outer.iter().find(leads_back)
    };
    let named = |link: &Link| is_interface(&link.ifname);
    let pairs = inner.iter().filter_map(|link| Some((link, other_end(link)?)));
    pairs
        .filter(|(link, other)| named(link) && named(other))
        .map(|(link, other)| Cable { inner: link.ifname.clone(), outer: other.ifname.clone() })
        .collect()
}

async fn limit(tc: impl Fn() -> Command, interface: &str, mbit: Option<u32>) -> anyhow::Result<()> {
    let queues: Vec<Queue> = said(tc().args(["-json", "qdisc", "show", "dev", interface])).await?;
    if let Some(words) = change(&queues, interface, mbit) {
        run(tc().args(words)).await?;
    }
    Ok(())
}

/// What `tc` is told, if the queues are not as they should be. Other people's are left alone where there is no limit.
fn change(queues: &[Queue], interface: &str, mbit: Option<u32>) -> Option<Vec<String>> {
    let present = queues.iter().find(|queue| queue.root && queue.kind == "tbf" && queue.handle == HANDLE);
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    match (mbit, present) {
        (None, None) => None,
        (None, Some(_)) => words(&["qdisc", "del", "dev", interface, "root"]),
        (Some(mbit), Some(queue)) if queue.options.rate == bytes(mbit) => None,
        (Some(mbit), _) => {
            let rate = format!("{}bit", bytes(mbit) * 8);
            let burst = burst(mbit).to_string();
            words(&[
                "qdisc", "replace", "dev", interface, "root", "handle", HANDLE, "tbf", "rate", &rate,
                "burst", &burst, "latency", "100ms",
            ])
        }
    }
}

/// A second.
fn bytes(mbit: u32) -> u64 {
    u64::from(mbit) * 1_000_000 / 8
}

/// What the rate lets through between two ticks of a slow clock, or it would never be reached.
fn burst(mbit: u32) -> u64 {
    (bytes(mbit) / 100).max(LEAST_BURST)
}

async fn said<T: serde::de::DeserializeOwned>(command: &mut Command) -> anyhow::Result<T> {
    let output = run(command).await?;
    serde_json::from_slice(&output).context("iproute2 says what this version does not understand")
}

async fn run(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.context("iproute2 does not end")?;
    let output = output.context("cannot run nsenter of util-linux, or ip and tc of iproute2")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{}", said.trim());
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ifindex: u32, ifname: &str, other: u32) -> Link {
        Link { ifindex, ifname: ifname.to_owned(), link_index: Some(other) }
    }

    fn told(queues: &str, mbit: Option<u32>) -> String {
        let queues: Vec<Queue> = serde_json::from_str(queues).expect("queues");
        change(&queues, "eth0", mbit).map(|words| words.join(" ")).unwrap_or_default()
    }

    const NONE: &str = r#"[{"kind":"noqueue","handle":"0:","root":true,"refcnt":2,"options":{}}]"#;
    const OURS: &str = r#"[{"kind":"tbf","handle":"7757:","root":true,"refcnt":3,"options":{"rate":2000000,"burst":65536,"lat":100000}}]"#;
    const OTHERS: &str = r#"[{"kind":"tbf","handle":"8001:","root":true,"options":{"rate":2000000}}]"#;

    #[test]
    fn a_queue_is_made_once_corrected_and_taken_away() {
        let made = "qdisc replace dev eth0 root handle 7757: tbf rate 16000000bit burst 65536 latency 100ms";
        assert_eq!(told(NONE, Some(16)), made);
        assert_eq!(told(OURS, Some(16)), "", "it is as it should be");
        assert_eq!(told(OTHERS, Some(16)), made);
        assert!(told(OURS, Some(1000)).contains("rate 1000000000bit burst 1250000"));
        assert_eq!(told(OURS, None), "qdisc del dev eth0 root");
        assert_eq!(told(OTHERS, None), "", "not ours");
        assert_eq!(told(NONE, None), "");
    }

    #[test]
    fn the_ends_of_a_cable_name_each_other() {
        let inner = [link(2, "eth0", 5), link(3, "eth1", 9)];
        let outer = [link(4, "veth0", 2), link(5, "veth1", 2), link(9, "veth3", 7)];
        let cable = Cable { inner: "eth0".to_owned(), outer: "veth1".to_owned() };
        assert_eq!(pair(&inner, &outer), [cable]);
        assert_eq!(pair(&[link(2, "eth0;x", 5)], &outer), []);
    }
}
