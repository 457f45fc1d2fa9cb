//! The times that numbers are shown for, and the steps that they are added up in.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::floor;
use crate::http::{Error, Result};

/// For how long back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = TrafficRange)]
pub enum Range {
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "6h")]
    SixHours,
    #[default]
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "30d")]
    Month,
}

impl Range {
    /// Of a query; a day when it does not say.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        Ok(match text {
            None => Self::default(),
            Some("1h") => Self::Hour,
            Some("6h") => Self::SixHours,
            Some("24h") => Self::Day,
            Some("7d") => Self::Week,
            Some("30d") => Self::Month,
            Some(_) => {
                return Err(Error::invalid("range", "range must be one of 1h, 6h, 24h, 7d and 30d"));
            }
        })
    }

    fn length(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(1),
            Self::SixHours => TimeDelta::hours(6),
            Self::Day => TimeDelta::hours(24),
            Self::Week => TimeDelta::days(7),
            Self::Month => TimeDelta::days(30),
        }
    }

    fn step(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::minutes(1),
            Self::SixHours => TimeDelta::minutes(2),
            Self::Day => TimeDelta::minutes(5),
            Self::Week => TimeDelta::hours(1),
            Self::Month => TimeDelta::hours(4),
        }
    }

    /// The whole steps that end with the one that is under way.
    pub fn window(self, now: DateTime<Utc>) -> Window {
        let step = self.step();
        let until = floor(now, step) + step;
        Window { from: until - self.length(), until, step }
    }
}

/// Steps of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: DateTime<Utc>,
    /// After the last step.
    pub until: DateTime<Utc>,
    pub step: TimeDelta,
}

impl Window {
    /// Whether a step is made of whole hours.
    pub fn is_of_hours(&self) -> bool {
        self.step >= TimeDelta::hours(1)
    }

    /// Begin of the step that a time is in.
    pub fn step_of(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        floor(at, self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_made_of_whole_steps_of_which_the_last_is_under_way() {
        let now: DateTime<Utc> = "2026-11-22T13:37:42Z".parse().expect("time");
        let cases = [
            (Range::Hour, 60, "2026-11-22T12:38:00Z", "2026-11-22T13:38:00Z"),
            (Range::SixHours, 180, "2026-11-22T07:38:00Z", "2026-11-22T13:38:00Z"),
            (Range::Day, 288, "2026-11-21T13:40:00Z", "2026-11-22T13:40:00Z"),
            (Range::Week, 168, "2026-11-15T14:00:00Z", "2026-11-22T14:00:00Z"),
            (Range::Month, 180, "2026-10-23T16:00:00Z", "2026-11-22T16:00:00Z"),
        ];
        for (range, steps, from, until) in cases {
            let window = range.window(now);
            assert_eq!((window.until - window.from).num_seconds(), steps * window.step.num_seconds());
            assert_eq!(window.from, from.parse::<DateTime<Utc>>().expect("time"), "{range:?}");
            assert_eq!(window.until, until.parse::<DateTime<Utc>>().expect("time"), "{range:?}");
            assert_eq!(window.step_of(window.from), window.from, "{range:?}");
            assert_eq!(window.step_of(now) + window.step, window.until, "{range:?}");
        }
    }

    #[test]
    fn a_range_has_one_of_five_names() {
        for (text, range) in [(None, Range::Day), (Some("1h"), Range::Hour), (Some("30d"), Range::Month)] {
            assert_eq!(Range::parse(text).expect("known"), range);
        }
        Range::parse(Some("2h")).expect_err("unknown");
        assert_eq!(serde_json::to_string(&Range::SixHours).expect("text"), "\"6h\"");
    }
}
