//! What an app listens on, as the kernel tells it, compared with the port that its settings name.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use protocol::job::{Failure, Stage};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tracing::debug;

use super::Host;
use crate::failure::{FailureExt as _, failure};

/// How much of a table is read. Sockets that listen come first, so that an app's connections crowd none of them out.
const TABLE: u64 = 256 * 1024;
/// More ports than these say nothing more.
const NAMED: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Listening {
    Nowhere,
    /// Where it should.
    AsSet,
    /// On the right port, and nobody outside the container can reach it.
    LocalOnly,
    /// On these ports instead.
    Elsewhere(Vec<u16>),
    /// On these ports instead, and nobody outside the container can reach them.
    LocalElsewhere(Vec<u16>),
}

/// `None` when the container is gone or this host does not tell.
pub(super) async fn look(host: &Host, container: &str, port: u16) -> Option<Listening> {
    let pid = host.podman.inspect(container).await.ok()?.state.pid;
    if pid == 0 {
        return None;
    }
    let mut listeners = parse(&table(pid, "tcp").await?);
    // A kernel without IPv6 has no such file.
    listeners.extend(parse(&table(pid, "tcp6").await.unwrap_or_default()));
    Some(Listening::of(&listeners, port))
}

/// A table of the network namespace that `pid` is in.
async fn table(pid: u32, name: &str) -> Option<String> {
    let path = format!("/proc/{pid}/net/{name}");
    let read = async {
        let mut text = Vec::new();
        tokio::fs::File::open(&path).await?.take(TABLE).read_to_end(&mut text).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&text).into_owned())
    };
    read.await.inspect_err(|error| debug!(path, %error, "cannot see what the app listens on")).ok()
}

/// The listening sockets of a table in the form of `/proc/net/tcp` or `tcp6`.
fn parse(table: &str) -> BTreeSet<SocketAddr> {
    const LISTEN: &str = "0A";
    let listener = |line: &str| {
        let mut fields = line.split_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (state == LISTEN).then_some(SocketAddr::new(self::address(address)?, port))
    };
    table.lines().skip(1).filter_map(listener).collect()
}

/// Words of 32 bits, each as its number in this host's byte order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (at, octets) in octets.chunks_exact_mut(4).enumerate() {
                octets.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::from(octets))
        }
        _ => None,
    }
}

impl Listening {
    fn of(listeners: &BTreeSet<SocketAddr>, port: u16) -> Self {
        let (local, open): (Vec<_>, Vec<_>) =
            listeners.iter().partition(|listener| listener.ip().to_canonical().is_loopback());
        let has = |some: &[&SocketAddr]| some.iter().any(|listener| listener.port() == port);
        let ports = |some: &[&SocketAddr]| {
            let ports: BTreeSet<u16> = some.iter().map(|listener| listener.port()).collect();
            ports.into_iter().take(NAMED).collect()
        };
        match () {
            () if has(&open) => Self::AsSet,
            () if has(&local) => Self::LocalOnly,
            () if !open.is_empty() => Self::Elsewhere(ports(&open)),
            () if !local.is_empty() => Self::LocalElsewhere(ports(&local)),
            () => Self::Nowhere,
        }
    }

    /// Where the app listens instead of where it should; follows on what a probe saw.
    pub(super) fn instead(&self) -> Option<String> {
        match self {
            Self::Nowhere | Self::AsSet => None,
            Self::LocalOnly => Some("the app listens on 127.0.0.1 only".to_owned()),
            Self::Elsewhere(ports) => Some(format!("the app listens on {}", in_words(ports))),
            Self::LocalElsewhere(ports) => {
                Some(format!("the app listens on {} of 127.0.0.1 only", in_words(ports)))
            }
        }
    }
}

/// Why no connection of the probe was taken within `within_s` seconds after the start.
pub(super) fn nobody_answered(listening: Option<&Listening>, port: u16, within_s: u32) -> Failure {
    let after = format!("{within_s} s after the start");
    match listening {
        None => failure(
            Stage::Probe,
            "never_listened",
            format!("nothing listened on port {port} within {after}"),
        )
        .hint(format!(
            "The app must listen on port {port} on all addresses (0.0.0.0, not 127.0.0.1); otherwise set the app's port"
        )),
        Some(Listening::Nowhere) => failure(
            Stage::Probe,
            "never_listened",
            format!("nothing listens in the container, on no port at all, {after}"),
        )
        .hint(format!(
            "The app must listen on port {port} of 0.0.0.0; if it needs longer, raise `start_within_s` in [probe]"
        )),
        Some(Listening::AsSet) => failure(
            Stage::Probe,
            "no_connection",
            format!("the app listens on port {port}, but no connection from outside reached it within {after}"),
        )
        .hint("Raise `start_within_s` in [probe]; if the port was open all along, let the app take IPv4 too (0.0.0.0)"),
        Some(Listening::Elsewhere(ports)) => failure(
            Stage::Probe,
            "wrong_port",
            format!("the app listens on {}, and is expected on {port}", in_words(ports)),
        )
        .hint(format!("{}, or let the app listen on the port in PORT", setting(ports))),
        Some(Listening::LocalOnly) => failure(
            Stage::Probe,
            "local_only",
            format!("the app listens on port {port} of 127.0.0.1 only"),
        )
        .hint("Bind 0.0.0.0: 127.0.0.1 is the container's own, and nothing outside it gets there"),
        Some(Listening::LocalElsewhere(ports)) => failure(
            Stage::Probe,
            "local_only",
            format!("the app listens on {} of 127.0.0.1 only, and is expected on {port}", in_words(ports)),
        )
        .hint(format!("Bind 0.0.0.0, which is reached from outside the container; {}", lower(&setting(ports)))),
    }
}

