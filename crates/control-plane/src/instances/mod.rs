//! Instances: containers of a release on a node, as wanted and as seen.

pub mod report;
pub mod store;
