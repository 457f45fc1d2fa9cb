//! The next steps of an app that is stopped or deleted: its instances leave the table, and end once nobody uses them any more.

use std::fmt;

use protocol::ids::InstanceId;

/// All that matters about one stopped app.
#[derive(Debug, Clone, Default)]
pub struct Situation {
    /// A roll-out is to start it again, and decides alone until it is over.
    pub rolling_out: bool,
    /// Its instances that should still run.
    pub instances: Vec<Running>,
}

/// An instance that should still run.
#[derive(Debug, Clone)]
pub struct Running {
    pub id: InstanceId,
    pub traffic: Traffic,
}

/// Whether requests reach an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// It is in the table.
    Served,
    /// It left the table; the drain ends it.
    Draining,
    /// It never was in the table.
    Never,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Take them out of the table.
    Leave(Vec<InstanceId>),
    /// End them.
    End(Vec<InstanceId>),
    Wait(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leave(ids) => write!(f, "{} leave the table", ids.len()),
            Self::End(ids) => write!(f, "end {}", ids.len()),
            Self::Wait(what) => write!(f, "wait for {what}"),
        }
    }
}

/// The steps that can be taken now; none when nothing runs.
pub fn plan(now: &Situation) -> Vec<Step> {
    if now.rolling_out {
        return vec![Step::Wait("the roll-out that starts it again".to_owned())];
    }
    let with = |traffic: Traffic| -> Vec<InstanceId> {
        now.instances.iter().filter(|one| one.traffic == traffic).map(|one| one.id).collect()
    };
    let mut steps = Vec::new();
    let (served, draining, never) = (with(Traffic::Served), with(Traffic::Draining), with(Traffic::Never));
    if !served.is_empty() {
        steps.push(Step::Leave(served));
    }
    if !never.is_empty() {
        steps.push(Step::End(never));
    }
    if !draining.is_empty() {
        steps.push(Step::Wait(format!("{} to drain", draining.len())));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn situation(traffic: &[Traffic]) -> Situation {
        let instances =
            traffic.iter().map(|traffic| Running { id: InstanceId::new(), traffic: *traffic }).collect();
        Situation { rolling_out: false, instances }
    }

    fn text(situation: &Situation) -> String {
        plan(situation).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_stop_from_its_beginning_to_nothing() {
        use Traffic::{Draining, Never, Served};
        let story = [
            situation(&[Served, Served, Never]),
            situation(&[Draining, Draining]),
            situation(&[Draining]),
            situation(&[]),
        ];
        insta::assert_snapshot!(story.iter().map(text).collect::<Vec<_>>().join("\n"), @r"
        2 leave the table; end 1
        wait for 2 to drain
        wait for 1 to drain
        ");
    }

    #[test]
    fn a_roll_out_that_starts_the_app_again_is_left_alone() {
        let now = Situation { rolling_out: true, ..situation(&[Traffic::Never, Traffic::Served]) };
        assert_eq!(text(&now), "wait for the roll-out that starts it again");
    }
}
