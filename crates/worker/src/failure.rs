//! Failures in words for the user.

use protocol::job::{Failure, ProbeEvidence, Stage};

/// Makes a [`Failure`] step by step.
pub(crate) fn failure(stage: Stage, code: &str, message: impl Into<String>) -> Failure {
    Failure {
        code: code.to_owned(),
        message: message.into(),
        hint: None,
        stage,
        exit_code: None,
        out_of_memory: false,
        last_lines: Vec::new(),
        probe: None,
    }
}

pub(crate) trait FailureExt {
    fn hint(self, hint: impl Into<String>) -> Self;
    fn exit_code(self, code: Option<i32>) -> Self;
    fn last_lines(self, lines: Vec<String>) -> Self;
    fn probe(self, evidence: Option<ProbeEvidence>) -> Self;
}

impl FailureExt for Failure {
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn exit_code(mut self, code: Option<i32>) -> Self {
        self.exit_code = code;
        self
    }

    fn last_lines(mut self, lines: Vec<String>) -> Self {
        self.last_lines = lines;
        self
    }

    fn probe(mut self, evidence: Option<ProbeEvidence>) -> Self {
        self.probe = evidence;
        self
    }
}

/// Something in this host's own machinery failed; nothing that the user wrote.
pub(crate) fn internal(stage: Stage, error: &anyhow::Error) -> Failure {
    failure(stage, "worker_error", format!("the worker could not go on: {error:#}"))
        .hint("Look at the worker's log on this host, then deploy again")
}
