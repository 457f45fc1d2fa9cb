//! Another key for this host's tunnel, when the desired state asks for one.
//!
//! The host makes it and puts it on its disk before anybody hears of it; peers take it beside the one in use before this
//! host uses it, and drop the old one only after the control plane has heard from under the new one. So at any line at
//! which the power may go, or the control plane with it, what is in `private.key` lets the host in.

use std::path::{Path, PathBuf};

use anyhow::Context;
use defguard_wireguard_rs::key::Key;
use protocol::report::NextKey;
use protocol::spec::KeyChange;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use uuid::Uuid;

use super::keys::{self, Keys};

/// The key that was made and may not be in `private.key` yet.
pub(super) const FILE: &str = "next-private.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rotation: Uuid,
    private_key: String,
}

struct Made {
    rotation: Uuid,
    keys: Keys,
}

/// How far this host is with another key.
pub(super) struct Rekey {
    folder: PathBuf,
    made: Option<Made>,
}

impl Rekey {
    pub(super) fn new(folder: PathBuf) -> Self {
        let made = read(&folder.join(FILE)).unwrap_or_else(|error| {
            // Nobody depends on it: another one is made, and announced in its place.
            warn!(error = format!("{error:#}"), "the next key of the tunnel is lost");
            None
        });
        Self { folder, made }
    }

    /// Does what `wanted` asks for: makes a key, or forgets the one that was made. The key to use from now on, when the
    /// peers are ready and `own` is still the one before.
    pub(super) fn follow(&mut self, wanted: Option<&KeyChange>, own: &str) -> anyhow::Result<Option<Keys>> {
        let Some(wanted) = wanted else { return self.forget().map(|()| None) };
        let made = match self.made.take() {
            Some(made) if made.rotation == wanted.rotation => made,
            _ => make(&self.folder, wanted.rotation)?,
        };
        let keys = &made.keys;
        let due = wanted.to.as_ref() == Some(&keys.public) && own != keys.public;
        let due = due.then(|| keys.clone());
        self.made = Some(made);
        Ok(due)
    }

    /// What the control plane is to know of, while `own` is in use.
    pub(super) fn next(&self, own: &str) -> Option<NextKey> {
        let made = self.made.as_ref().filter(|made| made.keys.public != own)?;
        Some(NextKey { rotation: made.rotation, public_key: made.keys.public.clone() })
    }

    /// Puts the key where the host finds it after a power loss.
    pub(super) fn keep(&self, keys: &Keys) -> anyhow::Result<()> {
        keys.replace(&self.folder)
    }

    fn forget(&mut self) -> anyhow::Result<()> {
        if self.made.is_none() {
            return Ok(());
        }
        let path = self.folder.join(FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => {
                self.made = None;
                Ok(())
            }
        }
    }
}

fn make(folder: &Path, rotation: Uuid) -> anyhow::Result<Made> {
    let keys = Keys::of(&Key::generate());
    let written = Written { rotation, private_key: keys.private.to_string() };
    let text = serde_json::to_vec(&written).context("a key is a string")?;
    let path = folder.join(FILE);
    daemon::file::replace(&path, &text, 0o600).with_context(|| format!("cannot write {}", path.display()))?;
    info!(public_key = keys.public, "made another key for the tunnel; it is used once all peers know it");
    Ok(Made { rotation, keys })
}

fn read(path: &Path) -> anyhow::Result<Option<Made>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let written: Written =
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    let private =
        keys::parse(&written.private_key).with_context(|| format!("{} is damaged", path.display()))?;
    Ok(Some(Made { rotation: written.rotation, keys: Keys::of(&private) }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn change(rotation: Uuid, to: Option<&str>) -> KeyChange {
        KeyChange { rotation, to: to.map(str::to_owned) }
    }

    /// The agent as it begins after a power loss: what it knows of a next key, and the key in use.
    fn again(folder: &Path) -> (Rekey, String) {
        (Rekey::new(folder.to_owned()), Keys::load_or_create(folder).expect("a key").public)
    }

    #[test]
    fn a_key_is_announced_at_once_and_used_only_when_the_peers_are_ready() {
        let folder = tempfile::tempdir().expect("temp dir");
        let rotation = Uuid::now_v7();
        let (mut rekey, own) = again(folder.path());
        assert!(rekey.follow(None, &own).expect("nothing to do").is_none() && rekey.next(&own).is_none());
        assert!(rekey.follow(Some(&change(rotation, None)), &own).expect("made").is_none());
        let next = rekey.next(&own).expect("announced");
        let mode = folder.path().join(FILE).metadata().expect("metadata").permissions().mode();
        assert_eq!((next.rotation, mode & 0o777), (rotation, 0o600));
        // Peers know a key that this host does not have: it is as good as none.
        let foreign = change(rotation, Some(&own.replace('=', "A")));
        assert!(rekey.follow(Some(&foreign), &own).expect("ignored").is_none());
        let due = rekey.follow(Some(&change(rotation, Some(&next.public_key))), &own).expect("due");
        assert_eq!(due.expect("a key").public, next.public_key);
    }

    #[test]
    fn the_power_may_go_between_any_two_steps() {
        let folder = tempfile::tempdir().expect("temp dir");
        let rotation = Uuid::now_v7();
        let (mut rekey, own) = again(folder.path());
        rekey.follow(Some(&change(rotation, None)), &own).expect("made");
        let next = rekey.next(&own).expect("announced");

        // Off after the announcement: the same key is announced again, and the old one is in use.
        let (mut rekey, after) = again(folder.path());
        assert_eq!(after, own);
        let told = change(rotation, Some(&next.public_key));
        let due = rekey.follow(Some(&told), &after).expect("due").expect("a key");
        assert_eq!(rekey.next(&own), Some(next.clone()));

        // Off after it was kept, before the device had it: the host comes back with the new one.
        rekey.keep(&due).expect("kept");
        let (mut rekey, after) = again(folder.path());
        assert_eq!(after, next.public_key);
        assert!(rekey.follow(Some(&told), &after).expect("done").is_none());
        assert_eq!(rekey.next(&after), None);
        let published = std::fs::read_to_string(folder.path().join("public.key")).expect("read");
        assert_eq!(published.trim(), next.public_key);

        // The control plane knows; and off before the file was removed.
        let (mut rekey, after) = again(folder.path());
        assert!(rekey.follow(None, &after).expect("over").is_none());
        assert!(!folder.path().join(FILE).exists());
        assert_eq!(again(folder.path()).1, next.public_key);
    }

    #[test]
    fn another_rotation_makes_another_key_and_a_damaged_file_only_that() {
        let folder = tempfile::tempdir().expect("temp dir");
        let (mut rekey, own) = again(folder.path());
        rekey.follow(Some(&change(Uuid::now_v7(), None)), &own).expect("made");
        let first = rekey.next(&own).expect("announced");
        let second = Uuid::now_v7();
        rekey.follow(Some(&change(second, None)), &own).expect("made");
        let next = rekey.next(&own).expect("announced");
        assert_ne!(next.public_key, first.public_key);
        std::fs::write(folder.path().join(FILE), "half").expect("write");
        let (mut rekey, after) = again(folder.path());
        assert_eq!(after, own);
        rekey.follow(Some(&change(second, Some(&next.public_key))), &own).expect("made");
        assert_ne!(rekey.next(&own).expect("announced").public_key, next.public_key);
    }
}
