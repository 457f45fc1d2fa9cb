//! What a container cannot reach.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use testbed::report::until;
use testbed::service::Service;
use testbed::topology;

use crate::bed::{App, Bed, MINUTE, SOON};
use crate::runner::tests;

tests![
    an_instance_reaches_neither_the_mesh_nor_the_control_plane,
    long a_build_step_reaches_neither_the_mesh_nor_the_host_nor_a_project,
];

/// What hosts listen on during the test.
const LISTENER: u16 = 7099;

/// Says for each address whether something accepts connections there.
const LOOK: &str = r#"for address in "$@"; do
  if nc -w 2 "${address%:*}" "${address#*:}" </dev/null >/dev/null; then echo "open $address"; else echo "closed $address"; fi
done"#;

async fn an_instance_reaches_neither_the_mesh_nor_the_control_plane(bed: Arc<Bed>) -> Result<()> {
    let app = bed.page("fenced", "inside", "")?;
    bed.deploy(&app).await?;
    let (node, container) = container(&bed, &app).await?;
    let forbidden = forbidden(&bed, &node).await?;
    // Each of them answers the host itself, so nothing else than the guard closes it.
    let look = |words: &[&str]| -> Result<String> {
        let output = bed.cluster.exec(&node, words)?;
        ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let targets: Vec<&str> = forbidden.iter().map(String::as_str).collect();
    let from_host = look(&[&["busybox", "sh", "-c", LOOK, "look"], targets.as_slice()].concat())?;
    ensure!(!from_host.contains("closed"), "the host itself should reach these: {from_host}");
    let inside = ["podman", "exec", &container, "sh", "-c", LOOK, "look"];
    let from_container = look(&[&inside, targets.as_slice()].concat())?;
    ensure!(!from_container.contains("open"), "from the container: {from_container}");
    // Its own port, and the world beyond the mesh.
    let open = look(&[&inside[..], &["127.0.0.1:8080", "198.51.100.40:80"]].concat())?;
    ensure!(!open.contains("closed"), "from the container: {open}");
    bed.serves(&app, |page| page == "inside").await?;
    Ok(())
}

async fn a_build_step_reaches_neither_the_mesh_nor_the_host_nor_a_project(bed: Arc<Bed>) -> Result<()> {
    let neighbour = bed.page("fenced-neighbour", "in the network of a project", "")?;
    bed.deploy(&neighbour).await?;
    let (node, container) = container(&bed, &neighbour).await?;
    let mut closed = vec![format!("{}:8080", address_of(&bed, &node, &container)?)];
    closed.extend(["10.50.0.1:8081", "10.50.0.11:8090", "169.254.169.254:80"].map(str::to_owned));
    closed.push(format!("10.89.0.1:{LISTENER}"));
    // The build is on one of these. The other one is a host on the internet like any other.
    let workers = [topology::W1, topology::W2];
    for worker in workers {
        let port = LISTENER.to_string();
        let service = Service::new("listener", &["busybox", "nc", "-ll", "-p", &port, "-e", "true"]);
        bed.cluster.host(worker.name)?.set_service(&service)?;
    }
    let hosts = workers.map(|worker| format!("{}:{LISTENER}", worker.public));
    let from_the_world = ["busybox", "sh", "-c", LOOK, "look", &hosts[0], &hosts[1]];
    until("the listeners", SOON, || async {
        let seen = bed.cluster.exec(topology::PROXY.name, &from_the_world)?;
        Ok((!String::from_utf8_lossy(&seen.stdout).contains("closed")).then_some(()))
    })
    .await?;

    let step = format!(
        "COPY look /look\nRUN sh /look {} 198.51.100.40:80",
        [closed.as_slice(), &hosts].concat().join(" ")
    );
    let app = bed.page("fenced-build", "built", &step)?;
    app.write("look", LOOK)?;
    let deployment = bed.wh_json(&app.folder, &["deploy", "--detach"]).await?;
    let id = deployment["id"].as_str().context("no id")?;
    let ended = bed.ended(id).await?;
    for worker in workers {
        bed.cluster.host(worker.name)?.stop_process("listener")?;
    }
    let log = bed.build_log(id).await?.join("\n");
    ensure!(ended["state"] == "live", "{ended}\n{log}");
    for target in &closed {
        ensure!(log.contains(&format!("closed {target}")), "{target}: {log}");
    }
    let own = hosts.iter().any(|host| log.contains(&format!("closed {host}")));
    ensure!(own, "it reaches its own host: {log}");
    ensure!(log.contains("open 198.51.100.40:80"), "no network at all: {log}");
    Ok(())
}

/// The container's own one, on its bridge.
fn address_of(bed: &Bed, node: &str, container: &str) -> Result<String> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let output = bed.cluster.exec(node, &["podman", "inspect", "--format", format, container])?;
    let address = String::from_utf8(output.stdout)?.trim().to_owned();
    ensure!(!address.is_empty(), "{container} has no address");
    Ok(address)
}

/// Host and container of the app's only instance.
async fn container(bed: &Bed, app: &App) -> Result<(String, String)> {
    until("the container", SOON, || async {
        let instances = bed.wh_json(&app.folder, &["ps"]).await?;
        let (id, node) = (instances[0]["id"].as_str(), instances[0]["node"]["name"].as_str());
        let (id, node) = (id.context("no instance")?, node.context("no node")?);
        let listed = bed.cluster.exec(node, &["podman", "ps", "--format", "{{.Names}}"])?;
        let listed = String::from_utf8(listed.stdout)?;
        let name = listed
            .lines()
            .find(|name| name.ends_with(&id[id.len() - 8..]))
            .with_context(|| format!("no {id} in {listed}"))?;
        Ok(Some((node.to_owned(), name.to_owned())))
    })
    .await
}

/// Listeners in the mesh that `node` can reach: the control plane's, its own worker's and the other worker's.
async fn forbidden(bed: &Bed, node: &str) -> Result<Vec<String>> {
    let nodes =
        until("two workers", MINUTE, || async { Ok(Some(bed.wh_json(&bed.root, &["node", "ls"]).await?)) })
            .await?;
    let nodes = nodes.as_array().context("no list")?;
    let mut found = vec!["10.50.0.1:8081".to_owned()];
    for worker in nodes.iter().filter(|node| node["name"].as_str().is_some_and(|name| name.starts_with('w')))
    {
        found.push(format!("{}:8090", worker["mesh_address"].as_str().context("no address")?));
    }
    ensure!(found.len() == 3, "expected two workers beside {node}: {found:?}");
    Ok(found)
}
