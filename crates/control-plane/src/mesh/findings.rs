//! What is wrong with the mesh, and what to do about it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Finding, Link, LinkState, Problem, Side};
use crate::doctor::Level;
use crate::nodes::Status;

/// Percent of lost probes that are worth a word.
const LOSS: f64 = 5.0;
/// A path that carries less than this does not carry what every network has to.
const NARROWEST: u16 = 1280;
/// A clock that is further off than this makes handshakes fail and logs lie.
const CLOCK: TimeDelta = TimeDelta::seconds(30);

/// All findings, the worst first. `links` are those of `sides`.
pub(super) fn findings(sides: &[Side], links: &[Link], now: DateTime<Utc>) -> Vec<Finding> {
    let mut found: Vec<Finding> = sides.iter().flat_map(|side| of_node(side, now)).collect();
    let silent = between(links, |link| link.state == LinkState::Silent);
    let by_name: BTreeMap<&str, &Side> = sides.iter().map(|side| (side.name.as_str(), side)).collect();
    let reports = |name: &str| by_name.get(name).is_some_and(|side| side.fresh(now).is_some());
    // Whether a node that says nothing is off or unreachable cannot be told from here: it has its own finding.
    let cut: Vec<(&str, &str)> = silent.into_iter().filter(|(a, b)| reports(a) && reports(b)).collect();
    found.extend(cut.iter().map(|(a, b)| {
        let summary = format!("{a} and {b} do not reach each other");
        unreachable(by_name[a], by_name[b], links, &summary)
    }));
    for (a, b) in between(links, |link| link.state == LinkState::Relayed) {
        // A pair of which one side is silent has a finding already.
        if !cut.contains(&(a, b)) {
            found.push(relayed(by_name[a], by_name[b], links));
        }
    }
    for link in links.iter().filter(|link| reports(&link.from) && reports(&link.to)) {
        found.extend(of_link(link, by_name[link.from.as_str()]));
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    found
}

/// The pairs of which a direction is so, each once.
fn between(links: &[Link], so: impl Fn(&Link) -> bool) -> BTreeSet<(&str, &str)> {
    links.iter().filter(|link| so(link)).map(pair_of).collect()
}

fn pair_of(link: &Link) -> (&str, &str) {
    order(&link.from, &link.to)
}

fn order<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    if a < b { (a, b) } else { (b, a) }
}

fn of_node(side: &Side, now: DateTime<Utc>) -> Vec<Finding> {
    let name = &side.name;
    let finding =
        |level, problem, summary, fix| Finding { level, problem, nodes: vec![name.clone()], summary, fix };
    let Some(report) = side.fresh(now) else {
        // A node that is about to join has nothing to say yet.
        if side.status == Status::Joining {
            return Vec::new();
        }
        let since = match side.reported_at {
            Some(at) => format!("since {}", at.format("%Y-%m-%d %H:%M UTC")),
            None => "yet".to_owned(),
        };
        let summary = format!("the mesh agent of {name} has not reported {since}");
        let fix = format!(
            "Look at `journalctl -u wisehosting-mesh` on {name}: it says whether the agent runs, and what keeps it from the control plane"
        );
        return vec![finding(Level::Problem, Problem::NoReport, summary, fix)];
    };
    let mut found = Vec::new();
    if report.public_key.as_ref().is_some_and(|key| *key != side.public_key) {
        found.push(finding(
            Level::Problem,
            Problem::KeysDiffer,
            format!("the tunnel of {name} uses another key than the one that other nodes know"),
            format!(
                "Put the private.key back with which {name} joined; or remove the node with `wh node rm {name}` and join the host again"
            ),
        ));
    }
    if let (Some(theirs), Some(ours)) = (report.at, side.reported_at) {
        let off = theirs - ours;
        if off.abs() > CLOCK {
            let way = if off > TimeDelta::zero() { "ahead" } else { "behind" };
            found.push(finding(
                Level::Warning,
                Problem::Clock,
                format!("the clock of {name} is {} s {way}", off.abs().num_seconds()),
                format!(
                    "Let a time service run on {name}, such as systemd-timesyncd: peers refuse the handshakes of a host whose clock was set back"
                ),
            ));
        }
    }
    found
}

