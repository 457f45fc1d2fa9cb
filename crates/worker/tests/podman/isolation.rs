//! What an instance is, seen from inside it: its rights, its limits, what it sees of the host.

use std::process::Command;
use std::time::{Duration, Instant};

use daemon::reconcile::Reconciler as _;
use protocol::exec::FromProgram;
use protocol::ids::InstanceId;
use protocol::message::FromAgent;
use protocol::report::InstanceState;
use protocol::spec::{InstanceSpec, Isolation, Probe, Resources};
use worker::bandwidth::Bandwidth;
use worker::disk_use::DiskUse;
use worker::means::UserNamespaces;

use crate::exec::{Program, Worker};
use crate::fresh::{run_spec, spec};
use crate::support::{ControlPlane, Disk, on_a_host, on_a_host_with};
use crate::{SERVER, instance, podman, reported, start_instances_with};

/// A line for each thing looked at: `ok` and what, or what is wrong. `$1` is the process that is looked at.
const LOOK: &str = r#"
say() { if [ "$2" = "$3" ]; then echo "ok $1"; else echo "BAD $1: $2"; fi; }
fails() { name=$1; shift; if busybox "$@" >/dev/null 2>&1; then echo "BAD $name succeeds"; else echo "ok $name"; fi; }
status() { while read -r key value rest; do if [ "$key" = "$1:" ]; then echo "$value"; fi; done < /proc/$process/status; }
for process in self 1; do
  say "capabilities of $process" "$(status CapBnd)" 00000000000004eb
  say "effective of $process" "$(status CapEff)" 00000000000004eb
  say "ambient of $process" "$(status CapAmb)" 0000000000000000
  say "no_new_privs of $process" "$(status NoNewPrivs)" 1
  say "seccomp of $process" "$(status Seccomp)" 2
done
fails mount mount -t tmpfs tmpfs /tmp
fails bind mount -o bind /bin /tmp
fails module insmod /bin/busybox
fails device mknod /tmp/vda b 254 0
fails hostname hostname other
fails root_in_a_namespace unshare -U -r true
fails route ip link set eth0 down
fails sysctl sh -c 'echo 1 > /proc/sys/kernel/panic'
fails sysrq sh -c 'echo h > /proc/sysrq-trigger'
fails sys sh -c 'echo 1 > /sys/kernel/profiling'
fails cgroup mkdir /sys/fs/cgroup/memory/x
say kcore "$(cat /proc/kcore 2>/dev/null | busybox wc -c)" 0
say keys "$(cat /proc/keys 2>/dev/null | busybox wc -c)" 0
say firmware "$(ls /sys/firmware 2>/dev/null | busybox wc -l)" 0
say devices "$(cd /dev; echo *)" "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
"#;
const LOOKED_AT: usize = 25;

async fn output(mut program: Program) -> (String, i32) {
    let said = program.end().await;
    let Some(FromProgram::Exit { code }) = said.last else { panic!("{said:?}") };
    (String::from_utf8_lossy(&said.out).into_owned() + &String::from_utf8_lossy(&said.err), code)
}

fn all_is_well(seen: &str) {
    assert!(!seen.contains("BAD"), "{seen}");
    assert_eq!(seen.lines().filter(|line| line.starts_with("ok ")).count(), LOOKED_AT, "{seen}");
}

/// A program beside the instance, with other settings than it.
async fn beside(worker: &Worker, script: &str, change: impl FnOnce(&mut InstanceSpec)) -> (String, i32) {
    let mut spec = spec(&["sh", "-c", script]).await;
    change(&mut spec);
    output(run_spec(worker, spec, None).await).await
}

fn isolation(change: impl FnOnce(&mut Isolation)) -> Isolation {
    let mut isolation = Isolation::default();
    change(&mut isolation);
    isolation
}

#[test]
fn instances_and_programs_in_and_beside_them_have_few_rights_and_see_nothing_of_the_host() {
    let name =
        "isolation::instances_and_programs_in_and_beside_them_have_few_rights_and_see_nothing_of_the_host";
    on_a_host(name, async {
        let worker = Worker::start().await;
        all_is_well(&output(worker.run(&["sh", "-c", LOOK], None).await).await.0);
        all_is_well(&beside(&worker, LOOK, |_| {}).await.0);
    });
}

