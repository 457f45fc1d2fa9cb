//! What somebody changed by hand of a container that runs, with real Podman.

use std::process::Command;

use protocol::ids::InstanceId;
use protocol::message::FromAgent;
use protocol::report::{Deed, InstanceState};
use protocol::spec::{Probe, Resources};
use worker::means::UserNamespaces;

use super::{ControlPlane, SERVER, instance, on_a_host, reported, start_instances_with};

/// What Podman prints.
fn podman(words: &[&str]) -> String {
    let output = Command::new("podman").args(words).output().expect("podman");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn container(id: InstanceId) -> String {
    podman(&["ps", "--quiet", "--no-trunc", "--filter", &format!("label=wisehosting.instance={id}")])
}

/// What the container's control group says, as a program in it sees it.
fn limit(container: &str, old: &str, new: &str) -> String {
    let read = format!("cat /sys/fs/cgroup/{old} 2>/dev/null || cat /sys/fs/cgroup/{new}");
    podman(&["exec", container, "sh", "-c", &read])
}

fn memory(container: &str) -> String {
    limit(container, "memory/memory.limit_in_bytes", "memory.max")
}

async fn told(control_plane: &ControlPlane, deed: Deed, reason: &str) -> Option<String> {
    let found = |message: &FromAgent| match message {
        FromAgent::Corrected(told) if told.deed == deed && told.reason == reason => {
            Some(told.container.clone())
        }
        _ => None,
    };
    control_plane.wait(reason, 60, |heard| heard.iter().find_map(found)).await
}

#[test]
fn limits_and_networks_that_were_changed_by_hand_are_as_they_were() {
    on_a_host("put_right::limits_and_networks_that_were_changed_by_hand_are_as_they_were", async {
        let mut wanted = instance(20001, SERVER, Probe::default()).await;
        wanted.resources = Resources { memory_mb: 64, cpu_millis: 500, pids: 100 };
        let id = wanted.id;
        let control_plane = ControlPlane::default();
        let started = start_instances_with(&control_plane, vec![wanted], UserNamespaces::default()).await;
        reported(&control_plane, id, "healthy", |one| one.state == InstanceState::Healthy).await;
        let first = container(id);
        let made = (memory(&first), limit(&first, "cpu/cpu.cfs_quota_us", "cpu.max"));

        podman(&["update", "--memory=96m", "--memory-swap=96m", "--cpu-quota=100000", &first]);
        assert_ne!((memory(&first), limit(&first, "cpu/cpu.cfs_quota_us", "cpu.max")), made);
        started.activator.signal();
        let reason = "its limit of memory was 96 MiB, not 64 MiB, its limit of processor time was 1000 thousandths \
                      of a core, not 500 thousandths of a core";
        assert_eq!(told(&control_plane, Deed::Limited, reason).await, Some(first.clone()));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while (memory(&first), limit(&first, "cpu/cpu.cfs_quota_us", "cpu.max")) != made {
            assert!(std::time::Instant::now() < deadline, "{} is not {made:?}", memory(&first));
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(container(id), first, "it runs on");
        assert_eq!(limit(&first, "pids/pids.max", "pids.max"), "100", "the others are as they were");

        podman(&["network", "disconnect", "wisehosting-project-shop", &first]);
        started.activator.signal();
        let reason = "it was not in the network of its project";
        assert_eq!(told(&control_plane, Deed::Recreated, reason).await, Some(first.clone()));
        let again = |one: &protocol::report::InstanceReport| {
            one.state == InstanceState::Healthy && container(id) != first && !container(id).is_empty()
        };
        reported(&control_plane, id, "healthy again", again).await;

        let second = container(id);
        podman(&["network", "connect", "podman", &second]);
        started.activator.signal();
        let reason = "it was in the network podman";
        assert_eq!(told(&control_plane, Deed::Recreated, reason).await, Some(second.clone()));
        reported(&control_plane, id, "healthy again", |_| {
            ![first.as_str(), &second, ""].contains(&&*container(id))
        })
        .await;
        let corrections = control_plane
            .wait("all corrections", 5, |heard| {
                Some(heard.iter().filter(|one| matches!(one, FromAgent::Corrected(_))).count())
            })
            .await;
        assert_eq!(corrections, 3, "nothing is put right that is right");
    });
}
