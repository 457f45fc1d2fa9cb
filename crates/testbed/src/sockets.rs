//! Listening sockets that a host's init holds for a service and passes on as systemd would: a process that ends takes no
//! connection along that still waits to be accepted.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::service::Service;

/// Standard input and output carry the sockets to a shell, which puts them where the service looks for them: to move
/// descriptors between fork and exec from here would need unsafe code. Hence two sockets at most.
const TAKE: [&str; 2] = ["exec 3<&0 </dev/null >&2", "exec 3<&0 4<&1 </dev/null >&2"];
/// Only the process itself knows its number.
const BECOME: &str = "export LISTEN_PID=$$; exec \"$0\" \"$@\"";

/// The service's command, by way of a shell if it gets sockets from [`Sockets::pass`].
pub(crate) fn command(service: &Service) -> Result<Command> {
    let (program, arguments) = service.command.split_first().context("no command")?;
    let mut command = Command::new(program);
    if let Some(last) = service.sockets.len().checked_sub(1) {
        let take = TAKE.get(last).context("a service gets two sockets at most")?;
        command = Command::new("sh");
        command.args(["-c", &format!("{take}; {BECOME}"), program]);
    }
    command.args(arguments);
    Ok(command)
}

/// Those of one service, once it has been started.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Vec<(SocketAddr, TcpListener)>);

impl Sockets {
    /// Closes all but these.
    pub(crate) fn keep(&mut self, addresses: &[SocketAddr]) {
        self.0.retain(|(address, _)| addresses.contains(address));
    }

    /// Gives them to what [`command`] made. Nothing but the log may be left to say afterwards.
    pub(crate) fn pass(&mut self, service: &Service, command: &mut Command) -> Result<()> {
        for (index, &address) in service.sockets.iter().enumerate() {
            let socket = Stdio::from(OwnedFd::from(self.open(address)?));
            if index == 0 {
                command.stdin(socket)
            } else {
                command.stdout(socket)
            };
        }
        if !service.sockets.is_empty() {
            // What systemd calls the sockets of a unit that gives them no names.
            let names = vec![format!("{}.socket", service.name); service.sockets.len()];
            command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        }
        Ok(())
    }

    /// A copy of the one with that address, which is opened if it is not.
    fn open(&mut self, address: SocketAddr) -> Result<TcpListener> {
        if let Some((_, socket)) = self.0.iter().find(|(open, _)| *open == address) {
            return Ok(socket.try_clone()?);
        }
        let socket = listen(address).with_context(|| format!("cannot listen on {address}"))?;
        let copy = socket.try_clone()?;
        self.0.push((address, socket));
        Ok(copy)
    }
}

/// With the options of the unit in nix/modules/proxy.nix.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    const SAYS: &str = "echo $LISTEN_FDS $LISTEN_FDNAMES $((LISTEN_PID == $$)); \
                        cd /proc/$$/fd; for fd in 0 3 4; do readlink $fd; done";

    #[test]
    fn a_service_gets_its_sockets_as_from_systemd() {
        let addresses = [1, 2].map(|last| SocketAddr::from(([127, 0, 0, last], 0)));
        let service = Service { sockets: addresses.to_vec(), ..Service::new("told", &["sh", "-c", SAYS]) };
        let mut sockets = Sockets::default();
        let mut command = command(&service).expect("command");
        sockets.pass(&service, &mut command).expect("sockets");
        let output = command.stderr(Stdio::piped()).output().expect("sh");
        let log = String::from_utf8(output.stderr).expect("text");
        let lines: Vec<&str> = log.lines().collect();
        let [told, "/dev/null", three, four] = lines[..] else { panic!("{log}") };
        assert_eq!(told, "2 told.socket:told.socket 1");
        assert!(three.starts_with("socket:") && four.starts_with("socket:") && three != four, "{log}");
    }

    #[test]
    fn connections_wait_while_nobody_accepts_and_are_refused_once_the_socket_is_not_wanted() {
        let mut sockets = Sockets::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let open = sockets.open(address).expect("free").local_addr().expect("address");
        assert_eq!(sockets.open(address).expect("open").local_addr().expect("address"), open);
        sockets.keep(&[address]);
        TcpStream::connect(open).expect("it waits");
        sockets.keep(&[]);
        TcpStream::connect(open).expect_err("nobody listens");
    }
}
