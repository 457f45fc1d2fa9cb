//! When a person may have a new certificate at once: within the budget that all orders keep, some of which renewals need.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Budget;

/// An order of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    pub at: DateTime<Utc>,
    pub issued: bool,
}

/// Why not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The CA would soon refuse: not before this time.
    Budget(DateTime<Utc>),
    /// There was an order a moment ago: only for someone who means it.
    Sure(DateTime<Utc>),
}

const RECENT: TimeDelta = TimeDelta::hours(1);

/// Whether one may be ordered now; `again` is the answer to "are you sure?".
pub fn check(past: &[Past], budget: &Budget, again: bool, now: DateTime<Utc>) -> Result<(), Refusal> {
    if let Some(at) = free_at(past, budget, now) {
        return Err(Refusal::Budget(at));
    }
    let last = past.iter().map(|order| order.at).max();
    match last.filter(|at| now - *at < RECENT) {
        Some(at) if !again => Err(Refusal::Sure(at)),
        _ => Ok(()),
    }
}

/// When there is room again; absent when there is room now.
pub fn free_at(past: &[Past], budget: &Budget, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let within = |issued: bool, window: TimeDelta, most: u32| {
        let mut times: Vec<DateTime<Utc>> = past
            .iter()
            .filter(|order| order.issued == issued && now - order.at < window)
            .map(|order| order.at)
            .collect();
        times.sort_unstable();
        // Room comes when all but `most - 1` of them have left the window.
        times.len().checked_sub(most as usize).map(|index| times[index] + window)
    };
    within(false, TimeDelta::hours(1), budget.failures).max(within(
        true,
        TimeDelta::days(7),
        budget.same_names,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-06-01T12:00:00Z".parse().expect("time")
    }

    fn check(past: &[Past], again: bool, now: DateTime<Utc>) -> Result<(), Refusal> {
        super::check(past, &Budget::default(), again, now)
    }

    fn past(minutes: &[i64], issued: bool) -> Vec<Past> {
        minutes.iter().map(|minutes| Past { at: now() - TimeDelta::minutes(*minutes), issued }).collect()
    }

    #[test]
    fn a_second_one_within_the_hour_is_asked_about() {
        assert_eq!(check(&[], false, now()), Ok(()));
        assert_eq!(check(&past(&[61], true), false, now()), Ok(()));
        let recent = past(&[59], true);
        assert_eq!(check(&recent, false, now()), Err(Refusal::Sure(recent[0].at)));
        assert_eq!(check(&recent, true, now()), Ok(()));
    }

    #[test]
    fn the_budget_holds_for_someone_who_is_sure_too_and_says_when_it_ends() {
        let failed = past(&[50, 40, 30, 20], false);
        let until = now() + TimeDelta::minutes(10);
        assert_eq!(check(&failed, true, now()), Err(Refusal::Budget(until)));
        assert_eq!(check(&failed, true, until), Ok(()));
        let more = past(&[55, 50, 40, 30, 20], false);
        assert_eq!(check(&more, true, now()), Err(Refusal::Budget(until)), "one has to leave more");
        let issued = past(&[60 * 24 * 6, 60 * 24 * 3, 600, 120], true);
        assert_eq!(check(&issued, true, now()), Err(Refusal::Budget(now() + TimeDelta::days(1))));
        assert_eq!(check(&past(&[60 * 24 * 8, 4000, 600, 120], true), true, now()), Ok(()));
    }
}
