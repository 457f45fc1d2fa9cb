//! Carries out the steps of one instance, one after the other, and decides nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Utc;
use protocol::ids::InstanceId;
use protocol::job::{Failure, Stage};
use protocol::report::InstanceState;
use protocol::spec::InstanceSpec;
use tracing::{info, warn};

use super::image::Trouble;
use super::plan::Step;
use super::record::{Record, spec_hash};
use super::{Cgroups, Host, label};
use crate::failure::{FailureExt as _, failure};
use crate::podman::{
    CpuLimit, Error, HealthConfig, LogDriver, MemoryLimit, NetNs, NewContainer, NewNetwork, PidsLimit,
    PortMapping, ResourceLimits,
};

/// What images commonly need at their start: entry points that chown a data folder, then drop to a user (CHOWN,
/// `DAC_OVERRIDE`, FOWNER, SETGID, SETUID), servers on port 80 (`NET_BIND_SERVICE`), init processes that signal workers of
/// another user (KILL). Everything else that Podman would grant is dropped.
const CAPABILITIES: [&str; 7] =
    ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID", "NET_BIND_SERVICE", "KILL"];

/// Podman begins a new log file after so many bytes.
const LOG_BYTES: i64 = 16 * 1024 * 1024;

/// How long a start waits for the mesh address.
const ADDRESS_WAIT: Duration = Duration::from_secs(30);

/// `spec` is absent for an instance that nobody wants any more.
pub(super) async fn apply(host: &Host, id: InstanceId, spec: Option<&InstanceSpec>, steps: Vec<Step>) {
    let mut made = None;
    for step in steps {
        let text = step.to_string();
        let result = match (step, spec) {
            (Step::Stop(container), _) => host.podman.stop(&container).await.map_err(worker_error),
            (Step::Remove(container), _) => host.podman.remove(&container).await.map_err(worker_error),
            (Step::Adopt(container), _) => adopt(host, id, container).await.map_err(worker_error),
            (Step::Image, Some(spec)) => fetch_image(host, spec).await,
            (Step::Create, Some(spec)) => create(host, spec).await.map(|container| made = Some(container)),
            (Step::Start(named), Some(spec)) => match named.or_else(|| made.take()) {
                Some(container) => start(host, spec, container).await,
                None => Ok(()),
            },
            (_, None) => Ok(()),
        };
        match result {
            Ok(()) => info!(instance.id = %id, step = text, "done"),
            Err((failure, fatal)) => {
                warn!(instance.id = %id, step = text, code = failure.code, error = failure.message, "step failed");
                if spec.is_some() {
                    host.board.update(id, |record| record.could_not_start(failure, fatal, Utc::now()));
                }
                return;
            }
        }
    }
}

fn worker_error(error: Error) -> Trouble {
    let fatal = false;
    (failure(Stage::Start, "worker_error", error.to_string()).hint("Look at Podman on this host"), fatal)
}

/// Found running, without our having started it or knowing that we had.
async fn adopt(host: &Host, id: InstanceId, container: String) -> Result<(), Error> {
    let started_at = host.podman.inspect(&container).await?.state.started_at.unwrap_or_else(Utc::now);
    host.board.update(id, |record| record.started(container, &host.boot, started_at));
    Ok(())
}

async fn fetch_image(host: &Host, spec: &InstanceSpec) -> Result<(), Trouble> {
    if host.podman.image(&spec.image.id).await.map_err(worker_error)?.is_some() {
        return Ok(());
    }
    host.board.update(spec.id, |record| record.state = InstanceState::Pulling);
    host.images.ensure(&spec.image).await?;
    host.board.update(spec.id, |record| record.state = InstanceState::Pending);
    Ok(())
}

async fn create(host: &Host, spec: &InstanceSpec) -> Result<String, Trouble> {
    let network = network_name(&spec.project);
    host.podman.ensure_network(&NewNetwork::bridge(network.clone())).await.map_err(worker_error)?;
    host.podman.create(&container(spec, network, host.cgroups)).await.map_err(|error| {
        let fatal = matches!(error, Error::Invalid(_));
        (start_failed(spec, &error), fatal)
    })
}

