//! Hosts come in, change their keys while people visit, and are shut out.

use std::io::Write as _;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::report::until;
use testbed::software;
use testbed::topology::{GUESTS, W1, W2};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::bed::{Bed, MINUTE, SOON};
use crate::runner::tests;
use crate::visitors::Visitors;

/// Hosts with the names of their nodes.
const HOSTS: [(&str, &str); 4] =
    [("cp", "control-plane"), (W1.name, W1.name), (W2.name, W2.name), ("proxy", "proxy")];

tests![
    a_change_of_keys_under_load_fails_no_request_and_outlives_a_power_loss,
    a_revoked_host_is_shut_out_and_comes_in_again_while_wh_node_add_waits,
    long twenty_hosts_join_at_once,
];

async fn a_change_of_keys_under_load_fails_no_request_and_outlives_a_power_loss(bed: Arc<Bed>) -> Result<()> {
    let pair = bed.page("keyed", "keyed", "")?;
    bed.deploy(&pair).await?;
    bed.run_wh(&pair.folder, &["scale", "2"]).await?;
    let other = bed.page("meanwhile", "meanwhile", "")?;
    let before: Vec<String> = HOSTS.iter().map(|(host, _)| key_on(&bed, host)).collect::<Result<_>>()?;
    let crowd = Visitors::come(&bed, &pair);
    let start = Instant::now();
    // A build runs through the change of its worker's key.
    let (built, changed) = tokio::join!(bed.deploy(&other), async {
        for (_, node) in HOSTS {
            bed.run_wh(&bed.root, &["node", "rotate-key", node]).await?;
        }
        anyhow::Ok(())
    });
    built?;
    changed?;
    println!("     4 keys changed in {:.1} s", start.elapsed().as_secs_f64());
    for ((host, _), old) in HOSTS.into_iter().zip(&before) {
        ensure!(key_on(&bed, host)? != *old, "{host} has the same key");
    }
    for host in [W1.name, W2.name, "proxy"] {
        bed.online(host).await?;
    }
    // Every agent came with the new key, and what is sealed with it is known on the other side.
    bed.run_wh(&pair.folder, &["exec", "--", "true"]).await?;
    crowd.make(20).await?;
    crowd.leave_content().await?;

    // The power goes wherever it is.
    let key = key_on(&bed, W2.name)?;
    bed.run_wh(&bed.root, &["node", "rotate-key", W2.name, "--detach"]).await?;
    bed.cluster.power_off(W2.name)?;
    bed.cluster.power_on(W2.name)?;
    bed.online(W2.name).await?;
    until("the change of w2's key", MINUTE, || async {
        let node = bed.cluster.api()?.get("/nodes/w2").await?;
        Ok(node["key"]["rotation_asked_at"].is_null().then_some(()))
    })
    .await?;
    ensure!(key_on(&bed, W2.name)? != key, "w2 has the same key");
    bed.online(W2.name).await?;
    bed.run_wh(&bed.root, &["apps", "rm", "keyed", "--confirm", "keyed"]).await?;
    bed.run_wh(&bed.root, &["apps", "rm", "meanwhile", "--confirm", "meanwhile"]).await?;
    Ok(())
}

