//! What the worker remembers of one instance, and how that changes by what it sees. Pure: times are arguments.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::InstanceId;
use protocol::job::{CRASH_LOOPING, Failure, ProbeEvidence, Stage};
use protocol::report::{InstanceReport, InstanceState, OverDisk};
use protocol::spec::{CrashGuard, InstanceSpec, Probe, ProbeCheck};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::sockets::{self, Listening};
use crate::failure::{FailureExt as _, failure};

const FIRST_PAUSE_S: u64 = 1;
const LONGEST_PAUSE_S: u64 = 60;
/// Kept on disk, so that a restarted agent knows what an instance has been through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Of the spec that this is about; see [`spec_hash`].
    pub(crate) hash: String,
    pub(crate) state: InstanceState,
    pub(crate) container: Option<String>,
    /// Of the host's run in which the container was started last.
    pub(crate) boot: String,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) healthy_once: bool,
    pub(crate) restarts: u32,
    pub(crate) exit_code: Option<i32>,
    pub(crate) out_of_memory: bool,
    pub(crate) probe: Option<ProbeEvidence>,
    pub(crate) failure: Option<Failure>,
    /// Ends or vain attempts in a row; they set the pause before the next one.
    pub(crate) strikes: u32,
    /// Ends in a row after it was healthy once; the crash guard counts them.
    #[serde(default)]
    pub(crate) crashes: u32,
    pub(crate) retry_at: Option<DateTime<Utc>>,
    /// Probe failures in a row.
    pub(crate) misses: u32,
    /// Since the last start somebody accepted a connection of the probe.
    #[serde(default)]
    pub(crate) listened: bool,
    /// Since the last start, where it listens; looked up when nobody accepts one.
    #[serde(default)]
    pub(crate) listening: Option<Listening>,
    /// Its container has written more than it may.
    #[serde(default)]
    pub(crate) over_disk: Option<OverDisk>,
    /// Since the last start it was in the network of its project and in no other.
    #[serde(default)]
    pub(crate) attached: bool,
    /// It runs to its end, once.
    #[serde(default)]
    pub(crate) once: bool,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: i32,
    pub(crate) oom_killed: bool,
    /// What it said before.
    pub(crate) last_lines: Vec<String>,
}

/// One attempt of the probe.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attempt {
    pub(crate) evidence: ProbeEvidence,
    pub(crate) success: bool,
    /// Nobody accepted the connection.
    pub(crate) refused: bool,
}

impl Record {
    pub(crate) fn new(hash: String) -> Self {
        Self {
            hash,
            state: InstanceState::Pending,
            container: None,
            boot: String::new(),
            started_at: None,
            healthy_once: false,
            restarts: 0,
            exit_code: None,
            out_of_memory: false,
            probe: None,
            failure: None,
            strikes: 0,
            crashes: 0,
            retry_at: None,
            misses: 0,
            listened: false,
            listening: None,
            over_disk: None,
            attached: false,
            once: false,
        }
    }

    /// Nothing of it is to run (again).
    pub(crate) fn is_over(&self) -> bool {
        self.state == InstanceState::Failed || self.state == InstanceState::Exited && self.once
    }

