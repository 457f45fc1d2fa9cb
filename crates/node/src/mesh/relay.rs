//! Hands on packets between pairs of peers that do not reach each other: forwarding on the tunnel's interface, and a table
//! of our own in nftables that lets these pairs pass and nobody else.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use protocol::report::RelayAbility;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tracing::{info, warn};

/// Its name, in the family `inet`.
pub(super) const TABLE: &str = "wisehosting_relay";
const LIMIT: Duration = Duration::from_secs(5);

/// What this host relays.
#[derive(Debug)]
pub(super) struct Relay {
    interface: String,
    /// The pairs in force; unknown after a start.
    pairs: Option<BTreeSet<[Ipv4Addr; 2]>>,
    ability: Option<RelayAbility>,
}

impl Relay {
    /// `interface` must be a name as the configuration wants it.
    pub(super) fn new(interface: String) -> Self {
        Self { interface, pairs: None, ability: None }
    }

    /// Lets these pairs pass, and no other. Looks each time whether the table is there, because reloading a host's
    /// firewall may flush it.
    pub(super) async fn ensure(&mut self, wanted: &[[Ipv4Addr; 2]]) -> anyhow::Result<()> {
        let wanted: BTreeSet<[Ipv4Addr; 2]> = wanted.iter().filter(|[a, b]| a != b).copied().collect();
        let same = self.pairs.as_ref() == Some(&wanted);
        if wanted.is_empty() {
            if !same {
                if unload().await? {
                    self.forward(false).await.context("cannot end forwarding")?;
                    info!("relays nobody any more");
                }
                self.pairs = Some(wanted);
            }
            return Ok(());
        }
        if same && nft(&["list", "table", "inet", TABLE], "").await?.status.success() {
            return Ok(());
        }
        self.pairs = None;
        // The rules first: nothing is to pass for a moment without them.
        must(nft(&["-f", "-"], &ruleset(&self.interface, &wanted)).await?)?;
        self.forward(true).await.context("cannot begin forwarding")?;
        info!(table = TABLE, pairs = wanted.len(), "relays peers that do not reach each other");
        self.pairs = Some(wanted);
        Ok(())
    }

    /// What this host can do: it relays where it has nftables and may change the interface's settings.
    pub(super) async fn ability(&mut self) -> RelayAbility {
        if let Some(known) = self.ability {
            return known;
        }
        let path = self.setting("forwarding");
        let writable = tokio::fs::OpenOptions::new().write(true).open(&path).await;
        let nft = nft(&["list", "tables"], "").await;
        let problem = match (&writable, &nft) {
            (Err(error), _) => format!("cannot change {path}: {error}"),
            (_, Err(error)) => format!("{error:#}"),
            (_, Ok(output)) if !output.status.success() => {
                String::from_utf8_lossy(&output.stderr).trim().to_owned()
            }
            _ => {
                self.ability = Some(RelayAbility::Relays);
                return RelayAbility::Relays;
            }
        };
        warn!(problem, "this host cannot relay between others");
        self.ability = Some(RelayAbility::Follows);
        RelayAbility::Follows
    }

    /// Of the tunnel's interface alone. What it was before is what new interfaces of this host get: a container engine
    /// that needs forwarding sets that for all.
    async fn forward(&self, on: bool) -> anyhow::Result<()> {
        let value = if on {
            b"1\n".to_vec()
        } else {
            tokio::fs::read("/proc/sys/net/ipv4/conf/default/forwarding").await?
        };
        let path = self.setting("forwarding");
        tokio::fs::write(&path, value).await.with_context(|| format!("cannot write {path}"))
    }

    fn setting(&self, name: &str) -> String {
        format!("/proc/sys/net/ipv4/conf/{}/{name}", self.interface)
    }
}

/// The whole table, replaced in one transaction.
///
/// * `forward`: of what comes out of the tunnel the pairs go back into it. Containers of this host are judged by the
///   worker's table; what a container asked for comes back to it. Nothing else of a peer passes through this host,
///   although its interface forwards now.
/// * `output`: the kernel would tell both that they could reach each other directly.
fn ruleset(interface: &str, pairs: &BTreeSet<[Ipv4Addr; 2]>) -> String {
    let both = |[a, b]: &[Ipv4Addr; 2]| [format!("{a} . {b}"), format!("{b} . {a}")];
    let elements: Vec<String> = pairs.iter().flat_map(both).collect();
    format!(
        r#"table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
  set pairs {{
    type ipv4_addr . ipv4_addr
    elements = {{ {} }}
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname != "{interface}" accept
    oifname "{interface}" ip saddr . ip daddr @pairs accept
    oifname "podman*" accept
    oifname != "{interface}" ct state established,related accept
    drop
  }}
  chain output {{
    type filter hook output priority -10; policy accept;
    oifname "{interface}" icmp type redirect drop
  }}
}}
"#,
        elements.join(", ")
    )
}

/// Takes the table out of force; `false` when it was not, as on a host without nftables.
pub(super) async fn unload() -> anyhow::Result<bool> {
    let output = match nft(&["delete", "table", "inet", TABLE], "").await {
        Ok(output) => output,
        Err(error) if missing(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    if String::from_utf8_lossy(&output.stderr).contains("No such file or directory") {
        return Ok(false);
    }
    must(output).map(|()| true)
}

fn missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

fn must(output: Output) -> anyhow::Result<()> {
    if !output.status.success() {
        bail!("nft: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

async fn nft(arguments: &[&str], input: &str) -> anyhow::Result<Output> {
    let mut command = Command::new("nft");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().context("cannot run nft: install nftables")?;
    let mut stdin = child.stdin.take();
    let talk = async {
        if let Some(stdin) = stdin.as_mut() {
            stdin.write_all(input.as_bytes()).await?;
        }
        drop(stdin.take());
        child.wait_with_output().await
    };
    Ok(tokio::time::timeout(LIMIT, talk).await.context("nft did not end in time")??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ruleset_lets_pairs_pass_both_ways_and_nothing_else() {
        let address = |last| Ipv4Addr::new(10, 50, 0, last);
        let pairs = BTreeSet::from([[address(2), address(3)], [address(4), address(9)]]);
        insta::assert_snapshot!(ruleset("wh0", &pairs));
    }
}
