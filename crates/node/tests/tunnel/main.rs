//! Real tunnels between two hosts on this machine. A host is a set of namespaces held by one process: network, mounts
//! (the device's socket has a fixed path), processes. All of it ends with that process.
//!
//! Needs root, and says so: `cargo test -p node --features root-tests --test tunnel`.

mod control_plane;
mod host;
mod leave;

use std::path::Path;

use host::{World, child_of, must, peer, signal, wait_for};
use protocol::identity::{ApiKey, NodeIdentity};
use protocol::ids::NodeId;
use protocol::spec::{MeshPeer, MeshSpec, Versioned};

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().expect("metadata").permissions().mode() & 0o777
}

#[test]
fn two_hosts_reach_each_other_and_keep_their_secrets() {
    let world = World::start();
    assert!(world.b.reaches("10.50.0.1"));
    assert_eq!(mode(&world.a.state().join("private.key")), 0o600);
    let socket = format!("/proc/{}/root/run/wireguard/wh0.sock", world.a.pid);
    assert_eq!(mode(Path::new(&socket)) & 0o077, 0, "the socket gives the private key away");
    let link = must(world.a.enter("ip").args(["-json", "link", "show", "dev", "wh0"]));
    assert!(link.contains("\"mtu\":1420"), "{link}");
}

#[test]
fn the_tunnel_outlives_its_agent_and_the_next_agent_adopts_it() {
    let mut world = World::start();
    let before = world.a.interface();
    world.a.kill_agent();
    assert!(world.a.reaches("10.50.0.2"), "the tunnel went with the agent");
    let key_b = world.b.public_key();
    world.a.run_agent("10.50.0.1", &peer("b", &key_b, "10.50.0.2", "198.51.100.20"));
    wait_for("adoption", || world.a.log().contains("adopted the existing interface").then_some(()));
    assert!(world.a.reaches("10.50.0.2"));
    assert_eq!(world.a.interface(), before);
    assert!(!world.a.log().contains("changing the tunnel"), "nothing had changed: {}", world.a.log());
}

#[test]
fn a_peer_with_a_new_endpoint_is_replaced_and_the_device_lives() {
    let mut world = World::start();
    let before = world.a.interface();
    // b moves; nobody may learn the new place by roaming, so b is silent until a calls.
    world.b.kill_agent();
    let tunnel = world.b.tunnel_process();
    signal(tunnel, "STOP");
    must(world.b.enter("ip").args(["address", "del", "198.51.100.20/24", "dev", "eth0"]));
    must(world.b.enter("ip").args(["address", "add", "198.51.100.21/24", "dev", "eth0"]));
    world.a.kill_agent();
    let key_b = world.b.public_key();
    world.a.run_agent("10.50.0.1", &peer("b", &key_b, "10.50.0.2", "198.51.100.21"));
    wait_for("the step", || world.a.log().contains("at 198.51.100.21:51821").then_some(()));
    assert!(world.a.log().contains(&format!("remove {key_b}")), "{}", world.a.log());
    signal(tunnel, "CONT");
    wait_for("a ping to the new place", || world.a.reaches("10.50.0.2").then_some(()));
    assert_eq!(world.a.interface(), before, "the device was made anew");
}

#[test]
fn a_tunnel_process_that_hangs_is_replaced() {
    let mut world = World::start();
    let (before, hung) = (world.a.interface(), world.a.tunnel_process());
    world.a.kill_agent();
    signal(hung, "STOP");
    let key_b = world.b.public_key();
    world.a.run_agent("10.50.0.1", &peer("b", &key_b, "10.50.0.2", "198.51.100.20"));
    wait_for("another device", || (world.a.interface()? != before?).then_some(()));
    wait_for("a ping through it", || world.a.reaches("10.50.0.2").then_some(()));
    assert_ne!(world.a.tunnel_process(), hung);
}

#[test]
fn the_agent_stops_softly_and_leaves_the_tunnel() {
    let mut world = World::start();
    let mut agent = world.a.agent.take().expect("runs");
    signal(child_of(agent.id()).expect("the agent"), "TERM");
    assert!(agent.wait().expect("ends").success(), "{}", world.a.log());
    assert!(world.a.reaches("10.50.0.2"));
}

#[test]
fn a_tunnel_process_that_ends_is_replaced_by_the_running_agent() {
    let world = World::start();
    let (before, old) = (world.a.interface(), world.a.tunnel_process());
    signal(old, "TERM");
    wait_for("another device", || (world.a.interface()? != before?).then_some(()));
    wait_for("a ping through it", || world.a.reaches("10.50.0.2").then_some(()));
}

#[test]
fn after_a_reboot_a_joined_host_comes_up_from_its_ledger_with_the_control_plane_gone() {
    let mut world = World::start();
    world.a.kill_agent();
    signal(world.a.tunnel_process(), "KILL");
    wait_for("the end of the interface", || world.a.interface().is_none().then_some(()));
    let identity = NodeIdentity {
        node_id: NodeId::new(),
        name: "a".to_owned(),
        mesh_address: [10, 50, 0, 1].into(),
        api_key: ApiKey::generate(),
        control_planes: vec!["http://10.50.0.9:8081".to_owned()],
    };
    node::identity::write(&world.a.state(), &identity).expect("write");
    let b = MeshPeer {
        name: "b".to_owned(),
        public_key: world.b.public_key(),
        mesh_address: [10, 50, 0, 2].into(),
        endpoint: "198.51.100.20:51821".parse().ok(),
    };
    let ledger = Versioned { generation: 3, spec: MeshSpec { peers: vec![b], ..MeshSpec::default() } };
    let text = serde_json::to_vec(&ledger).expect("serialises");
    std::fs::write(world.a.state().join("peers.json"), text).expect("write");
    world.a.run_agent("10.50.0.1", "");
    wait_for("a ping through the tunnel", || world.a.reaches("10.50.0.2").then_some(()));
}
