//! The file that declares the hosts.

use serde_json::json;

use crate::User;
use crate::mock::{Mock, json as reply};

#[test]
fn the_keys_of_a_fleet_are_printed_as_nix_in_the_order_of_addresses() {
    let node = |name: &str, address: &str| json!({ "name": name, "mesh_address": address, "public_key": format!("{name}=") });
    let nodes = [node("w10", "10.50.0.20"), node("9w", "10.50.0.11"), node("cp", "10.50.0.1")];
    let mock = Mock::start(vec![("GET /nodes", reply(200, json!({ "items": nodes, "next": null })))]);
    assert_eq!(
        User::new().wh(&mock, &["fleet", "pin"]).succeeded().out,
        "cp.publicKey = \"cp=\"; # 10.50.0.1\n\"9w\".publicKey = \"9w=\"; # 10.50.0.11\nw10.publicKey = \"w10=\"; # 10.50.0.20\n"
    );
    let pins = User::new().wh(&mock, &["fleet", "pin", "--json"]).succeeded().json();
    assert_eq!(pins[1], json!({ "name": "9w", "public_key": "9w=", "mesh_address": "10.50.0.11" }));
}

#[test]
fn a_node_shows_what_its_images_take_and_what_stands_in_the_way() {
    let images = json!({ "count": 12, "size_bytes": 3_221_225_472_u64, "reclaimable_bytes": 1_048_576,
                         "cache_bytes": 0, "copies_waiting": 2, "problems": ["remove sha256:aa: a container uses it"] });
    let mock = Mock::start(vec![
        ("GET /nodes/w1", reply(200, json!({ "name": "w1", "images": images }))),
        ("GET /nodes/p1", reply(200, json!({ "name": "p1", "images": null }))),
    ]);
    let user = User::new();
    let shown = user.wh(&mock, &["node", "show", "w1"]).succeeded().out;
    for line in ["12, 3.0 GiB, 1.0 MiB no longer needed", "to fetch", "remove sha256:aa: a container uses it"]
    {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(!shown.contains("build cache"), "{shown}");
    assert!(!user.wh(&mock, &["node", "show", "p1"]).succeeded().out.contains("images"));
}

#[test]
fn labels_are_set_removed_and_listed() {
    let node =
        json!({ "name": "w1", "labels": { "disk": "nvme", "rack": "3" }, "declared_labels": ["rack"] });
    let mock =
        Mock::start(vec![("PATCH /nodes/w1", reply(200, node.clone())), ("GET /nodes/w1", reply(200, node))]);
    let user = User::new();
    let set = user.wh(&mock, &["node", "label", "w1", "disk=nvme", "note=a=b", "old-key-"]).succeeded();
    assert_eq!(set.out, "disk=nvme\nrack=3\n");
    assert_eq!(
        mock.one("PATCH /nodes/w1").json(),
        json!({ "labels": { "disk": "nvme", "note": "a=b", "old-key": null } })
    );
    assert_eq!(user.wh(&mock, &["node", "label", "w1"]).succeeded().out, set.out);
    let shown = user.wh(&mock, &["node", "show", "w1"]).succeeded().out;
    assert!(shown.contains("disk=nvme, rack=3 (declared)"), "{shown}");
    for bad in ["disk", "=x", "-"] {
        user.wh(&mock, &["node", "label", "w1", "--", bad]).failed(2);
    }
}
