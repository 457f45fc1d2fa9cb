//! The identity of this host: written by the mesh agent after joining, read by the other agents.

use std::io;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::identity::{ApiKey, NodeIdentity};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Name of the file in the mesh agent's state folder.
pub const FILE: &str = "identity.json";

const POLL: Duration = Duration::from_millis(500);
/// Between looks at whether the host has joined anew, or has another key.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// After so long all agents of the host have seen another key and take what is sealed with it, so that it may be used.
pub const SETTLE: Duration = Duration::from_secs(3);
/// The key before the one in the identity: what an agent sealed with it on this host can still be opened.
pub(crate) const FORMER: &str = "former-key.json";

/// Why an identity file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot access {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{path} is damaged ({source}). Restore it from a backup, or remove it and join the host again with a new join token"
    )]
    Damaged { path: PathBuf, source: serde_json::Error },
}

/// The identity in `folder`, or `None` before the host has joined.
pub fn read(folder: &Path) -> Result<Option<NodeIdentity>, IdentityError> {
    let path = folder.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IdentityError::Io { path, source }),
    };
    serde_json::from_slice(&text).map(Some).map_err(|source| IdentityError::Damaged { path, source })
}

/// Writes the identity, readable by the owner and the group that the agents share.
pub fn write(folder: &Path, identity: &NodeIdentity) -> Result<(), IdentityError> {
    let path = folder.join(FILE);
    let text = serde_json::to_vec_pretty(identity).expect("an identity has string keys only");
    daemon::file::replace(&path, &text, 0o640).map_err(|source| IdentityError::Io { path, source })
}

/// Puts `api_key` in the place of the identity's own, which is kept beside it. Whole at every moment: a host that loses
/// its power has the one or the other.
pub fn change_key(
    folder: &Path,
    identity: &NodeIdentity,
    api_key: &ApiKey,
) -> Result<NodeIdentity, IdentityError> {
    let path = folder.join(FORMER);
    let text = serde_json::to_vec(&identity.api_key).expect("a key is a string");
    daemon::file::replace(&path, &text, 0o640).map_err(|source| IdentityError::Io { path, source })?;
    let changed = NodeIdentity { api_key: api_key.clone(), ..identity.clone() };
    write(folder, &changed)?;
    Ok(changed)
}

