//! How a host stops being a node: it says so to the control plane, takes its tunnel down and forgets who it was.
//!
//! Each part looks at what is there, so that it can be done again after it was interrupted.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use daemon::http::ClientOptions;
use protocol::enrol::{AccessToken, LeaveRequest, Left, RegisterRequest};
use protocol::identity::{AgentKind, NodeIdentity};
use tokio::time::{Instant, sleep};
use url::Url;

use super::config::Config;
use super::{ip, rekey, relay, rotate, tunnel};
use crate::identity;
use crate::link::{RequestError, request};

/// What makes this host a node. The log of the tunnel goes too: it says nothing about the next.
const FILES: [&str; 11] = [
    identity::FILE,
    identity::FORMER,
    rotate::FILE,
    rekey::FILE,
    "membership.json",
    "private.key",
    "public.key",
    "peers.json",
    "endpoints.json",
    "join-token",
    "tunnel.log",
];

/// `wisehosting-mesh leave`. `force`: also when the control plane has instances on this node. Each line of what was
/// done goes to `say`. A control plane that refuses ends it before anything is changed here.
pub async fn run(config: &Config, force: bool, mut say: impl FnMut(&str)) -> anyhow::Result<()> {
    let folder = &config.state_dir;
    let Some(_lock) =
        daemon::lock::take(folder).with_context(|| format!("cannot use {}", folder.display()))?
    else {
        bail!(
            "wisehosting-mesh runs on this host and would bring everything back: stop it first with `systemctl stop wisehosting-mesh`"
        );
    };
    match identity::read(folder)? {
        Some(identity) => say(&tell(config, &identity, force).await?),
        None => say("control plane: this host has not joined, there is nothing to say"),
    }
    say(&take_down(&config.interface).await?);
    if relay::unload().await? {
        say(&format!("firewall: took the table {} out, by which this host relayed", relay::TABLE));
    }
    let mut gone: Vec<&str> = Vec::new();
    for name in FILES {
        if remove(&folder.join(name))? {
            gone.push(name);
        }
    }
    remove(&folder.join(daemon::lock::FILE))?;
    let files = if gone.is_empty() { "nothing was left".to_owned() } else { gone.join(", ") };
    say(&format!("{}: {files}", folder.display()));
    Ok(())
}

fn remove(path: &Path) -> anyhow::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// Asks one control plane after the other to remove this node. One that does not answer is no reason to stay.
async fn tell(config: &Config, identity: &NodeIdentity, force: bool) -> anyhow::Result<String> {
    let root_pem = match config.control_plane.as_ref().and_then(|plane| plane.root_certificate.as_ref()) {
        Some(path) => Some(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
        None => None,
    };
    let http = daemon::http::client(&ClientOptions { root_pem, direct: true, ..ClientOptions::default() })?;
    let name = &identity.name;
    let mut problem = "none is known".to_owned();
    for text in &identity.control_planes {
        let url: Url =
            text.parse().with_context(|| format!("identity.json names the control plane {text}"))?;
        match ask(&http, &url, identity, force).await {
            Ok(Left { declared: false }) => return Ok(format!("control plane: removed the node {name}")),
            Ok(Left { declared: true }) => {
                return Ok(format!(
                    "control plane: removed the node {name}. Take it out of the configuration that declares it too, or it comes back when the control plane starts again"
                ));
            }
            Err(error) if error.status() == Some(401) => {
                return Ok(format!("control plane: it no longer knows the node {name}"));
            }
            Err(error) if error.is_final() => {
                bail!("the control plane keeps this node, nothing was changed here: {error}")
            }
            Err(error) => problem = format!("{:#}", anyhow::Error::from(error)),
        }
    }
    Ok(format!(
        "control plane: not reached ({problem}). It still knows this node: run `wh node rm {name}`, and take the node out of the configuration if it is declared"
    ))
}

async fn ask(
    http: &reqwest::Client,
    url: &Url,
    identity: &NodeIdentity,
    force: bool,
) -> Result<Left, RequestError> {
    let path = "/v1/workers/register";
    let body = RegisterRequest { agent: AgentKind::Mesh, version: env!("CARGO_PKG_VERSION").to_owned() };
    let request = http.post(request::join(url, path)).bearer_auth(identity.api_key.expose()).json(&body);
    let token: AccessToken = request::json(request, url, path).await?;
    let path = "/v1/nodes/leave";
    let request = http.post(request::join(url, path)).bearer_auth(token.token).json(&LeaveRequest { force });
    request::json(request, url, path).await
}

async fn take_down(interface: &str) -> anyhow::Result<String> {
    let Some(link) = ip::link(interface).await? else {
        return Ok(format!("tunnel: there is no {interface}"));
    };
    match link.kind() {
        "wireguard" => ip::delete(interface).await?,
        "tun" => {
            let name = interface.to_owned();
            tokio::task::spawn_blocking(move || tunnel::end(&name))
                .await?
                .context("cannot end the tunnel")?;
            let deadline = Instant::now() + tunnel::VANISH;
            while ip::link(interface).await?.is_some() {
                if Instant::now() > deadline {
                    bail!(
                        "{interface} belongs to a process that does not serve its socket: end it, and leave again"
                    );
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        other => {
            return Ok(format!("tunnel: {interface} is of kind `{other}`, not WireGuard; left as it is"));
        }
    }
    Ok(format!("tunnel: took {interface} down"))
}
