//! Which is the largest packet that arrives: the interface's own size is tried first, then halves of what is between.
//! Pure; whoever sends says what became of each try.

/// Smaller than this no path is that carries IPv6, and none that the mesh is made for.
const SMALLEST: u16 = 576;
/// The search ends when it is as exact as this.
const EXACT: u16 = 8;
/// A size does not arrive when so many of it were lost one after the other.
const TRIES: u8 = 3;
/// Rounds until it is looked again whether the result still holds and the whole size arrives by now.
const AGAIN: u16 = 150;

/// Sizes are bytes of whole packets, as an interface's MTU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Search {
    /// The interface's.
    max: u16,
    /// Arrives.
    works: Option<u16>,
    /// Does not.
    fails: Option<u16>,
    lost: u8,
    /// Rounds since the search ended.
    rested: u16,
    /// Of the search before.
    result: Option<u16>,
}

impl Search {
    pub(super) fn new(max: u16) -> Self {
        Self { max, works: None, fails: None, lost: 0, rested: 0, result: None }
    }

    /// What was found out; while it is looked at again, what was found before.
    pub(super) fn result(&self) -> Option<u16> {
        if self.ended() { self.works } else { self.result }
    }

    /// The size to try in this round.
    pub(super) fn next(&mut self) -> Option<u16> {
        if self.ended() {
            self.rested += 1;
            if self.rested < AGAIN {
                return None;
            }
            *self = Self { result: self.works, ..Self::new(self.max) };
        }
        Some(self.size())
    }

    /// What became of a packet of `size`.
    pub(super) fn tried(&mut self, size: u16, arrived: bool) {
        if self.ended() || size != self.size() {
            return;
        }
        if arrived {
            (self.works, self.lost) = (Some(size), 0);
        } else {
            self.lost += 1;
            if self.lost == TRIES {
                (self.fails, self.lost) = (Some(size), 0);
            }
        }
    }

    fn size(&self) -> u16 {
        match self.fails {
            None => self.max,
            Some(fails) => u16::midpoint(self.works.unwrap_or(SMALLEST), fails),
        }
    }

    fn ended(&self) -> bool {
        match (self.works, self.fails) {
            (works, None) => works == Some(self.max),
            (works, Some(fails)) => fails - works.unwrap_or(SMALLEST) <= EXACT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches on a path that carries packets up to `path`, and says how many were sent.
    fn search(search: &mut Search, path: u16) -> usize {
        let mut sent = 0;
        while let Some(size) = search.next() {
            search.tried(size, size <= path);
            sent += 1;
            assert!(sent < 60, "no end: {search:?}");
        }
        sent
    }

    #[test]
    fn a_path_that_carries_all_takes_one_packet() {
        let mut found = Search::new(1420);
        assert_eq!((search(&mut found, 1500), found.result()), (1, Some(1420)));
    }

    #[test]
    fn a_narrow_path_is_found_to_eight_bytes_and_never_overestimated() {
        for path in (600..1420).step_by(7) {
            let mut found = Search::new(1420);
            search(&mut found, path);
            let result = found.result().expect("found");
            assert!(result <= path && path - result <= 8, "{path}: {result}");
        }
    }

    #[test]
    fn a_few_losses_are_no_narrow_path() {
        let mut found = Search::new(1420);
        for arrived in [false, false, true] {
            let size = found.next().expect("goes on");
            found.tried(size, arrived);
        }
        assert_eq!(found.result(), Some(1420));
    }

    #[test]
    fn it_is_looked_at_again_and_the_old_result_holds_meanwhile() {
        let mut found = Search::new(1420);
        search(&mut found, 1300);
        let narrow = found.result();
        let mut rounds = 0;
        while found.next().is_none() {
            rounds += 1;
        }
        assert_eq!((rounds, found.result()), (AGAIN - 2, narrow));
        found.tried(1420, true);
        assert_eq!(found.result(), Some(1420));
    }

    #[test]
    fn an_answer_to_an_older_try_says_nothing_about_this_one() {
        let mut found = Search::new(1420);
        found.next();
        found.tried(1300, true);
        assert_eq!(found.result(), None);
    }
}