#[test]
fn memory_processes_and_folders_are_limited_and_a_read_only_root_is_so() {
    on_a_host("isolation::memory_processes_and_folders_are_limited_and_a_read_only_root_is_so", async {
        let worker = Worker::start().await;
        let few = |spec: &mut InstanceSpec| {
            spec.resources = Resources { memory_mb: 32, pids: 16, ..spec.resources }
        };
        let forks =
            "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 5 & done; echo all";
        let (seen, _) = beside(&worker, forks, few).await;
        assert!(seen.contains("can't fork") && !seen.contains("all"), "{seen}");
        let (seen, code) =
            beside(&worker, "dd if=/dev/zero of=/dev/null bs=100M count=1; echo $?", few).await;
        assert!(seen.contains("137") || code == 137, "{code} {seen}");

        let script = "touch /x; touch /tmp/x /run/x /var/tmp/x /data/x && echo written; \
                      dd if=/dev/zero of=/data/large bs=1M count=4 || echo full";
        let (seen, _) = beside(&worker, script, |spec| {
            spec.isolation = isolation(|isolation| {
                isolation.read_only = true;
                isolation.tmpfs = vec!["/data=2".to_owned().try_into().expect("a folder")];
            });
        })
        .await;
        assert!(seen.contains("/x: Read-only file system"), "{seen}");
        assert!(
            seen.contains("written") && seen.contains("full") && seen.contains("No space left"),
            "{seen}"
        );
    });
}

/// Numbers of users for containers, which the machine need not have.
fn give_numbers() {
    let folder = std::env::var("HOST").expect("inside a host");
    let file = format!("{folder}/numbers");
    std::fs::write(&file, "containers:2147483648:1073741824\n").expect("written");
    for target in ["/etc/subuid", "/etc/subgid"] {
        let bound = Command::new("mount").args(["--bind", &file, target]).status();
        assert!(bound.expect("mount").success(), "{target}");
    }
}

async fn container(control_plane: &ControlPlane, id: InstanceId) -> String {
    reported(control_plane, id, "healthy", |i| i.state == InstanceState::Healthy && i.restarts == 0).await;
    let listed = podman().containers(&format!("wisehosting.instance={id}")).await.expect("list");
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed[0].id.clone()
}

fn users_of(container: &str) -> String {
    let map = Command::new("podman").args(["exec", container, "cat", "/proc/1/uid_map"]).output();
    String::from_utf8(map.expect("podman").stdout)
        .expect("text")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn new_instances_get_users_of_their_own_where_the_host_can_and_old_ones_are_left_alone() {
    let name =
        "isolation::new_instances_get_users_of_their_own_where_the_host_can_and_old_ones_are_left_alone";
    on_a_host(name, async {
        let (before, after) = (ControlPlane::default(), ControlPlane::default());
        let old = instance(20001, SERVER, Probe::default()).await;
        let refused = start_instances_with(&before, vec![old.clone()], UserNamespaces::Require).await;
        let failed =
            reported(&before, old.id, "failure", |i| i.failure.is_some()).await.failure.expect("failure");
        assert_eq!(failed.code, "user_namespace_missing", "{failed:?}");
        drop(refused);

        let without = start_instances_with(&before, vec![old.clone()], UserNamespaces::Auto).await;
        assert!(!without.means.enforced().user_namespaces.is_enforced());
        let container_of_old = container(&before, old.id).await;
        assert_eq!(users_of(&container_of_old), "0 0 4294967295");
        drop(without);

        give_numbers();
        let (first, second) = (
            instance(20002, SERVER, Probe::default()).await,
            instance(20003, SERVER, Probe::default()).await,
        );
        let all = vec![old.clone(), first.clone(), second.clone()];
        let with = start_instances_with(&after, all, UserNamespaces::Auto).await;
        assert!(with.means.enforced().user_namespaces.is_enforced(), "{:?}", with.means.enforced());
        assert_eq!(container(&after, old.id).await, container_of_old, "it runs on as it was");
        let mut maps = Vec::new();
        for new in [first.id, second.id] {
            maps.push(users_of(&container(&after, new).await));
        }
        assert!(maps.iter().all(|map| map.starts_with("0 2147") && map.ends_with(" 65536")), "{maps:?}");
        assert_ne!(maps[0], maps[1], "no two share a number");
    });
}

const LARGE: &str =
    "mkdir /tmp/w; dd if=/dev/zero of=/tmp/w/large bs=1M count=12; exec httpd -f -p 8080 -h /tmp/w";

fn address(container: &str) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let found = Command::new("podman").args(["inspect", "--format", format, container]).output();
    String::from_utf8(found.expect("podman").stdout).expect("text").trim().to_owned()
}

