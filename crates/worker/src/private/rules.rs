//! What the private network is to the kernel. Pure: a spec and what runs here become lines of nftables.
//!
//! Nobody has an app's address. A packet from a project's bridge to the address of an app that the project may reach is
//! sent on, connection by connection, to one of the app's instances: to the container itself where it runs on this host,
//! else to where another worker publishes it. All other packets to such addresses are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use protocol::ids::InstanceId;
use protocol::spec::PrivateSpec;
use protocol::spec::private::{EgressRule, Service, WEB_PORT};
use sha2::{Digest as _, Sha256};

/// Bridges of projects have names that begin so; other bridges of Podman do not.
pub(crate) const INTERFACES: &str = "podmanp";

/// The bridge of a project's network: the same on every worker.
pub(crate) fn interface(project: &str) -> String {
    let digest = Sha256::digest(project.as_bytes());
    format!("{INTERFACES}{}", &hex::encode(digest)[..8])
}

/// Parts of the guard's table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Chains of their own.
    pub(crate) chains: String,
    /// In `forward`, before everything that is forbidden.
    pub(crate) forward: String,
}

/// `running` are the containers of this host with their addresses, `here` all instances that this host should run, and
/// `bridges` those that exist.
pub(crate) fn rules(
    spec: Option<&PrivateSpec>,
    here: &BTreeSet<InstanceId>,
    running: &BTreeMap<InstanceId, Ipv4Addr>,
    bridges: &BTreeSet<String>,
) -> Rules {
    let projects = spec.map(|spec| spec.projects.as_slice()).unwrap_or_default();
    let named: Vec<(String, &_)> =
        projects.iter().map(|project| (interface(&project.project), project)).collect();
    let mut known: BTreeSet<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    if spec.is_none() {
        known.extend(bridges.iter().map(String::as_str));
    }
    let mut rules = Rules::default();
    let text = &mut rules.chains;
    let mut services = BTreeMap::new();
    let mut doors = Vec::new();
    for (interface, project) in &named {
        let mut ports = Ports::default();
        for service in &project.services {
            let ends = services.entry(service.address).or_insert_with(|| Ends::of(service, here, running));
            ports.add(service, ends);
        }
        if ports.write(text, interface) {
            doors.push(format!("\"{interface}\" : goto from_{interface}"));
        }
    }
    for (address, ends) in &services {
        ends.write(text, *address);
    }
    chain(
        text,
        "services",
        "type nat hook prerouting priority -110; policy accept;",
        &vmap("iifname", &doors),
    );
    let range = spec.map(|spec| spec.range);
    // Instances answer to this host, which knows whom it asked for.
    let masquerade = range
        .map(|range| format!("    ct status dnat ct original ip daddr {range} masquerade\n"))
        .unwrap_or_default();
    chain(text, "answers", "type nat hook postrouting priority 90; policy accept;", &masquerade);
    chain(text, "private", "", &private(&known));
    let fenced: Vec<_> =
        named.iter().filter_map(|(name, project)| Some((name, project.egress.as_ref()?))).collect();
    for (name, allowed) in &fenced {
        chain(text, &format!("egress_{name}"), "", &egress(allowed));
    }
    let fences: Vec<String> =
        fenced.iter().map(|(name, _)| format!("\"{name}\" : goto egress_{name}")).collect();
    chain(text, "egress", "", &vmap("iifname", &fences));
    if let Some(range) = range {
        let _ = write!(
            rules.forward,
            "    ct status dnat ct original ip daddr {range} accept\n    \
             ip daddr {range} meta l4proto tcp reject with tcp reset\n    \
             ip daddr {range} reject\n"
        );
    }
    rules
}

