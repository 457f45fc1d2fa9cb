//! Carries out the steps of one instance, one after the other, and decides nothing.

use std::time::Duration;

use chrono::Utc;
use protocol::ids::InstanceId;
use protocol::job::{Failure, Stage};
use protocol::report::InstanceState;
use protocol::spec::InstanceSpec;
use tracing::{info, warn};

use super::Host;
use super::container::{container, is_the_apps_fault, limits};
use super::create;
use super::image::Trouble;
use super::plan::Step;
use super::record::Record;
use crate::bandwidth;
use crate::failure::{FailureExt as _, failure};
use crate::means::subvolume;
use crate::podman::Error;
use crate::private::NotOpen;

/// How long a start waits for the mesh address.
const ADDRESS_WAIT: Duration = Duration::from_secs(30);

/// `spec` is absent for an instance that nobody wants any more. Returns the container whose limits could not be set.
pub(super) async fn apply(
    host: &Host,
    id: InstanceId,
    spec: Option<&InstanceSpec>,
    steps: Vec<Step>,
) -> Option<String> {
    let mut made = None;
    for step in steps {
        let text = step.to_string();
        let result = match (step, spec) {
            (Step::Stop(container), _) => host.podman.stop(&container).await.map_err(worker_error),
            (Step::Remove(container), _) => host.podman.remove(&container).await.map_err(worker_error),
            (Step::Adopt(container), _) => adopt(host, id, container).await.map_err(worker_error),
            (Step::Limit(container), Some(spec)) => {
                if let Err(error) = host.podman.set_limits(&container, &limits(spec, &host.means)).await {
                    warn!(instance.id = %id, container, %error, "its limits cannot be set: it is made again");
                    return Some(container);
                }
                Ok(())
            }
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
                return None;
            }
        }
    }
    None
}

fn worker_error(error: Error) -> Trouble {
    let fatal = false;
    (failure(Stage::Start, "worker_error", error.to_string()).hint("Look at Podman on this host"), fatal)
}

fn no_network(error: NotOpen) -> Trouble {
    match error {
        NotOpen::Podman(error) => worker_error(error),
        error @ (NotOpen::Unknown | NotOpen::Guard(_)) => {
            let fatal = false;
            let message = format!("there is no network for it yet: {error}");
            (failure(Stage::Start, "worker_error", message).hint("Look at this worker's log"), fatal)
        }
    }
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
    let bridge = host.network.open(&spec.project).await.map_err(no_network)?;
    create::admit(&host.means).map_err(|why| (without_user_namespace(&why), false))?;
    create::create(&host.podman, &host.means, container(spec, &bridge, &host.means)).await.map_err(|error| {
        let fatal = matches!(error, Error::Invalid(_));
        (start_failed(spec, &error), fatal)
    })
}

fn without_user_namespace(why: &str) -> Failure {
    failure(Stage::Start, "user_namespace_missing", why).hint(
        "Give the host what is missing, or let the worker do without: `instances.user_namespaces = \"auto\"`",
    )
}

async fn start(host: &Host, spec: &InstanceSpec, container: String) -> Result<(), Trouble> {
    if spec.once {
        begin(host, spec, &container).map_err(|error| cannot_write(&error))?;
    } else {
        wait_for_address(spec).await?;
    }
    // The image may have taken longer than the lease; the next pass starts it under another.
    if spec.exclusive && !host.permit.may_start(spec.id) {
        return Ok(());
    }
    let held = subvolume::hold(&host.podman, &host.means, spec, &container).await;
    held.map_err(|error| (start_failed(spec, &error), false))?;
    if let Err(error) = host.podman.start(&container).await {
        if !may_have_started(&error) {
            discard(host, spec, &container).await;
        }
        return Err((start_failed(spec, &error), is_the_apps_fault(&error)));
    }
    bandwidth::hold_now(&host.podman, &host.means, spec, &container).await;
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
