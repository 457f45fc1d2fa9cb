//! What every cluster needs and none changes, made once per checkout: a read-only store with the base image, and an
//! empty database cluster to copy.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::chown;

use crate::container_config;
use crate::init::{Bind, private_view};
use crate::tools::{busybox, path, postgres_programs, postgres_user};

/// Names of the base image. The first is what `FROM busybox` finds.
const IMAGE_NAMES: [&str; 3] =
    ["docker.io/library/busybox:stable", "docker.io/library/busybox:latest", "localhost/busybox:stable"];
const INSIDE: &str = "/run/testbed/cache";
/// Change it when this file makes something else than before.
const EDITION: &str = "1";

/// The cache in its folder, complete.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Makes what is missing, with the program `wh-testbed`. Others that want the same wait.
    pub fn ensure(folder: &Path, program: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = File::create(folder.join("lock"))?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .with_context(|| format!("cannot lock {}", folder.display()))?;
        let cache = Self { folder: folder.to_owned() };
        let edition = edition()?;
        if fs::read_to_string(cache.marker()).ok().as_deref() != Some(&edition) {
            prepare_in_private(folder, program)?;
            fs::write(cache.marker(), edition)?;
        }
        Ok(cache)
    }

    fn marker(&self) -> PathBuf {
        self.folder.join("edition")
    }

    /// An image store for `additionalimagestores`.
    pub fn images(&self) -> PathBuf {
        self.folder.join("images")
    }

    /// Another one, with what presets build on, if `scripts/base-images` has made it.
    pub fn base_images(&self) -> Option<PathBuf> {
        let folder = self.folder.join("base-images");
        folder.join("edition").exists().then(|| folder.join("store"))
    }

    /// Copies the empty database cluster to `target`, keeping its owner.
    pub fn copy_database(&self, target: &Path) -> Result<()> {
        run(Command::new("cp").arg("-a").arg("--reflink=auto").arg(self.folder.join("database")).arg(target))
    }
}

/// Stands for the contents: another busybox or Postgres makes another cache.
fn edition() -> Result<String> {
    let busybox = fs::metadata(busybox()?)?;
    Ok(format!("{EDITION} busybox {} postgres {}", busybox.len(), postgres_programs()?.display()))
}

/// Runs [`prepare`] where no other Podman of the machine sees it and uid postgres can reach the folder.
fn prepare_in_private(folder: &Path, program: &Path) -> Result<()> {
    let namespaces =
        ["--mount", "--net", "--pid", "--ipc", "--propagation", "private", "--fork", "--kill-child"];
    run(Command::new("unshare")
        .args(namespaces)
        .args(["--mount-proc", "--"])
        .arg(program)
        .arg("prepare")
        .arg(folder))
}

/// `wh-testbed prepare FOLDER`.
pub fn prepare(folder: &Path) -> Result<()> {
    for part in ["images", "database", "etc-containers", "tmp"] {
        match fs::remove_dir_all(folder.join(part)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(folder.join(part))?,
        }
    }
    let inside = Path::new(INSIDE);
    container_config::write(&folder.join("etc-containers"), &inside.join("images"), &[])?;
    let bind = |from: &str, to: &str| Bind { from: folder.join(from), to: PathBuf::from(to) };
    private_view(&[bind("", INSIDE), bind("etc-containers", "/etc/containers"), bind("tmp", "/var/tmp")])?;
    import_image()?;
    make_database(&inside.join("database"))?;
    fs::remove_dir_all(inside.join("images/libpod")).context("cannot trim the image store")
}

fn import_image() -> Result<()> {
    let mut import = Command::new("podman");
    import.args(["import", "--quiet", "--change", "CMD [\"sh\"]", "-", IMAGE_NAMES[0]]);
    let mut child = import.env("PATH", path()).stdin(Stdio::piped()).spawn().context("cannot run podman")?;
    child.stdin.take().context("no stdin")?.write_all(&busybox_rootfs()?)?;
    ensure!(child.wait()?.success(), "podman cannot import the base image");
    for name in &IMAGE_NAMES[1..] {
        run(Command::new("podman").args(["tag", IMAGE_NAMES[0], name]))?;
    }
    Ok(())
}

/// A root file system of one program and its names.
fn busybox_rootfs() -> Result<Vec<u8>> {
    let applets = Command::new(busybox()?).arg("--list").output().context("cannot run busybox")?.stdout;
    let mut archive = tar::Builder::new(Vec::new());
    for (folder, mode) in
        [("bin/", 0o755), ("etc/", 0o755), ("root/", 0o700), ("tmp/", 0o1777), ("var/tmp/", 0o1777)]
    {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        archive.append_data(&mut header, folder, std::io::empty())?;
    }
    for (path, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ] {
        archive.append_data(
            &mut header(tar::EntryType::Regular, 0o644, text.len() as u64),
            path,
            text.as_bytes(),
        )?;
    }
    let busybox = fs::read(busybox()?)?;
    let mut entry = header(tar::EntryType::Regular, 0o755, busybox.len() as u64);
    archive.append_data(&mut entry, "bin/busybox", busybox.as_slice())?;
    for applet in String::from_utf8(applets)?.lines().filter(|&applet| applet != "busybox") {
        let mut entry = header(tar::EntryType::Symlink, 0o777, 0);
        archive.append_link(&mut entry, format!("bin/{applet}"), "busybox")?;
    }
    Ok(archive.into_inner()?)
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header
}

/// An empty cluster owned by `postgres`, with the database `wisehosting` of the role `wise`.
fn make_database(folder: &Path) -> Result<()> {
    let user = postgres_user()?;
    chown(folder, Some(user.uid), Some(user.gid))?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    let programs = postgres_programs()?;
    let as_postgres = |program: &str| {
        let mut command = Command::new(programs.join(program));
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).current_dir("/");
        command
    };
    let options =
        ["-A", "trust", "-U", "wise", "--no-sync", "--locale=C.UTF-8", "-E", "UTF8", "--wal-segsize=4"];
    run(as_postgres("initdb").arg("-D").arg(folder).args(options))?;
    let mut single = as_postgres("postgres");
    single.args(["--single", "-D"]).arg(folder).arg("postgres").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = single.spawn()?;
    child.stdin.take().context("no stdin")?.write_all(b"create database wisehosting\n")?;
    ensure!(child.wait()?.success(), "postgres cannot create the database");
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.env("PATH", path()).output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_image_has_a_shell_and_a_web_server() {
        let rootfs = busybox_rootfs().expect("busybox-static is installed");
        let mut archive = tar::Archive::new(rootfs.as_slice());
        let paths: Vec<PathBuf> = archive
            .entries()
            .expect("tar")
            .map(|entry| entry.expect("entry").path().expect("path").into_owned())
            .collect();
        for path in ["bin/sh", "bin/httpd", "bin/busybox", "tmp"] {
            assert!(paths.iter().any(|found| found == Path::new(path)), "{path}");
        }
    }
}
