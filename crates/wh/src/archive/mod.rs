//! A folder as a gzipped tar: the same bytes for the same content, nothing from outside the folder.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use flate2::{Compression, GzBuilder};
use ignore::WalkBuilder;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::failure::{Exit, Failure, Result};

/// Files that the build needs even when `.dockerignore` names them, as Docker and Podman have it.
const ALWAYS: [&str; 3] = ["Containerfile", "Dockerfile", ".dockerignore"];

/// What will be sent, sorted by path.
#[derive(Debug)]
pub(crate) struct Manifest {
    folder: PathBuf,
    entries: Vec<Entry>,
    /// What was left out and why, for the user.
    pub(crate) skipped: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    /// Relative to the folder.
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    File { size: u64, executable: bool },
    Link { target: PathBuf },
}

impl Manifest {
    /// Walks `folder` by the rules of `.gitignore`, `.dockerignore` and `.whignore`; the last one wins. `keep` is a
    /// Containerfile of another name.
    pub(crate) fn scan(folder: &Path, keep: Option<&str>) -> Result<Self> {
        let mut manifest = Self { folder: folder.to_owned(), entries: Vec::new(), skipped: Vec::new() };
        let docker = docker_rules(folder)?;
        // Rules of the repository above hold too, when there is one.
        let in_repository = folder.ancestors().any(|above| above.join(".git").exists());
        let mut walk = WalkBuilder::new(folder);
        walk.standard_filters(false)
            .git_ignore(true)
            .git_exclude(true)
            .require_git(false)
            .parents(in_repository)
            .add_custom_ignore_filename(".whignore")
            .follow_links(false)
            .filter_entry(|entry| entry.file_name() != ".git");
        for entry in walk.build() {
            let entry = entry.map_err(|error| {
                Failure::new(Exit::Error, "folder_unreadable", format!("cannot read the folder: {error}"))
            })?;
            let Ok(path) = entry.path().strip_prefix(folder) else { continue };
            let Some(kind) = entry.file_type() else { continue };
            if path.as_os_str().is_empty() || kind.is_dir() {
                continue;
            }
            let wanted = keep.is_some_and(|keep| Path::new(keep) == path)
                || ALWAYS.iter().any(|always| Path::new(always) == path);
            if wanted || !docker.matched_path_or_any_parents(path, false).is_ignore() {
                manifest.add(path, kind)?;
            }
        }
        manifest.entries.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
        Ok(manifest)
    }

    fn add(&mut self, path: &Path, kind: std::fs::FileType) -> Result<()> {
        let full = self.folder.join(path);
        let failed = |error: io::Error| Failure::io(&format!("cannot read {}", path.display()), &error);
        let kind = if kind.is_file() {
            let metadata = std::fs::symlink_metadata(&full).map_err(failed)?;
            Kind::File { size: metadata.len(), executable: metadata.permissions().mode() & 0o111 != 0 }
        } else if kind.is_symlink() {
            let target = std::fs::read_link(&full).map_err(failed)?;
            if !stays_inside(path, &target) {
                self.skipped.push(format!(
                    "{} is a link out of the folder ({})",
                    path.display(),
                    target.display()
                ));
                return Ok(());
            }
            Kind::Link { target }
        } else {
            self.skipped.push(format!("{} is no file", path.display()));
            return Ok(());
        };
        self.entries.push(Entry { path: path.to_owned(), kind });
        Ok(())
    }

    pub(crate) fn files(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes before compression.
    pub(crate) fn size(&self) -> u64 {
        self.entries.iter().map(Entry::size).sum()
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.entries.iter().any(|entry| entry.path == Path::new(path))
    }

    /// All paths, as far as they are text.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.entries
            .iter()
            .filter(|entry| matches!(entry.kind, Kind::File { .. }))
            .filter_map(|entry| entry.path.to_str().map(str::to_owned))
    }

    /// The text of a file of the size that people write.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        const LARGEST: u64 = 256 * 1024;
        let file = self.open(Path::new(path)).ok()?;
        let mut text = String::new();
        let whole = file.metadata().ok()?.len() <= LARGEST;
        (whole && file.take(LARGEST).read_to_string(&mut text).is_ok()).then_some(text)
    }

    /// The files and top folders that weigh most.
    pub(crate) fn largest(&self, count: usize) -> Vec<(String, u64)> {
        let mut sizes = BTreeMap::<String, u64>::new();
        for entry in &self.entries {
            let mut parts = entry.path.components();
            let Some(top) = parts.next() else { continue };
            let slash = if parts.next().is_some() { "/" } else { "" };
            let name = format!("{}{slash}", top.as_os_str().to_string_lossy());
            *sizes.entry(name).or_default() += entry.size();
        }
        let mut sizes: Vec<_> = sizes.into_iter().collect();
        sizes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sizes.truncate(count);
        sizes
    }

    /// Writes the archive: no times, no owners, two modes, sorted names.
    pub(crate) fn write(&self, out: impl Write) -> io::Result<()> {
        let gzip = GzBuilder::new().mtime(0).operating_system(255).write(out, Compression::default());
        let mut tar = tar::Builder::new(gzip);
        for entry in &self.entries {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            match &entry.kind {
                Kind::File { size, executable } => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_mode(if *executable { 0o755 } else { 0o644 });
                    header.set_size(*size);
                    let file = Exactly { file: self.open(&entry.path)?, left: *size, path: &entry.path };
                    tar.append_data(&mut header, &entry.path, file)?;
                }
                Kind::Link { target } => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    header.set_size(0);
                    tar.append_link(&mut header, &entry.path, target)?;
                }
            }
        }
        tar.into_inner()?.finish()?.flush()
    }

    /// Opens a file that must still be one: a link that took its place since is refused.
    fn open(&self, path: &Path) -> io::Result<std::fs::File> {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
        std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(self.folder.join(path))
            .map_err(|error| io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display())))
    }
}

impl Entry {
    fn size(&self) -> u64 {
        match self.kind {
            Kind::File { size, .. } => size,
            Kind::Link { .. } => 0,
        }
    }
}

/// As many bytes as the tar header announced; a file that shrank meanwhile is an error, one that grew is cut.
struct Exactly<'a> {
    file: std::fs::File,
    left: u64,
    path: &'a Path,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        match self.file.read(&mut buffer[..most])? {
            0 => Err(io::Error::other(format!("{} changed while it was read", self.path.display()))),
            read => {
                self.left -= read as u64;
                Ok(read)
            }
        }
    }
}

/// Whether a link at `path` ends below the folder, by its text alone.
pub(crate) fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count() - 1;
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

/// `.dockerignore` differs from `.gitignore`: patterns start at the root, and a file can come back from an ignored
/// folder.
fn docker_rules(folder: &Path) -> Result<Gitignore> {
    let path = folder.join(".dockerignore");
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Gitignore::empty()),
        read => read.map_err(|error| Failure::io("cannot read .dockerignore", &error))?,
    };
    let mut rules = GitignoreBuilder::new("");
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (negation, pattern) = line.strip_prefix('!').map_or(("", line), |rest| ("!", rest));
        let pattern = pattern.trim().trim_start_matches("./").trim_matches('/');
        if pattern.is_empty() || pattern == "." {
            continue;
        }
        rules.add_line(None, &format!("{negation}/{pattern}")).map_err(|error| {
            Failure::new(Exit::Usage, "dockerignore_invalid", format!(".dockerignore: {error}"))
        })?;
    }
    rules
        .build()
        .map_err(|error| Failure::new(Exit::Usage, "dockerignore_invalid", format!(".dockerignore: {error}")))
}

#[cfg(test)]
mod tests;
