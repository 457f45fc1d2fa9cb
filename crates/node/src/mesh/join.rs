//! How this host becomes a node: enrolled with a join token, entered by hand, or declared and known by its mesh address.

pub mod command;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use daemon::backoff::Backoff;
use daemon::credentials::{Credentials, ExposeSecret, SecretString};
use daemon::http::{ClientOptions, check_base_url};
use ipnet::Ipv4Net;
use protocol::enrol::{DeclareRequest, EnrolRequest, Joined};
use protocol::identity::NodeIdentity;
use protocol::spec::MeshPeer;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use url::Url;

use super::config::{Config, ControlPlane, Declared};
use crate::identity;
use crate::link::RequestError;
use crate::link::request;

/// What an enrolled host must know to bring its tunnel up, besides its identity.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Membership {
    prefix: u8,
    /// The control planes' peers.
    bootstrap: Vec<MeshPeer>,
}

/// Where an enrolled host has its place in the mesh.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) identity: NodeIdentity,
    pub(super) address: Ipv4Net,
    pub(super) bootstrap: Vec<MeshPeer>,
}

const MEMBERSHIP: &str = "membership.json";
const JOIN_TOKEN: &str = "join-token";
const LOOK_FOR_TOKEN: Duration = Duration::from_secs(2);
const REFUSED_AGAIN: Duration = Duration::from_mins(1);

fn backoff() -> Backoff {
    Backoff::new(Duration::from_secs(1), Duration::from_secs(30))
}

/// The place that was given at an earlier start.
pub(super) fn place(folder: &Path) -> anyhow::Result<Option<Place>> {
    let Some(identity) = identity::read(folder)? else { return Ok(None) };
    let path = folder.join(MEMBERSHIP);
    let text = std::fs::read(&path).with_context(|| {
        format!(
            "cannot read {}. If this host joined in another way before, remove identity.json and give it a join token",
            path.display()
        )
    })?;
    let membership: Membership = serde_json::from_slice(&text).with_context(|| {
        format!("{} is damaged: restore it, or remove identity.json and join again", path.display())
    })?;
    Ok(Some(Place::new(identity, membership)?))
}

/// Takes over other keys of the control planes, so that a host whose desired state is lost still reaches them. A
/// declared host has them in its configuration, which is not ours to change.
pub(super) fn follow_control_planes(
    folder: &Path,
    bootstrap: &mut [MeshPeer],
    peers: &[MeshPeer],
) -> anyhow::Result<()> {
    let mut changed = false;
    for known in &mut *bootstrap {
        let now = peers.iter().find(|peer| peer.mesh_address == known.mesh_address);
        if let Some(now) = now.filter(|now| now.public_key != known.public_key) {
            known.public_key.clone_from(&now.public_key);
            changed = true;
        }
    }
    let path = folder.join(MEMBERSHIP);
    if !changed || !path.exists() {
        return Ok(());
    }
    let text = std::fs::read(&path).with_context(|| format!("cannot read {MEMBERSHIP}"))?;
    let mut membership: Membership =
        serde_json::from_slice(&text).with_context(|| format!("{MEMBERSHIP} is damaged"))?;
    membership.bootstrap = bootstrap.to_vec();
    let text = serde_json::to_vec_pretty(&membership)?;
    daemon::file::replace(&path, &text, 0o600).with_context(|| format!("cannot write {MEMBERSHIP}"))
}

impl Place {
    fn new(identity: NodeIdentity, membership: Membership) -> anyhow::Result<Self> {
        let address = Ipv4Net::new(identity.mesh_address, membership.prefix)
            .context("the control plane gave a mesh prefix that is none")?;
        Ok(Self { identity, address, bootstrap: membership.bootstrap })
    }
}

