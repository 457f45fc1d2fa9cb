//! Nodes: how they are there, go, and come again.

use std::process::Output;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::report::until;
use testbed::software;
use testbed::topology::W1;

use crate::bed::{Bed, MINUTE, SOON};
use crate::runner::tests;

tests![declared_and_enrolled_nodes_are_online, a_removed_node_is_shut_out_and_joins_again_with_a_new_token];

async fn declared_and_enrolled_nodes_are_online(bed: Arc<Bed>) -> Result<()> {
    for (name, origin, role) in
        [("w1", "declared", "worker"), ("w2", "enrolled", "worker"), ("proxy", "enrolled", "proxy")]
    {
        let node = bed.online(name).await?;
        ensure!(node["origin"] == origin && node["roles"] == serde_json::json!([role]), "{node}");
        reaches(&bed, "cp", &node).await?;
    }
    Ok(())
}

async fn a_removed_node_is_shut_out_and_joins_again_with_a_new_token(bed: Arc<Bed>) -> Result<()> {
    let node = bed.online("w2").await?;
    ensure!(
        node["instances"] == 0,
        "this test needs w2 without instances, so it must run before others: {node}"
    );
    let key = public_key(&bed, "w2")?;
    until("the tunnel to w2", SOON, || async { Ok(is_peer(&bed, W1.name, &key)?.then_some(())) }).await?;

    bed.run_wh(&bed.root, &["node", "rm", "w2"]).await?;
    for other in ["cp", W1.name, "proxy"] {
        let gone = || async { Ok((!is_peer(&bed, other, &key)?).then_some(())) };
        until(&format!("the end of the tunnel on {other}"), SOON, gone).await?;
    }
    let listed = bed.wh_json(&bed.root, &["node", "ls"]).await?;
    ensure!(listed.as_array().is_some_and(|all| all.iter().all(|one| one["name"] != "w2")), "{listed}");
    its_agents_are_refused(&bed)?;

    let token =
        bed.wh_json(&bed.root, &["node", "token", "create", "--role", "worker", "--name", "w2"]).await?;
    join_again(&bed, token["token"].as_str().context("no token")?)?;
    let again = bed.online("w2").await?;
    ensure!(again["id"] != node["id"], "the same node: {again}");
    reaches(&bed, "cp", &again).await?;
    reaches(&bed, W1.name, &again).await
}

/// What the agents themselves say the remedy is.
fn join_again(bed: &Bed, token: &str) -> Result<()> {
    let host = bed.cluster.host("w2")?;
    host.stop_process(software::MESH)?;
    std::fs::remove_file(host.folder.join("lib/mesh/identity.json"))?;
    bed.cluster.join("w2", token)
}

fn its_agents_are_refused(bed: &Bed) -> Result<()> {
    let agents = bed.cluster.host("w2")?;
    let identity: Value =
        serde_json::from_slice(&std::fs::read(agents.folder.join("lib/mesh/identity.json"))?)?;
    let key = identity["api_key"].as_str().context("no API key")?;
    // Straight to the listener, since the mesh does not let it through any more.
    let authorization = format!("Authorization: Bearer {key}");
    let refused = bed.cluster.exec(
        "cp",
        &[
            "busybox",
            "wget",
            "-S",
            "-O",
            "-",
            "--header",
            "Content-Type: application/json",
            "--header",
            &authorization,
            "--post-data",
            r#"{"agent":"worker","version":"0.1.0"}"#,
            "http://10.50.0.1:8081/v1/workers/register",
        ],
    )?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(said.contains(" 401 "), "{said}");
    Ok(())
}

/// The node's worker or proxy answers in the mesh, looked at from `from`.
async fn reaches(bed: &Bed, from: &str, node: &Value) -> Result<()> {
    let address = node["mesh_address"].as_str().context("no mesh address")?;
    until(&format!("{address} from {from}"), MINUTE, || async {
        let pinged = bed.cluster.exec(from, &["busybox", "ping", "-c", "1", "-W", "1", address])?;
        Ok(pinged.status.success().then_some(()))
    })
    .await
}

fn public_key(bed: &Bed, host: &str) -> Result<String> {
    Ok(std::fs::read_to_string(bed.cluster.host(host)?.folder.join("lib/mesh/public.key"))?.trim().to_owned())
}

fn is_peer(bed: &Bed, host: &str, key: &str) -> Result<bool> {
    let Output { status, stdout, stderr } = bed.cluster.exec(host, &["wg", "show", "wh0", "peers"])?;
    ensure!(status.success(), "wg show on {host}: {}", String::from_utf8_lossy(&stderr));
    Ok(String::from_utf8(stdout)?.lines().any(|line| line == key))
}
