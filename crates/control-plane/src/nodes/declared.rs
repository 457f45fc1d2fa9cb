//! Nodes that the configuration names, and the control plane's own.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context;
use protocol::identity::Role;
use protocol::ids::NodeId;
use protocol::labels::Labels;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::store::{self, Known, NewNode};
use super::{Origin, enrol};
use crate::app::AppState;
use crate::audit;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};

struct Declared {
    name: String,
    roles: Vec<Role>,
    public_key: String,
    mesh_address: Ipv4Addr,
    endpoint: Option<String>,
    labels: Labels,
    zone: Option<String>,
}

/// Makes the declared nodes known and forgets the ones that the configuration no longer names. The control plane's
/// own node is [`own_node`]'s.
pub async fn sync_declared(app: &AppState) -> anyhow::Result<()> {
    let declared: Vec<Declared> = app
        .config
        .nodes
        .iter()
        .map(|node| Declared {
            name: node.name.clone(),
            roles: node.roles.clone(),
            public_key: node.public_key.clone(),
            mesh_address: node.mesh_address,
            endpoint: node.endpoint.map(|endpoint| endpoint.to_string()),
            labels: node.labels.clone(),
            zone: node.zone.clone(),
        })
        .collect();
    for node in &declared {
        if let Err(error) = upsert(app, node).await {
            warn!(node.name = node.name, error = format!("{error:#}"), "a declared node cannot be taken in");
        }
    }
    let names: HashSet<&str> = declared.iter().map(|node| node.name.as_str()).collect();
    let mut tx = app.db.begin().await?;
    for node in store::all(&mut tx).await? {
        let own = node.mesh_address == app.config.mesh.address;
        if node.origin == Origin::Declared && !own && !names.contains(node.name.as_str()) {
            remove(&mut tx, &node).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

async fn remove(conn: &mut sqlx::PgConnection, node: &Known) -> anyhow::Result<()> {
    store::forget_instances(conn, node.id).await?;
    store::remove(conn, node.id).await?;
    generations::raise(conn, Consumer::Mesh).await?;
    generations::raise(conn, Consumer::Routes).await?;
    bus::say(conn, Topic::Nodes, node.id).await?;
    let detail = json!({ "reason": "no longer declared in the configuration" });
    audit::record_system(conn, "system", "node.remove", &format!("node:{}", node.name), detail).await?;
    info!(node.id = %node.id, node.name = node.name, "a node is no longer declared: removed");
    Ok(())
}

/// Waits for the public key of this host's mesh agent, then makes the control plane's own node known. Looks again
/// now and then, because a host that was set up anew has another key.
pub async fn own_node(app: AppState, stop: CancellationToken) -> anyhow::Result<()> {
    let mesh = &app.config.mesh;
    let mut said = false;
    loop {
        let pause = match own(&app).await {
            Ok(()) => Duration::from_mins(1),
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    let file = mesh.public_key_file.display();
                    warn!(%file, error = format!("{error:#}"), "waiting for this host's mesh agent: nodes cannot reach the control plane yet");
                }
                Duration::from_secs(1)
            }
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return Ok(());
        }
    }
}

async fn own(app: &AppState) -> anyhow::Result<()> {
    let mesh = &app.config.mesh;
    let text =
        tokio::fs::read_to_string(&mesh.public_key_file).await.context("cannot read its public key")?;
    let public_key = text.trim().to_owned();
    enrol::check_public_key(&public_key)
        .map_err(|_| anyhow::anyhow!("the file holds no WireGuard public key"))?;
    let mut roles = vec![Role::ControlPlane];
    roles.extend(mesh.roles.iter().filter(|role| **role != Role::ControlPlane));
    let node = Declared {
        name: mesh.name.clone(),
        roles,
        public_key,
        mesh_address: mesh.address,
        endpoint: Some(mesh.endpoint.to_string()),
        labels: mesh.labels.clone(),
        zone: mesh.zone.clone(),
    };
    upsert(app, &node).await
}

async fn upsert(app: &AppState, node: &Declared) -> anyhow::Result<()> {
    let mut tx = app.db.begin().await?;
    store::lock_addresses(&mut tx).await?;
    let all = store::all(&mut tx).await?;
    let own = node.mesh_address == app.config.mesh.address;
    let found =
        all.iter().find(|other| other.name == node.name || (own && other.mesh_address == node.mesh_address));
    // A host that joined by token is taken over once its key is pinned; another host of its name is not.
    if let Some(found) = found
        && found.origin == Origin::Enrolled
        && found.public_key != node.public_key
    {
        anyhow::bail!(
            "a node of this name has enrolled with another key: pin that key (`wh fleet pin` prints it), or remove the node with `wh node rm {}`",
            node.name
        );
    }
    // The tunnel of the host that the configuration names may have got another key since.
    let rotated = found.filter(|found| !own && found.declared_key.as_ref() == Some(&node.public_key));
    let public_key = rotated.map_or(&node.public_key, |found| &found.public_key);
    let new = NewNode {
        id: found.map_or_else(NodeId::new, |found| found.id),
        name: &node.name,
        roles: &node.roles,
        origin: Origin::Declared,
        mesh_address: node.mesh_address,
        public_key,
        endpoint: node.endpoint.clone(),
        labels: &Labels::new(),
        declared_labels: &node.labels,
        zone: node.zone.as_deref(),
    };
    match found {
        Some(found) if is_same(found, node, own) => return Ok(()),
        Some(_) => store::update(&mut tx, &new).await,
        None => store::insert(&mut tx, &new).await,
    }
    .context("another node has the same mesh address or public key: remove it first")?;
    store::set_declared_key(&mut tx, new.id, &node.public_key).await?;
    generations::raise(&mut tx, Consumer::Mesh).await?;
    generations::raise(&mut tx, Consumer::Routes).await?;
    bus::say(&mut tx, Topic::Nodes, new.id).await?;
    let detail = json!({ "roles": node.roles, "mesh_address": node.mesh_address });
    audit::record_system(&mut tx, "system", "node.declare", &format!("node:{}", node.name), detail).await?;
    tx.commit().await?;
    info!(node.id = %new.id, node.name = node.name, "declared node taken in");
    Ok(())
}

fn is_same(known: &Known, declared: &Declared, own: bool) -> bool {
    let named = if own { Some(&known.public_key) } else { known.declared_key.as_ref() };
    // An endpoint that the configuration does not give may have been learnt from the node itself.
    let endpoint = declared.endpoint.is_none() || known.endpoint == declared.endpoint;
    let mut roles = declared.roles.clone();
    roles.sort_unstable();
    known.name == declared.name
        && known.origin == Origin::Declared
        && known.roles == roles
        && named == Some(&declared.public_key)
        && known.mesh_address == declared.mesh_address
        && known.declared_labels == declared.labels
        && known.zone == declared.zone
        && endpoint
}
