//! What must hold before anything is made, with the remedy in each refusal.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;

use crate::tools::{is_debian, postgres_programs, which};

/// Programs of other people, and the Debian packages that bring them.
const NEEDED: [(&str, &str); 17] = [
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("podman", "podman"),
    ("runc", "runc"),
    ("conmon", "conmon"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("wg", "wireguard-tools"),
    ("busybox", "busybox-static"),
    ("pebble", "pebble"),
    ("pebble-challtestsrv", "pebble"),
    ("git", "git"),
    ("docker-registry", "docker-registry"),
    ("sshd", "openssh-server"),
    ("named", "bind9"),
    ("nsupdate", "bind9-dnsutils"),
];

/// The machine can run a cluster: root, kernel, programs.
pub fn check_machine() -> Result<()> {
    ensure!(
        geteuid().is_root(),
        "this needs root, because it makes network namespaces and mounts: run it with sudo, or as root in a container that may do so"
    );
    ensure!(
        Path::new("/dev/net/tun").exists(),
        "/dev/net/tun is missing, and the mesh needs it: `modprobe tun`, or start the container with --device /dev/net/tun"
    );
    let mut missing: Vec<&str> =
        NEEDED.iter().filter(|(program, _)| which(program).is_none()).map(|&(_, package)| package).collect();
    if postgres_programs().is_err() {
        missing.push("postgresql");
    }
    // Elsewhere Podman knows its plugins.
    for plugin in ["netavark", "aardvark-dns"].into_iter().filter(|_| is_debian()) {
        if !["/usr/lib/podman", "/usr/libexec/podman"]
            .iter()
            .any(|folder| Path::new(folder).join(plugin).exists())
        {
            missing.push(plugin);
        }
    }
    missing.dedup();
    let list = missing.join(" ");
    ensure!(missing.is_empty(), "these packages are missing: {list}\n  install them: apt-get install {list}");
    Ok(())
}

/// Our own programs have been built.
pub fn check_programs(folder: &Path, names: &[&str]) -> Result<()> {
    for name in names {
        let path = folder.join(name);
        ensure!(
            path.exists(),
            "{} is missing: build it with `cargo build`, or name another folder (--programs, for tests WH_PROGRAMS)",
            path.display()
        );
    }
    Ok(())
}

/// Held while a test bed runs; the system gives it back when the process ends, however it ends.
#[derive(Debug)]
pub struct RunLock {
    _file: Flock<File>,
    path: PathBuf,
}

impl RunLock {
    /// Takes the lock in `folder`, which is made if need be.
    pub fn take(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("lock");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut holder = String::new();
        file.read_to_string(&mut holder)?;
        let Ok(mut file) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
            let holder = holder.trim();
            bail!(
                "a test bed is running here already: process {holder}, state in {}\n  stop it with Ctrl-C in its terminal, or: kill {holder}",
                folder.display()
            );
        };
        file.rewind()?;
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file, path })
    }

    /// Leaves no file; the lock itself is given back with the value.
    pub fn release(&self) -> Result<()> {
        fs::remove_file(&self.path)?;
        if let Some(folder) = self.path.parent() {
            // Not empty when somebody else keeps something there.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }
}

/// The port is free on 127.0.0.1, or the refusal says who has it. `option` chooses another one.
pub fn check_port(port: u16, option: &str) -> Result<()> {
    if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
        return Ok(());
    }
    let holder =
        holder(port).map_or("another process".to_owned(), |(pid, name)| format!("{name} (process {pid})"));
    bail!("127.0.0.1:{port} is taken by {holder}\n  stop it, or choose another port with {option} PORT");
}

/// Who listens on the port: number and name.
fn holder(port: u16) -> Option<(u32, String)> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, port))?;
    let link = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        if files
            .into_iter()
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link.as_str()))
        {
            let name = fs::read_to_string(process.path().join("comm")).ok()?;
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

/// The inode of the listening socket (state 0A) with this local port.
fn listening_inode(table: &str, port: u16) -> Option<String> {
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == "0A";
        listens.then(|| fields.get(9).map(|&inode| inode.to_owned()))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_told_who_runs_and_how_to_stop_it() {
        let folder = tempfile::tempdir().expect("temp dir");
        let lock = RunLock::take(folder.path()).expect("free");
        let refused = RunLock::take(folder.path()).expect_err("taken").to_string();
        assert!(refused.contains(&format!("kill {}", std::process::id())), "{refused}");
        lock.release().expect("release");
        RunLock::take(folder.path()).expect("free again");
    }

    #[test]
    fn a_taken_port_is_refused_with_its_holder() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let refused = check_port(port, "--port").expect_err("taken").to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(listener);
        check_port(port, "--port").expect("free");
    }
}
