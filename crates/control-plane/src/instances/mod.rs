//! Instances: containers of a release on a node, as wanted and as seen.

pub mod report;
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};

/// An observation older than this says nothing; workers report every 30 s.
const STALE_AFTER: TimeDelta = TimeDelta::seconds(45);

/// Since when nobody knows how an instance is: since it was seen last, or made. `None` while it is known, and while a
/// new one still may be seen in time.
pub fn unknown_since(
    observed_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let since = observed_at.unwrap_or(created_at);
    (now - since > STALE_AFTER).then_some(since)
}

/// A command of a release that runs once, as an instance that serves nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
pub enum Task {
    PreDeploy,
    PostDeploy,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PreDeploy => "pre-deploy command",
            Self::PostDeploy => "post-deploy command",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_is_good_for_45_seconds_and_a_new_instance_has_as_long_to_be_seen() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let ago = |seconds| now - TimeDelta::seconds(seconds);
        assert_eq!(unknown_since(Some(ago(45)), ago(900), now), None);
        assert_eq!(unknown_since(Some(ago(46)), ago(900), now), Some(ago(46)));
        assert_eq!(unknown_since(None, ago(45), now), None);
        assert_eq!(unknown_since(None, ago(46), now), Some(ago(46)));
        assert_eq!(unknown_since(Some(now + TimeDelta::seconds(5)), ago(900), now), None);
    }
}
