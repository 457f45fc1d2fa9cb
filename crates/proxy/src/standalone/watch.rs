//! Notices that files changed. It looks again and again instead of waiting for inotify: that works alike for files
//! written in place, renamed over, reached through a symbolic link that is swapped, and on every file system.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(200);
/// Files that did not change for this long are taken for written to the end.
const SETTLED: Duration = Duration::from_millis(50);

/// Tells one version of a file from another without reading it; `None` while there is none.
type Stamp = Option<(u64, u64, u64, (i64, i64), (i64, i64))>;

/// The versions of some files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Stamp>);

impl Stamps {
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let stamp = |file: &PathBuf| {
            let found = std::fs::metadata(file).ok()?;
            let times = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
            Some((found.dev(), found.ino(), found.size(), times.0, times.1))
        };
        Self(files.iter().map(stamp).collect())
    }
}

/// Returns once `files` are others than `known`, and have stopped changing.
pub(super) async fn changed(files: &[PathBuf], known: &Stamps) {
    while Stamps::of(files) == *known {
        tokio::time::sleep(LOOK).await;
    }
    let mut last = Stamps::of(files);
    loop {
        tokio::time::sleep(SETTLED).await;
        let now = Stamps::of(files);
        if now == last {
            return;
        }
        last = now;
    }
}