/// Containers of a project reach each other, and no bridge but their own.
fn private(known: &BTreeSet<&str>) -> String {
    let mut lines = String::new();
    if !known.is_empty() {
        let same: Vec<String> = known.iter().map(|name| format!("\"{name}\" . \"{name}\"")).collect();
        let names: Vec<String> = known.iter().map(|name| format!("\"{name}\"")).collect();
        let _ = writeln!(lines, "    iifname . oifname {{ {} }} accept", same.join(", "));
        let _ = writeln!(lines, "    oifname \"podman*\" drop");
        let _ = writeln!(lines, "    iifname {{ {} }} return", names.join(", "));
    }
    lines.push_str("    drop\n");
    lines
}

/// What is not returned from is refused at once, so that a program sees it.
fn egress(allowed: &[EgressRule]) -> String {
    let mut lines = String::new();
    for rule in allowed {
        let to = match rule.to {
            IpNet::V4(network) => format!("ip daddr {}", network.trunc()),
            IpNet::V6(network) => format!("ip6 daddr {}", network.trunc()),
        };
        let ports: BTreeSet<String> = rule.ports.iter().map(u16::to_string).collect();
        let ports: Vec<String> = ports.into_iter().collect();
        let _ = match ports.as_slice() {
            [] => writeln!(lines, "    {to} return"),
            ports => writeln!(
                lines,
                "    {to} meta l4proto {{ tcp, udp }} th dport {{ {} }} return",
                ports.join(", ")
            ),
        };
    }
    lines.push_str("    meta l4proto tcp reject with tcp reset\n    reject with icmpx admin-prohibited\n");
    lines
}

/// Where the connections to one app end.
#[derive(Debug)]
struct Ends {
    tcp: Vec<(Ipv4Addr, u16)>,
    udp: Vec<(Ipv4Addr, u16)>,
    ports: BTreeSet<u16>,
}

impl Ends {
    fn of(service: &Service, here: &BTreeSet<InstanceId>, running: &BTreeMap<InstanceId, Ipv4Addr>) -> Self {
        let mut ends = Self { tcp: Vec::new(), udp: Vec::new(), ports: BTreeSet::new() };
        for backend in &service.backends {
            let end = match (running.get(&backend.instance), backend.address.ip()) {
                (Some(own), _) => (*own, backend.port),
                // It should run on this host, and does not.
                (None, _) if here.contains(&backend.instance) => continue,
                (None, IpAddr::V4(address)) => (address, backend.address.port()),
                (None, IpAddr::V6(_)) => continue,
            };
            ends.tcp.push(end);
            if backend.udp {
                ends.udp.push(end);
            }
            ends.ports.insert(backend.port);
        }
        ends
    }

    fn write(&self, text: &mut String, address: Ipv4Addr) {
        for (protocol, ends) in [("tcp", &self.tcp), ("udp", &self.udp)] {
            if !ends.is_empty() {
                let choice: Vec<String> = ends
                    .iter()
                    .enumerate()
                    .map(|(at, (address, port))| format!("{at} : {address} . {port}"))
                    .collect();
                let line = format!(
                    "    meta l4proto {protocol} dnat ip to numgen random mod {} map {{ {} }}\n",
                    ends.len(),
                    choice.join(", ")
                );
                chain(text, &to(protocol, address), "", &line);
            }
        }
    }
}

fn to(protocol: &str, address: Ipv4Addr) -> String {
    format!("{protocol}_{}", address.to_string().replace('.', "_"))
}

/// The ports that one project reaches.
#[derive(Debug, Default)]
struct Ports {
    tcp: Vec<String>,
    udp: Vec<String>,
}

impl Ports {
    fn add(&mut self, service: &Service, ends: &Ends) {
        let address = service.address;
        if !ends.tcp.is_empty() {
            let ports: BTreeSet<u16> = ends.ports.iter().copied().chain([WEB_PORT]).collect();
            let chain = to("tcp", address);
            self.tcp.extend(ports.iter().map(|port| format!("{address} . {port} : goto {chain}")));
        }
        if !ends.udp.is_empty() {
            let chain = to("udp", address);
            self.udp.extend(ends.ports.iter().map(|port| format!("{address} . {port} : goto {chain}")));
        }
    }

