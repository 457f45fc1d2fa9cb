//! What tests of the planner begin with.

use std::time::Duration;

use protocol::ids::{InstanceId, NodeId};
use protocol::spec::Resources;

use super::prepare::Prepare;
use super::{New, Situation};
use crate::apps::Strategy;
use crate::placement::{self, Placement};
use crate::plan::placement::{Candidate, Wish};

/// Empty; `w1` has the image.
pub(crate) fn worker(name: &str) -> Candidate {
    Candidate { has_image: name == "w1", ..Candidate::new(NodeId::new(), name.to_owned()) }
}

/// Of an app that asks nothing.
pub(crate) fn wish() -> Wish {
    Wish::of(&Placement::default(), &Resources::default(), placement::Strategy::default())
}

/// Two instances are to take the place of one, all at once, on two empty workers.
pub(crate) fn situation(new: Vec<New>) -> Situation {
    Situation {
        replicas: 2,
        strategy: Strategy::BlueGreen,
        exclusive: false,
        endings: Vec::new(),
        prepare: Prepare::Done,
        new,
        kept: Vec::new(),
        old: vec![InstanceId::new()],
        back: 0,
        workers: Some(vec![worker("w1"), worker("w2")]),
        wish: wish(),
        lost: Vec::new(),
        probing: false,
        switched: false,
        proxies_behind: Vec::new(),
        idle: Duration::ZERO,
        start_within: Duration::from_secs(30),
    }
}
