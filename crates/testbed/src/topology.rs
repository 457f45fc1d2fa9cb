//! Names and addresses of a cluster. Every cluster has the same: they live in networks of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A host of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub name: &'static str,
    pub role: &'static str,
    /// On the bridge.
    pub public: Ipv4Addr,
    /// In the mesh. Enrolled hosts get theirs from the control plane; this field is then a wish nobody reads.
    pub mesh: Ipv4Addr,
}

impl Place {
    const fn new(name: &'static str, role: &'static str, public: u8, mesh: u8) -> Self {
        let public = Ipv4Addr::new(198, 51, 100, public);
        Self { name, role, public, mesh: Ipv4Addr::new(10, 50, 0, mesh) }
    }

    /// Where its tunnel is reached.
    pub fn tunnel(self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.public), TUNNEL_PORT)
    }
}

pub const CONTROL_PLANE: Place = Place::new("cp", "control-plane", 10, 1);
/// Declared in the control plane's configuration.
pub const W1: Place = Place::new("w1", "worker", 20, 11);
/// Enrolled by a token.
pub const W2: Place = Place::new("w2", "worker", 30, 0);
/// Enrolled by a token.
pub const PROXY: Place = Place::new("proxy", "proxy", 40, 0);
/// Enrolled by a token, in clusters with two proxies or more. The zone does not resolve to it.
pub const PROXY2: Place = Place::new("proxy2", "proxy", 50, 0);
/// Enrolled by a token, in clusters with three proxies. The zone does not resolve to it.
pub const PROXY3: Place = Place::new("proxy3", "proxy", 60, 0);
/// All proxies that a cluster may have, in this order.
pub const PROXIES: [Place; 3] = [PROXY, PROXY2, PROXY3];
/// The hosts of every cluster.
pub const PLACES: [Place; 4] = [CONTROL_PLANE, W1, W2, PROXY];

/// Hosts with a mesh agent and nothing else, for tests that boot them.
pub const GUESTS: [Place; 20] = guests();

const fn guests() -> [Place; 20] {
    const NAMES: [&str; 20] = [
        "g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8", "g9", "g10", "g11", "g12", "g13", "g14", "g15",
        "g16", "g17", "g18", "g19", "g20",
    ];
    let mut places = [W2; 20];
    let mut index: u8 = 0;
    while index < 20 {
        places[index as usize] = Place::new(NAMES[index as usize], "worker", 100 + index, 0);
        index += 1;
    }
    places
}

/// Where tests run a registry of images, on the proxy's host. It speaks plain HTTP.
pub const REGISTRY: &str = "198.51.100.40:5000";

pub const MESH: &str = "10.50.0.0/24";
pub const TUNNEL_PORT: u16 = 51821;
/// The dashboard's own name, which the proxy serves.
pub const DOMAIN: &str = "cp.wise.test";
pub const BASE_URL: &str = "https://cp.wise.test";
/// Where hosts join, the proxy among them: the control plane's public listener.
pub const JOIN_URL: &str = "https://198.51.100.10:8080";
/// The control plane's listener for proxies, on the mesh.
pub const FRONT: SocketAddr = SocketAddr::new(IpAddr::V4(CONTROL_PLANE.mesh), 8082);
/// Apps live below it; the whole zone resolves to the proxy.
pub const ZONE: &str = "route.wise.test";
/// Where workers answer for the direct zones that point at them.
pub const DIRECT_PORT: u16 = 8080;
/// The control plane's plain listener, inside its host.
pub const DASHBOARD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8082);
