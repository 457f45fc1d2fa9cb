use std::os::unix::fs::PermissionsExt;

use protocol::identity::ApiKey;
use protocol::ids::NodeId;

use super::*;

fn key(of: &str) -> SealKey {
    SealKey::derive(of, "test")
}

fn versioned(generation: Generation) -> Versioned<ProxySpec> {
    let certificate = Certificate {
        hosts: vec!["a.test".to_owned()],
        chain_pem: "a chain".to_owned(),
        key_pem: "a private key".to_owned(),
    };
    Versioned {
        generation,
        spec: ProxySpec { certificates: vec![certificate.into()], ..ProxySpec::default() },
    }
}

fn text(folder: &Path) -> String {
    std::fs::read_to_string(folder.join(FILE)).expect("file")
}

fn load(folder: &Path, of: &str) -> Cache {
    Cache::load(folder, Some(key(of)), None).expect("load")
}

#[test]
fn certificates_are_sealed_on_disk_and_there_again_after_a_restart() {
    let folder = tempfile::tempdir().expect("temp dir");
    load(folder.path(), "me").store(versioned(7)).expect("store");
    assert!(!text(folder.path()).contains("private key"));
    let mode = folder.path().join(FILE).metadata().expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = load(folder.path(), "me");
    assert_eq!((again.generation(), again.table()), (7, Some(&versioned(7).spec)));
}

#[test]
fn a_plain_file_of_before_is_sealed_when_it_is_read() {
    let folder = tempfile::tempdir().expect("temp dir");
    let plain = serde_json::to_vec_pretty(&versioned(7)).expect("JSON");
    std::fs::write(folder.path().join(FILE), plain).expect("write");
    // Also without an identity, it is served; it had no seal before either.
    let waiting = Cache::load(folder.path(), None, None).expect("load");
    assert_eq!((waiting.is_locked(), waiting.table()), (false, Some(&versioned(7).spec)));
    assert_eq!(load(folder.path(), "me").table(), Some(&versioned(7).spec));
    assert!(!text(folder.path()).contains("private key"));
    assert_eq!(load(folder.path(), "me").table(), Some(&versioned(7).spec));
}

#[test]
fn without_a_key_the_routes_are_served_without_certificates_until_it_comes() {
    let folder = tempfile::tempdir().expect("temp dir");
    load(folder.path(), "me").store(versioned(7)).expect("store");
    let mut cache = Cache::load(folder.path(), None, None).expect("load");
    assert!(cache.is_locked() && cache.table().expect("routes").certificates.is_empty());
    cache.store(versioned(8)).expect_err("no key");
    cache.unlock(key("me")).expect("unlock");
    assert_eq!((cache.is_locked(), cache.table()), (false, Some(&versioned(7).spec)));
}

#[test]
fn a_file_of_another_host_or_a_damaged_one_is_moved_aside() {
    for damage in [
        (|folder: &Path| load(folder, "another").store(versioned(7)).expect("store")) as fn(&Path),
        |folder| {
            load(folder, "me").store(versioned(7)).expect("store");
            let of_another_table = text(folder).replace("\"generation\": 7", "\"generation\": 8");
            std::fs::write(folder.join(FILE), of_another_table).expect("write");
        },
        |folder| {
            load(folder, "me").store(versioned(7)).expect("store");
            std::fs::write(folder.join(FILE), &text(folder)[..60]).expect("write");
        },
    ] {
        let folder = tempfile::tempdir().expect("temp dir");
        damage(folder.path());
        let cache = load(folder.path(), "me");
        assert_eq!((cache.generation(), cache.table()), (0, None));
        assert!(folder.path().join("routes.json.damaged").exists());
        assert!(!folder.path().join(FILE).exists());
    }
}

#[test]
fn a_host_that_lost_its_power_while_its_key_changed_opens_with_the_former_and_seals_with_the_new() {
    let folder = tempfile::tempdir().expect("temp dir");
    load(folder.path(), "before").store(versioned(7)).expect("store");
    let cache = Cache::load(folder.path(), Some(key("after")), Some(key("before"))).expect("load");
    assert_eq!((cache.is_locked(), cache.table()), (false, Some(&versioned(7).spec)));
    assert_eq!(load(folder.path(), "after").table(), Some(&versioned(7).spec));
}

#[test]
fn a_host_that_gets_another_key_seals_with_it() {
    let folder = tempfile::tempdir().expect("temp dir");
    let mut cache = load(folder.path(), "before");
    cache.store(versioned(7)).expect("store");
    cache.unlock(key("after")).expect("unlock");
    assert_eq!(cache.table(), Some(&versioned(7).spec));
    assert_eq!(load(folder.path(), "after").table(), Some(&versioned(7).spec));
}

#[test]
fn the_credential_comes_before_the_identity() {
    let identity = NodeIdentity {
        node_id: NodeId::new(),
        name: "p1".to_owned(),
        mesh_address: [10, 50, 0, 11].into(),
        api_key: ApiKey::generate(),
        control_planes: vec![],
    };
    let none = Keys { credential: None };
    assert!(none.of(None).is_none() && none.of(Some(&identity)).is_some());
    let given = Keys { credential: Some(key("given")) };
    assert_eq!((given.of(Some(&identity)), given.of(None)), (Some(key("given")), Some(key("given"))));
}
