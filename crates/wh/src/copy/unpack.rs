//! Unpacks what an instance gave, which may be what an intruder there made: nothing lands outside the target, nothing is
//! written through a link, and no more than the limit.
//!
//! Links are made last, when nothing is written any more, and only ones that stay inside. Devices, pipes and bits such as
//! setuid stay behind.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use tar::{Entry, EntryType};

use crate::archive::stays_inside;

/// What was copied, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Entries that were left out, with the reason; the first few.
    pub(crate) left_out: Vec<String>,
}

/// How many entries are named that were left out.
const NAMED: usize = 20;

/// Unpacks the tar of one file or folder, whose own name is the first part of all paths, to `target`.
pub(crate) fn unpack(tar: impl Read, target: &Path, limit: u64) -> io::Result<Copied> {
    let mut unpacking =
        Unpacking { target, limit, copied: Copied::default(), written: HashSet::new(), links: Vec::new() };
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries()? {
        unpacking.entry(&mut entry?)?;
    }
    // The rest of the body: a copy that broke off behind the last file is noticed.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    unpacking.make_links()?;
    Ok(unpacking.copied)
}

struct Unpacking<'a> {
    target: &'a Path,
    limit: u64,
    copied: Copied,
    /// Files of this tar, below the target.
    written: HashSet<PathBuf>,
    /// Path below the target, and where it points.
    links: Vec<(PathBuf, PathBuf)>,
}

impl Unpacking<'_> {
    fn entry(&mut self, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
        let path = entry.path()?.into_owned();
        let Some(path) = below(&path) else {
            return Err(refused(&path, "leads out of the copy"));
        };
        let link = entry.link_name()?.map(std::borrow::Cow::into_owned);
        match entry.header().entry_type() {
            EntryType::Directory => self.folder(&path),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let mode = entry.header().mode()?;
                self.file(&path, entry, mode)
            }
            EntryType::Symlink => {
                self.links.push((path, link.unwrap_or_default()));
                Ok(())
            }
            EntryType::Link => {
                let first = link.as_deref().and_then(below).filter(|first| self.written.contains(first));
                let Some(first) = first else {
                    return Err(refused(&path, "is a hard link to what is not in the copy"));
                };
                let mut first = File::open(self.target.join(first))?;
                let mode = first.metadata()?.permissions().mode();
                self.file(&path, &mut first, mode)
            }
            EntryType::XGlobalHeader => Ok(()),
            _ => {
                self.leave_out(&path, "is no file");
                Ok(())
            }
        }
    }

    fn folder(&mut self, path: &Path) -> io::Result<()> {
        self.parents(path)?;
        let full = self.target.join(path);
        match fs::symlink_metadata(&full) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(refused(&full, "is in the way of a folder")),
            Err(_) => fs::create_dir(full),
        }
    }

    fn file(&mut self, path: &Path, content: &mut impl Read, mode: u32) -> io::Result<()> {
        self.parents(path)?;
        // Joined with nothing it would end in a slash.
        let full = if path.as_os_str().is_empty() { self.target.to_owned() } else { self.target.join(path) };
        match fs::symlink_metadata(&full) {
            Ok(found) if found.is_dir() => return Err(refused(&full, "is a folder in the way of a file")),
            // Not through a link that was here before.
            Ok(_) => fs::remove_file(&full)?,
            Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&full)?;
        let left = self.limit - self.copied.bytes;
        let bytes = io::copy(&mut content.take(left.saturating_add(1)), &mut file)?;
        if bytes > left {
            return Err(io::Error::other(format!("the copy is larger than {} bytes", self.limit)));
        }
        file.set_permissions(Permissions::from_mode(mode & 0o777))?;
        self.copied.files += 1;
        self.copied.bytes += bytes;
        self.written.insert(path.to_owned());
        Ok(())
    }

    /// Everything above `path`, the target included, is a folder and no link.
    fn parents(&self, path: &Path) -> io::Result<()> {
        let above: Vec<&Path> = path.ancestors().skip(1).collect();
        for folder in above.into_iter().rev() {
            let full = self.target.join(folder);
            match fs::symlink_metadata(&full) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(refused(&full, "is no folder, and files are to be written below it")),
                Err(_) => fs::create_dir(full)?,
            }
        }
        Ok(())
    }

    fn make_links(&mut self) -> io::Result<()> {
        for (path, to) in std::mem::take(&mut self.links) {
            if to.as_os_str().is_empty() || path.as_os_str().is_empty() || !stays_inside(&path, &to) {
                self.leave_out(&path, &format!("is a link out of the copy ({})", to.display()));
                continue;
            }
            let full = self.target.join(&path);
            let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
            if is_folder(&full) || !full.parent().is_some_and(is_folder) {
                self.leave_out(&path, "is a link where a folder is, or below another link");
                continue;
            }
            match fs::remove_file(&full) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => symlink(to, full)?,
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        if self.copied.left_out.len() < NAMED {
            self.copied.left_out.push(format!("{} {why}", path.display()));
        }
    }
}

