//! What tests of the planner begin with.

use std::collections::BTreeSet;
use std::time::Duration;

use protocol::ids::{InstanceId, NodeId};

use super::prepare::Prepare;
use super::{New, Situation};
use crate::apps::Strategy;
use crate::plan::placement::Candidate;

/// Empty; `w1` has the image.
pub(crate) fn worker(name: &str) -> Candidate {
    Candidate {
        node: NodeId::new(),
        name: name.to_owned(),
        of_release: 0,
        instances: 0,
        has_image: name == "w1",
        used_ports: BTreeSet::new(),
    }
}

/// Two instances are to take the place of one, all at once, on two empty workers.
pub(crate) fn situation(new: Vec<New>) -> Situation {
    Situation {
        replicas: 2,
        strategy: Strategy::BlueGreen,
        prepare: Prepare::Done,
        new,
        kept: Vec::new(),
        old: vec![InstanceId::new()],
        back: 0,
        workers: vec![worker("w1"), worker("w2")],
        lost: Vec::new(),
        probing: false,
        switched: false,
        proxies_behind: Vec::new(),
        idle: Duration::ZERO,
        start_within: Duration::from_secs(30),
    }
}
