//! Commands that run to their end, at most once: what a second run would do, nobody knows. That a run begins is on disk
//! before it does, so whatever dies in the middle, it is known or taken for having begun. Pure: times are arguments.

use chrono::{DateTime, Utc};
use protocol::job::Stage;
use protocol::report::InstanceState;
use protocol::spec::InstanceSpec;

use super::plan::Phase;
use super::record::{Exit, Record};
use crate::failure::{FailureExt as _, failure};

/// What became of a run, by what is left of its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is to begin, goes on, or was judged before.
    Open,
    /// The container says how.
    Ended,
    /// Nobody knows how far it came.
    Interrupted,
}

impl Record {
    /// Its run begins now; it may not begin a second time.
    pub(crate) fn begin(&mut self, container: &str, boot: &str, now: DateTime<Utc>) {
        self.container = Some(container.to_owned());
        boot.clone_into(&mut self.boot);
        self.started_at = Some(now);
    }

    /// Podman said that it did not start the container.
    pub(crate) fn did_not_begin(&mut self) {
        self.started_at = None;
    }

    /// `phase` of its container, if there is one.
    pub(crate) fn fate(&self, phase: Option<Phase>, boot: &str) -> Fate {
        let begun = self.started_at.is_some();
        match phase {
            _ if self.is_over() => Fate::Open,
            Some(Phase::Exited) if begun && self.boot == boot => Fate::Ended,
            // It ran without our knowing: this agent's memory was lost.
            Some(Phase::Exited) => Fate::Interrupted,
            None | Some(Phase::Created) if begun => Fate::Interrupted,
            None | Some(Phase::Created | Phase::Running | Phase::Changing) => Fate::Open,
        }
    }

    /// The command has ended.
    pub(super) fn ended(&mut self, exit: Exit, spec: &InstanceSpec) {
        if exit.code == 0 {
            self.state = InstanceState::Exited;
            return;
        }
        let message = format!("the command ended with exit code {}", exit.code);
        self.give_up(self.exit_failure("command_failed", message, exit, spec));
    }

    pub(crate) fn interrupted(&mut self) {
        let message =
            "the command was interrupted; how far it came is not known, and it is not run again by itself";
        let hint = "Its host was restarted or its container removed: see what the command has done, then deploy again";
        self.give_up(failure(Stage::Start, "command_failed", message).hint(hint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::samples::{at, spec};

    fn begun() -> Record {
        let mut record = Record { once: true, ..Record::new("h".to_owned()) };
        record.begin("c1", "boot", at(0));
        record
    }

    fn exit(code: i32) -> Exit {
        Exit { code, oom_killed: false, last_lines: vec!["no such table".to_owned()] }
    }

    #[test]
    fn it_ends_well_or_fails_and_is_over() {
        let mut record = begun();
        record.started("c1".to_owned(), "boot", at(1));
        assert_eq!((record.restarts, record.is_over()), (0, false));
        let mut good = record.clone();
        good.exited(exit(0), &spec("a", 1), at(3));
        assert_eq!((good.state, good.is_over(), &good.failure), (InstanceState::Exited, true, &None));
        record.exited(exit(3), &spec("a", 1), at(3));
        let failure = record.failure.clone().expect("failure");
        assert_eq!((failure.code.as_str(), failure.exit_code), ("command_failed", Some(3)));
        assert!(record.is_over() && failure.last_lines == ["no such table"]);
    }

    #[test]
    fn what_may_have_run_does_not_run_again() {
        use Phase::{Changing, Created, Exited, Running};
        let fates = |record: &Record, boot| {
            [None, Some(Created), Some(Running), Some(Exited), Some(Changing)]
                .map(|phase| format!("{:?}", record.fate(phase, boot)))
                .join(" ")
        };
        let new = Record { once: true, ..Record::new("h".to_owned()) };
        let mut over = begun();
        over.interrupted();
        let mut refused = begun();
        refused.did_not_begin();
        // No container, made, running, ended, changing.
        insta::assert_snapshot!(fates(&new, "boot"), @"Open Open Open Interrupted Open");
        insta::assert_snapshot!(fates(&begun(), "boot"), @"Interrupted Interrupted Open Ended Open");
        insta::assert_snapshot!(fates(&begun(), "next boot"), @"Interrupted Interrupted Open Interrupted Open");
        insta::assert_snapshot!(fates(&refused, "boot"), @"Open Open Open Interrupted Open");
        insta::assert_snapshot!(fates(&over, "boot"), @"Open Open Open Open Open");
    }
}