async fn start(host: &Host, spec: &InstanceSpec, container: String) -> Result<(), Trouble> {
    if spec.once {
        begin(host, spec, &container).map_err(|error| cannot_write(&error))?;
    } else {
        wait_for_address(spec).await?;
    }
    if let Err(error) = host.podman.start(&container).await {
        if !may_have_started(&error) {
            discard(host, spec, &container).await;
        }
        return Err((start_failed(spec, &error), is_the_apps_fault(&error)));
    }
    host.board.update(spec.id, |record| record.started(container, &host.boot, Utc::now()));
    Ok(())
}

/// A container that did not start may hold its port, or have lost files when the host lost power: the next attempt
/// makes another.
async fn discard(host: &Host, spec: &InstanceSpec, container: &str) {
    if spec.once {
        host.board.update(spec.id, Record::did_not_begin);
    }
    if let Err(error) = host.podman.remove_but_volumes(container).await {
        warn!(instance.id = %spec.id, container, %error, "a container that does not start cannot be removed either");
    }
}

/// Without an answer nobody knows.
fn may_have_started(error: &Error) -> bool {
    matches!(error, Error::Unreachable { source, .. } if !source.is_connect())
}

/// On disk before anything runs.
fn begin(host: &Host, spec: &InstanceSpec, container: &str) -> std::io::Result<()> {
    host.board.update(spec.id, |record| record.begin(container, &host.boot, Utc::now()));
    host.board.save().inspect_err(|_| {
        host.board.update(spec.id, Record::did_not_begin);
    })
}

fn cannot_write(error: &std::io::Error) -> Trouble {
    let fatal = false;
    let message = format!("this host cannot write down that the command begins: {error}");
    (failure(Stage::Start, "worker_error", message).hint("See whether this host's disk is full"), fatal)
}

