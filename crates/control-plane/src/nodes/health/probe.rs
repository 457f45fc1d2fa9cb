//! Asking a host over the mesh whether it is there: `GET /health` of what its roles run.

use std::error::Error as _;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use protocol::identity::Role;

use crate::app::App;
use crate::nodes::ports::Ports;

/// Who answered, or in plain words why nobody did.
pub type Found = Result<SocketAddr, String>;

/// What checks are made with. One for all, and nothing of a connection stays: each check is a new one.
#[derive(Debug, Default)]
pub struct Client(OnceLock<reqwest::Client>);

impl Client {
    fn get(&self, limit: Duration) -> anyhow::Result<&reqwest::Client> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(limit)
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("cannot make an HTTP client")?;
        Ok(self.0.get_or_init(|| client))
    }
}

/// Asks everything that should listen there, at once; one answer is enough.
pub async fn ask(app: &App, address: Ipv4Addr, roles: &[Role], ports: Ports) -> anyhow::Result<Found> {
    let limit = Duration::from_secs(app.config.node_health.check_timeout_s.into());
    let client = app.check_client.get(limit)?;
    let ports = roles.iter().map(|role| port(app, *role, ports));
    let answers = join_all(ports.map(|port| one(client, SocketAddr::from((address, port)), limit))).await;
    let nobody = "nothing on this host answers checks: it is known by its connection alone".to_owned();
    Ok(answers.into_iter().reduce(Result::or).unwrap_or(Err(nobody)))
}

fn port(app: &App, role: Role, ports: Ports) -> u16 {
    match role {
        Role::ControlPlane => app.config.api_server.mesh_listen.port(),
        Role::Worker => ports.worker,
        Role::Proxy => ports.proxy,
    }
}

async fn one(client: &reqwest::Client, address: SocketAddr, limit: Duration) -> Found {
    match client.get(format!("http://{address}/health")).send().await {
        Ok(answer) if answer.status().is_success() => Ok(address),
        Ok(answer) => Err(format!("{address} answers {}", answer.status().as_u16())),
        Err(error) if error.is_timeout() => {
            Err(format!("no answer from {address} within {} s", limit.as_secs()))
        }
        Err(error) => Err(words(address, cause(&error))),
    }
}

fn cause(error: &reqwest::Error) -> Option<ErrorKind> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        source = error.source();
    }
    None
}

fn words(address: SocketAddr, cause: Option<ErrorKind>) -> String {
    match cause {
        Some(ErrorKind::ConnectionRefused) => {
            format!("{address} refuses connections: the host is up, its agent does not run")
        }
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => {
            format!("there is no way to {address} over the mesh")
        }
        Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof) => {
            format!("{address} broke the connection off")
        }
        _ => format!("{address} cannot be asked"),
    }
}
