//! A worker that leaves takes its own things and no others.

use std::process::{Command, Stdio};

use protocol::report::InstanceState;
use protocol::spec::Probe;

use crate::support::{ControlPlane, SOCKET, on_a_host, state_dir};
use crate::{SERVER, built_from, instance, reported, run_instances};

fn run(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).expect("text"))
}

fn must(program: &str, arguments: &[&str]) -> String {
    let (success, said) = run(program, arguments);
    assert!(success, "{program} {arguments:?}: {said}");
    said
}

fn leave(also: &[&str]) -> (bool, String) {
    let config = state_dir().join("worker.toml");
    let text = format!("state_dir = \"{}\"\n[podman]\nsocket = \"{SOCKET}\"\n", state_dir().display());
    std::fs::write(&config, text).expect("write");
    let config = config.display().to_string();
    let arguments = [&["leave", "--config", &config], also].concat();
    run(env!("CARGO_BIN_EXE_wisehosting-worker"), &arguments)
}

#[test]
fn a_worker_that_leaves_takes_what_is_labelled_and_nothing_else() {
    on_a_host("leave::a_worker_that_leaves_takes_what_is_labelled_and_nothing_else", async {
        built_from(&[("Containerfile", "FROM busybox\nRUN touch /built\n")]).await;
        let wanted = instance(20001, SERVER, Probe::default()).await;
        let id = wanted.id;
        let control_plane = ControlPlane::default();
        let tasks = run_instances(&control_plane, vec![wanted]).await;
        reported(&control_plane, id, "healthy", |i| i.state == InstanceState::Healthy).await;
        std::fs::write(state_dir().join("spec.json"), "{}").expect("write");
        // Somebody else's, in the way.
        must("podman", &["network", "create", "theirs"]);
        must("podman", &["tag", "busybox", "localhost/wisehosting/theirs:1"]);
        let theirs = ["--name", "theirs", "--network", "wisehosting-project-shop", "-v", "data:/data"];
        must("podman", &[&["run", "-d"], &theirs[..], &["busybox", "sleep", "500"]].concat());

        let left = ["--name", "wh-hello-run-1", "--network", "none", "--label", "wisehosting.run=1"];
        must("podman", &[&["run", "-d"], &left[..], &["busybox", "sleep", "500"]].concat());

        let agent = daemon::lock::take(&state_dir()).expect("accessible");
        let (success, said) = leave(&["--yes"]);
        assert!(!success && said.contains("systemctl stop wisehosting-worker"), "{said}");
        drop((agent, tasks));
        let (success, said) = leave(&[]);
        assert!(!success && said.contains("--yes"), "nobody can be asked here: {said}");
        assert_eq!(must("podman", &["ps", "-q"]).lines().count(), 3, "nothing was touched yet");

        let (success, said) = leave(&["--yes"]);
        assert!(!success && said.contains("network wisehosting-project-shop: left ("), "{said}");
        for piece in [
            "container wh-hello-1-",
            "container wh-hello-run-1",
            "network wisehosting-build: removed",
            "hello:1: removed",
            "spec.json",
        ] {
            assert!(said.contains(piece), "{piece} in {said}");
        }
        must("nft", &["list", "table", "inet", "wisehosting_worker"]);
        assert_eq!(must("podman", &["ps", "--format", "{{.Names}}"]), "theirs\n");

        must("podman", &["rm", "-f", "-t", "0", "theirs"]);
        let (success, said) = leave(&["--yes"]);
        assert!(success && said.contains("network wisehosting-project-shop: removed"), "{said}");
        assert!(!run("nft", &["list", "table", "inet", "wisehosting_worker"]).0);
        assert_eq!(must("podman", &["volume", "ls", "-q"]), "data\n");
        let networks = must("podman", &["network", "ls", "--format", "{{.Name}}"]);
        assert_eq!(networks.split_whitespace().collect::<Vec<_>>(), ["podman", "theirs"]);
        let images = must("podman", &["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        let mut images: Vec<&str> = images.split_whitespace().collect();
        images.sort_unstable();
        assert_eq!(images, ["docker.io/library/busybox:latest", "localhost/wisehosting/theirs:1"]);

        let (success, said) = leave(&["--yes"]);
        assert!(success && said.contains("nothing of WiseHosting was left"), "{said}");
    });
}
