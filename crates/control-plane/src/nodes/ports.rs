//! Where the agents of a node listen on its mesh address: where they said, else where their configuration has them
//! unless somebody changes it.

use std::net::SocketAddr;

use ipnet::IpNet;
use protocol::report::HostFacts;

use super::v4;

/// A worker's `mesh.port`.
pub const WORKER: u16 = 8090;
/// A proxy's `mesh_port`.
pub const PROXY: u16 = 8091;

#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub worker: u16,
    pub proxy: u16,
}

impl Ports {
    pub fn of(host: &HostFacts) -> Self {
        Self { worker: host.worker_port.unwrap_or(WORKER), proxy: host.proxy_port.unwrap_or(PROXY) }
    }

    /// From columns, as Postgres reads them out of what the host said.
    pub fn told(worker: Option<i32>, proxy: Option<i32>) -> Self {
        Self { worker: port(worker).unwrap_or(WORKER), proxy: port(proxy).unwrap_or(PROXY) }
    }
}

/// Where the node's worker hands out images and takes calls.
pub fn worker_address(mesh: IpNet, told: Option<i32>) -> SocketAddr {
    SocketAddr::new(v4(mesh).into(), port(told).unwrap_or(WORKER))
}

fn port(column: Option<i32>) -> Option<u16> {
    column.and_then(|port| u16::try_from(port).ok())
}
