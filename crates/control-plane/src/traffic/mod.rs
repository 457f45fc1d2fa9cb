//! What came in for the apps, as the proxies and the workers' ingresses tell it: numbers over time, paths, and some
//! requests told whole.

pub mod api;
pub mod config;
pub mod cursor;
pub mod intake;
pub mod numbers;
pub mod range;
pub mod requests;
pub mod store;
#[cfg(test)]
mod tests;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// Begin of the minute of a time.
pub fn minute(at: DateTime<Utc>) -> DateTime<Utc> {
    floor(at, TimeDelta::minutes(1))
}

/// Begin of the hour of a time.
pub fn hour(at: DateTime<Utc>) -> DateTime<Utc> {
    floor(at, TimeDelta::hours(1))
}

/// The last whole step since 1970. Times of which there is none, before 1677, stay.
fn floor(at: DateTime<Utc>, step: TimeDelta) -> DateTime<Utc> {
    at.duration_trunc(step).unwrap_or(at)
}
