//! User namespaces: root inside a container has no rights of the host's root, because its number is another one outside.

use std::fs;
use std::path::Path;

use protocol::enforced::Enforcement;
use serde::Deserialize;

use crate::podman::Storage;

/// Numbers of users that each container gets: as many as images expect.
pub(crate) const IDS: u32 = 65_536;
/// Containers for which a host must have numbers, or it would run out of them soon.
const LEAST: u64 = 64;

/// What the configuration says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserNamespaces {
    /// Where the host allows.
    #[default]
    Auto,
    Off,
    /// Nothing is started without.
    Require,
}

/// Who root inside a new container is on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Root {
    /// Nobody. Without enough numbers a container gets none of its own, unless it must.
    Nobody { must: bool },
    /// The host's, for this reason.
    OfHost(String),
    /// It must not be root, and for this reason cannot be anybody else: there are no new containers.
    Refused(String),
}

impl Root {
    pub(super) fn choose(wish: UserNamespaces, possible: Result<(), String>) -> Self {
        match (wish, possible) {
            (UserNamespaces::Off, _) => {
                Self::OfHost("switched off: `instances.user_namespaces` of the worker".to_owned())
            }
            (UserNamespaces::Auto, Ok(())) => Self::Nobody { must: false },
            (UserNamespaces::Require, Ok(())) => Self::Nobody { must: true },
            (UserNamespaces::Auto, Err(why)) => Self::OfHost(why),
            (UserNamespaces::Require, Err(why)) => Self::Refused(why),
        }
    }

    pub(super) fn enforcement(&self) -> Enforcement {
        match self {
            Self::Nobody { .. } => Enforcement::by(format!("{IDS} numbers for each container")),
            Self::OfHost(why) => Enforcement::not(format!(
                "{why}. Root in a container is root of the host, held back by capabilities and seccomp alone"
            )),
            Self::Refused(why) => Enforcement::not(format!("{why}. Nothing is started")),
        }
    }
}

/// Whether containers can have them, without a copy of their image for each.
pub(super) fn of_this_host(storage: Option<&Storage>) -> Result<(), String> {
    possible(Path::new("/"), storage)
}

fn possible(root: &Path, storage: Option<&Storage>) -> Result<(), String> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    if read("proc/sys/user/max_user_namespaces").trim().parse().unwrap_or(0) == 0 {
        return Err(
            "the kernel allows no user namespaces: `sysctl user.max_user_namespaces=65536`".to_owned()
        );
    }
    let kernel = read("proc/sys/kernel/osrelease");
    if version(&kernel) < (5, 19) {
        return Err(format!(
            "kernel {} cannot show an image with other owners: 5.19 and later can",
            kernel.trim()
        ));
    }
    if storage.is_none_or(|storage| storage.driver != "overlay") {
        return Err("Podman's storage driver is not overlay".to_owned());
    }
    for file in ["etc/subuid", "etc/subgid"] {
        let count = numbers(&read(file));
        let needed = LEAST * u64::from(IDS);
        if count < needed {
            return Err(format!(
                "/{file} has {count} numbers for `containers`, {LEAST} instances need {needed}: add the line `containers:2147483648:1073741824`"
            ));
        }
    }
    Ok(())
}

/// How many the user `containers`, whose they are by Podman's default, may use.
fn numbers(file: &str) -> u64 {
    let ranges = file.lines().filter_map(|line| line.strip_prefix("containers:"));
    ranges.filter_map(|range| range.split_once(':')?.1.trim().parse::<u64>().ok()).sum()
}

fn version(release: &str) -> (u32, u32) {
    let mut parts = release.split(|char: char| !char.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_lacks_is_named() {
        let root = tempfile::tempdir().expect("folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, text).expect("written");
        };
        let overlay = Storage { driver: "overlay".to_owned(), ..Storage::default() };
        let look = |storage: &Storage| possible(root.path(), Some(storage));
        let lacks = |word: &str| {
            let why = look(&overlay).expect_err(word);
            assert!(why.contains(word), "{why}");
        };
        lacks("max_user_namespaces");
        write("proc/sys/user/max_user_namespaces", "100\n");
        write("proc/sys/kernel/osrelease", "5.15.0-91-generic\n");
        lacks("5.19");
        write("proc/sys/kernel/osrelease", "6.12.9\n");
        lacks("/etc/subuid has 0 numbers");
        write("etc/subuid", "me:100000:65536\ncontainers:200000:65536\n");
        lacks("/etc/subuid has 65536 numbers");
        write("etc/subuid", "containers:2147483648:1073741824\n");
        lacks("/etc/subgid has 0 numbers");
        write("etc/subgid", "containers:2147483648:1073741824\n");
        assert_eq!(look(&overlay), Ok(()));
        assert!(look(&Storage { driver: "vfs".to_owned(), ..Storage::default() }).is_err());
    }

    #[test]
    fn a_host_that_must_and_cannot_starts_nothing_and_one_that_may_not_says_so() {
        let no = || Err("no".to_owned());
        assert_eq!(Root::choose(UserNamespaces::Auto, no()), Root::OfHost("no".to_owned()));
        assert_eq!(Root::choose(UserNamespaces::Require, no()), Root::Refused("no".to_owned()));
        assert_eq!(Root::choose(UserNamespaces::Require, Ok(())), Root::Nobody { must: true });
        assert!(matches!(Root::choose(UserNamespaces::Off, Ok(())), Root::OfHost(_)));
        assert!(!Root::choose(UserNamespaces::Off, Ok(())).enforcement().is_enforced());
    }
}
