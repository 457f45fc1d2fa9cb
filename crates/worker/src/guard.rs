//! The firewall around containers, a table of our own in nftables. Without it an app reaches the control plane over
//! the mesh, and published ports are open to neighbours on the host's networks: Podman's own rules come before any
//! filter of the host. So nothing is started while the table cannot be loaded.

use std::process::Stdio;
use std::time::Duration;

use ipnet::Ipv4Net;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::private::{INTERFACES, Rules};

/// Its name, in the family `inet`.
pub const TABLE: &str = "wisehosting_worker";
const LIMIT: Duration = Duration::from_secs(10);

/// What the rules are made of; only validated values.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Of the mesh.
    interface: String,
    cidr: Ipv4Net,
    /// Private networks that containers may reach.
    opened: Vec<Ipv4Net>,
    /// Of the private network.
    private: Rules,
    loaded: bool,
}

impl Guard {
    /// `interface` must be a name as [`is_interface`] wants it.
    pub fn new(interface: String, cidr: Ipv4Net, opened: Vec<Ipv4Net>) -> Self {
        Self { interface, cidr, opened, private: Rules::default(), loaded: false }
    }

    /// They are in force after the next [`Guard::ensure`].
    pub(crate) fn set_private(&mut self, rules: Rules) {
        if self.private != rules {
            self.private = rules;
            self.loaded = false;
        }
    }

    /// Loads the table unless it is in force. Looks again each time, because reloading a host's firewall may flush it.
    pub async fn ensure(&mut self) -> anyhow::Result<()> {
        // One chain tells, and is short whatever the table holds.
        if self.loaded && nft(&["list", "chain", "inet", TABLE, "input"], "").await.is_ok() {
            return Ok(());
        }
        self.loaded = false;
        nft(&["-f", "-"], &self.ruleset()).await.map_err(|error| {
            anyhow::anyhow!(
                "the firewall around containers cannot be loaded, so no instance is started: {error}. Install nftables and give the worker CAP_NET_ADMIN"
            )
        })?;
        self.loaded = true;
        tracing::debug!(table = TABLE, "the firewall around containers is loaded");
        Ok(())
    }

    /// Why the table is not in force.
    pub(crate) async fn problem(&self) -> Option<String> {
        if !self.loaded {
            return Some("the table is not loaded".to_owned());
        }
        let listed = nft(&["list", "chain", "inet", TABLE, "forward"], "").await;
        listed.err().map(|error| format!("the table inet {TABLE} is not there: {error}"))
    }

    /// The whole table, replaced in one transaction.
    ///
    /// * `guard` (after connection tracking, before Podman's DNAT): the mesh's addresses are for the mesh and for this
    ///   host itself; containers are judged below.
    /// * `forward`: containers open nothing towards the mesh, not even ports that Podman publishes there (their
    ///   original destination is a mesh address), nor to link-local addresses such as cloud metadata. They reach the other
    ///   containers of their project (`private` keeps the projects' networks apart), the apps of the private network
    ///   that their project may (`services`), public addresses unless `egress` says otherwise, DNS, and of the private
    ///   networks around the host those that the configuration opens.
    /// * `input`: of the host itself containers get DNS on their own bridge, nothing else.
    fn ruleset(&self) -> String {
        let Self { interface, cidr, opened, private, .. } = self;
        let Rules { chains, forward } = private;
        let opened: Vec<String> =
            opened.iter().map(|network| format!("    ip daddr {network} accept\n")).collect();
        let opened = opened.concat();
        format!(
            r#"table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
  chain guard {{
    type filter hook prerouting priority -150; policy accept;
    ct state established,related accept
    iifname "lo" accept
    iifname "{interface}" accept
    iifname "podman*" accept
    ip daddr {cidr} drop
    ip saddr {cidr} drop
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname != "podman*" accept
    ct state != new accept
{forward}    oifname "{interface}" drop
    ip daddr {cidr} drop
    ct original ip daddr {cidr} drop
    ip daddr 169.254.0.0/16 drop
    ip6 daddr fe80::/10 drop
    iifname "{INTERFACES}*" jump private
    oifname "{INTERFACES}*" drop
    oifname "podman*" accept
    jump egress
{opened}    udp dport 53 accept
    tcp dport 53 accept
    ip daddr {{ 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16 }} drop
    ip6 daddr fc00::/7 drop
  }}
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname != "podman*" accept
    ct state != new accept
    ip daddr {cidr} drop
    fib daddr . iif type != local drop
    udp dport 53 accept
    tcp dport 53 accept
    drop
  }}
{chains}}}
"#
        )
    }
}

/// Takes the table out of force; `false` when it was not. Nothing of ours is left to be guarded then.
pub async fn unload() -> anyhow::Result<bool> {
    match nft(&["delete", "table", "inet", TABLE], "").await {
        Ok(()) => Ok(true),
        Err(error) if error.to_string().contains("No such file or directory") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether `name` can be an interface of Linux, and nothing else in a ruleset.
pub fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.'))
        && !name.starts_with(['-', '.'])
}

async fn nft(arguments: &[&str], input: &str) -> anyhow::Result<()> {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| anyhow::anyhow!("cannot start nft: {error}"))?;
    let mut stdin = child.stdin.take();
    let talk = async {
        if let Some(stdin) = stdin.as_mut() {
            stdin.write_all(input.as_bytes()).await?;
        }
        drop(stdin.take());
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(LIMIT, talk).await??;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "nft: {}", said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ruleset_reads_like_this() {
        let network = |text: &str| text.parse().expect("a network");
        let guard = Guard::new("wh0".to_owned(), network("10.50.0.0/24"), vec![network("192.168.7.0/24")]);
        insta::assert_snapshot!(guard.ruleset());
    }

    #[test]
    fn nothing_but_an_interface_gets_into_the_ruleset() {
        for good in ["wh0", "eth0.12", "wg-mesh_1"] {
            assert!(is_interface(good), "{good}");
        }
        for bad in ["", "a b", "wh0\"", "wh0;", "wh0\n", "0123456789abcdef", "-f", "wh*"] {
            assert!(!is_interface(bad), "{bad}");
        }
    }
}
