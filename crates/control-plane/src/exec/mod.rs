//! Programs that members run in their instances, or in containers of their own, such as a shell. A session is asked for first, which checks everything
//! that can be answered in words, and is then attached to over a WebSocket. The control plane passes its frames on to the
//! worker and back, ends it at its limits, and writes down who ran what and for how long, never what went over it.

pub mod api;
mod dial;
mod fresh;
mod relay;
pub mod store;
#[cfg(test)]
pub(crate) mod tests;

use protocol::exec::Size;
use protocol::ids::{ExecId, InstanceId, ReleaseId};
use protocol::report::InstanceState;
use serde::{Deserialize, Serialize};

use crate::apps::instances::Instance;
use crate::http::{Code, Error, Result};

/// Bytes of a command with all its arguments.
const COMMAND_BYTES: usize = 16 * 1024;
/// Cells of either side of a terminal.
const CELLS: u16 = 1000;

/// What to run, and where.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// The program and its arguments. No shell reads them.
    pub command: Vec<String>,
    /// An instance of the app; when absent a healthy one of the newest release.
    pub instance: Option<InstanceId>,
    /// Not in an instance but in a container of its own, made from the live release and removed at the end.
    #[serde(default)]
    pub fresh: bool,
    /// Present when the program gets a terminal.
    pub terminal: Option<Size>,
}

/// A session that waits to be attached to.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Exec {
    pub id: ExecId,
    /// Absent for a container of its own.
    pub instance: Option<InstanceId>,
    /// The node that it is on.
    pub node: String,
    /// The number of its release.
    pub release: i32,
}

/// Where a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Instance(InstanceId),
    /// In a container of its own, of this release.
    Fresh(ReleaseId),
}

impl Place {
    fn instance(self) -> Option<InstanceId> {
        match self {
            Self::Instance(id) => Some(id),
            Self::Fresh(_) => None,
        }
    }

    fn release(self) -> Option<ReleaseId> {
        match self {
            Self::Instance(_) => None,
            Self::Fresh(id) => Some(id),
        }
    }
}

/// Whether the request can be carried out by any worker.
fn check(request: &ExecRequest) -> Result<()> {
    let command = &request.command;
    if command.first().is_none_or(String::is_empty) {
        return Err(Error::invalid("command", "a command begins with the name of a program")
            .hint("For example [\"sh\"]"));
    }
    if command.iter().any(|word| word.contains('\0')) {
        return Err(Error::invalid("command", "a command cannot contain NUL"));
    }
    if command.iter().map(String::len).sum::<usize>() > COMMAND_BYTES {
        return Err(Error::invalid("command", format!("a command has at most {COMMAND_BYTES} bytes"))
            .hint("Give long input on standard input"));
    }
    if request.fresh && request.instance.is_some() {
        return Err(Error::invalid("instance", "a container of its own is in no instance")
            .hint("Leave out one of `instance` and `fresh`"));
    }
    request.terminal.map_or(Ok(()), check_size)
}

fn check_size(size: Size) -> Result<()> {
    let possible = 1..=CELLS;
    if possible.contains(&size.cols) && possible.contains(&size.rows) {
        return Ok(());
    }
    Err(Error::invalid("terminal", format!("a terminal has 1 to {CELLS} columns and rows")))
}

/// The instance to run in: the one that was asked for, or the best one that runs.
pub(crate) fn choose(app: &str, instances: Vec<Instance>, wanted: Option<InstanceId>) -> Result<Instance> {
    let runs = |instance: &Instance| {
        use InstanceState::{Healthy, Starting, Unhealthy};
        instance.wanted && matches!(instance.state, Healthy | Starting | Unhealthy)
    };
    if let Some(wanted) = wanted {
        let found = instances.into_iter().find(|instance| instance.id == wanted).ok_or_else(|| {
            Error::not_found(format!("instance {wanted} of {app}")).hint("`wh ps` lists them")
        })?;
        return if runs(&found) { Ok(found) } else { Err(not_running("this instance does not run")) };
    }
    let rank = |instance: &Instance| {
        (instance.state == InstanceState::Healthy, instance.in_rotation, instance.release, instance.id)
    };
    let best = instances.into_iter().filter(runs).max_by_key(rank);
    best.ok_or_else(|| not_running(&format!("no instance of {app} runs")))
}

fn not_running(message: &str) -> Error {
    Error::new(Code::NotRunning, message)
        .hint("`wh ps` shows how the instances are; deploy the app to start some")
}
