//! Unpacks an uploaded archive so that nothing lands outside its folder.
//!
//! The rules hold without looking at the disk: paths go down only; a symbolic link may point up, but not above the
//! root, and goes up only at its beginning; nothing is written through or over a link of the archive.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Component, Path, PathBuf};

use protocol::job::{Failure, Stage};
use tar::EntryType;

use crate::failure::{FailureExt as _, failure};

/// More entries than any source has.
const MAX_ENTRIES: usize = 300_000;

/// Why an archive is not unpacked.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Unsafe { entry: String, why: &'static str },
    TooLarge { entry: String, limit: u64 },
    Damaged(String),
}

/// Unpacks `archive` into the empty folder `root`; `limit` is for all files together.
pub(super) fn unpack(archive: &Path, root: &Path, limit: u64) -> Result<(), Box<Failure>> {
    unpack_checked(archive, root, limit).map_err(|refusal| Box::new(refusal.into()))
}

fn unpack_checked(archive: &Path, root: &Path, limit: u64) -> Result<(), Refusal> {
    let damaged = |error: io::Error| Refusal::Damaged(error.to_string());
    let file = File::open(archive).map_err(damaged)?;
    let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(BufReader::new(file)));
    let mut rules = Rules { limit, ..Rules::default() };
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let link = entry.link_name().map_err(damaged)?.map(std::borrow::Cow::into_owned);
        let kind = entry.header().entry_type();
        if rules.admit(&path, kind, link.as_deref(), entry.size())? {
            entry.set_preserve_mtime(true);
            entry.unpack_in(root).map_err(damaged)?;
        }
    }
    Ok(())
}

/// What was seen of an archive so far.
#[derive(Debug, Default)]
struct Rules {
    limit: u64,
    bytes: u64,
    entries: usize,
    links: HashSet<PathBuf>,
}

impl Rules {
    /// Whether to unpack the entry (`false`: nothing to unpack, such as the root itself).
    fn admit(
        &mut self,
        path: &Path,
        kind: EntryType,
        link: Option<&Path>,
        size: u64,
    ) -> Result<bool, Refusal> {
        let entry = path.display().to_string();
        let no = |why| Err(Refusal::Unsafe { entry: entry.clone(), why });
        let Some(parts) = going_down(path) else { return no("its path is absolute or has `..`") };
        if parts.ancestors().any(|folder| self.links.contains(folder)) {
            return no("it would be written through or over a symbolic link");
        }
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse | EntryType::Directory => {}
            EntryType::Symlink => {
                let target = link.unwrap_or_else(|| Path::new(""));
                if !stays_inside(&parts, target) {
                    return no("it is a symbolic link that leaves the source");
                }
                self.links.insert(parts.clone());
            }
            EntryType::Link => {
                let Some(target) = link.and_then(going_down) else {
                    return no("it is a hard link to something outside the source");
                };
                if target.ancestors().any(|folder| self.links.contains(folder)) {
                    return no("it is a hard link through a symbolic link");
                }
            }
            EntryType::XGlobalHeader => return Ok(false),
            _ => return no("it is a device, a pipe or another special file"),
        }
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limit || self.entries > MAX_ENTRIES {
            return Err(Refusal::TooLarge { entry, limit: self.limit });
        }
        Ok(!parts.as_os_str().is_empty())
    }
}

/// `path` without `.`, if it only goes down.
fn going_down(path: &Path) -> Option<PathBuf> {
    let mut parts = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(parts)
}

/// Whether a link at `path` to `target` stays below the root.
fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    let mut down = false;
    for component in target.components() {
        match component {
            Component::Normal(_) => down = true,
            Component::CurDir => {}
            // After a name, which may itself be a link, `..` is anywhere.
            Component::ParentDir if down || depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            _ => return false,
        }
    }
    !target.as_os_str().is_empty()
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unsafe { entry, why } => {
                failure(Stage::Fetch, "archive_unsafe", format!("the archive's entry `{entry}` is refused: {why}"))
                    .hint("Pack the source's folder itself, without links to the outside: `tar -czf source.tar.gz -C FOLDER .`")
            }
            Refusal::TooLarge { entry, limit } => failure(
                Stage::Fetch,
                "source_too_large",
                format!("the source is larger than {} MiB; the limit was passed at `{entry}`", limit / (1024 * 1024)),
            )
            .hint("Leave out what the build does not need, for example `node_modules`, `target` and `.git`"),
            Refusal::Damaged(why) => {
                failure(Stage::Fetch, "archive_damaged", format!("the archive cannot be unpacked: {why}"))
                    .hint("Upload a gzipped tar again")
            }
        }
    }
}

#[cfg(test)]
mod tests;