/// Podman reserves the published port at the start, so the mesh must be up.
async fn wait_for_address(spec: &InstanceSpec) -> Result<(), Trouble> {
    let address = spec.published.ip();
    let deadline = tokio::time::Instant::now() + ADDRESS_WAIT;
    while let Err(error) = std::net::TcpListener::bind((address, 0)) {
        if tokio::time::Instant::now() > deadline {
            let message = format!("this host's mesh address {address} is not up: {error}");
            let failure = failure(Stage::Start, "mesh_down", message)
                .hint("Look at `wisehosting-mesh` on this host: `systemctl status wisehosting-mesh`");
            return Err((failure, false));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

fn start_failed(spec: &InstanceSpec, error: &Error) -> Failure {
    let hint = if is_the_apps_fault(error) {
        "The image has no such program: correct the app's command or the image's CMD"
    } else {
        "The message is Podman's own; deploy again when its cause is gone"
    };
    failure(Stage::Start, "start_failed", format!("release {} could not be started: {error}", spec.release))
        .hint(hint)
}

/// The OCI runtime did not find or could not run the command.
fn is_the_apps_fault(error: &Error) -> bool {
    let text = error.to_string();
    ["executable file not found", "exec format error", "no such file or directory", "permission denied"]
        .iter()
        .any(|word| text.contains(word))
        && text.contains("exec")
}

/// Organizations may give their projects the same name, so the id it is. No project has the network of builds.
pub(super) fn network_name(project: &str) -> String {
    format!("wisehosting-project-{project}")
}

/// The id's end is its random part; its beginning is the same for all instances of one moment.
fn container_name(spec: &InstanceSpec) -> String {
    let id = spec.id.0.simple().to_string();
    format!("wh-{}-{}-{}", spec.app, spec.release, &id[id.len() - 8..])
}

/// The limit of `bytes` without swap.
///
/// `memory.swap` counts memory and swap together, so the limit itself should mean none. But crun hands that sum to
/// systemd as the swap alone (`get_memory_swap_max` in its cgroup-systemd.c, in 1.29 still), while it takes 0 for none;
/// runc takes 0 for unset and the file for what it says.
fn memory_without_swap(bytes: i64, cgroups: Cgroups) -> (MemoryLimit, BTreeMap<&'static str, &'static str>) {
    match cgroups {
        Cgroups::V1 => (MemoryLimit { limit: bytes, swap: bytes }, BTreeMap::new()),
        Cgroups::V2 => (MemoryLimit { limit: bytes, swap: 0 }, BTreeMap::from([("memory.swap.max", "0")])),
    }
}

fn container(spec: &InstanceSpec, network: String, cgroups: Cgroups) -> NewContainer {
    let bytes = i64::from(spec.resources.memory_mb) * 1024 * 1024;
    let (memory, unified) = memory_without_swap(bytes, cgroups);
    let mut env = spec.env.clone();
    // What apps written for other platforms look for.
    env.entry("PORT".to_owned()).or_insert_with(|| spec.port.to_string());
    NewContainer {
        name: container_name(spec),
        image: spec.image.id.clone(),
        env,
        command: spec.command.clone(),
        labels: BTreeMap::from([
            (label::INSTANCE.to_owned(), spec.id.to_string()),
            (label::APP.to_owned(), spec.app.clone()),
            (label::APP_ID.to_owned(), spec.app_id.to_string()),
            (label::RELEASE.to_owned(), spec.release.to_string()),
            (label::SPEC_HASH.to_owned(), spec_hash(spec)),
        ]),
        cap_drop: vec!["ALL"],
        cap_add: CAPABILITIES.to_vec(),
        no_new_privileges: true,
        resource_limits: ResourceLimits {
            memory,
            cpu: CpuLimit { quota: i64::from(spec.resources.cpu_millis.max(10)) * 100, period: 100_000 },
            pids: PidsLimit { limit: i64::from(spec.resources.pids) },
        },
        unified,
        netns: NetNs { nsmode: "bridge" },
        networks: BTreeMap::from([(network, serde_json::Map::new())]),
        portmappings: if spec.once { Vec::new() } else { vec![port(spec)] },
        log_configuration: LogDriver { driver: "k8s-file", size: LOG_BYTES },
        // The agent restarts, with its own pauses and counts.
        restart_policy: "no",
        stop_timeout: spec.stop_grace_s,
        // The agent probes from outside; an image's own HEALTHCHECK would need a systemd timer.
        healthconfig: HealthConfig { test: vec!["NONE"] },
        systemd: "false",
    }
}

fn port(spec: &InstanceSpec) -> PortMapping {
    PortMapping {
        host_ip: spec.published.ip(),
        host_port: spec.published.port(),
        container_port: spec.port,
        protocol: "tcp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::samples::spec;

    #[test]
    fn a_container_has_its_limits_and_no_more_rights_than_it_needs() {
        let spec = spec("hello", 7);
        let made =
            serde_json::to_value(container(&spec, network_name(&spec.project), Cgroups::V2)).expect("json");
        insta::assert_json_snapshot!(made, {
            ".name" => "wh-hello-7-[id]",
            ".labels[\"wisehosting.instance\"]" => "[id]",
            ".labels[\"wisehosting.app-id\"]" => "[id]",
            ".labels[\"wisehosting.spec-hash\"]" => "[hash]",
        });
    }

    #[test]
    fn a_host_with_old_cgroups_is_asked_in_its_own_words() {
        let (memory, unified) = memory_without_swap(64, Cgroups::V1);
        assert_eq!((memory.limit, memory.swap), (64, 64));
        assert!(unified.is_empty(), "runtimes refuse it there");
    }

    #[test]
    fn a_missing_program_is_told_from_a_host_in_trouble() {
        let error = |message: &str| Error::Failed { status: 500, message: message.to_owned() };
        assert!(is_the_apps_fault(&error("exec: \"nope\": executable file not found in $PATH")));
        assert!(!is_the_apps_fault(&error("netavark: permission denied")));
    }
}
