use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;

const NIXOS: &str = r#"BUILD_ID="26.05.20261115.0a1b2c3"
ID=nixos
NAME=NixOS
PRETTY_NAME="NixOS 26.05 (Yarara)"
VERSION_ID="26.05"
"#;

/// A host's files.
struct Host(tempfile::TempDir);

impl Host {
    fn new(release: &str) -> Self {
        let host = Self(tempfile::tempdir().expect("temp dir"));
        host.write("etc/os-release", release);
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("folders");
        path
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).expect("write");
    }

    fn aged(&self, path: &str, days: u64) {
        self.write(path, "");
        let then = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * days);
        fs::File::open(self.path(path)).expect("open").set_modified(then).expect("mtime");
    }

    /// Points `path` to `target`, as `ln -sfn`.
    fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        let _ = fs::remove_file(&path);
        symlink(if target.contains('/') { self.path(target) } else { target.into() }, path).expect("link");
    }

    /// A built system with its kernel.
    fn system(&self, name: &str, kernel: &str) {
        self.write(&format!("nix/store/{kernel}"), "");
        for part in ["kernel", "initrd", "kernel-modules"] {
            self.link(&format!("nix/store/{name}/{part}"), &format!("nix/store/{kernel}"));
        }
    }

    /// Gives the system a number and makes it the one that boots.
    fn generation(&self, number: u32, system: &str) {
        self.link(&format!("nix/var/nix/profiles/system-{number}-link"), &format!("nix/store/{system}"));
        self.link("nix/var/nix/profiles/system", &format!("system-{number}-link"));
    }

    fn read(&self) -> OperatingSystem {
        read(self.0.path()).expect("known")
    }
}

/// NixOS that booted its generation 41.
fn nixos() -> Host {
    let host = Host::new(NIXOS);
    host.system("system-a", "linux-1");
    host.generation(41, "system-a");
    host.link("run/booted-system", "nix/store/system-a");
    host.link("run/current-system", "nix/store/system-a");
    host
}

fn day(days: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(days * 86400, 0)
}

#[test]
fn nixos_names_its_generation_and_the_day_of_its_packages() {
    let os = nixos().read();
    assert_eq!(
        (os.name.as_str(), os.build.as_deref()),
        ("NixOS 26.05 (Yarara)", Some("26.05.20261115.0a1b2c3"))
    );
    assert_eq!((os.generation, os.boot_generation, os.reboot_needed), (Some(41), Some(41), false));
    assert_eq!(os.packages_at.expect("a day").to_rfc3339(), "2026-11-15T00:00:00+00:00");
    let age = Utc::now() - os.activated_at.expect("activated");
    assert!(age < chrono::TimeDelta::minutes(1), "{age}");
}

#[test]
fn a_switch_shows_at_once_and_asks_for_a_reboot_only_when_the_kernel_is_another() {
    let host = nixos();
    host.system("system-b", "linux-1");
    host.generation(42, "system-b");
    host.link("run/current-system", "nix/store/system-b");
    assert_eq!((host.read().generation, host.read().reboot_needed), (Some(42), false));
    host.system("system-c", "linux-2");
    host.generation(43, "system-c");
    host.link("run/current-system", "nix/store/system-c");
    assert_eq!((host.read().generation, host.read().reboot_needed), (Some(43), true));
}

#[test]
fn what_only_the_next_boot_starts_is_told_from_what_runs() {
    let host = nixos();
    host.system("system-b", "linux-2");
    host.generation(42, "system-b");
    let os = host.read();
    assert_eq!((os.generation, os.boot_generation, os.reboot_needed), (Some(41), Some(42), false));
}

#[test]
fn a_system_that_is_only_tried_has_no_generation() {
    let host = nixos();
    host.system("system-b", "linux-1");
    host.link("run/current-system", "nix/store/system-b");
    let os = host.read();
    assert_eq!((os.generation, os.boot_generation), (None, Some(41)));
}

#[test]
fn going_back_shows_the_newest_number_of_the_same_system() {
    let host = nixos();
    host.generation(42, "system-a");
    assert_eq!(host.read().generation, Some(42));
}

#[test]
fn a_build_without_a_date_has_no_age() {
    let host = nixos();
    host.write("etc/os-release", &NIXOS.replace("20261115.0a1b2c3", "git.dirty"));
    assert_eq!(host.read().packages_at, None);
}

#[test]
fn debian_tells_the_age_of_its_lists_and_asks_for_its_reboot() {
    let host = Host::new("PRETTY_NAME='Debian GNU/Linux 13 (trixie)'\nID=debian\n");
    assert_eq!(
        host.read(),
        OperatingSystem { name: "Debian GNU/Linux 13 (trixie)".to_owned(), ..Default::default() }
    );
    host.aged("var/lib/dpkg/status", 20_000);
    host.aged("var/lib/apt/lists/lock", 20_500);
    assert_eq!(host.read().packages_at, day(20_000), "images come without lists");
    host.aged("var/lib/apt/lists/deb_InRelease", 20_100);
    host.aged("var/lib/apt/lists/deb_Packages", 20_099);
    assert_eq!(host.read().packages_at, day(20_100));
    host.write("run/reboot-required", "");
    assert!(host.read().reboot_needed);
}

#[test]
fn a_host_that_does_not_say_what_it_runs_is_left_unnamed() {
    let host = Host::new("# nothing\nPRETTY_NAME=\"\"\n");
    assert_eq!(read(host.0.path()), None);
}
