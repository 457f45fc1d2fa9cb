//! Files that must be whole after a power loss.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Replaces `path` by `content`: written beside it with `mode`, whatever the umask is, synced, renamed, the folder
/// synced. A reader sees the old content or the new, never a part.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    let name = path.file_name().ok_or_else(|| io::Error::other("a file needs a name"))?;
    let mut temporary = name.to_owned();
    temporary.push(".new");
    let temporary = folder.join(temporary);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_content_and_mode_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("state");
        std::fs::write(&path, "old").expect("write");
        std::fs::write(folder.path().join("state.new"), "left by a crash").expect("write");
        // No usual umask leaves 0666 as it is.
        replace(&path, b"new", 0o666).expect("replace");
        assert_eq!(std::fs::read(&path).expect("read"), b"new");
        assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o777, 0o666);
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1);
    }
}
