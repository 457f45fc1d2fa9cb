//! What an archive may hold. Read once, in constant memory, without unpacking anything.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType, PaxExtensions};

/// Entries of one archive.
const ENTRIES: usize = 200_000;
/// Bytes of a long name or of extended attributes.
const EXTENSION: u64 = 1 << 20;
/// Headers and padding, besides the files' bytes.
const OVERHEAD: u64 = 256 << 20;

/// Why an archive is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this is not a gzipped tar: {0}")]
    NotGzipTar(String),
    #[error("the entry {name:?} {problem}")]
    Unsafe { name: String, problem: &'static str },
    #[error("the source unpacks to more than {0} bytes")]
    UnpacksTooLarge(u64),
    #[error("the archive has more than {ENTRIES} entries")]
    TooManyEntries,
}

/// Reads the whole of `reader` and checks each entry; its files may have `limit` bytes together.
pub fn check(reader: impl Read, limit: u64) -> Result<(), Refusal> {
    let mut unpacked = MultiGzDecoder::new(reader).take(limit.saturating_add(OVERHEAD));
    let mut checker = Checker { limit, ..Checker::default() };
    {
        let mut archive = Archive::new(&mut unpacked);
        // Raw: a long name is an entry of its own, so that its size is checked before it is read.
        for entry in archive.entries().map_err(not_tar)?.raw(true) {
            checker.entry(&mut entry.map_err(not_tar)?)?;
        }
    }
    // To the end, so that the checksum is checked too.
    std::io::copy(&mut unpacked, &mut std::io::sink()).map_err(not_tar)?;
    if unpacked.limit() == 0 {
        return Err(Refusal::UnpacksTooLarge(limit));
    }
    if checker.entries == 0 {
        return Err(Refusal::NotGzipTar("it holds nothing".to_owned()));
    }
    Ok(())
}

fn not_tar(error: std::io::Error) -> Refusal {
    Refusal::NotGzipTar(error.to_string())
}

#[derive(Debug, Default)]
struct Checker {
    limit: u64,
    bytes: u64,
    entries: usize,
    links: HashSet<PathBuf>,
    /// Name and link target that the next entry takes instead of its header's.
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Checker {
    fn entry(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), Refusal> {
        self.entries += 1;
        if self.entries > ENTRIES {
            return Err(Refusal::TooManyEntries);
        }
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => {
                self.long_name = Some(text_of(entry)?);
                return Ok(());
            }
            EntryType::GNULongLink => {
                self.long_link = Some(text_of(entry)?);
                return Ok(());
            }
            EntryType::XHeader => return self.extended(entry),
            // For example the commit that `git archive` notes.
            EntryType::XGlobalHeader => return extension(entry).map(drop),
            _ => {}
        }
        let name = self.long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let link =
            self.long_link.take().or_else(|| entry.link_name_bytes().map(std::borrow::Cow::into_owned));
        let size = entry.header().entry_size().map_err(not_tar)?;
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limit {
            return Err(Refusal::UnpacksTooLarge(self.limit));
        }
        self.place(kind, &name, link.as_deref())
            .map_err(|problem| Refusal::Unsafe { name: String::from_utf8_lossy(&name).into_owned(), problem })
    }

    fn extended(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), Refusal> {
        let bytes = extension(entry)?;
        for pair in PaxExtensions::new(&bytes) {
            let pair = pair.map_err(not_tar)?;
            match pair.key_bytes() {
                b"path" => self.long_name = Some(pair.value_bytes().to_vec()),
                b"linkpath" => self.long_link = Some(pair.value_bytes().to_vec()),
                key if key == b"size" || key.starts_with(b"GNU.sparse") => {
                    let name = self.long_name.take().unwrap_or_default();
                    let name = String::from_utf8_lossy(&name).into_owned();
                    return Err(Refusal::Unsafe { name, problem: "is sparse or larger than 8 GiB" });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn place(&mut self, kind: EntryType, name: &[u8], link: Option<&[u8]>) -> Result<(), &'static str> {
        let path = inside(name)?;
        if path.ancestors().skip(1).any(|parent| self.links.contains(parent)) {
            return Err("lies behind a symbolic link");
        }
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::Directory => Ok(()),
            EntryType::Link => {
                inside(link.unwrap_or_default()).map(drop).map_err(|_| "is a link out of the archive")
            }
            EntryType::Symlink => {
                check_target(&path, link.unwrap_or_default())?;
                self.links.insert(path);
                Ok(())
            }
            EntryType::Block | EntryType::Char => Err("is a device"),
            EntryType::Fifo => Err("is a pipe"),
            EntryType::GNUSparse => Err("is sparse"),
            _ => Err("is of an unknown type"),
        }
    }
}

fn extension(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, Refusal> {
    if entry.header().entry_size().map_err(not_tar)? > EXTENSION {
        return Err(Refusal::NotGzipTar("a name in it is too long".to_owned()));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(not_tar)?;
    Ok(bytes)
}

fn text_of(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, Refusal> {
    let mut bytes = extension(entry)?;
    // GNU tar ends it with a zero byte; what follows one is nobody's.
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    Ok(bytes)
}

fn path_of(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// The path without `.` parts, if it stays inside.
fn inside(bytes: &[u8]) -> Result<PathBuf, &'static str> {
    if bytes.is_empty() || bytes.contains(&0) {
        return Err("has no proper name");
    }
    let mut path = PathBuf::new();
    for component in path_of(bytes).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err("has .. in its path"),
            Component::RootDir | Component::Prefix(_) => return Err("has an absolute path"),
        }
    }
    Ok(path)
}

/// A symbolic link may climb, at its beginning only, as far as the archive's root.
fn check_target(path: &Path, target: &[u8]) -> Result<(), &'static str> {
    const OUT: &str = "is a symbolic link out of the archive";
    let mut depth = path.components().count().saturating_sub(1);
    let mut descended = false;
    if target.is_empty() {
        return Err(OUT);
    }
    for component in path_of(target).components() {
        match component {
            Component::ParentDir if descended || depth == 0 => return Err(OUT),
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => descended = true,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Err(OUT),
        }
    }
    Ok(())
}
