//! IPv6 leads out of no container. By itself a container has a link-local address and nothing else; this gives it, its
//! neighbour of another project, their bridges, the mesh and the host all that packets need to get from each to each, so
//! that nothing but the firewall is left to stop them.

use anyhow::{Context, Result, ensure};
use testbed::report::until;
use testbed::service::Service;

use super::Inside;
use crate::bed::{Bed, SOON};

/// What the host listens on, at all of its addresses.
const LISTENER: u16 = 7098;

/// Says for each `address port` whether something accepts connections there; all at once.
const LOOK: &str = r#"for target in "$@"; do (
  if nc -w 3 "${target% *}" "${target#* }" </dev/null >/dev/null 2>&1; then echo "open $target"; else echo "closed $target"; fi
) & done; wait"#;

/// Of a project's bridge: the host has the first address, its container the second one.
struct Side<'a> {
    inside: &'a Inside,
    pid: String,
    interface: String,
    prefix: &'a str,
}

pub(super) async fn leads_nowhere(bed: &Bed, desk: &Inside, other: &Inside) -> Result<()> {
    let node = desk.node.as_str();
    let [own, other] = [(desk, "fd88"), (other, "fd99")].map(|(inside, prefix)| side(bed, inside, prefix));
    let (own, other) = (own?, other?);
    for one in [&own, &other] {
        let addresses = one.inside.run(bed, &["cat", "/proc/net/if_inet6"], b"")?;
        // The fourth word is the scope: 10 is the container's own loopback, 20 its link.
        let addresses = String::from_utf8(addresses)?;
        let mut scopes = addresses.lines().filter_map(|line| line.split_whitespace().nth(3));
        ensure!(scopes.all(|scope| scope == "10" || scope == "20"), "{}: {addresses}", one.inside.name);
    }
    let port = LISTENER.to_string();
    let service = Service::new("listener6", &["busybox", "nc", "-ll", "-p", &port, "-e", "true"]);
    bed.cluster.host(node)?.set_service(&service)?;
    let looked = look(bed, &own, &other).await;
    bed.cluster.host(node)?.stop_process("listener6")?;
    for one in [&own, &other] {
        let address = format!("{}::1/64", one.prefix);
        bed.cluster.exec(node, &["ip", "-6", "addr", "del", &address, "dev", &one.interface])?;
    }
    bed.cluster.exec(node, &["ip", "-6", "addr", "del", "fd77::11/64", "dev", "wh0"])?;
    looked
}

async fn look(bed: &Bed, own: &Side<'_>, other: &Side<'_>) -> Result<()> {
    let node = own.inside.node.as_str();
    done(bed, node, &["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])?;
    done(bed, node, &["ip", "-6", "addr", "replace", "fd77::11/64", "dev", "wh0", "nodad"])?;
    for side in [own, other] {
        let Side { interface, prefix, pid, .. } = side;
        let (host, container) = (format!("{prefix}::1"), format!("{prefix}::2/64"));
        done(bed, node, &["ip", "-6", "addr", "replace", &format!("{host}/64"), "dev", interface, "nodad"])?;
        let within = ["nsenter", "-t", pid, "-n", "ip", "-6"];
        let address = ["addr", "replace", &container, "dev", "eth0", "nodad"];
        done(bed, node, &[&within[..], &address].concat())?;
        let route = ["route", "replace", "default", "via", &host, "dev", "eth0"];
        done(bed, node, &[&within[..], &route].concat())?;
    }
    let link = link_local(bed, node, &own.interface)?;
    let host = |address: &str| format!("{address} {LISTENER}");
    let neighbour = format!("{}::2 8080", other.prefix);
    let everywhere = ["fd77::11", &format!("{}::1", own.prefix), &format!("{}::1", other.prefix)];
    let everywhere: Vec<String> = everywhere.map(host).into_iter().chain([neighbour]).collect();
    // The host itself gets to each of them, and to the container that asks: packets know the ways there and back.
    let mut from_host = everywhere.clone();
    from_host.extend([host(&format!("{link}%{}", own.interface)), format!("{}::2 8080", own.prefix)]);
    until("the ways over IPv6", SOON, || async {
        let seen = looks(bed, node, &["busybox", "sh", "-c", LOOK, "look"], &from_host)?;
        ensure!(!seen.contains("closed"), "the host itself should reach these: {seen}");
        Ok(Some(()))
    })
    .await?;
    let inside = ["podman", "exec", &own.inside.name, "sh", "-c", LOOK, "look"];
    let mut forbidden = everywhere;
    forbidden.push(host(&format!("{link}%eth0")));
    let seen = looks(bed, node, &inside, &forbidden)?;
    ensure!(!seen.contains("open"), "from inside {}: {seen}", own.inside.name);
    println!("from inside a container over IPv6:\n{seen}");
    let own = looks(bed, node, &inside, &[format!("{}::2 8080", own.prefix)])?;
    ensure!(!own.contains("closed"), "it cannot tell an open port: {own}");
    Ok(())
}

fn side<'a>(bed: &Bed, inside: &'a Inside, prefix: &'a str) -> Result<Side<'a>> {
    let format = "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let found = done(bed, &inside.node, &["podman", "inspect", "--format", format, &inside.name])?;
    let (pid, address) = found.trim().split_once(' ').context("no process and address")?;
    let route = done(bed, &inside.node, &["ip", "-o", "route", "get", address])?;
    let mut words = route.split_whitespace().skip_while(|word| *word != "dev");
    let interface = words.nth(1).with_context(|| format!("no bridge: {route}"))?.to_owned();
    Ok(Side { inside, pid: pid.to_owned(), interface, prefix })
}

/// The address that every interface has, and by which a container could call its host without any other.
fn link_local(bed: &Bed, node: &str, interface: &str) -> Result<String> {
    let shown = done(bed, node, &["ip", "-o", "-6", "addr", "show", "dev", interface, "scope", "link"])?;
    let address = shown.split_whitespace().find(|word| word.starts_with("fe80:"));
    let address = address.with_context(|| format!("{interface} has none: {shown}"))?;
    Ok(address.split('/').next().unwrap_or_default().to_owned())
}

fn looks(bed: &Bed, node: &str, words: &[&str], targets: &[String]) -> Result<String> {
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let seen = done(bed, node, &[words, &targets].concat())?;
    ensure!(seen.lines().count() == targets.len(), "{targets:?}: {seen}");
    Ok(seen)
}

fn done(bed: &Bed, node: &str, words: &[&str]) -> Result<String> {
    let output = bed.cluster.exec(node, words)?;
    ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