/// The key before the one in the identity, if there was one and it can be read.
pub fn former_key(folder: &Path) -> Option<ApiKey> {
    let text = std::fs::read(folder.join(FORMER)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Waits until the host has joined. `None` when `stop` comes first. Looks at the file again and again, so it matters
/// neither which process starts first nor whether one of them was restarted.
pub async fn wait_for(folder: &Path, stop: &CancellationToken) -> Option<NodeIdentity> {
    let mut said = String::new();
    loop {
        let problem = match read(folder) {
            Ok(Some(identity)) => return Some(identity),
            Ok(None) => None,
            Err(error) => Some(error.to_string()),
        };
        let text = problem.clone().unwrap_or_else(|| "not joined yet".to_owned());
        if text != said {
            match problem {
                Some(error) => warn!(%error, "waiting for a readable identity"),
                None => {
                    info!(folder = %folder.display(), "waiting until wisehosting-mesh has joined this host");
                }
            }
            said = text;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => return None,
        }
    }
}

/// Waits until the host has joined anew, after it was removed: what was made with `known` is refused from then on and
/// must begin again. Another key for the same node is [`KeyWatch`]'s. `false` when `stop` comes first.
pub async fn wait_for_another(folder: &Path, known: &NodeIdentity, stop: &CancellationToken) -> bool {
    loop {
        // A file that is missing or damaged is the mesh agent's to mend.
        if let Ok(Some(identity)) = read(folder)
            && !is_same_node(&identity, known)
        {
            info!(node.id = %identity.node_id, "this host has joined anew");
            return true;
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_none() {
            return false;
        }
    }
}

/// Whether they differ in the key at most.
fn is_same_node(one: &NodeIdentity, other: &NodeIdentity) -> bool {
    NodeIdentity { api_key: other.api_key.clone(), ..one.clone() } == *other
}

/// Sees the key of this host change, which leaves everything as it is but what signs.
#[derive(Debug)]
pub struct KeyWatch {
    folder: PathBuf,
    known: NodeIdentity,
}

impl KeyWatch {
    pub fn new(folder: PathBuf, known: NodeIdentity) -> Self {
        Self { folder, known }
    }

    /// The next key, sooner or later.
    pub async fn next(&mut self) -> ApiKey {
        loop {
            if let Ok(Some(identity)) = read(&self.folder)
                && identity.api_key != self.known.api_key
                && is_same_node(&identity, &self.known)
            {
                self.known = identity;
                return self.known.api_key.clone();
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Waits until this host has the mesh address, which after a reboot may be later than the identity: what binds to the
/// address, or starts a container that publishes on it, waits for it first. `false` when `stop` comes first.
pub async fn wait_for_address(identity: &NodeIdentity, stop: &CancellationToken) -> bool {
    let address = identity.mesh_address;
    let mut said = false;
    // A host may bind exactly the addresses that it has.
    while UdpSocket::bind((address, 0)).is_err() {
        if !said {
            info!(%address, "waiting until wisehosting-mesh has brought the mesh address up");
            said = true;
        }
        if stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_none() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use protocol::ids::NodeId;

    use super::*;

    fn identity() -> NodeIdentity {
        NodeIdentity {
            node_id: NodeId::new(),
            name: "w1".to_owned(),
            mesh_address: [10, 50, 0, 11].into(),
            api_key: ApiKey::generate(),
            control_planes: vec!["http://10.50.0.1:8081".to_owned()],
        }
    }

    #[tokio::test]
    async fn an_identity_written_later_is_found_and_is_private_to_the_group() {
        let folder = tempfile::tempdir().expect("temp dir");
        let (stop, written) = (CancellationToken::new(), identity());
        let writing = async {
            tokio::task::yield_now().await;
            write(folder.path(), &written).expect("write");
        };
        let (found, ()) = tokio::join!(wait_for(folder.path(), &stop), writing);
        assert_eq!(found.expect("found"), written);
        let mode = folder.path().join(FILE).metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }

    #[tokio::test]
    async fn a_host_that_joined_anew_is_noticed_and_one_that_only_lost_its_file_is_not() {
        let folder = tempfile::tempdir().expect("temp dir");
        let (stop, known) = (CancellationToken::new(), identity());
        let a_while = Duration::from_millis(100);
        for lost in [false, true] {
            if lost {
                std::fs::remove_file(folder.path().join(FILE)).expect("remove");
            } else {
                write(folder.path(), &known).expect("write");
            }
            let waiting = wait_for_another(folder.path(), &known, &stop);
            assert!(tokio::time::timeout(a_while, waiting).await.is_err());
        }
        write(folder.path(), &identity()).expect("write");
        assert!(wait_for_another(folder.path(), &known, &stop).await);
        stop.cancel();
        assert!(!wait_for_another(folder.path(), &identity_in(folder.path()), &stop).await);
    }

    #[tokio::test]
    async fn another_key_is_not_another_node_and_the_former_one_is_kept() {
        let folder = tempfile::tempdir().expect("temp dir");
        let (stop, known) = (CancellationToken::new(), identity());
        write(folder.path(), &known).expect("write");
        assert_eq!(former_key(folder.path()), None);
        let mut watch = KeyWatch::new(folder.path().to_owned(), known.clone());
        let key = ApiKey::generate();
        change_key(folder.path(), &known, &key).expect("changed");
        assert_eq!(watch.next().await, key);
        assert_eq!(former_key(folder.path()), Some(known.api_key.clone()));
        let a_while = Duration::from_millis(100);
        let waiting = wait_for_another(folder.path(), &known, &stop);
        assert!(tokio::time::timeout(a_while, waiting).await.is_err(), "the same node");
        assert!(tokio::time::timeout(a_while, watch.next()).await.is_err(), "told once");
    }

    fn identity_in(folder: &Path) -> NodeIdentity {
        read(folder).expect("readable").expect("there")
    }

    #[tokio::test]
    async fn waiting_ends_with_the_process() {
        let folder = tempfile::tempdir().expect("temp dir");
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(wait_for(folder.path(), &stop).await.is_none());
    }

    #[tokio::test]
    async fn only_an_address_that_the_host_has_is_waited_for_with_success() {
        let stop = CancellationToken::new();
        let here = NodeIdentity { mesh_address: [127, 0, 0, 1].into(), ..identity() };
        assert!(wait_for_address(&here, &stop).await);
        // TEST-NET-3: nobody has it.
        let elsewhere = NodeIdentity { mesh_address: [203, 0, 113, 9].into(), ..identity() };
        let stopping = async { stop.cancel() };
        assert!(!tokio::join!(wait_for_address(&elsewhere, &stop), stopping).0);
    }

    #[test]
    fn a_damaged_identity_is_an_error_that_names_the_file_and_the_way_out() {
        let folder = tempfile::tempdir().expect("temp dir");
        std::fs::write(folder.path().join(FILE), "{").expect("write");
        let error = read(folder.path()).expect_err("damaged").to_string();
        assert!(error.contains(FILE) && error.contains("join the host again"), "{error}");
    }
}
