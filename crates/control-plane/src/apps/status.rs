//! How an app is: what is wanted of it, what was seen, and how old that is. Pure: the time is an argument.

use chrono::{DateTime, Utc};
use protocol::job::{CRASH_LOOPING, Failure};
use protocol::report::InstanceState;
use serde::{Deserialize, Serialize};

use crate::deployments;
use crate::instances::unknown_since;

/// What was seen of an instance that should run.
#[derive(Debug, Clone, Deserialize)]
pub struct Seen {
    pub state: InstanceState,
    pub created_at: DateTime<Utc>,
    pub observed_at: Option<DateTime<Utc>>,
    /// As its worker told it. One of another version may not parse; the state still says that it failed.
    pub failure: Option<serde_json::Value>,
}

/// Instances of the release that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct InstanceCount {
    pub wanted: i64,
    /// Seen healthy lately.
    pub healthy: i64,
    /// Not seen lately, so that nobody knows how they are.
    pub unknown: i64,
    /// When the one seen longest ago was seen.
    pub observed_at: Option<DateTime<Utc>>,
    /// Since when the first of the unknown ones is; null while all are known.
    pub unknown_since: Option<DateTime<Utc>>,
}

impl InstanceCount {
    pub fn of(seen: &[Seen], wanted: i64, now: DateTime<Utc>) -> Self {
        let unknown = || seen.iter().filter_map(|seen| unknown_since(seen.observed_at, seen.created_at, now));
        let is_healthy = |seen: &&Seen| {
            seen.state == InstanceState::Healthy
                && unknown_since(seen.observed_at, seen.created_at, now).is_none()
        };
        Self {
            wanted,
            healthy: count(seen.iter().filter(is_healthy)),
            unknown: count(unknown()),
            observed_at: seen.iter().filter_map(|seen| seen.observed_at).min(),
            unknown_since: unknown().min(),
        }
    }
}

fn count<T>(found: impl Iterator<Item = T>) -> i64 {
    i64::try_from(found.count()).unwrap_or(i64::MAX)
}

/// Why an instance ended or was given up, if one has: first of those that are not started again, then of those seen last.
pub fn failure(seen: &[Seen]) -> Option<Failure> {
    let ended =
        seen.iter().filter(|seen| matches!(seen.state, InstanceState::Failed | InstanceState::Exited));
    let worst = ended.max_by_key(|seen| (seen.state == InstanceState::Failed, seen.observed_at))?;
    serde_json::from_value(worst.failure.clone()?).ok()
}

/// How an app is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = AppStatus)]
pub enum Status {
    /// Nothing was deployed yet.
    Empty,
    Deploying,
    /// All wanted instances are healthy.
    Running,
    /// Some wanted instances are healthy.
    Degraded,
    Failed,
    /// The crash guard stopped it: its instances ended again and again, and are not started any more.
    CrashLooping,
    /// Somebody stopped it: nothing is to run, its release and its address stay.
    Stopped,
    /// Nobody has seen its instances lately.
    Unknown,
}

/// What a status is derived from.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Of the newest deployment.
    pub latest: Option<deployments::State>,
    pub has_release: bool,
    /// Whether somebody stopped it.
    pub stopped: bool,
    pub instances: InstanceCount,
    /// Of an instance.
    pub failure: Option<&'a Failure>,
}

