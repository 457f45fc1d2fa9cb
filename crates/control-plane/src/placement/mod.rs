//! Where instances of an app may be, and what the nodes have to give. Which node it is decides [`crate::plan::placement`].

pub mod api;
pub mod config;
mod constraint;
pub mod drains;
pub mod moves;
#[cfg(test)]
mod moves_tests;
pub mod rebalance;
pub mod store;
#[cfg(test)]
pub(crate) mod tests;

use serde::{Deserialize, Serialize};

pub use self::constraint::Constraint;

/// Where instances of an app may be. Looked at whenever one is placed; those that run stay where they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// Which of the nodes that fit; that of the control plane's configuration when null.
    pub strategy: Option<Strategy>,
    /// What a node's labels must fulfil: `disk=nvme`, `region!=us`, `gpu`, `!spot`.
    #[schema(value_type = Vec<String>)]
    pub required: Vec<Constraint>,
    /// What they should fulfil: the more of it, the better.
    #[schema(value_type = Vec<String>)]
    pub preferred: Vec<Constraint>,
    /// Name of the only node.
    pub pin: Option<String>,
    pub anti_affinity: AntiAffinity,
    /// Most instances of a release on one node.
    pub max_per_node: Option<u16>,
    /// Seconds for which its node may be gone before an instance is placed elsewhere; that of the control plane's
    /// configuration when null.
    pub grace_s: Option<u32>,
}

/// Which of the nodes that fit gets an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = PlacementStrategy)]
pub enum Strategy {
    /// The one with the smallest share of its processors and memory reserved.
    #[default]
    LeastUtilised,
    /// The one that was given an instance the longest time ago.
    RoundRobin,
    /// The fullest one that it fits on, so that others stay free for large apps.
    Resource,
    /// Of the region with the fewest replicas, the one with the fewest instances.
    Spread,
}

impl std::fmt::Display for Strategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LeastUtilised => "least-utilised",
            Self::RoundRobin => "round-robin",
            Self::Resource => "resource",
            Self::Spread => "spread",
        })
    }
}

/// How replicas keep away from each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AntiAffinity {
    /// They share a node only when no other fits.
    #[default]
    Soft,
    /// They never share one.
    Hard,
}

/// The label by which nodes are told apart by place.
pub const REGION: &str = "region";