/// How long `to` takes to load 12 MiB from `from`.
fn load(from: &str, to: &str) -> Duration {
    let url = format!("http://{}:8080/large", address(from));
    let begun = Instant::now();
    let status = Command::new("podman").args(["exec", to, "wget", "-q", "-O", "/dev/null", &url]).status();
    assert!(status.expect("podman").success(), "{url}");
    begun.elapsed()
}

#[test]
#[ignore = "it compares times, which a busy machine distorts"]
fn what_an_instance_sends_and_what_it_receives_are_limited_each_by_itself() {
    let name = "isolation::what_an_instance_sends_and_what_it_receives_are_limited_each_by_itself";
    on_a_host(name, async {
        let control_plane = ControlPlane::default();
        let free = instance(20001, LARGE, Probe::default()).await;
        let mut sender = instance(20002, LARGE, Probe::default()).await;
        sender.isolation = isolation(|isolation| isolation.egress_mbit = Some(16));
        let mut receiver = instance(20003, LARGE, Probe::default()).await;
        receiver.isolation = isolation(|isolation| isolation.ingress_mbit = Some(16));
        let all = vec![free.clone(), sender.clone(), receiver.clone()];
        let started = start_instances_with(&control_plane, all, UserNamespaces::Off).await;
        let [free, sending, receiving] = [
            container(&control_plane, free.id).await,
            container(&control_plane, sender.id).await,
            container(&control_plane, receiver.id).await,
        ];
        // 12 MiB at 2 MB/s, and the start of a program.
        let check = |what: &str, slow: Duration, fast: Duration| {
            let rate = 12.0 * 1.048_576 / slow.as_secs_f64() * 8.0;
            println!(
                "{what}: {rate:.1} Mbit/s of 16; without a limit {:.1} times as fast",
                slow.as_secs_f64() / fast.as_secs_f64()
            );
            assert!(slow > fast * 3, "{what}: {slow:?} and {fast:?}");
            assert!((6.0..18.0).contains(&rate), "{what}: {rate}");
        };
        check("sending", load(&sending, &free), load(&free, &sending));
        check("receiving", load(&free, &receiving), load(&receiving, &free));

        // Somebody takes the queue away, and the next pass brings it back.
        let mut bandwidth =
            Bandwidth::new(podman(), started.means.clone(), started.observer.clone(), started.spec.clone());
        let pid = podman().inspect(&sending).await.expect("inspect").state.pid;
        let inside = |words: &[&str]| {
            let output =
                Command::new("nsenter").arg(format!("--net=/proc/{pid}/ns/net")).args(words).output();
            String::from_utf8(output.expect("nsenter").stdout).expect("text")
        };
        assert!(inside(&["tc", "qdisc", "show", "dev", "eth0"]).contains("tbf 7757:"));
        inside(&["tc", "qdisc", "del", "dev", "eth0", "root"]);
        assert!(!inside(&["tc", "qdisc", "show", "dev", "eth0"]).contains("tbf"));
        bandwidth.pass().await.expect("pass");
        assert!(inside(&["tc", "qdisc", "show", "dev", "eth0"]).contains("tbf 7757:"));

        // A new run of the container has new cables.
        assert!(Command::new("podman").args(["kill", &sending]).status().expect("podman").success());
        reported(&control_plane, sender.id, "a restart", |i| {
            i.restarts == 1 && i.state == InstanceState::Healthy
        })
        .await;
        check("sending after a restart", load(&sending, &free), load(&free, &sending));
    });
}