    /// The container should be running and being probed.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, InstanceState::Starting | InstanceState::Healthy | InstanceState::Unhealthy)
    }

    pub(crate) fn waits(&self, now: DateTime<Utc>) -> bool {
        self.retry_at.is_some_and(|at| at > now)
    }

    pub(crate) fn started(&mut self, container: String, boot: &str, now: DateTime<Utc>) {
        if self.started_at.is_some() && self.boot == boot && !self.once {
            self.restarts += 1;
        }
        self.state = InstanceState::Starting;
        self.container = Some(container);
        boot.clone_into(&mut self.boot);
        self.started_at = Some(now);
        self.retry_at = None;
        self.misses = 0;
        self.listened = false;
        self.listening = None;
        self.attached = false;
        self.exit_code = None;
        self.out_of_memory = false;
    }

    /// The container ended by itself.
    pub(crate) fn exited(&mut self, exit: Exit, spec: &InstanceSpec, now: DateTime<Utc>) {
        // Podman on cgroup v1 never says that memory ran out; SIGKILL that was not ours is its only sign.
        self.out_of_memory = exit.oom_killed || exit.code == 137;
        self.exit_code = Some(exit.code);
        let code = exit.code;
        if self.once {
            return self.ended(exit, spec);
        }
        if !self.healthy_once {
            let message = format!("the app ended with exit code {code} before it was healthy");
            return self.give_up(self.exit_failure("exited", message, exit, spec));
        }
        let guard = spec.crash_guard;
        let calm = TimeDelta::seconds(guard.calm_s.into());
        if self.started_at.is_some_and(|at| now - at > calm) {
            (self.strikes, self.crashes) = (0, 0);
        }
        self.crashes += 1;
        if self.crashes > guard.restarts {
            let message = match self.crashes {
                1 => format!("the app ended with exit code {code}; it is not started again"),
                many => format!(
                    "the app ended {many} times in a row, last with exit code {code}; it is not started again"
                ),
            };
            return self.give_up(self.exit_failure(CRASH_LOOPING, message, exit, spec));
        }
        self.state = InstanceState::Exited;
        self.pause(now);
        let message = format!(
            "the app ended with exit code {code}; it starts again after {} s (restart {} of {})",
            pause(self.strikes).as_secs(),
            self.crashes,
            guard.restarts
        );
        self.failure = Some(self.exit_failure("crashed", message, exit, spec));
    }

    pub(super) fn exit_failure(
        &self,
        code: &str,
        message: String,
        exit: Exit,
        spec: &InstanceSpec,
    ) -> Failure {
        let hint = if self.out_of_memory {
            format!(
                "It was killed, most likely at its memory limit of {} MB: raise `memory_mb`, or let the app need less",
                spec.resources.memory_mb
            )
        } else if exit.code == 0 {
            "An app must keep running; a command that finishes its work and ends is no server".to_owned()
        } else {
            "The last lines show what the app said before it ended".to_owned()
        };
        let mut failure = failure(Stage::Start, code, message).hint(hint);
        failure.out_of_memory = self.out_of_memory;
        failure.exit_code(Some(exit.code)).last_lines(exit.last_lines).probe(self.probe.clone())
    }

    /// The image, the container or its start could not be had; `fatal` when trying again is without hope.
    pub(crate) fn could_not_start(&mut self, failure: Failure, fatal: bool, now: DateTime<Utc>) {
        const ATTEMPTS: u32 = 5;
        if !self.healthy_once && (fatal || self.strikes + 1 >= ATTEMPTS) {
            return self.give_up(failure);
        }
        self.failure = Some(failure);
        self.pause(now);
    }

    /// Takes one attempt of the probe into account, and says what it meant.
    pub(crate) fn probed(&mut self, attempt: Attempt, probe: &Probe, now: DateTime<Utc>) -> Verdict {
        let before = self.state;
        // Of an app that was never healthy, an answer says more than the connection that was lost after it.
        if !attempt.refused || !self.listened || self.healthy_once {
            self.probe = Some(attempt.evidence);
        }
        self.listened |= !attempt.refused;
        if attempt.success {
            self.misses = 0;
            self.healthy_once = true;
            self.failure = None;
            self.state = InstanceState::Healthy;
        } else {
            self.misses += 1;
            let running_s = self.started_at.map_or(0, |at| (now - at).num_seconds());
            let late = running_s >= i64::from(probe.start_within_s);
            match self.state {
                InstanceState::Starting if late && self.healthy_once => self.state = InstanceState::Unhealthy,
                InstanceState::Starting if late => return Verdict::TooLate,
                InstanceState::Healthy if self.misses >= probe.failures.max(1) => {
                    self.state = InstanceState::Unhealthy;
                }
                _ => {}
            }
        }
        if self.state == before { Verdict::Same } else { Verdict::Changed }
    }

    /// After [`Verdict::TooLate`]: the container is stopped and kept for inspection.
    pub(crate) fn too_late(&mut self, spec: &InstanceSpec, last_lines: Vec<String>) {
        let within = spec.probe.start_within_s;
        let failure = if let ProbeCheck::Command { .. } = spec.probe.check {
            failure(
                Stage::Probe,
                "probe_failed",
                format!("the probe's program had no success within {within} s after the start"),
            )
            .hint("Look at what it said last; correct the program or give the app more time to start")
        } else if self.listened {
            failure(
                Stage::Probe,
                "probe_failed",
                format!("the app listened, but its probe had no success within {within} s after the start"),
            )
            .hint("Look at the probe's last answer; set the probe's path or give the app more time to start")
        } else {
            sockets::nobody_answered(self.listening.as_ref(), spec.port, within)
        };
        self.give_up(failure.last_lines(last_lines).probe(self.probe.clone()));
    }

    /// It is about to be stopped, because nobody has said for too long that it may run. That is no end of its own.
    pub(crate) fn fenced(&mut self) {
        self.state = InstanceState::Pending;
        self.retry_at = None;
        let message = "its lease is over: the control plane has not said for too long that it may run here";
        let hint = "It starts again once the control plane has said so: see whether this host reaches it";
        self.failure = Some(failure(Stage::Start, "lease_over", message).hint(hint));
    }

    pub(super) fn give_up(&mut self, failure: Failure) {
        self.state = InstanceState::Failed;
        self.failure = Some(failure);
        self.retry_at = None;
    }

    fn pause(&mut self, now: DateTime<Utc>) {
        self.strikes += 1;
        self.retry_at = Some(now + pause(self.strikes));
    }

    pub(crate) fn report(&self, id: InstanceId) -> InstanceReport {
        InstanceReport {
            id,
            state: self.state,
            started_at: self.started_at,
            restarts: self.restarts,
            exit_code: self.exit_code,
            out_of_memory: self.out_of_memory,
            probe: self.evidence(),
            failure: self.failure.clone(),
            over_disk: self.over_disk,
        }
    }

    /// The first figure stays until it is over: each new one would be a report of its own.
    pub(crate) fn note_disk(&mut self, over: Option<OverDisk>) {
        self.over_disk = over.map(|now| self.over_disk.unwrap_or(now));
    }

    /// What the probe saw last, and while the app starts where it listens instead.
    fn evidence(&self) -> Option<ProbeEvidence> {
        let mut evidence = self.probe.clone()?;
        let instead = self.listening.as_ref().and_then(Listening::instead);
        if let Some(instead) = instead.filter(|_| self.state == InstanceState::Starting && !self.listened) {
            evidence.outcome = format!("{}; {instead}", evidence.outcome);
        }
        Some(evidence)
    }
}