/// Joins by token. Waits for one, so that a host can be set up before its token is made; network errors are tried
/// again; after a refusal another token is waited for, and the same one tried again only rarely.
pub(super) async fn enrol(
    config: &Config,
    control_plane: &ControlPlane,
    public_key: &str,
    credentials: &Credentials,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Place>> {
    let http = client(control_plane)?;
    let body = request_of(config, public_key);
    let (mut backoff, mut refused) = (backoff(), None);
    loop {
        let token = next_token(&config.state_dir, credentials, refused.as_ref());
        let token = tokio::select! {
            token = token => token?,
            // `wisehosting-mesh join`, while this agent waits.
            place = joined_meanwhile(&config.state_dir) => return place.map(Some),
            () = stop.cancelled() => return Ok(None),
        };
        match ask(&http, control_plane, &token, &body).await {
            Ok(joined) => return keep(&config.state_dir, joined).map(Some),
            Err(error) if error.is_final() => {
                error!(remedy = remedy(&error), "the control plane refused this host: {error}");
                refused = Some(token);
                continue;
            }
            Err(error) => warn!(error = format!("{:#}", anyhow::Error::from(error)), "cannot join yet"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(backoff.wait())).await.is_none() {
            return Ok(None);
        }
    }
}

fn client(control_plane: &ControlPlane) -> anyhow::Result<reqwest::Client> {
    let root_pem =
        match &control_plane.root_certificate {
            Some(path) => Some(std::fs::read(path).with_context(|| {
                format!("cannot read {} (`control_plane.root_certificate`)", path.display())
            })?),
            None => None,
        };
    Ok(daemon::http::client(&ClientOptions { root_pem, ..ClientOptions::default() })?)
}

fn request_of(config: &Config, public_key: &str) -> EnrolRequest {
    EnrolRequest {
        name: config.node.name.clone(),
        roles: config.node.roles.clone(),
        public_key: public_key.to_owned(),
        endpoint: config.node.endpoint,
        labels: config.node.labels.clone(),
        zone: config.node.zone.clone(),
    }
}

async fn ask(
    http: &reqwest::Client,
    control_plane: &ControlPlane,
    token: &SecretString,
    body: &EnrolRequest,
) -> Result<Joined, RequestError> {
    let (url, path) = (&control_plane.url, "/v1/nodes/enroll");
    let request = http.post(request::join(url, path)).bearer_auth(token.expose_secret()).json(body);
    request::json(request, url, path).await
}

/// The place that somebody else wrote down.
async fn joined_meanwhile(folder: &Path) -> anyhow::Result<Place> {
    loop {
        if let Some(place) = place(folder)? {
            return Ok(place);
        }
        tokio::time::sleep(LOOK_FOR_TOKEN).await;
    }
}

/// Another join token than `refused`, or that one again after a while: what it was refused for may have been mended.
async fn next_token(
    folder: &Path,
    credentials: &Credentials,
    refused: Option<&SecretString>,
) -> anyhow::Result<SecretString> {
    let again = Instant::now() + REFUSED_AGAIN;
    let mut said = refused.is_some();
    loop {
        let tokens = join_tokens(folder, credentials)?;
        let is_new = |token: &&SecretString| {
            Instant::now() >= again
                || refused.is_none_or(|refused| refused.expose_secret() != token.expose_secret())
        };
        if let Some(token) = tokens.iter().find(is_new) {
            return Ok(token.clone());
        }
        if !said {
            let place = folder.join(JOIN_TOKEN);
            info!(
                "this host has not joined: waiting for a join token in {}. `wh node add` makes one and prints the line to run here",
                place.display()
            );
            said = true;
        }
        tokio::time::sleep(LOOK_FOR_TOKEN).await;
    }
}

/// The credential `join_token` and the file, as far as they are there.
fn join_tokens(folder: &Path, credentials: &Credentials) -> anyhow::Result<Vec<SecretString>> {
    let mut tokens: Vec<SecretString> = credentials.get("join_token", None)?.into_iter().collect();
    let path = folder.join(JOIN_TOKEN);
    match std::fs::read_to_string(&path) {
        Ok(text) => tokens.push(SecretString::from(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    tokens.retain(|token| !token.expose_secret().is_empty());
    Ok(tokens)
}

fn remedy(error: &RequestError) -> &'static str {
    match error {
        RequestError::Refused { code, .. } => match code.as_str() {
            "join_token_wrong" | "join_token_used" | "join_token_expired" => {
                "make a new join token with `wh node add` and put it in the place of this one"
            }
            "role_not_allowed" => "make a join token for all `node.roles` of this host",
            "name_taken" => "set another `node.name`, or remove the old node in the dashboard",
            _ => "see the control plane's log",
        },
        _ => "see the control plane's log",
    }
}

/// Writes down what the control plane gave. `identity.json` comes last: once it is there the host has joined.
fn keep(folder: &Path, joined: Joined) -> anyhow::Result<Place> {
    let Joined { identity, prefix, peers } = joined;
    let bootstrap = control_plane_peers(&peers, &identity.control_planes);
    let membership = Membership { prefix, bootstrap };
    let text = serde_json::to_vec_pretty(&membership)?;
    daemon::file::replace(&folder.join(MEMBERSHIP), &text, 0o600)
        .with_context(|| format!("cannot write {MEMBERSHIP}"))?;
    identity::write(folder, &identity)?;
    info!(node.id = %identity.node_id, name = identity.name, address = %identity.mesh_address, "joined");
    // The token is used up; a file that stays is only untidy.
    match std::fs::remove_file(folder.join(JOIN_TOKEN)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            warn!(%error, "cannot remove the used join token");
        }
        _ => {}
    }
    Place::new(identity, membership)
}

fn control_plane_peers(peers: &[MeshPeer], control_planes: &[String]) -> Vec<MeshPeer> {
    let host = |url: &String| url.parse::<Url>().ok()?.host_str()?.parse::<Ipv4Addr>().ok();
    let addresses: Vec<Ipv4Addr> = control_planes.iter().filter_map(host).collect();
    peers.iter().filter(|peer| addresses.contains(&peer.mesh_address)).cloned().collect()
}

/// Asks for the identity of a declared node, over the mesh, until a control plane gives it. A refusal is tried again
/// too: the control plane may read the configuration that names this host only later.
pub(super) async fn declare(
    config: &Config,
    declared: &Declared,
    public_key: &str,
    stop: &CancellationToken,
) -> anyhow::Result<Option<NodeIdentity>> {
    let http = daemon::http::client(&ClientOptions::default())?;
    let path = "/v1/nodes/declare";
    let body = DeclareRequest {
        public_key: public_key.to_owned(),
        mesh_address: declared.address.addr(),
        endpoint: config.node.endpoint,
    };
    let (mut backoff, mut said) = (backoff(), String::new());
    loop {
        for url in &declared.control_planes {
            let answer = stop.run_until_cancelled(request::json::<Joined>(
                http.post(request::join(url, path)).json(&body),
                url,
                path,
            ));
            match answer.await {
                None => return Ok(None),
                Some(Ok(joined)) => {
                    check(&joined.identity)?;
                    identity::write(&config.state_dir, &joined.identity)?;
                    info!(node.id = %joined.identity.node_id, name = joined.identity.name, "declared");
                    return Ok(Some(joined.identity));
                }
                Some(Err(error)) => {
                    let text = format!("{:#}", anyhow::Error::from(error));
                    if text != said {
                        warn!(error = text, "no identity yet; asking again");
                        said = text;
                    }
                }
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(backoff.wait())).await.is_none() {
            return Ok(None);
        }
    }
}

fn check(identity: &NodeIdentity) -> anyhow::Result<()> {
    for text in &identity.control_planes {
        let url: Url = text.parse().with_context(|| format!("the control plane names itself {text}"))?;
        if let Err(problem) = check_base_url(&url) {
            bail!("the control plane names itself {text}, which {problem}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