#[test]
fn an_instance_that_writes_more_than_it_may_is_told_where_the_disk_has_no_quota() {
    let name = "isolation::an_instance_that_writes_more_than_it_may_is_told_where_the_disk_has_no_quota";
    on_a_host(name, async {
        let control_plane = ControlPlane::default();
        let mut spec = instance(20001, LARGE, Probe::default()).await;
        spec.isolation = isolation(|isolation| isolation.disk_mb = Some(1));
        let started = start_instances_with(&control_plane, vec![spec.clone()], UserNamespaces::Off).await;
        let enforced = started.means.enforced();
        for (limit, found) in [
            ("memory", &enforced.memory),
            ("cpu", &enforced.cpu),
            ("pids", &enforced.pids),
            ("bandwidth", &enforced.bandwidth),
        ] {
            assert!(found.is_enforced(), "{limit}: {found:?}");
        }
        assert!(enforced.disk.why_not.as_ref().is_some_and(|why| why.contains("pquota")), "{enforced:?}");
        container(&control_plane, spec.id).await;
        let stop = tokio_util::sync::CancellationToken::new();
        let disks = DiskUse::default();
        let mut tasks = started.tasks;
        tasks.spawn(disks.clone().measure(
            podman(),
            started.observer.clone(),
            started.spec.clone(),
            stop.clone(),
        ));
        let over = reported(&control_plane, spec.id, "too much", |i| i.over_disk.is_some()).await;
        let over = over.over_disk.expect("too much");
        assert!(over.limit_mb == 1 && (12 << 20..14 << 20).contains(&over.used_bytes), "{over:?}");
        tasks.spawn(worker::stats::run(podman(), started.observer, disks, control_plane.clone(), stop));
        let stats = |heard: &[FromAgent]| {
            let found = heard.iter().rev().find_map(|message| match message {
                FromAgent::Stats(stats) => stats.instances.first().cloned(),
                _ => None,
            });
            found.filter(|stats| stats.send_rate.is_some())
        };
        let stats = control_plane.wait("numbers", 20, stats).await;
        assert_eq!(stats.disk_bytes, Some(over.used_bytes), "{stats:?}");
        assert!(stats.pids.is_some_and(|pids| pids >= 1), "{stats:?}");
    });
}

/// Bytes of the file that the instance began to write when it started.
fn written(container: &str) -> u64 {
    let size = ["exec", container, "busybox", "stat", "-c", "%s", "/tmp/w/large"];
    let found = Command::new("podman").args(size).output().expect("podman");
    String::from_utf8(found.stdout).expect("text").trim().parse().unwrap_or_else(|_| panic!("{size:?}"))
}

/// Instances and programs beside them get no more of the disk than they may, and others are not held back.
async fn the_disk_is_held(by: &str) {
    let control_plane = ControlPlane::default();
    let few = |spec: &mut InstanceSpec| spec.isolation = isolation(|isolation| isolation.disk_mb = Some(4));
    let free = instance(20001, LARGE, Probe::default()).await;
    let mut held = instance(20002, LARGE, Probe::default()).await;
    few(&mut held);
    let all = vec![free.clone(), held.clone()];
    let started = start_instances_with(&control_plane, all, UserNamespaces::Off).await;
    assert_eq!(started.means.enforced().disk.by.as_deref(), Some(by));
    let [free, container_of_held] =
        [container(&control_plane, free.id).await, container(&control_plane, held.id).await];
    let most = 3 << 20..=4 << 20;
    assert_eq!(written(&free), 12 << 20);
    assert!(most.contains(&written(&container_of_held)), "{}", written(&container_of_held));

    // The limit is the container's, not one run's of it.
    assert!(Command::new("podman").args(["kill", &container_of_held]).status().expect("podman").success());
    reported(&control_plane, held.id, "a restart", |i| i.restarts == 1 && i.state == InstanceState::Healthy)
        .await;
    assert!(most.contains(&written(&container_of_held)), "{}", written(&container_of_held));

    let measured = podman().written_by(&container_of_held).await.expect("a number");
    assert!((3 << 20..5 << 20).contains(&measured), "{measured}");

    let worker = Worker::start().await;
    let fill = "dd if=/dev/zero of=/big bs=1M count=8 || echo full";
    let (seen, _) = beside(&worker, fill, few).await;
    assert!(seen.contains("full"), "{seen}");
}

#[test]
fn the_disk_of_an_instance_is_held_by_btrfs() {
    let name = "isolation::the_disk_of_an_instance_is_held_by_btrfs";
    on_a_host_with(Disk::Btrfs, name, the_disk_is_held("quota group of btrfs"));
}

#[test]
fn the_disk_of_an_instance_is_held_by_xfs() {
    let name = "isolation::the_disk_of_an_instance_is_held_by_xfs";
    on_a_host_with(Disk::Xfs, name, the_disk_is_held("project quota of XFS"));
}