/// What an attempt of the probe meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    Changed,
    /// Not healthy within the time to start.
    TooLate,
}

/// 1 s, 2 s, 4 s … 60 s.
pub(crate) fn pause(strikes: u32) -> Duration {
    Duration::from_secs((FIRST_PAUSE_S << strikes.saturating_sub(1).min(10)).min(LONGEST_PAUSE_S))
}

/// Identifies what a container was made from. Who has the image does not matter, nor under which name, nor when its
/// restarts end. What runs once is the same run whatever else is said of it later.
pub(crate) fn spec_hash(spec: &InstanceSpec) -> String {
    if spec.once {
        return spec.id.to_string();
    }
    let mut spec = spec.clone();
    spec.image.sources.clear();
    spec.image.reference.clear();
    spec.crash_guard = CrashGuard::default();
    spec.predefined.clear();
    let text = serde_json::to_vec(&spec).expect("a spec has string keys only");
    hex::encode(&Sha256::digest(text)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::samples::{at, spec};

    fn attempt(success: bool, refused: bool) -> Attempt {
        let evidence = ProbeEvidence {
            at: at(0),
            target: "tcp".to_owned(),
            attempts: 1,
            outcome: String::new(),
            body: None,
        };
        Attempt { evidence, success, refused }
    }

    fn exit(code: i32) -> Exit {
        Exit { code, oom_killed: false, last_lines: vec!["the last line".to_owned()] }
    }

    fn guarded(restarts: u32, calm_s: u32) -> InstanceSpec {
        InstanceSpec { crash_guard: CrashGuard { restarts, calm_s }, ..spec("a", 1) }
    }

    fn started() -> Record {
        let mut record = Record::new("h".to_owned());
        record.started("c1".to_owned(), "boot", at(0));
        record
    }

    #[test]
    fn the_first_success_makes_it_healthy_and_failures_in_a_row_unhealthy() {
        let (mut record, probe) = (started(), Probe::default());
        assert_eq!(record.probed(attempt(false, true), &probe, at(1)), Verdict::Same);
        assert_eq!(record.probed(attempt(true, false), &probe, at(2)), Verdict::Changed);
        let verdicts = [3, 4, 5].map(|second| record.probed(attempt(false, true), &probe, at(second)));
        assert_eq!(verdicts, [Verdict::Same, Verdict::Same, Verdict::Changed]);
        assert_eq!(record.state, InstanceState::Unhealthy);
        record.probed(attempt(true, false), &probe, at(6));
        assert_eq!(record.state, InstanceState::Healthy);
    }

    #[test]
    fn an_app_that_never_listens_fails_with_its_evidence() {
        let (mut record, spec) = (started(), spec("a", 1));
        assert_eq!(record.probed(attempt(false, true), &spec.probe, at(30)), Verdict::TooLate);
        record.too_late(&spec, vec!["last".to_owned()]);
        let failure = record.failure.expect("failure");
        assert_eq!((failure.code.as_str(), failure.last_lines.len()), ("never_listened", 1));
        assert!(failure.probe.is_some());
        assert_eq!(record.state, InstanceState::Failed);
    }

    #[test]
    fn where_an_app_listens_instead_is_told_while_it_starts_and_when_it_fails() {
        let (mut record, spec) = (started(), spec("a", 1));
        let outcome = |record: &Record| record.report(spec.id).probe.expect("evidence").outcome;
        record.probed(attempt(false, true), &spec.probe, at(1));
        record.listening = Some(Listening::Elsewhere(vec![3000]));
        assert!(outcome(&record).ends_with("; the app listens on port 3000"), "{}", outcome(&record));
        assert_eq!(record.probed(attempt(false, true), &spec.probe, at(30)), Verdict::TooLate);
        record.too_late(&spec, Vec::new());
        assert_eq!(record.failure.as_ref().expect("failure").code, "wrong_port");
        assert_eq!(outcome(&record), "", "the failure says it");
        record.started("c1".to_owned(), "boot", at(40));
        assert_eq!(record.listening, None);
    }

    #[test]
    fn an_app_that_listened_fails_by_its_answer_though_the_last_connection_was_lost() {
        let (mut record, spec) = (started(), spec("a", 1));
        let mut answer = attempt(false, false);
        answer.evidence.outcome = "HTTP 404".to_owned();
        record.probed(answer, &spec.probe, at(1));
        assert_eq!(record.probed(attempt(false, true), &spec.probe, at(30)), Verdict::TooLate);
        record.too_late(&spec, Vec::new());
        let failure = record.failure.expect("failure");
        assert_eq!(failure.code, "probe_failed");
        assert_eq!(failure.probe.expect("evidence").outcome, "HTTP 404");
    }

    #[test]
    fn an_exit_before_the_first_success_is_final() {
        let (mut record, mut spec) = (started(), spec("a", 1));
        spec.resources.memory_mb = 64;
        record.exited(exit(137), &spec, at(3));
        let failure = record.failure.clone().expect("failure");
        assert_eq!((failure.code.as_str(), failure.exit_code), ("exited", Some(137)));
        assert!(failure.out_of_memory && record.is_over());
        assert!(failure.hint.is_some_and(|hint| hint.contains("64 MB")));
    }

    #[test]
    fn an_exit_after_it_was_healthy_is_followed_by_longer_and_longer_pauses() {
        let mut record = started();
        record.probed(attempt(true, false), &Probe::default(), at(1));
        for (second, pause) in [(2, 1), (10, 2), (20, 4)] {
            record.exited(exit(1), &spec("a", 1), at(second));
            assert_eq!(record.retry_at, Some(at(second + pause)));
            assert!(record.waits(at(second)) && !record.waits(at(second + pause)));
            record.started("c1".to_owned(), "boot", at(second + pause));
        }
        assert_eq!(record.restarts, 3);
        record.exited(exit(1), &spec("a", 1), at(1000));
        assert_eq!(record.retry_at, Some(at(1001)), "calm for long enough");
    }

    /// The ends of an instance that was healthy once, each a moment after its start, until it is given up.
    fn crashes(spec: &InstanceSpec, code: i32) -> Record {
        let mut record = started();
        record.probed(attempt(true, false), &Probe::default(), at(0));
        for second in (0..).step_by(100) {
            record.exited(exit(code), spec, at(second + 1));
            if record.is_over() {
                break;
            }
            record.started("c1".to_owned(), "boot", at(second + 100));
        }
        record
    }

    #[test]
    fn the_crash_guard_stops_after_its_restarts_and_says_why() {
        let record = crashes(&guarded(3, 300), 3);
        assert_eq!((record.restarts, record.retry_at), (3, None));
        let failure = record.failure.expect("failure");
        assert_eq!((failure.code.as_str(), failure.exit_code), (CRASH_LOOPING, Some(3)));
        assert_eq!(failure.last_lines, ["the last line"]);
        insta::assert_snapshot!(
            failure.message,
            @"the app ended 4 times in a row, last with exit code 3; it is not started again"
        );
        let killed = crashes(&guarded(0, 300), 137);
        assert_eq!(killed.restarts, 0, "the first end is final");
        assert!(killed.failure.is_some_and(|failure| failure.out_of_memory));
    }

    #[test]
    fn between_its_restarts_an_instance_says_how_it_ended_and_what_comes() {
        let mut record = started();
        record.probed(attempt(true, false), &Probe::default(), at(1));
        record.exited(exit(7), &spec("a", 1), at(2));
        let failure = record.failure.clone().expect("failure");
        insta::assert_snapshot!(
            failure.message,
            @"the app ended with exit code 7; it starts again after 1 s (restart 1 of 5)"
        );
        assert_eq!((failure.code.as_str(), failure.last_lines.len()), ("crashed", 1));
        record.started("c1".to_owned(), "boot", at(3));
        record.probed(attempt(true, false), &Probe::default(), at(4));
        assert_eq!(record.failure, None, "it serves");
    }

    #[test]
    fn calm_and_troubles_of_the_host_do_not_count_as_crashes() {
        let spec = guarded(2, 60);
        let mut record = started();
        record.probed(attempt(true, false), &Probe::default(), at(0));
        for round in 1..20 {
            record.exited(exit(1), &spec, at(round * 100));
            record.started("c1".to_owned(), "boot", at(round * 100 + 1));
        }
        assert!(!record.is_over(), "each time it ran for longer than a minute");
        for _ in 0..20 {
            record.could_not_start(failure(Stage::Start, "mesh_down", "no"), false, at(2000));
        }
        record.started("c1".to_owned(), "boot", at(2001));
        record.exited(exit(1), &spec, at(2002));
        assert_eq!(record.state, InstanceState::Exited);
    }

    #[test]
    fn a_reboot_is_no_restart() {
        let mut record = started();
        record.started("c1".to_owned(), "another boot", at(5));
        assert_eq!(record.restarts, 0);
    }

    #[test]
    fn a_start_that_fails_again_and_again_is_given_up_unless_it_was_healthy_before() {
        let failure = || failure(Stage::Start, "start_failed", "no");
        let mut record = Record::new("h".to_owned());
        for _ in 0..4 {
            record.could_not_start(failure(), false, at(0));
            assert!(!record.is_over());
        }
        record.could_not_start(failure(), false, at(0));
        assert!(record.is_over());
        let mut record = started();
        record.probed(attempt(true, false), &Probe::default(), at(1));
        for _ in 0..20 {
            record.could_not_start(failure(), true, at(0));
        }
        assert!(!record.is_over());
        assert_eq!(record.retry_at, Some(at(60)));
    }

    #[test]
    fn the_hash_changes_with_what_the_container_is_made_from_only() {
        let first = spec("a", 1);
        let mut other = first.clone();
        other.image.sources.clear();
        other.image.reference = "another name".to_owned();
        other.crash_guard.restarts = 0;
        other.predefined.insert("WISEHOSTING_APP".to_owned(), "a".to_owned());
        assert_eq!(spec_hash(&first), spec_hash(&other));
        other.env.insert("A".to_owned(), "b".to_owned());
        assert_ne!(spec_hash(&first), spec_hash(&other));
    }
}
