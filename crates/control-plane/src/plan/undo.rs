//! The way back from a roll-out that failed or was cancelled after instances of it had entered the route table: the
//! live release returns, and what the other put there leaves.

use protocol::ids::InstanceId;

/// All that matters about one app of which no deployment is rolling out.
#[derive(Debug, Clone, Default)]
pub struct Situation {
    /// Somebody asked for the way back; otherwise the table must not get worse by it.
    pub asked: bool,
    /// Instances that the live release should have; 0 without one.
    pub replicas: usize,
    /// Healthy instances of the live release in the table.
    pub healthy: usize,
    /// Instances of deployments that ended without being live, in the table.
    pub stray: Vec<Seen>,
    /// Instances of the live release that still run and are out of the table.
    pub back: Vec<Seen>,
}

/// An instance, and whether it serves.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub id: InstanceId,
    pub healthy: bool,
}

/// Who enters the table and who leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    pub enter: Vec<InstanceId>,
    pub leave: Vec<InstanceId>,
}

/// The step that can be taken now, if there is one. Whatever of the live release still runs returns at once. For each
/// that is healthy one of the others leaves, and so does what is more than the app should have: a release that lost
/// instances in the meantime is helped out by those of the failed one until its own are well again.
pub fn plan(now: &Situation) -> Option<Switch> {
    let healthy = |seen: &[Seen]| seen.iter().filter(|seen| seen.healthy).count();
    let (back, stray) = (healthy(&now.back), healthy(&now.stray));
    let spare = (now.healthy + back + stray).saturating_sub(now.replicas);
    let mut may_leave = if now.asked { stray } else { back.max(spare) };
    let mut leaves = |seen: &&Seen| {
        !seen.healthy || {
            let leaves = may_leave > 0;
            may_leave = may_leave.saturating_sub(1);
            leaves
        }
    };
    let leave: Vec<InstanceId> = now.stray.iter().filter(|seen| leaves(seen)).map(|seen| seen.id).collect();
    let enter: Vec<InstanceId> = now.back.iter().map(|seen| seen.id).collect();
    (!enter.is_empty() || !leave.is_empty()).then_some(Switch { enter, leave })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(healthy: &[bool]) -> Vec<Seen> {
        healthy.iter().map(|healthy| Seen { id: InstanceId::new(), healthy: *healthy }).collect()
    }

    fn enter_and_leave(now: &Situation) -> (usize, usize) {
        plan(now).map_or((0, 0), |switch| (switch.enter.len(), switch.leave.len()))
    }

    #[test]
    fn the_live_release_returns_as_a_whole() {
        let now = Situation {
            replicas: 2,
            stray: seen(&[true, true]),
            back: seen(&[true, true]),
            ..Situation::default()
        };
        assert_eq!(enter_and_leave(&now), (2, 2));
        assert_eq!(plan(&Situation { replicas: 2, healthy: 2, ..Situation::default() }), None);
    }

    #[test]
    fn nothing_healthy_leaves_for_something_ill_unless_it_was_asked_for() {
        let mut now = Situation {
            replicas: 2,
            healthy: 1,
            stray: seen(&[true, false]),
            back: seen(&[false]),
            ..Situation::default()
        };
        assert_eq!(enter_and_leave(&now), (1, 1), "the ill one leaves");
        now.back.clear();
        now.stray.pop();
        assert_eq!(plan(&now), None, "it helps out");
        now.healthy = 2;
        assert_eq!(enter_and_leave(&now), (0, 1), "until it is not needed");
        now.healthy = 0;
        now.asked = true;
        assert_eq!(enter_and_leave(&now), (0, 1));
    }

    #[test]
    fn without_a_live_release_nothing_stays() {
        let now = Situation { stray: seen(&[true]), ..Situation::default() };
        assert_eq!(enter_and_leave(&now), (0, 1));
    }
}
