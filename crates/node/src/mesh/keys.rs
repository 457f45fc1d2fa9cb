//! The host's key pair. The private half is made here and never leaves the host.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use defguard_wireguard_rs::key::Key;
use tracing::info;

const PRIVATE: &str = "private.key";

/// The key pair of this host.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) private: Key,
    /// Base64.
    pub(super) public: String,
}

impl Keys {
    /// Reads `private.key` in `folder` or makes it (mode 0600), and writes `public.key` (0644) beside it, which the
    /// control plane on the same host waits for.
    pub(super) fn load_or_create(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(PRIVATE);
        let private = match std::fs::read_to_string(&path) {
            Ok(text) => parse(text.trim()).with_context(|| {
                format!("{} is damaged: restore it, or remove it and join the host again", path.display())
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(&path)?,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let keys = Self::of(&private);
        keys.publish(folder)?;
        Ok(keys)
    }

    /// The pair of a private key.
    pub(super) fn of(private: &Key) -> Self {
        let private = clamped(private);
        Self { public: private.public_key().to_string(), private }
    }

    /// Puts the pair into the place of the one before.
    pub(super) fn replace(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(PRIVATE);
        daemon::file::replace(&path, format!("{}\n", self.private).as_bytes(), 0o600)
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.publish(folder)
    }

    fn publish(&self, folder: &Path) -> anyhow::Result<()> {
        let public = &self.public;
        let beside = folder.join("public.key");
        if std::fs::read_to_string(&beside).ok().as_deref().map(str::trim) != Some(public) {
            daemon::file::replace(&beside, format!("{public}\n").as_bytes(), 0o644)
                .with_context(|| format!("cannot write {}", beside.display()))?;
        }
        Ok(())
    }
}

fn create(path: &Path) -> anyhow::Result<Key> {
    let key = Key::generate();
    // O_EXCL: of two agents started at once, one fails instead of both using different keys.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    file.write_all(format!("{key}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))?;
    info!(path = %path.display(), "made this host's WireGuard key");
    Ok(key)
}

/// The same key with the bits that RFC 7748 §5 fixes. The kernel tells its key in this form; compared with another one,
/// a device would look at each pass as if it had to be set up anew, which takes its address and peers away.
fn clamped(key: &Key) -> Key {
    let mut bytes = key.as_array();
    bytes[0] &= 0b1111_1000;
    bytes[31] = bytes[31] & 0b0111_1111 | 0b0100_0000;
    Key::new(bytes)
}

pub(super) fn parse(text: &str) -> anyhow::Result<Key> {
    if !is_public_key(text) {
        bail!("not 32 bytes of base64");
    }
    Key::try_from(text).context("not a key")
}

/// Whether `text` is 32 bytes of base64, the shape of both halves of a key.
pub(super) fn is_public_key(text: &str) -> bool {
    STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_private_key_is_made_once_and_private_and_the_public_key_is_for_all() {
        let folder = tempfile::tempdir().expect("temp dir");
        let made = Keys::load_or_create(folder.path()).expect("made");
        let read = Keys::load_or_create(folder.path()).expect("read");
        assert_eq!(made.public, read.public);
        let mode = |name: &str| {
            let metadata = folder.path().join(name).metadata().expect("metadata");
            metadata.permissions().mode() & 0o777
        };
        assert_eq!((mode("private.key"), mode("public.key")), (0o600, 0o644));
        let published = std::fs::read_to_string(folder.path().join("public.key")).expect("read");
        assert_eq!(published.trim(), made.public);
    }

    #[test]
    fn a_key_is_held_in_the_form_in_which_the_kernel_tells_it() {
        let folder = tempfile::tempdir().expect("temp dir");
        let key = Key::new([0xff; 32]);
        std::fs::write(folder.path().join("private.key"), key.to_string()).expect("write");
        let keys = Keys::load_or_create(folder.path()).expect("read");
        let bytes = keys.private.as_array();
        assert_eq!((bytes[0], bytes[1], bytes[31]), (0xf8, 0xff, 0x7f));
        assert_eq!(keys.public, key.public_key().to_string(), "the other hosts know it by this");
    }

    #[test]
    fn a_damaged_private_key_is_never_replaced() {
        let folder = tempfile::tempdir().expect("temp dir");
        std::fs::write(folder.path().join("private.key"), "half").expect("write");
        let Err(error) = Keys::load_or_create(folder.path()) else { panic!("accepted") };
        assert!(error.to_string().contains("join the host again"), "{error}");
        let left = std::fs::read_to_string(folder.path().join("private.key")).expect("read");
        assert_eq!(left, "half");
    }
}
