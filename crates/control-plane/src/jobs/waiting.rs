//! Why a build that is queued does not run yet.

/// The build slots of a connected worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    pub worker: String,
    pub total: i64,
    pub busy: i64,
}

/// The first thing that a queued build waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// An earlier deployment of the same app.
    Earlier(i32),
    NoWorker,
    NoSlots,
    /// How many slots there are, and whose.
    Busy(i64, Vec<String>),
    /// Nothing: the scheduler comes to it in a moment.
    Turn,
}

/// More workers than these are counted, not named.
const NAMED: usize = 3;

impl Waiting {
    /// `earlier`: an unfinished deployment of the app that goes first.
    pub fn of(earlier: Option<i32>, slots: &[Slots]) -> Self {
        let total: i64 = slots.iter().map(|worker| worker.total).sum();
        match earlier {
            Some(number) => Self::Earlier(number),
            None if slots.is_empty() => Self::NoWorker,
            None if total == 0 => Self::NoSlots,
            None if slots.iter().any(|worker| worker.busy < worker.total) => Self::Turn,
            None => {
                let builders = slots.iter().filter(|worker| worker.total > 0);
                Self::Busy(total, builders.map(|worker| worker.worker.clone()).collect())
            }
        }
    }

    /// As a sentence about the queue.
    pub fn reason(&self) -> String {
        match self {
            Self::Earlier(number) => format!("deployment {number} of this app goes first"),
            Self::NoWorker => "no worker is connected".to_owned(),
            Self::NoSlots => "no connected worker has a build slot".to_owned(),
            Self::Busy(1, workers) => format!("the only build slot of {} is busy", names(workers)),
            Self::Busy(total, workers) => format!("all {total} build slots of {} are busy", names(workers)),
            Self::Turn => "a build slot is free: it starts in a moment".to_owned(),
        }
    }

    /// As what follows on "waiting for".
    pub fn waiting_for(&self) -> String {
        match self {
            Self::Earlier(number) => format!("deployment {number} of this app"),
            Self::NoWorker => "a worker to come online".to_owned(),
            Self::NoSlots | Self::Busy(..) => format!("a free build slot: {}", self.reason()),
            Self::Turn => "a free build slot".to_owned(),
        }
    }
}

fn names(workers: &[String]) -> String {
    match workers {
        [all @ .., last] if !all.is_empty() && workers.len() <= NAMED => {
            format!("{} and {last}", all.join(", "))
        }
        [one] => one.clone(),
        many => format!("{} workers", many.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(workers: &[(&str, i64, i64)]) -> Vec<Slots> {
        workers
            .iter()
            .map(|&(worker, total, busy)| Slots { worker: worker.to_owned(), total, busy })
            .collect()
    }

    fn reason(earlier: Option<i32>, workers: &[(&str, i64, i64)]) -> String {
        Waiting::of(earlier, &slots(workers)).reason()
    }

    #[test]
    fn the_reason_names_who_is_busy() {
        assert_eq!(reason(None, &[("w1", 2, 2)]), "all 2 build slots of w1 are busy");
        assert_eq!(reason(None, &[("w1", 1, 1)]), "the only build slot of w1 is busy");
        assert_eq!(reason(None, &[("w1", 2, 2), ("w2", 1, 1)]), "all 3 build slots of w1 and w2 are busy");
        assert_eq!(reason(None, &[("w1", 1, 1); 3]), "all 3 build slots of w1, w1 and w1 are busy");
        assert_eq!(reason(None, &[("w1", 2, 2); 5]), "all 10 build slots of 5 workers are busy");
        assert_eq!(
            reason(None, &[("w1", 2, 2), ("builds-nothing", 0, 0)]),
            "all 2 build slots of w1 are busy"
        );
        // Fewer slots than before: the builds of then run on.
        assert_eq!(reason(None, &[("w1", 2, 3)]), "all 2 build slots of w1 are busy");
    }

    #[test]
    fn without_a_worker_or_with_a_free_slot_it_says_so() {
        assert_eq!(reason(None, &[]), "no worker is connected");
        assert_eq!(reason(None, &[("w1", 0, 0)]), "no connected worker has a build slot");
        assert_eq!(
            reason(None, &[("w1", 2, 2), ("w2", 2, 1)]),
            "a build slot is free: it starts in a moment"
        );
    }

    #[test]
    fn an_earlier_deployment_of_the_app_is_the_first_reason() {
        assert_eq!(reason(Some(4), &[("w1", 2, 2)]), "deployment 4 of this app goes first");
        assert_eq!(reason(Some(4), &[]), "deployment 4 of this app goes first");
    }

    #[test]
    fn every_reason_can_follow_on_waiting_for() {
        let after = |workers: &[_]| Waiting::of(None, &slots(workers)).waiting_for();
        assert_eq!(Waiting::Earlier(4).waiting_for(), "deployment 4 of this app");
        assert_eq!(after(&[]), "a worker to come online");
        assert_eq!(after(&[("w1", 2, 2)]), "a free build slot: all 2 build slots of w1 are busy");
        assert_eq!(after(&[("w1", 2, 0)]), "a free build slot");
    }
}
