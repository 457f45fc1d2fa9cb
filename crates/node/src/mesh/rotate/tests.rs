//! The host's side of a rotation, with the power going at each line of it.

use std::cell::{Cell, RefCell};
use std::path::Path;

use protocol::ids::NodeId;

use super::*;

/// A control plane: the keys that it takes, and what it does with the next request.
struct Plane {
    good: RefCell<Vec<ApiKey>>,
    wanted: Cell<Option<Uuid>>,
    lose: RefCell<Lose>,
}

#[derive(Clone, Copy, PartialEq)]
enum Lose {
    Nothing,
    Request,
    Answer,
}

fn refused(status: u16) -> RequestError {
    RequestError::Refused {
        url: PATH.to_owned(),
        status,
        code: "rotation_ended".to_owned(),
        message: String::new(),
        hint: None,
    }
}

impl Plane {
    /// An agent signs in, which it does before it is told what is wanted.
    fn sign_in(&self, key: &ApiKey) {
        let good = self.good.borrow();
        assert!(good.contains(key), "the key on the disk is refused");
        if good.get(1) == Some(key) {
            self.wanted.set(None);
        }
    }
}

impl Taker for Plane {
    async fn take(&self, request: &RotateRequest) -> Result<(), RequestError> {
        let lose = self.lose.replace(Lose::Nothing);
        if lose == Lose::Request {
            return Err(refused(503));
        }
        if self.wanted.get() != Some(request.rotation) {
            return Err(refused(409));
        }
        // As the table has it: the one in use, and the next.
        let mut good = self.good.borrow_mut();
        good.truncate(1);
        good.push(request.api_key.clone());
        if lose == Lose::Answer { Err(refused(503)) } else { Ok(()) }
    }
}

fn host(folder: &Path) -> (NodeIdentity, Plane, Uuid) {
    let identity = NodeIdentity {
        node_id: NodeId::new(),
        name: "w1".to_owned(),
        mesh_address: [10, 50, 0, 11].into(),
        api_key: ApiKey::generate(),
        control_planes: vec!["http://10.50.0.1:8081".to_owned()],
    };
    identity::write(folder, &identity).expect("write");
    let rotation = Uuid::now_v7();
    let good = RefCell::new(vec![identity.api_key.clone()]);
    (identity, Plane { good, wanted: Cell::new(Some(rotation)), lose: RefCell::new(Lose::Nothing) }, rotation)
}

fn on_disk(folder: &Path) -> NodeIdentity {
    identity::read(folder).expect("readable").expect("there")
}

/// The agent as it begins after a power loss.
fn again(folder: &Path) -> Rotation {
    Rotation::new(folder.to_owned(), on_disk(folder))
}

#[tokio::test]
async fn the_key_on_the_disk_is_good_wherever_the_rotation_is_interrupted() {
    for lose in [Lose::Nothing, Lose::Request, Lose::Answer] {
        let folder = tempfile::tempdir().expect("temp dir");
        let (before, plane, rotation) = host(folder.path());
        plane.lose.replace(lose);
        let first = again(folder.path()).rotate(Some(rotation), &plane).await;
        assert_eq!(first.is_err(), lose != Lose::Nothing);
        plane.sign_in(&on_disk(folder.path()).api_key);
        let mut agent = again(folder.path());
        agent.rotate(Some(rotation), &plane).await.expect("done");
        let after = on_disk(folder.path());
        assert_ne!(after.api_key, before.api_key);
        plane.sign_in(&after.api_key);
        assert_eq!(identity::former_key(folder.path()), Some(before.api_key));
        assert!(!folder.path().join(FILE).exists(), "nothing is left");
    }
}

#[tokio::test]
async fn a_key_that_was_handed_over_before_the_power_went_is_handed_over_again_and_no_other() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (_, plane, rotation) = host(folder.path());
    let made = again(folder.path()).prepare(rotation).expect("made");
    plane.take(&made).await.expect("taken");
    // Off here: the control plane knows it, the identity does not have it.
    again(folder.path()).rotate(Some(rotation), &plane).await.expect("done");
    assert_eq!(on_disk(folder.path()).api_key, made.api_key);
    // Off here: the identity has it, the file beside it was not removed.
    std::fs::write(folder.path().join(FILE), serde_json::to_vec(&made).expect("JSON")).expect("write");
    again(folder.path()).rotate(Some(rotation), &plane).await.expect("nothing to do");
    assert_eq!(on_disk(folder.path()).api_key, made.api_key);
    assert!(!folder.path().join(FILE).exists());
}

#[tokio::test]
async fn a_rotation_that_is_over_changes_nothing_and_one_is_done_once() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (before, plane, rotation) = host(folder.path());
    let mut agent = again(folder.path());
    // The desired state on the disk may be older than what the control plane wants.
    agent.rotate(Some(Uuid::now_v7()), &plane).await.expect("refused for good");
    assert_eq!(on_disk(folder.path()), before);
    agent.rotate(Some(rotation), &plane).await.expect("done");
    let after = on_disk(folder.path());
    plane.wanted.set(None);
    agent.rotate(Some(rotation), &plane).await.expect("done already");
    assert_eq!(on_disk(folder.path()), after);
}

#[tokio::test]
async fn a_new_key_is_used_once_when_the_other_agents_have_seen_it() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (_, plane, rotation) = host(folder.path());
    let (mut agent, before) = (again(folder.path()), Instant::now());
    agent.rotate(Some(rotation), &plane).await.expect("done");
    let (at, _) = agent.next.as_mut().expect("another key");
    assert!(*at >= before + SETTLE, "not before the others have looked");
    *at = before;
    assert_eq!(agent.settled().await, on_disk(folder.path()).api_key);
    assert!(agent.next.is_none());
}
