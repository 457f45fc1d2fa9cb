//! Listening sockets: taken over from systemd when it holds them, bound here otherwise.

use std::io;
use std::net::SocketAddr;

use listenfd::ListenFd;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

/// Sockets that systemd passed on (`LISTEN_FDS`), not yet used.
#[derive(Debug, Default)]
pub struct Inherited(Vec<std::net::TcpListener>);

/// Why there is no listener. The text says who may have the address.
#[derive(Debug, thiserror::Error)]
#[error("`{key}` = \"{address}\" cannot be listened on: {reason}{}", remedy(reason, *address))]
pub struct BindError {
    /// The setting that names the address.
    pub key: &'static str,
    pub address: SocketAddr,
    pub reason: io::Error,
}

fn remedy(error: &io::Error, address: SocketAddr) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                ". Another process has it: find it with `ss -ltnp 'sport = :{port}'`, and end it or change the setting"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                ". Port {port} needs CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit), or choose one from 1024"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            ". This host does not have that address: see `ip address`".to_owned()
        }
        _ => String::new(),
    }
}

impl Inherited {
    /// The sockets of this process's environment. Call once, before anything else opens files.
    pub fn from_environment() -> Self {
        let mut passed = ListenFd::from_env();
        Self((0..passed.len()).filter_map(|index| passed.take_tcp_listener(index).ok().flatten()).collect())
    }

    /// The listener for `address`: the inherited one with that port, or a new one.
    pub fn listen(&mut self, key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
        let same_port = |socket: &std::net::TcpListener| {
            socket.local_addr().is_ok_and(|local| local.port() == address.port())
        };
        let listener = match self.0.iter().position(same_port) {
            Some(index) => self.0.remove(index),
            None => bind(address, false).map_err(|reason| BindError { key, address, reason })?,
        };
        listener
            .set_nonblocking(true)
            .and_then(|()| TcpListener::from_std(listener))
            .map_err(|reason| BindError { key, address, reason })
    }
}

/// A listener for an address that may not be there yet (`IP_FREEBIND`), such as the mesh's.
pub fn listen_early(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    bind(address, true)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        })
        .map_err(|reason| BindError { key, address, reason })
}

/// A listener for `address`.
pub(crate) fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = bind(address, false)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// A socket for datagrams to `address`.
pub(crate) fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn bind(address: SocketAddr, early: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if early && address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_an_error_that_names_key_address_and_how_to_find_the_holder() {
        let mut none = Inherited::default();
        let held = none.listen("http", SocketAddr::from(([127, 0, 0, 1], 0))).expect("free port");
        let address = held.local_addr().expect("address");
        let error = none.listen("http", address).unwrap_err().to_string();
        for part in ["`http`", &address.to_string(), "ss -ltnp"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[tokio::test]
    async fn an_address_that_is_not_there_yet_can_be_listened_on() {
        let missing = SocketAddr::from(([192, 0, 2, 77], 0));
        assert!(Inherited::default().listen("http", missing).is_err());
        assert!(listen_early("mesh_port", missing).is_ok());
    }
}
