//! Where the programs of other people are: in Debian's places, or in the folders that `WH_TESTBED_PATH` names, as the
//! flake sets it. Never where the caller's `PATH` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use nix::unistd::User;

const DEBIAN: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const VARIABLE: &str = "WH_TESTBED_PATH";

/// The `PATH` of everything that is started.
pub fn path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| std::env::var(VARIABLE).unwrap_or_else(|_| DEBIAN.to_owned()))
}

/// Whether Debian's packages are what a missing program should be looked for in.
pub fn is_debian() -> bool {
    path() == DEBIAN
}

pub fn which(program: &str) -> Option<PathBuf> {
    path().split(':').map(|folder| Path::new(folder).join(program)).find(|path| path.exists())
}

/// A static one: it becomes the base image.
pub fn busybox() -> Result<PathBuf> {
    which("busybox").context("busybox is missing: apt-get install busybox-static")
}

/// The folder of Postgres's programs. Debian keeps the newest off the path.
pub fn postgres_programs() -> Result<PathBuf> {
    if !is_debian() {
        let postgres = which("postgres").with_context(|| format!("Postgres is missing in {VARIABLE}"))?;
        return Ok(postgres.parent().context("no folder")?.to_owned());
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter(|version| version.path().join("bin/postgres").exists())
        .max_by_key(|version| version.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    Ok(newest.context("Postgres is missing: apt-get install postgresql")?.path().join("bin"))
}

/// Whom Postgres runs as, because it refuses root.
pub fn postgres_user() -> Result<User> {
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(user);
        }
    }
    anyhow::bail!("there is neither a user postgres nor nobody, and Postgres refuses to run as root")
}
