//! A host that leaves is as new: no tunnel, no key, no identity.

use std::sync::mpsc;

use protocol::identity::{ApiKey, NodeIdentity};
use protocol::ids::NodeId;
use protocol::spec::{MeshSpec, Spec, Versioned};

use crate::control_plane::ControlPlane;
use crate::host::{World, peer};

fn identity(control_plane: &str) -> NodeIdentity {
    NodeIdentity {
        node_id: NodeId::new(),
        name: "a".to_owned(),
        mesh_address: [10, 50, 0, 1].into(),
        api_key: ApiKey::generate(),
        control_planes: vec![control_plane.to_owned()],
    }
}

/// What is left in the state folder of the first host.
fn left(world: &World) -> Vec<String> {
    let files = std::fs::read_dir(world.a.state()).expect("the folder stays");
    files.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_host_leaves_when_its_agent_is_stopped_and_the_control_plane_lets_it_go() {
    let mut world = World::start();
    let identity = identity("http://127.0.0.1:8081");
    node::identity::write(&world.a.state(), &identity).expect("write");
    let spec = Versioned { generation: 1, spec: Spec::Mesh(MeshSpec::default()) };
    let (heard, _heard) = mpsc::channel();
    ControlPlane { identity, spec, heard, instances: 2 }.start(world.a.pid);

    let (success, said) = world.a.command(&["leave", "--yes"]);
    assert!(!success && said.contains("systemctl stop wisehosting-mesh"), "{said}");
    world.a.kill_agent();
    let (success, said) = world.a.command(&["leave"]);
    assert!(!success && said.contains("--yes"), "nobody can be asked here: {said}");
    let (success, said) = world.a.command(&["leave", "--yes"]);
    assert!(!success && said.contains("2 instances still run on a"), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    assert!(world.a.reaches("10.50.0.2") && left(&world).contains(&"identity.json".to_owned()));

    let key = world.a.public_key();
    let (success, said) = world.a.command(&["leave", "--yes", "--force"]);
    assert!(success && said.contains("removed the node a. Take it out of the configuration"), "{said}");
    assert!(
        said.contains("took wh0 down") && said.contains("identity.json, private.key, public.key"),
        "{said}"
    );
    assert_eq!((world.a.interface(), left(&world)), (None, Vec::new()));
    let (success, said) = world.a.command(&["leave", "--yes"]);
    assert!(success && said.contains("has not joined") && said.contains("nothing was left"), "{said}");

    let key_b = world.b.public_key();
    world.a.run_agent("10.50.0.1", &peer("b", &key_b, "10.50.0.2", "198.51.100.20"));
    assert_ne!(world.a.public_key(), key, "the next node has a key of its own");
}

#[test]
fn a_host_leaves_without_its_control_plane_and_says_what_remains() {
    let mut world = World::start();
    world.a.kill_agent();
    node::identity::write(&world.a.state(), &identity("http://127.0.0.1:1")).expect("write");
    let (success, said) = world.a.command(&["leave", "--yes"]);
    assert!(success && said.contains("not reached") && said.contains("wh node rm a"), "{said}");
    assert_eq!((world.a.interface(), left(&world)), (None, Vec::new()));
}
