//! The paths of an app that are asked for most.

use std::collections::HashMap;

use protocol::traffic::{MAX_PATHS, PathTraffic, path_pattern};

use super::budget::Budget;

/// Paths that are kept when there are [`MOST`]. What is forgotten then had less than this part of the app's requests.
const KEPT: usize = 64;
const MOST: usize = 2 * KEPT;

/// Requests by path since the last drain.
#[derive(Debug, Default)]
pub(super) struct Paths {
    held: HashMap<Box<str>, Counts>,
    /// Taken of the budget.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Counts {
    requests: u64,
    errors: u64,
    took_us: u64,
}

impl Paths {
    /// Counts a request that stands for `weight`.
    pub(super) fn add(&mut self, path: &str, weight: u32, status: u16, took_us: u64, budget: &Budget) {
        let path = path_pattern(path);
        if !self.held.contains_key(path.as_str()) {
            if self.held.len() == MOST {
                self.forget(budget);
            }
            let bytes = size_of(&path);
            if !budget.take(bytes) {
                return;
            }
            self.bytes += bytes;
        }
        let counts = self.held.entry(path.into()).or_default();
        let weight = u64::from(weight);
        counts.requests += weight;
        counts.took_us = counts.took_us.saturating_add(took_us.saturating_mul(weight));
        if status >= 500 {
            counts.errors += weight;
        }
    }

    /// Those with the fewest requests.
    fn forget(&mut self, budget: &Budget) {
        let mut counts: Vec<u64> = self.held.values().map(|counts| counts.requests).collect();
        let (_, least, _) = counts.select_nth_unstable_by(KEPT, |one, other| other.cmp(one));
        let least = *least;
        let mut freed = 0;
        self.held.retain(|path, counts| {
            let stays = counts.requests > least;
            freed += if stays { 0 } else { size_of(path) };
            stays
        });
        self.bytes -= freed;
        budget.give_back(freed);
    }

    /// The most asked for first.
    pub(super) fn drain(&mut self, budget: &Budget) -> Vec<PathTraffic> {
        budget.give_back(std::mem::take(&mut self.bytes));
        let told = std::mem::take(&mut self.held).into_iter().map(|(path, counts)| PathTraffic {
            path: path.into(),
            requests: counts.requests,
            errors: counts.errors,
            took_us: counts.took_us,
        });
        let mut told: Vec<PathTraffic> = told.collect();
        told.sort_by(|one, other| other.requests.cmp(&one.requests).then_with(|| one.path.cmp(&other.path)));
        told.truncate(MAX_PATHS);
        told
    }
}

fn size_of(path: &str) -> usize {
    path.len() + std::mem::size_of::<(Box<str>, Counts)>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_asked_for_the_most_asked_for_are_told_and_the_memory_is_bounded() {
        let (mut paths, budget) = (Paths::default(), Budget::new(1 << 20));
        for number in 0..100_000 {
            paths.add(&format!("/scan-{number}-x"), 1, 404, 10, &budget);
            if number % 20 == 0 {
                paths.add("/users/17", 1, 200, 1000, &budget);
                paths.add("/broken", 1, 503, 2000, &budget);
            }
            assert!(paths.held.len() <= MOST);
        }
        let told = paths.drain(&budget);
        assert_eq!(told.len(), MAX_PATHS);
        let broken =
            PathTraffic { path: "/broken".to_owned(), requests: 5000, errors: 5000, took_us: 10_000_000 };
        assert_eq!(told[0], broken);
        assert_eq!((told[1].path.as_str(), told[1].requests, told[1].errors), ("/users/*", 5000, 0));
        assert!(budget.take(1 << 20), "all room is given back");
    }

    #[test]
    fn a_request_may_stand_for_several() {
        let (mut paths, budget) = (Paths::default(), Budget::new(1 << 20));
        paths.add("/", 1, 200, 5, &budget);
        paths.add("/", 16, 500, 10, &budget);
        let told = PathTraffic { path: "/".to_owned(), requests: 17, errors: 16, took_us: 165 };
        assert_eq!(paths.drain(&budget), [told]);
    }

    #[test]
    fn without_room_known_paths_are_still_counted() {
        let (mut paths, budget) = (Paths::default(), Budget::new(size_of("/a")));
        for path in ["/a", "/b", "/a"] {
            paths.add(path, 1, 200, 1, &budget);
        }
        let told = paths.drain(&budget);
        assert_eq!((told.len(), told[0].path.as_str(), told[0].requests), (1, "/a", 2));
    }
}