/// Two nodes that reach each other through a third.
fn relayed(a: &Side, b: &Side, links: &[Link]) -> Finding {
    let via = links.iter().find(|link| pair_of(link) == order(&a.name, &b.name) && link.via.is_some());
    let via = via.and_then(|link| link.via.as_deref()).unwrap_or("another node");
    let summary = format!("{} and {} reach each other only through {via}", a.name, b.name);
    let cause = unreachable(a, b, links, &summary);
    Finding { level: Level::Warning, problem: Problem::Relayed, ..cause }
}

/// Why two nodes that both report do not reach each other.
fn unreachable(a: &Side, b: &Side, links: &[Link], summary: &str) -> Finding {
    let nodes = vec![a.name.clone(), b.name.clone()];
    let problem = |problem, why: &str, fix| Finding {
        level: Level::Problem,
        problem,
        nodes,
        summary: format!("{summary}: {why}"),
        fix,
    };
    if a.endpoint.is_none() && b.endpoint.is_none() {
        return problem(
            Problem::NoEndpoint,
            "neither has an endpoint that the other could dial",
            format!(
                "Set `node.endpoint` in the mesh.toml of {} or {} to an address and port that the other can dial",
                a.name, b.name
            ),
        );
    }
    for (side, other) in [(a, b), (b, a)] {
        if let Some(public) = seen_outside(side, links) {
            return problem(
                Problem::PrivateEndpoint,
                &format!("the endpoint of {} is a private address, and peers see it at {public}", side.name),
                format!(
                    "Set `node.endpoint` of {} to an address at which {} can dial it, and forward the port to the host if it is behind NAT",
                    side.name, other.name
                ),
            );
        }
    }
    let ports: Vec<String> = [a, b]
        .iter()
        .filter_map(|side| Some(format!("{} at {}", side.endpoint.as_ref()?, side.name)))
        .collect();
    problem(
        Problem::PortClosed,
        "packets are lost on the way",
        format!(
            "Let UDP in to {}, in the firewall of the host and of its provider, and out at the other",
            ports.join(" and ")
        ),
    )
}

/// The public address at which others see a node that says it is at a private one.
fn seen_outside(side: &Side, links: &[Link]) -> Option<SocketAddr> {
    let private = |address: &SocketAddr| match address {
        SocketAddr::V4(address) => address.ip().is_private(),
        SocketAddr::V6(address) => address.ip().is_unique_local(),
    };
    let declared: SocketAddr = side.endpoint.as_ref()?.parse().ok()?;
    let mut seen = links.iter().filter(|link| link.to == side.name && link.state == LinkState::Direct);
    private(&declared).then(|| seen.find_map(|link| link.endpoint.filter(|address| !private(address))))?
}

fn of_link(link: &Link, from: &Side) -> Vec<Finding> {
    let Link { from: a, to: b, .. } = link;
    let mut found = Vec::new();
    let mut say = |level, problem, summary, fix| {
        found.push(Finding { level, problem, nodes: vec![a.clone(), b.clone()], summary, fix });
    };
    match (link.state, link.loss) {
        (LinkState::Unknown, _) => say(
            Level::Warning,
            Problem::PeerMissing,
            format!("the tunnel of {a} does not have {b} as a peer"),
            format!(
                "It takes new peers in as soon as the control plane has told it. If this stays, look at `journalctl -u wisehosting-mesh` on {a}"
            ),
        ),
        (LinkState::Direct, Some(100.0)) => say(
            Level::Warning,
            Problem::NoProbes,
            format!("{b} answers no probes of {a}, although the tunnel between them works"),
            format!(
                "Let UDP 51822 in on the mesh interface of {b}; an older mesh agent there has to be updated"
            ),
        ),
        (LinkState::Direct | LinkState::Relayed, Some(loss)) if loss >= LOSS => say(
            Level::Warning,
            Problem::Loss,
            format!("{loss:.0} % of the packets from {a} to {b} and back are lost"),
            format!("Look at the networks between {a} and {b}: an overloaded uplink, or a failing cable"),
        ),
        _ => {}
    }
    let full = from.report.as_ref().and_then(|report| report.mtu);
    if let (LinkState::Direct, Some(mtu), Some(full)) = (link.state, link.mtu, full)
        && u32::from(mtu) < full
    {
        let level = if mtu < NARROWEST { Level::Problem } else { Level::Warning };
        say(
            level,
            Problem::NarrowPath,
            format!(
                "packets of more than {mtu} bytes do not get from {a} to {b}; smaller ones are sent there"
            ),
            format!(
                "Nothing has to be done. To make all packets fit, set `mtu = {mtu}` in the mesh.toml of {a} and {b}, or let ICMP through between them"
            ),
        );
    }
    found
}
