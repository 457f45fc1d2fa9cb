//! The userspace tunnel: a process of its own that outlives the agent.
//!
//! It is its own process because the device blocks SIGTERM and SIGINT in the thread that makes it and reads them
//! itself, so that an agent in the same process would not hear them (trap 3); and because the tunnel then stays up
//! while the agent is restarted or updated.
//!
//! `wg show` shows it. `wg set wh0 peer …` for a peer that it has kills it, as any change in place does (traps 1, 11);
//! the agent then starts another.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use defguard_boringtun::device::{DeviceConfig, DeviceHandle};
use defguard_wireguard_rs::key::Key;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, setsid};
use tracing::info;

use super::config::check_interface;

/// For a device to answer.
const ANSWER: Duration = Duration::from_secs(3);

/// The socket by which the device is configured. Its place is fixed by the `WireGuard` tools.
pub(super) fn socket_path(interface: &str) -> PathBuf {
    PathBuf::from(format!("/var/run/wireguard/{interface}.sock"))
}

/// `wisehosting-mesh tunnel`: runs the device until SIGTERM, or until its socket is removed.
pub fn run(interface: &str) -> anyhow::Result<()> {
    check_interface(interface).map_err(|problem| anyhow!("--interface {problem}"))?;
    // Err: already leads a session, as when started by hand.
    let _ = setsid();
    // The socket gives the private key to whoever may open it.
    umask(Mode::from_bits_truncate(0o077));
    if UnixStream::connect(socket_path(interface)).is_ok() {
        bail!("a tunnel process already serves {interface}");
    }
    let mut device = DeviceHandle::new(interface, one_thread()).map_err(|error| {
        anyhow!("cannot make {interface}: {error}. It needs CAP_NET_ADMIN and /dev/net/tun")
    })?;
    info!(interface, "userspace tunnel is up");
    // Ends by SIGTERM, without the socket, or by the panic of a thread of the device.
    device.wait();
    info!(interface, "userspace tunnel ended");
    Ok(())
}

/// Of several threads each decrypts what it happens to receive, and packets of one connection come out in another order:
/// TCP carries less than half of what it does over one thread (`scripts/bench mesh`).
fn one_thread() -> DeviceConfig {
    DeviceConfig { n_threads: 1, use_multi_queue: false, ..DeviceConfig::default() }
}

/// Gives a running device another private key. Its peers stay, and shake hands anew. Not by the library, whose way to
/// set a key takes all peers away.
pub(super) fn set_key(interface: &str, key: &Key) -> io::Result<()> {
    let mut socket = UnixStream::connect(socket_path(interface))?;
    socket.set_read_timeout(Some(ANSWER))?;
    socket.set_write_timeout(Some(ANSWER))?;
    socket.write_all(format!("set=1\nprivate_key={}\n\n", key.to_lower_hex()).as_bytes())?;
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer)?;
    match answer.trim() {
        "errno=0" => Ok(()),
        other => Err(io::Error::other(format!("the tunnel process does not take the key: `{other}`"))),
    }
}

/// Starts the tunnel process from this very binary, even if the file was replaced meanwhile. It makes a session of its
/// own, so nothing that ends the agent ends it.
pub(super) fn spawn(interface: &str, log: &Path) -> anyhow::Result<Child> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let child = Command::new("/proc/self/exe")
        .arg0("wisehosting-mesh")
        .args(["tunnel", "--interface", interface])
        // Credentials and systemd's sockets are none of its business.
        .env_clear()
        .env("WH_LOG", "warn,node=info")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .context("cannot start the tunnel process")?;
    info!(interface, pid = child.id(), log = %log.display(), "started the userspace tunnel");
    Ok(child)
}

/// Ends the process behind the socket of a device, and removes the socket.
pub(super) fn end(interface: &str) -> io::Result<()> {
    let path = socket_path(interface);
    match UnixStream::connect(&path) {
        // The kernel says who listens: no file with a process id that could be of somebody else by now.
        Ok(socket) => {
            let pid = getsockopt(&socket, PeerCredentials)?.pid();
            if is_tunnel(pid) {
                info!(interface, pid, "ending the tunnel process");
                kill(Pid::from_raw(pid), Signal::SIGKILL)?;
            }
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
        Err(error) => return Err(error),
    }
    // A device that still runs ends when its socket is gone; it looks once per second.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether `pid` is a tunnel process: ours, or another implementation of one started for this socket.
fn is_tunnel(pid: i32) -> bool {
    let own = i32::try_from(std::process::id()).is_ok_and(|own| own == pid);
    pid > 1
        && !own
        && std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == b"tunnel"))
}

/// How long a removed device may take to vanish.
pub(super) const VANISH: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tunnel_process_is_ever_ended() {
        assert!(!is_tunnel(0) && !is_tunnel(1));
        assert!(!is_tunnel(i32::try_from(std::process::id()).expect("fits")));
        let mut other = Command::new("sleep").arg("5").spawn().expect("sleep");
        assert!(!is_tunnel(i32::try_from(other.id()).expect("fits")));
        other.kill().expect("kill");
        other.wait().expect("wait");
    }

    #[test]
    fn an_interface_name_that_would_leave_the_folder_is_refused() {
        assert!(run("../x").expect_err("refused").to_string().contains("--interface"));
    }
}