async fn a_revoked_host_is_shut_out_and_comes_in_again_while_wh_node_add_waits(bed: Arc<Bed>) -> Result<()> {
    let node = bed.online(W2.name).await?;
    let chips = node["capabilities"].as_array().context("no capabilities")?;
    for name in ["podman", "cgroups", "nftables", "wireguard"] {
        ensure!(chips.iter().any(|chip| chip["name"] == name), "{name} is missing: {node}");
    }
    for limit in ["user_namespaces", "disk"] {
        ensure!(chips.iter().all(|chip| chip["name"] != limit), "{limit} is told in two places: {node}");
        let told = &node["host"]["enforced"][limit];
        ensure!(told["by"].is_string() != told["why_not"].is_string(), "{limit}: {node}");
    }
    bed.run_wh(&bed.root, &["node", "revoke", W2.name, "--confirm", W2.name]).await?;
    until("the end of w2's connections", SOON, || async {
        let node = bed.cluster.api()?.get("/nodes/w2").await?;
        let agents = node["agents"].as_array().context("no agents")?;
        Ok(agents.iter().all(|agent| agent["connected"] == false).then_some(()))
    })
    .await?;
    let host = bed.cluster.host(W2.name)?;
    host.stop_process(software::MESH)?;
    let words = software::subcommand(software::MESH, &["leave", "--yes"]);
    let left = bed.cluster.exec(W2.name, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
    ensure!(left.status.success(), "{}", String::from_utf8_lossy(&left.stderr));

    let mut add = bed.wh(&bed.root, &["node", "add", W2.name, "--label", "back=yes", "--json"])?;
    let mut add = add.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(add.stdout.take().context("no output")?).lines();
    let first: Value = serde_json::from_str(&lines.next_line().await?.context("nothing was printed")?)?;
    // The agent runs and waits; the command joins beside it.
    host.set_service(&software::enrolled_mesh(&host, W2, "")?)?;
    let token = first["token"]["token"].as_str().context("no token")?;
    let joined = join(&bed, W2.name, token)?;
    ensure!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    let again = join(&bed, W2.name, token)?;
    ensure!(!again.status.success(), "a host joins once");
    let mut told = Vec::new();
    let ended = tokio::time::timeout(MINUTE, async {
        while let Some(line) = lines.next_line().await? {
            told.push(line);
        }
        anyhow::Ok(add.wait().await?)
    });
    let ended = ended.await.with_context(|| format!("`wh node add` goes on after {told:#?}"))??;
    let told = told.join("\n");
    ensure!(ended.success(), "{ended}: {told}");
    for step in
        ["the token was used by w2", "w2 is in the mesh", "its worker agent is connected", "\"enforced\""]
    {
        ensure!(told.contains(step), "{step:?} is not in {told}");
    }
    let back = bed.online(W2.name).await?;
    ensure!(back["id"] == node["id"] && back["labels"]["back"] == "yes", "{back}");
    Ok(())
}

async fn twenty_hosts_join_at_once(bed: Arc<Bed>) -> Result<()> {
    let api = bed.cluster.api()?;
    std::thread::scope(|scope| {
        let boots: Vec<_> =
            GUESTS.iter().map(|guest| scope.spawn(|| bed.cluster.add_guest(*guest))).collect();
        boots
            .into_iter()
            .try_for_each(|boot| boot.join().map_err(|_| anyhow::anyhow!("a boot panicked"))?.map(drop))
    })?;
    let mut tokens = Vec::new();
    for guest in GUESTS {
        let token = api.post("/node-tokens", json!({ "roles": ["worker"], "name": guest.name })).await?;
        tokens.push(token["token"].as_str().context("no token")?.to_owned());
    }
    let start = Instant::now();
    std::thread::scope(|scope| {
        let bed = &bed;
        let joins: Vec<_> = GUESTS
            .iter()
            .zip(&tokens)
            .map(|(guest, token)| scope.spawn(move || join(bed, guest.name, token)))
            .collect();
        joins.into_iter().try_for_each(|joined| {
            let joined = joined.join().map_err(|_| anyhow::anyhow!("a join panicked"))??;
            ensure!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
            Ok(())
        })
    })?;
    println!("     20 hosts have their places after {:.1} s", start.elapsed().as_secs_f64());
    until("twenty hosts online", 2 * MINUTE, || async {
        let nodes = api.get("/nodes?limit=100").await?;
        let all = nodes["items"].as_array().context("no nodes")?;
        let is_in = |name: &str| all.iter().any(|one| one["name"] == name && one["status"] == "online");
        Ok(GUESTS.iter().all(|guest| is_in(guest.name)).then_some(()))
    })
    .await?;
    println!("     all are online after {:.1} s", start.elapsed().as_secs_f64());
    let hosts: Vec<&str> =
        ["cp", W1.name, W2.name, "proxy"].into_iter().chain(GUESTS.iter().map(|guest| guest.name)).collect();
    until("all tunnels", 2 * MINUTE, || async {
        for host in &hosts {
            let peers = bed.cluster.exec(host, &["wg", "show", "wh0", "peers"])?;
            if String::from_utf8(peers.stdout)?.lines().count() + 1 != hosts.len() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await?;
    println!("     all {} hosts know all tunnels after {:.1} s", hosts.len(), start.elapsed().as_secs_f64());
    for guest in GUESTS {
        bed.cluster.power_off(guest.name)?;
        bed.run_wh(&bed.root, &["node", "rm", guest.name]).await?;
    }
    Ok(())
}

/// What an admin's line does on the host: the token goes to the program's standard input.
fn join(bed: &Bed, host: &str, token: &str) -> Result<Output> {
    let words = software::subcommand(software::MESH, &["join"]);
    let mut command = bed.cluster.command(host, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("no input")?.write_all(format!("{token}\n").as_bytes())?;
    Ok(child.wait_with_output()?)
}

fn key_on(bed: &Bed, host: &str) -> Result<String> {
    let path = bed.cluster.host(host)?.folder.join("lib/mesh/identity.json");
    let identity: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    Ok(identity["api_key"].as_str().context("no API key")?.to_owned())
}
