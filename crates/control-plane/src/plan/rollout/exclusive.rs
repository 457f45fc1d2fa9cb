//! The way to the only instance of an exclusive app: whatever else runs of it ends first.

use std::time::Duration;

use protocol::ids::InstanceId;

use super::{Ending, Situation, Step, failure, place};

/// For how long the old instance may take to end: longer than any drain and any time to stop.
pub(super) const ENDING_LIMIT: Duration = Duration::from_mins(90);

/// The steps before the instance can start; `None` when it can. Nothing is ended as long as the new one has no place.
pub(super) fn plan(now: &Situation, surplus: &[InstanceId]) -> Option<Vec<Step>> {
    if !now.exclusive {
        return None;
    }
    let leave = [now.old.as_slice(), surplus].concat();
    if leave.is_empty() && now.endings.is_empty() {
        return None;
    }
    if let Err(step) = place(now, &now.wish, 1) {
        return Some(vec![step]);
    }
    if leave.is_empty() && now.idle >= ENDING_LIMIT {
        return Some(vec![Step::Fail(Box::new(failure::runs_on(&in_words(&now.endings))))]);
    }
    if leave.is_empty() {
        return Some(vec![Step::Wait(in_words(&now.endings))]);
    }
    Some(vec![Step::Clear(leave)])
}

fn in_words(endings: &[Ending]) -> String {
    let one = |ending: &Ending| match ending.lease_left {
        Some(left) => {
            format!("the lease of {}, which is gone, to end in {} s", ending.node, left.as_secs() + 1)
        }
        None => format!("the instance on {} to end", ending.node),
    };
    endings.iter().map(one).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use protocol::report::InstanceState;

    use super::super::samples::{situation, worker};
    use super::super::{New, PLACE_LIMIT, plan};
    use super::*;

    fn only(old: usize, endings: Vec<Ending>) -> Situation {
        let old = (0..old).map(|_| InstanceId::new()).collect();
        Situation { exclusive: true, replicas: 1, old, endings, ..situation(Vec::new()) }
    }

    fn ending(node: &str, lease_left: Option<u64>) -> Ending {
        let lease_left = lease_left.map(Duration::from_secs);
        Ending { id: InstanceId::new(), node: node.to_owned(), wanted: false, lease_left }
    }

    fn text(now: &Situation) -> String {
        plan(now).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn the_old_one_has_ended_before_the_new_one_starts() {
        let new = New {
            id: InstanceId::new(),
            node: "w1".to_owned(),
            node_gone: false,
            in_rotation: false,
            state: InstanceState::Healthy,
            failure: None,
        };
        let story = [
            only(1, vec![ending("w2", None)]),
            only(0, vec![ending("w2", None)]),
            only(0, vec![ending("w2", Some(59))]),
            only(0, Vec::new()),
            Situation { new: vec![new], ..only(0, Vec::new()) },
        ];
        insta::assert_snapshot!(story.iter().map(text).collect::<Vec<_>>().join("\n"), @r"
        clear: 1 leave
        wait for the instance on w2 to end
        wait for the lease of w2, which is gone, to end in 60 s
        start on w1 port 20000
        switch: 1 enter, 0 leave
        ");
    }

    #[test]
    fn it_serves_on_as_long_as_the_new_one_has_no_place() {
        let mut full = worker("w1");
        full.cordoned = true;
        let mut now = Situation { workers: Some(vec![full]), ..only(1, vec![ending("w1", None)]) };
        assert_eq!(text(&now), "wait for a worker that can take an instance (w1: cordoned)");
        now.idle = PLACE_LIMIT;
        assert!(text(&now).starts_with("fail: "), "{}", text(&now));
    }
}
