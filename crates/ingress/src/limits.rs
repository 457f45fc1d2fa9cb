//! What one client may take, so that none takes what the others need.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Limits of a gateway's clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head, and of its trailers; more is answered with 431.
    pub header_bytes: u32,
    /// Fields of a request's head over HTTP/1.1; more are answered with 431.
    pub headers: usize,
    /// Connections of one listener. More wait in the kernel's backlog.
    pub connections: usize,
    /// Connections of one client address on all listeners; an IPv6 client counts by its /64. More are closed.
    pub connections_per_client: usize,
    /// Time for the head of a request; the first one and each after an answer, so that it is also how long an idle
    /// HTTP/1.1 connection lives. Also for TLS's handshake and the header of the PROXY protocol, if that is shorter
    /// than 10 s.
    pub head_timeout: Duration,
    /// Bytes per second, averaged over the time for which a body is waited for, below which a client is given up on
    /// (408). Nothing is asked of a client once its answer has begun: a quiet stream may be meant.
    pub upload_bytes_per_s: u32,
    /// How long a client may leave a piece of an answer untaken.
    pub download_stall: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub http2_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 32 * 1024,
            headers: 100,
            connections: 16_384,
            connections_per_client: 1024,
            head_timeout: Duration::from_secs(30),
            upload_bytes_per_s: 100,
            download_stall: Duration::from_mins(2),
            http2_streams: 128,
        }
    }
}

/// Open connections by client.
#[derive(Debug)]
pub(crate) struct Clients {
    limit: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of a client, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Clients {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default() })
    }

    /// A place for one more connection of `client`, if it has not too many.
    pub(crate) fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let client = network_of(client);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { clients: Arc::clone(self), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.clients.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

/// What one subscriber has at hand: an address of IPv4, a /64 of IPv6.
fn network_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_places_and_gets_them_back() {
        let clients = Clients::new(2);
        let address = |text: &str| text.parse::<IpAddr>().expect("address");
        let one = clients.admit(address("192.0.2.1")).expect("first");
        let _two = clients.admit(address("::ffff:192.0.2.1")).expect("the same client");
        assert!(clients.admit(address("192.0.2.1")).is_none());
        assert!(clients.admit(address("192.0.2.2")).is_some(), "others are not affected");
        drop(one);
        assert!(clients.admit(address("192.0.2.1")).is_some());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client_and_nobody_is_remembered() {
        let clients = Clients::new(1);
        let address = |text: &str| text.parse::<IpAddr>().expect("address");
        let place = clients.admit(address("2001:db8:1:2::1"));
        assert!(clients.admit(address("2001:db8:1:2:ffff::9")).is_none());
        assert!(clients.admit(address("2001:db8:1:3::1")).is_some());
        drop(place);
        assert!(clients.open.lock().expect("lock").is_empty());
    }
}