/// What is behind the first part of `path`, if it only goes down.
fn below(path: &Path) -> Option<PathBuf> {
    let mut parts = PathBuf::new();
    let mut first = true;
    for component in path.components() {
        match component {
            Component::Normal(_) if std::mem::take(&mut first) => {}
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(parts)
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::other(format!("{} {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind, path, content or where it points, mode.
    type Item = (EntryType, &'static str, &'static str, u32);

    const FILE: EntryType = EntryType::Regular;
    const LINK: EntryType = EntryType::Symlink;

    fn tar_of(items: &[Item]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, path, content, mode) in items {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            // As an attacker writes it, past the library's own checks.
            let name = &mut header.as_gnu_mut().expect("gnu").name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            let data = if is_link { "" } else { content };
            if is_link {
                let link = &mut header.as_gnu_mut().expect("gnu").linkname;
                link[..content.len()].copy_from_slice(content.as_bytes());
            }
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data.as_bytes()).expect("append");
        }
        builder.into_inner().expect("tar")
    }

    /// Unpacks into a folder of its own, beside which something lies that must not change.
    fn unpacked(items: &[Item]) -> (tempfile::TempDir, io::Result<Copied>) {
        let folder = tempfile::tempdir().expect("temp dir");
        fs::write(folder.path().join("outside"), "mine").expect("write");
        let copied = unpack(tar_of(items).as_slice(), &folder.path().join("copy"), 1000);
        assert_eq!(fs::read_to_string(folder.path().join("outside")).expect("there"), "mine");
        let beside = fs::read_dir(folder.path()).expect("list").count();
        assert!(beside <= 2, "something came beside the copy");
        (folder, copied)
    }

    #[test]
    fn a_folder_comes_with_its_files_links_and_modes() {
        let (folder, copied) = unpacked(&[
            (EntryType::Directory, "data/", "", 0o755),
            (FILE, "data/a", "one", 0o4755),
            (FILE, "data/deep/b", "two", 0o600),
            (LINK, "data/deep/to-a", "../a", 0o777),
            (EntryType::Link, "data/same", "data/a", 0o644),
            (EntryType::Fifo, "data/pipe", "", 0o644),
            (LINK, "data/out", "/etc/passwd", 0o777),
            (LINK, "data/up", "../outside", 0o777),
        ]);
        let copied = copied.expect("copied");
        let copy = folder.path().join("copy");
        let read = |name: &str| fs::read_to_string(copy.join(name)).expect("read");
        assert_eq!(
            [read("a"), read("deep/b"), read("deep/to-a"), read("same")],
            ["one", "two", "one", "one"]
        );
        assert_eq!(fs::metadata(copy.join("a")).expect("metadata").permissions().mode() & 0o7777, 0o755);
        assert_eq!((copied.files, copied.bytes, copied.left_out.len()), (3, 9, 3), "{copied:?}");
        assert!(!copy.join("out").is_symlink() && !copy.join("up").is_symlink());
    }

    #[test]
    fn one_file_takes_the_name_of_the_target() {
        let (folder, copied) = unpacked(&[(FILE, "passwd", "root", 0o644)]);
        copied.expect("copied");
        assert_eq!(fs::read_to_string(folder.path().join("copy")).expect("read"), "root");
    }

    #[test]
    fn nothing_lands_outside() {
        for items in [
            &[(FILE, "data/../../outside", "theirs", 0o644)][..],
            &[(FILE, "/etc/cron.d/x", "theirs", 0o644)],
            &[(FILE, "../outside", "theirs", 0o644)],
            &[(EntryType::Link, "data/x", "/etc/passwd", 0o644)],
            &[(EntryType::Link, "data/x", "data/../../outside", 0o644)],
            &[(FILE, "data", "a file", 0o644), (FILE, "data/x", "below a file", 0o644)],
        ] {
            let (_folder, copied) = unpacked(items);
            assert!(copied.is_err(), "{items:?}: {copied:?}");
        }
        // A link that would be written through is made after what is below it, or not at all.
        for target in ["..", "/tmp", "x/../.."] {
            let (folder, copied) =
                unpacked(&[(LINK, "data/l", target, 0o777), (FILE, "data/l/outside", "theirs", 0o644)]);
            assert_eq!(copied.expect("copied").left_out.len(), 1, "{target}");
            assert!(folder.path().join("copy/l").is_dir(), "{target}");
        }
    }

    #[test]
    fn a_link_that_was_here_before_is_not_followed() {
        let folder = tempfile::tempdir().expect("temp dir");
        let outside = folder.path().join("outside");
        fs::write(&outside, "mine").expect("write");
        let copy = folder.path().join("copy");
        fs::create_dir(&copy).expect("folder");
        symlink(&outside, copy.join("a")).expect("link");
        symlink(folder.path(), copy.join("deep")).expect("link");
        unpack(tar_of(&[(FILE, "data/a", "new", 0o644)]).as_slice(), &copy, 1000).expect("replaced");
        assert_eq!(fs::read_to_string(copy.join("a")).expect("read"), "new");
        let through = unpack(tar_of(&[(FILE, "data/deep/outside", "theirs", 0o644)]).as_slice(), &copy, 1000);
        assert!(through.is_err());
        assert_eq!(fs::read_to_string(&outside).expect("read"), "mine");
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        let long: &'static str = Box::leak("x".repeat(600).into_boxed_str());
        let (_folder, copied) = unpacked(&[(FILE, "d/a", long, 0o644), (FILE, "d/b", long, 0o644)]);
        assert!(copied.expect_err("too large").to_string().contains("1000"));
        // Half a tar is no copy.
        let whole = tar_of(&[(FILE, "d/a", long, 0o644)]);
        let folder = tempfile::tempdir().expect("temp dir");
        assert!(unpack(&whole[..700], &folder.path().join("copy"), 1000).is_err());
    }
}