    /// Whether there are any.
    fn write(&self, text: &mut String, interface: &str) -> bool {
        if self.tcp.is_empty() && self.udp.is_empty() {
            return false;
        }
        let lines = vmap("ip daddr . tcp dport", &self.tcp) + &vmap("ip daddr . udp dport", &self.udp);
        chain(text, &format!("from_{interface}"), "", &lines);
        true
    }
}

fn vmap(key: &str, elements: &[String]) -> String {
    if elements.is_empty() {
        String::new()
    } else {
        format!("    {key} vmap {{ {} }}\n", elements.join(", "))
    }
}

fn chain(text: &mut String, name: &str, hook: &str, lines: &str) {
    let hook = if hook.is_empty() { String::new() } else { format!("    {hook}\n") };
    let _ = write!(text, "  chain {name} {{\n{hook}{lines}  }}\n");
}

#[cfg(test)]
mod tests {
    use protocol::spec::private::{Backend, PrivateProject};

    use super::*;

    fn backend(instance: InstanceId, address: &str) -> Backend {
        Backend { instance, address: address.parse().expect("an address"), port: 8080, udp: false }
    }

    fn service(name: &str, last: u8, backends: Vec<Backend>) -> Service {
        Service { name: name.to_owned(), address: Ipv4Addr::new(100, 96, 0, last), backends }
    }

    fn project(name: &str, services: Vec<Service>) -> PrivateProject {
        PrivateProject { project: name.to_owned(), services, egress: None }
    }

    fn spec(projects: Vec<PrivateProject>) -> PrivateSpec {
        PrivateSpec { range: "100.96.0.0/11".parse().expect("a network"), projects }
    }

    #[test]
    fn two_projects_with_one_app_between_them_read_like_this() {
        let [here, there, down] = [1, 2, 3].map(|_| InstanceId::new());
        let api = service(
            "api.shop",
            1,
            vec![
                backend(here, "10.50.0.11:20001"),
                Backend { udp: true, ..backend(there, "10.50.0.12:20007") },
                backend(down, "10.50.0.11:20002"),
            ],
        );
        let idle = service("idle.shop", 2, Vec::new());
        let rule =
            |to: &str, ports: &[u16]| EgressRule { to: to.parse().expect("net"), ports: ports.to_vec() };
        let fenced = PrivateProject {
            egress: Some(vec![rule("203.0.113.7/32", &[443, 25]), rule("2001:db8::/32", &[])]),
            ..project("office", vec![api.clone()])
        };
        let spec = spec(vec![project("shop", vec![api, idle]), fenced, project("lonely", Vec::new())]);
        let running = BTreeMap::from([(here, Ipv4Addr::new(10, 89, 1, 2))]);
        let rules = rules(Some(&spec), &BTreeSet::from([here, down]), &running, &BTreeSet::new());
        insta::assert_snapshot!(rules.chains + "--\n" + &rules.forward);
    }

    #[test]
    fn without_a_spec_bridges_are_apart_and_nothing_is_reached_by_name() {
        let bridges = BTreeSet::from([interface("shop"), interface("office")]);
        let rules = rules(None, &BTreeSet::new(), &BTreeMap::new(), &bridges);
        assert_eq!(rules.forward, "");
        assert!(!rules.chains.contains("dnat"), "{}", rules.chains);
        assert!(rules.chains.contains("oifname \"podman*\" drop"));
    }

    #[test]
    fn a_bridge_has_a_name_that_fits_an_interface_and_no_other_project_has() {
        let names: BTreeSet<String> = (0..100).map(|at| interface(&format!("project-{at}"))).collect();
        assert_eq!(names.len(), 100);
        assert!(names.iter().all(|name| name.len() == 15 && crate::guard::is_interface(name)));
    }
}
