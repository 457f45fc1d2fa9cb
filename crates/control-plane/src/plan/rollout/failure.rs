//! Why a roll-out cannot go on, in words for the user.

use protocol::job::{Failure, Stage};
use protocol::report::InstanceState;

use super::super::placement::{Refusal, in_words};
use super::{New, PLACE_LIMIT, PROXY_LIMIT, SETTLE_LIMIT, START_LIMIT, Situation};

/// What the instance itself has shown. One that is in the table was healthy before: for it, see [`fell_ill`].
pub(super) fn of(new: &New) -> Option<Failure> {
    match new.state {
        _ if new.in_rotation || new.node_gone => None,
        InstanceState::Failed => Some(new.failure.clone().unwrap_or_else(|| unexplained(&new.node))),
        InstanceState::Exited => new.failure.clone(),
        _ => None,
    }
}

pub(super) fn unexplained(node: &str) -> Failure {
    failure(
        "instance_failed",
        Stage::Probe,
        format!("The worker on {node} gave the instance up without a reason."),
        format!("See the log of wisehosting-worker on {node}."),
    )
}

pub(super) fn no_place(now: &Situation, refusals: &[Refusal]) -> Failure {
    let minutes = PLACE_LIMIT.as_secs() / 60;
    if !now.lost.is_empty() {
        let nodes = now.lost.join(", ");
        return failure(
            "node_lost",
            Stage::Start,
            format!(
                "{nodes} went offline with an instance, and no other worker took it within {minutes} min."
            ),
            format!("Bring {nodes} back or add a worker, then deploy again."),
        );
    }
    let (message, hint) = if now.workers.iter().flatten().any(|worker| worker.online) {
        let why = in_words(refusals);
        (
            format!("No worker could take an instance within {minutes} min: {why}."),
            "Add a worker, give the app or others less memory, or ask less of the placement; then deploy again.",
        )
    } else {
        (
            format!("No worker was online within {minutes} min."),
            "Look at the nodes' status, or add a worker; then deploy again.",
        )
    };
    failure("no_room", Stage::Start, message, hint.to_owned())
}

pub(super) fn no_word(nodes: &[&str]) -> Failure {
    let nodes = nodes.join(", ");
    failure(
        "start_timeout",
        Stage::Start,
        format!(
            "The instances on {nodes} neither became healthy nor failed within {} min.",
            START_LIMIT.as_secs() / 60
        ),
        format!(
            "See the log of wisehosting-worker on {nodes}; the image may be too large to be fetched in that time."
        ),
    )
}

pub(super) fn runs_on(waited_for: &str) -> Failure {
    failure(
        "old_instance_runs",
        Stage::Start,
        format!("An exclusive app has one instance at a time, and this waited in vain for {waited_for}."),
        "Bring that node back. If it is gone for good, remove it with `wh node rm`, then deploy again."
            .to_owned(),
    )
}

pub(super) fn proxies_behind(names: &str) -> Failure {
    failure(
        "proxies_behind",
        Stage::Route,
        format!(
            "The proxies {names} did not take the new route table within {} min.",
            PROXY_LIMIT.as_secs() / 60
        ),
        format!("See the log of wisehosting-proxy on {names}, then deploy again."),
    )
}

pub(super) fn fell_ill(nodes: &[&str]) -> Failure {
    let nodes = nodes.join(", ");
    failure(
        "fell_ill",
        Stage::Route,
        format!(
            "The instances on {nodes} were healthy, took requests and have not been healthy for {} min since.",
            SETTLE_LIMIT.as_secs() / 60
        ),
        "See the app's log from the time of the switch: what does it do under requests that it does not do under the probe?".to_owned(),
    )
}

pub(super) fn failure(code: &str, stage: Stage, message: String, hint: String) -> Failure {
    Failure {
        code: code.to_owned(),
        message,
        hint: Some(hint),
        stage,
        exit_code: None,
        out_of_memory: false,
        last_lines: Vec::new(),
        probe: None,
    }
}
