//! The last desired state on disk, so that an agent works after a reboot with the control plane gone.

use std::io;
use std::path::{Path, PathBuf};

use protocol::spec::{Generation, Versioned};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::error;

/// The desired state of one agent: in memory, and whole on disk before it is acknowledged.
#[derive(Debug)]
pub struct Ledger<T> {
    path: PathBuf,
    current: Option<Versioned<T>>,
}

impl<T: Serialize + DeserializeOwned> Ledger<T> {
    /// Loads `path`. A damaged file is moved aside and logged: the agent starts without desired state and gets it
    /// again from the control plane.
    pub fn load(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let current = match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(versioned) => Some(versioned),
                Err(damage) => {
                    move_aside(&path, &damage)?;
                    None
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path, current })
    }

    pub fn current(&self) -> Option<&Versioned<T>> {
        self.current.as_ref()
    }

    /// 0 without desired state.
    pub fn generation(&self) -> Generation {
        self.current.as_ref().map_or(0, |current| current.generation)
    }

    /// Whether a spec of `generation` replaces the current one; see [`supersedes`].
    pub fn takes(&self, generation: Generation, first_after_connect: bool) -> bool {
        supersedes(self.current.as_ref().map(|current| current.generation), generation, first_after_connect)
    }

    /// Puts `versioned` on disk, then in memory. Call before acknowledging it.
    pub fn store(&mut self, versioned: Versioned<T>) -> io::Result<&Versioned<T>> {
        let text = serde_json::to_vec_pretty(&versioned).map_err(io::Error::other)?;
        daemon::file::replace(&self.path, &text, 0o600)?;
        Ok(self.current.insert(versioned))
    }
}

/// A higher generation replaces a lower one, never the other way round; only the first spec after a connect may also
/// count lower, because a control plane that was restored from a backup does.
pub fn supersedes(current: Option<Generation>, offered: Generation, first_after_connect: bool) -> bool {
    match current {
        None => true,
        Some(current) => offered > current || (first_after_connect && offered != current),
    }
}

/// Keeps a file that cannot be used as `….damaged`, and says so.
pub fn move_aside(path: &Path, damage: &dyn std::error::Error) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    std::fs::rename(path, &aside)?;
    error!(
        path = %path.display(),
        kept_as = %Path::new(&aside).display(),
        error = %damage,
        "the desired state on disk cannot be used and was moved aside; it comes again from the control plane"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use protocol::spec::MeshSpec;

    use super::*;

    fn load(folder: &Path) -> Ledger<MeshSpec> {
        Ledger::load(folder.join("peers.json")).expect("load")
    }

    #[test]
    fn what_was_stored_is_there_after_a_restart_and_is_private() {
        let folder = tempfile::tempdir().expect("temp dir");
        let mut ledger = load(folder.path());
        assert_eq!(ledger.generation(), 0);
        ledger.store(Versioned { generation: 7, spec: MeshSpec::default() }).expect("store");
        assert_eq!(load(folder.path()).generation(), 7);
        let mode = folder.path().join("peers.json").metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_ledger_is_moved_aside_and_not_fatal() {
        let folder = tempfile::tempdir().expect("temp dir");
        std::fs::write(folder.path().join("peers.json"), "{\"generation\": 3").expect("write");
        assert!(load(folder.path()).current().is_none());
        assert!(folder.path().join("peers.json.damaged").exists());
        assert!(!folder.path().join("peers.json").exists());
    }

    #[test]
    fn a_lower_generation_counts_only_as_the_first_after_a_connect() {
        for (current, offered, first, expected) in [
            (None, 1, false, true),
            (Some(4), 5, false, true),
            (Some(4), 4, false, false),
            (Some(4), 4, true, false),
            (Some(4), 3, false, false),
            (Some(4), 3, true, true),
        ] {
            assert_eq!(supersedes(current, offered, first), expected, "{current:?} {offered} {first}");
        }
    }
}
