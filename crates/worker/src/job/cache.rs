//! What builds of an app keep for its later builds: the folders of `RUN --mount=type=cache`. Podman keys them by their
//! id or path alone, below the folder for temporary files, so that all apps would share them; here each app has such
//! a folder of its own.
//!
//! `<state_dir>/caches/<app id>/`

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use protocol::ids::AppId;
use tracing::{info, warn};

/// The folder for temporary files of the app's builds.
pub(super) fn folder(caches: &Path, app: AppId) -> io::Result<PathBuf> {
    let folder = of(caches, app);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder)
}

/// Removes what is kept for apps that are gone. Not while a build runs.
pub(crate) fn forget(caches: &Path, apps: &[AppId]) {
    for app in apps {
        match remove(caches, *app) {
            Ok(true) => info!(app.id = %app, "removed the build cache: the app is gone"),
            Ok(false) => {}
            Err(error) => warn!(app.id = %app, %error, "the build cache stays for now"),
        }
    }
}

/// Whether there was one.
pub(super) fn remove(caches: &Path, app: AppId) -> io::Result<bool> {
    let folder = of(caches, app);
    if !folder.exists() {
        return Ok(false);
    }
    // A build that was killed may have left a mount, through which files of others would go.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    if is_mounted(&mounts, &folder.canonicalize()?) {
        return Err(io::Error::other("something is still mounted in it"));
    }
    std::fs::remove_dir_all(&folder).map(|()| true)
}

fn of(caches: &Path, app: AppId) -> PathBuf {
    caches.join(app.to_string())
}

/// Whether a mount point of `/proc/self/mountinfo` is `folder` or lies in it.
fn is_mounted(mounts: &str, folder: &Path) -> bool {
    let mut points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points.any(|point| Path::new(point).starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_app_has_its_own_and_loses_no_other() {
        let caches = tempfile::tempdir().expect("temp dir");
        let (one, other) = (AppId::new(), AppId::new());
        for app in [one, other] {
            let folder = folder(caches.path(), app).expect("folder");
            std::fs::create_dir(folder.join("buildah-cache")).expect("folder");
            std::fs::write(folder.join("buildah-cache/file"), "").expect("file");
        }
        forget(caches.path(), &[one, AppId::new()]);
        assert!(!of(caches.path(), one).exists());
        assert!(of(caches.path(), other).join("buildah-cache/file").exists());
    }

    #[test]
    fn a_mount_inside_is_seen() {
        let mounts = "36 35 98:0 / /mnt rw,noatime - ext3 /dev/root rw\n\
                      37 35 98:0 /x /caches/a/buildah1/mnt rw - ext3 /dev/root rw\n";
        assert!(is_mounted(mounts, Path::new("/caches/a")));
        assert!(!is_mounted(mounts, Path::new("/caches/aa")));
        assert!(!is_mounted(mounts, Path::new("/caches/b")));
    }
}