fn in_words(ports: &[u16]) -> String {
    let all: Vec<String> = ports.iter().map(u16::to_string).collect();
    match all.as_slice() {
        [one] => format!("port {one}"),
        [first @ .., last] => format!("ports {} and {last}", first.join(", ")),
        [] => "no port".to_owned(),
    }
}

/// How to tell us of the port that serves.
fn setting(ports: &[u16]) -> String {
    match ports {
        [one] => format!("Set `port = {one}` in [run]"),
        _ => "Set `port` in [run] to the one of them that serves".to_owned(),
    }
}

/// To go on in the middle of a sentence.
fn lower(sentence: &str) -> String {
    sentence.replacen("Set", "set", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9 1 0 100 0 0 10 0
   1: 0100007F:240D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 8 1 0 100 0 0 10 0
   2: 0B00320A:1F90 0100320A:8A5C 01 00000000:00000000 00:00000000 00000000     0        0 7 1 0 20 4 30 10 -1
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
   2: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A 00000000:00000000
   3: 0000:zz bad 0A
   4:
";

    fn listeners(all: &[&str]) -> BTreeSet<SocketAddr> {
        all.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn sockets_that_listen_are_read_and_connections_are_not() {
        assert_eq!(parse(TCP), listeners(&["0.0.0.0:3000", "127.0.0.1:9229"]));
        assert_eq!(parse(TCP6), listeners(&["[::]:8080", "[::1]:80", "[::ffff:127.0.0.1]:81"]));
        assert_eq!(parse(""), BTreeSet::new());
    }

    #[test]
    fn what_is_heard_outside_counts_before_what_is_local() {
        let of = |all: &[&str]| Listening::of(&listeners(all), 8080);
        assert_eq!(of(&[]), Listening::Nowhere);
        assert_eq!(of(&["[::]:8080", "127.0.0.1:8080"]), Listening::AsSet);
        assert_eq!(of(&["10.89.0.2:8080"]), Listening::AsSet);
        assert_eq!(of(&["127.0.0.1:8080", "0.0.0.0:3000"]), Listening::LocalOnly);
        assert_eq!(of(&["[::ffff:127.0.0.1]:8080", "[::1]:8080"]), Listening::LocalOnly);
        assert_eq!(of(&["127.0.0.1:9229", "0.0.0.0:3000", "[::]:3000"]), Listening::Elsewhere(vec![3000]));
        assert_eq!(of(&["127.0.0.1:3000", "[::1]:24678"]), Listening::LocalElsewhere(vec![3000, 24678]));
    }

    #[test]
    fn each_finding_is_told_with_its_remedy() {
        let all = [
            None,
            Some(Listening::Nowhere),
            Some(Listening::AsSet),
            Some(Listening::LocalOnly),
            Some(Listening::Elsewhere(vec![3000])),
            Some(Listening::Elsewhere(vec![80, 443, 3000])),
            Some(Listening::LocalElsewhere(vec![3000])),
        ];
        let told: Vec<String> = all
            .iter()
            .map(|listening| {
                let failure = nobody_answered(listening.as_ref(), 8080, 30);
                format!("{}: {}\n  {}", failure.code, failure.message, failure.hint.unwrap_or_default())
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @"
        never_listened: nothing listened on port 8080 within 30 s after the start
          The app must listen on port 8080 on all addresses (0.0.0.0, not 127.0.0.1); otherwise set the app's port
        never_listened: nothing listens in the container, on no port at all, 30 s after the start
          The app must listen on port 8080 of 0.0.0.0; if it needs longer, raise `start_within_s` in [probe]
        no_connection: the app listens on port 8080, but no connection from outside reached it within 30 s after the start
          Raise `start_within_s` in [probe]; if the port was open all along, let the app take IPv4 too (0.0.0.0)
        local_only: the app listens on port 8080 of 127.0.0.1 only
          Bind 0.0.0.0: 127.0.0.1 is the container's own, and nothing outside it gets there
        wrong_port: the app listens on port 3000, and is expected on 8080
          Set `port = 3000` in [run], or let the app listen on the port in PORT
        wrong_port: the app listens on ports 80, 443 and 3000, and is expected on 8080
          Set `port` in [run] to the one of them that serves, or let the app listen on the port in PORT
        local_only: the app listens on port 3000 of 127.0.0.1 only, and is expected on 8080
          Bind 0.0.0.0, which is reached from outside the container; set `port = 3000` in [run]
        ");
    }
}
