//! The command that a new release runs before any of its instances starts.

use std::time::Duration;

use protocol::ids::InstanceId;
use protocol::job::{Failure, Stage};
use protocol::report::InstanceState;

use super::{Situation, Step, failure, place};

/// For how long a command of a release may run.
pub const COMMAND_LIMIT: Duration = Duration::from_mins(30);

const CODE: &str = "release_command_failed";

/// How far the command is.
#[derive(Debug, Clone)]
pub enum Prepare {
    /// It ended well, or there is none.
    Done,
    Due,
    Runs(Box<Task>),
    /// It began, and the node that it was on has been removed.
    Lost,
}

/// A command that was started.
#[derive(Debug, Clone)]
pub struct Task {
    pub id: InstanceId,
    pub node: String,
    /// Its node has been offline for longer than a moment.
    pub node_gone: bool,
    pub state: InstanceState,
    pub failure: Option<Failure>,
    /// Time since it was given to the node.
    pub age: Duration,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Well,
    Failed(Box<Failure>),
}

impl Task {
    /// `None` while it may still end well. It is never run a second time by itself: nobody knows what that would do.
    pub fn end(&self, what: &str, code: &str) -> Option<End> {
        let failed = |message: String| Some(End::Failed(Box::new(cut_short(code, message))));
        match self.state {
            InstanceState::Exited => Some(End::Well),
            InstanceState::Failed => {
                let seen = self.failure.clone().unwrap_or_else(|| failure::unexplained(&self.node));
                // One that never ran has failed for a reason of its own.
                let code = if seen.code == "command_failed" { code.to_owned() } else { seen.code.clone() };
                let message = format!("The {what} failed: {}", seen.message);
                Some(End::Failed(Box::new(Failure { code, message, ..seen })))
            }
            _ if self.node_gone => failed(format!("{} went offline while it ran the {what}.", self.node)),
            _ if self.age >= COMMAND_LIMIT => {
                failed(format!("The {what} did not end within {} min.", COMMAND_LIMIT.as_secs() / 60))
            }
            _ => None,
        }
    }
}

/// The failure of a command that nobody knows the end of.
pub fn cut_short(code: &str, message: String) -> Failure {
    let hint = "Look at what it has done so far, then deploy again.";
    failure::failure(code, Stage::Start, message, hint.to_owned())
}

/// The steps before the first instance; `None` when instances may start.
pub(super) fn plan(now: &Situation) -> Option<Vec<Step>> {
    let task = match &now.prepare {
        Prepare::Done => return None,
        Prepare::Due => {
            return Some(match place(now, &now.wish.of_command(), 1) {
                Ok(places) => places.into_iter().map(Step::Run).collect(),
                Err(step) => vec![step],
            });
        }
        Prepare::Lost => {
            let message = "The worker that ran the pre-deploy command was removed.".to_owned();
            return Some(vec![Step::Fail(Box::new(cut_short(CODE, message)))]);
        }
        Prepare::Runs(task) => task,
    };
    Some(vec![match task.end("pre-deploy command", CODE) {
        Some(End::Well) => Step::Prepared(task.id),
        Some(End::Failed(failure)) => Step::Fail(failure),
        None => Step::Wait(format!("the pre-deploy command on {}", task.node)),
    }])
}