/// How an app is, from what is known.
pub fn status(evidence: &Evidence<'_>) -> Status {
    let InstanceCount { wanted, healthy, unknown, .. } = evidence.instances;
    match evidence.latest {
        Some(latest) if !latest.is_final() => return Status::Deploying,
        Some(deployments::State::Failed) if !evidence.has_release => return Status::Failed,
        _ if !evidence.has_release => return Status::Empty,
        _ if evidence.stopped => return Status::Stopped,
        _ => {}
    }
    if healthy >= wanted {
        Status::Running
    } else if healthy > 0 {
        Status::Degraded
    } else if unknown > 0 {
        Status::Unknown
    } else if evidence.failure.is_some_and(|failure| failure.code == CRASH_LOOPING) {
        Status::CrashLooping
    } else {
        Status::Failed
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use protocol::job::Stage;

    use super::*;
    use crate::deployments::State;
    use InstanceState::{Exited, Failed, Healthy, Starting};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
    }

    fn ago(seconds: i64) -> DateTime<Utc> {
        now() - TimeDelta::seconds(seconds)
    }

    /// One instance per state and age of its observation.
    fn seen(all: &[(InstanceState, i64)]) -> Vec<Seen> {
        let one = |(state, age): &(InstanceState, i64)| Seen {
            state: *state,
            created_at: ago(1000),
            observed_at: Some(ago(*age)),
            failure: None,
        };
        all.iter().map(one).collect()
    }

    /// An app that is to have two instances.
    fn of(latest: Option<State>, has_release: bool, all: &[(InstanceState, i64)]) -> Status {
        let instances = InstanceCount::of(&seen(all), 2, now());
        status(&Evidence { latest, has_release, stopped: false, instances, failure: None })
    }

    fn live(all: &[(InstanceState, i64)]) -> Status {
        of(Some(State::Live), true, all)
    }

    fn given_up(code: &str) -> Failure {
        Failure {
            code: code.to_owned(),
            message: "It ended.".to_owned(),
            hint: None,
            stage: Stage::Start,
            exit_code: Some(1),
            out_of_memory: false,
            last_lines: Vec::new(),
            probe: None,
        }
    }

    #[test]
    fn without_a_release_the_newest_deployment_decides() {
        assert_eq!(of(None, false, &[]), Status::Empty);
        assert_eq!(of(Some(State::Cancelled), false, &[]), Status::Empty);
        assert_eq!(of(Some(State::Failed), false, &[]), Status::Failed);
    }

    #[test]
    fn a_deployment_on_its_way_shows_whatever_runs() {
        for state in [State::Queued, State::Building, State::RollingOut] {
            assert_eq!(of(Some(state), false, &[]), Status::Deploying);
            assert_eq!(of(Some(state), true, &[(Healthy, 1), (Healthy, 1)]), Status::Deploying);
        }
    }

    #[test]
    fn a_live_app_is_as_healthy_as_its_instances() {
        assert_eq!(live(&[(Healthy, 1), (Healthy, 1)]), Status::Running);
        assert_eq!(live(&[(Healthy, 1), (Starting, 1)]), Status::Degraded);
        assert_eq!(live(&[(Starting, 1), (Exited, 1)]), Status::Failed);
        assert_eq!(live(&[]), Status::Failed, "they have no rows");
        assert_eq!(of(Some(State::Failed), true, &[(Healthy, 1), (Healthy, 1)]), Status::Running);
    }

    #[test]
    fn a_stopped_app_is_stopped_until_a_deployment_is_on_its_way() {
        let instances = InstanceCount::of(&[], 0, now());
        let of =
            |latest| status(&Evidence { latest, has_release: true, stopped: true, instances, failure: None });
        assert_eq!(of(Some(State::Live)), Status::Stopped);
        assert_eq!(of(Some(State::Failed)), Status::Stopped);
        assert_eq!(of(Some(State::RollingOut)), Status::Deploying);
    }

    #[test]
    fn what_was_not_seen_lately_is_unknown_and_never_counts_as_healthy() {
        assert_eq!(live(&[(Healthy, 45), (Healthy, 45)]), Status::Running);
        assert_eq!(live(&[(Healthy, 46), (Healthy, 90)]), Status::Unknown);
        assert_eq!(live(&[(Healthy, 1), (Healthy, 46)]), Status::Degraded, "one serves for sure");
        assert_eq!(live(&[(Failed, 1), (Healthy, 46)]), Status::Unknown, "the other may serve");
        let count = InstanceCount::of(&seen(&[(Healthy, 46), (Healthy, 90), (Healthy, 3)]), 3, now());
        assert_eq!((count.healthy, count.unknown), (1, 2));
        assert_eq!((count.observed_at, count.unknown_since), (Some(ago(90)), Some(ago(90))));
        let count = InstanceCount::of(&seen(&[(Healthy, 45)]), 1, now());
        assert_eq!((count.unknown, count.unknown_since), (0, None));
    }

    #[test]
    fn an_app_loops_when_the_guard_stopped_it_and_nothing_serves() {
        let of = |all: &[(InstanceState, i64)], code: &str| {
            let mut seen = seen(all);
            for seen in seen.iter_mut().filter(|seen| seen.state == Failed) {
                seen.failure = Some(serde_json::to_value(given_up(code)).expect("JSON"));
            }
            let failure = failure(&seen);
            let instances = InstanceCount::of(&seen, 2, now());
            let failure = failure.as_ref();
            status(&Evidence {
                latest: Some(State::Live),
                has_release: true,
                stopped: false,
                instances,
                failure,
            })
        };
        assert_eq!(of(&[(Failed, 9), (Exited, 1)], CRASH_LOOPING), Status::CrashLooping);
        assert_eq!(of(&[(Failed, 1), (Healthy, 1)], CRASH_LOOPING), Status::Degraded);
        assert_eq!(of(&[(Failed, 46), (Failed, 46)], CRASH_LOOPING), Status::Unknown);
        assert_eq!(of(&[(Failed, 1), (Failed, 1)], "start_failed"), Status::Failed);
    }
}
