//! What the host runs: the distribution's name for it, and where NixOS and Debian note their state.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use protocol::report::OperatingSystem;

/// Under the host's `root`, which is `/` outside of tests. `None` where nothing says what runs.
pub(super) fn read(root: &Path) -> Option<OperatingSystem> {
    let release = ["etc/os-release", "usr/lib/os-release"];
    let release = release.iter().find_map(|path| fs::read_to_string(root.join(path)).ok())?;
    let name = value(&release, "PRETTY_NAME").or_else(|| value(&release, "NAME"))?;
    let build = value(&release, "BUILD_ID");
    let os = match value(&release, "ID").as_deref() {
        Some("nixos") => nixos(root, build.as_deref()),
        _ => OperatingSystem {
            packages_at: debian_packages(root),
            reboot_needed: root.join("run/reboot-required").exists(),
            ..OperatingSystem::default()
        },
    };
    Some(OperatingSystem { name, build, ..os })
}

/// One assignment of `os-release`, which is written for shells.
fn value(release: &str, name: &str) -> Option<String> {
    let text = release.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
    let text = match text.chars().next() {
        Some(quote @ ('"' | '\'')) => text.trim_matches(quote),
        _ => text,
    };
    (!text.is_empty()).then(|| text.to_owned())
}

fn nixos(root: &Path, build: Option<&str>) -> OperatingSystem {
    let (current, booted) = (root.join("run/current-system"), root.join("run/booted-system"));
    let profiles = root.join("nix/var/nix/profiles");
    // Activation makes the link anew, also while booting.
    let activated = fs::symlink_metadata(&current).and_then(|link| link.modified()).ok();
    OperatingSystem {
        generation: generation_of(&profiles, &current),
        boot_generation: boot_generation(&profiles),
        activated_at: activated.map(DateTime::from),
        packages_at: build.and_then(nixpkgs_date),
        reboot_needed: other_kernel(&booted, &current),
        ..OperatingSystem::default()
    }
}

/// `system` points to `system-42-link`.
fn boot_generation(profiles: &Path) -> Option<u32> {
    number(fs::read_link(profiles.join("system")).ok()?.file_name()?.to_str()?)
}

fn number(link: &str) -> Option<u32> {
    link.strip_prefix("system-")?.strip_suffix("-link")?.parse().ok()
}

/// The generation that is the system at `current`. Several are when one of them was switched back to; the newest of
/// them is what people mean.
fn generation_of(profiles: &Path, current: &Path) -> Option<u32> {
    let system = fs::canonicalize(current).ok()?;
    let links = fs::read_dir(profiles).ok()?.flatten();
    links
        .filter(|link| fs::canonicalize(link.path()).is_ok_and(|path| path == system))
        .filter_map(|link| number(link.file_name().to_str()?))
        .max()
}

/// NixOS keeps what was booted in reach. A container has no kernel of its own, and nothing that differs.
fn other_kernel(booted: &Path, current: &Path) -> bool {
    let of = |system: &Path, part: &str| fs::canonicalize(system.join(part)).ok();
    booted.exists()
        && ["kernel", "initrd", "kernel-modules"].iter().any(|part| of(booted, part) != of(current, part))
}

/// `26.05.20261115.0a1b2c3` names the day of nixpkgs; a build from a checkout without a date does not.
fn nixpkgs_date(build: &str) -> Option<DateTime<Utc>> {
    let eight_digits = |part: &&str| part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_digit());
    let date = NaiveDate::parse_from_str(build.split('.').find(eight_digits)?, "%Y%m%d").ok()?;
    Some(date.and_time(NaiveTime::MIN).and_utc())
}

/// Package lists have the time at which the archive was made. Without lists, as in images: when packages last changed.
fn debian_packages(root: &Path) -> Option<DateTime<Utc>> {
    let modified = |path: PathBuf| -> Option<SystemTime> {
        let data = fs::metadata(path).ok()?;
        data.is_file().then(|| data.modified().ok())?
    };
    let lists = fs::read_dir(root.join("var/lib/apt/lists")).into_iter().flatten().flatten();
    let newest =
        lists.filter(|list| list.file_name() != "lock").filter_map(|list| modified(list.path())).max();
    newest.or_else(|| modified(root.join("var/lib/dpkg/status"))).map(DateTime::from)
}

#[cfg(test)]
mod tests;
