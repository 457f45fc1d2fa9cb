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

use protocol::identity::Role;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::http::{Error, Result};
use crate::nodes;

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
#[serde(rename_all = "kebab-case", try_from = "String")]
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

impl TryFrom<String> for Strategy {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let all = [Self::LeastUtilised, Self::RoundRobin, Self::Resource, Self::Spread];
        all.into_iter().find(|strategy| strategy.to_string() == word).ok_or_else(|| {
            format!("strategy must be least-utilised, round-robin, resource or spread, not `{word}`")
        })
    }
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

/// Refuses to pin to a node that is not there or runs no apps, with the one that was probably meant. A pin that was set
/// before stays as it is: its node may have gone since.
pub async fn check_pin(
    conn: &mut PgConnection,
    placement: &Placement,
    before: Option<&Placement>,
) -> Result<()> {
    let Some(pin) = placement.pin.as_deref() else { return Ok(()) };
    if before.is_some_and(|before| before.pin.as_deref() == Some(pin)) {
        return Ok(());
    }
    let nodes = nodes::store::all(conn).await?;
    match nodes.iter().find(|node| node.name == pin) {
        Some(node) if node.roles.contains(&Role::Worker) => Ok(()),
        Some(_) => {
            Err(Error::invalid("placement.pin", format!("the node {pin} is no worker: no app runs there"))
                .hint(workers_hint(&nodes, pin)))
        }
        None => Err(Error::invalid("placement.pin", format!("there is no node {pin}"))
            .hint(workers_hint(&nodes, pin))),
    }
}

/// Names that are told: more do not help.
const NAMED: usize = 20;

fn workers_hint(nodes: &[nodes::store::Known], word: &str) -> String {
    let workers: Vec<&str> = nodes
        .iter()
        .filter(|node| node.roles.contains(&Role::Worker) && node.name != word)
        .map(|node| node.name.as_str())
        .collect();
    let near = workers.iter().map(|name| (strsim::damerau_levenshtein(word, name), name)).min();
    let meant = near.filter(|(distance, _)| *distance <= 2).map(|(_, name)| format!("Did you mean {name}? "));
    let more = if workers.len() > NAMED { ", …" } else { "" };
    let known = match workers.len() {
        0 => "There are no workers yet".to_owned(),
        _ => format!("The workers are: {}{more}", workers[..workers.len().min(NAMED)].join(", ")),
    };
    meant.unwrap_or_default() + &known
}

/// The label by which nodes are told apart by place.
pub const REGION: &str = "region";
