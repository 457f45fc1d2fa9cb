//! The version of each consumer's desired state. Whoever changes what a consumer should do raises its generation in
//! the same transaction; the hub pushes the state whenever the generation is above what the agent has.

use std::collections::HashMap;

use protocol::identity::AgentKind;
use protocol::ids::NodeId;
use protocol::spec::Generation;
use sqlx::PgConnection;

use crate::bus::{self, Topic};

/// Whose desired state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Consumer {
    /// Every mesh agent: the set of peers.
    Mesh,
    /// Every proxy: routes, certificates, challenges; every worker that answers for zones by itself.
    Routes,
    /// One worker: its instances.
    Worker(NodeId),
}

impl Consumer {
    /// The one that an agent follows.
    pub fn of(node: NodeId, agent: AgentKind) -> Self {
        match agent {
            AgentKind::Mesh => Self::Mesh,
            AgentKind::Proxy | AgentKind::Ingress => Self::Routes,
            AgentKind::Worker => Self::Worker(node),
        }
    }
}

impl std::fmt::Display for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mesh => f.write_str("mesh"),
            Self::Routes => f.write_str("routes"),
            Self::Worker(node) => write!(f, "worker:{node}"),
        }
    }
}

/// Raises the generation, says so, and returns the new one.
pub async fn raise(conn: &mut PgConnection, consumer: Consumer) -> sqlx::Result<Generation> {
    let generation = sqlx::query_scalar!(
        "insert into generations (consumer) values ($1)
         on conflict (consumer) do update set generation = generations.generation + 1, changed_at = now()
         returning generation",
        consumer.to_string()
    )
    .fetch_one(&mut *conn)
    .await?;
    bus::say(conn, Topic::Generations, consumer).await?;
    Ok(generation)
}

/// The generation in force; 0 before the first change.
pub async fn current(conn: &mut PgConnection, consumer: Consumer) -> sqlx::Result<Generation> {
    let found =
        sqlx::query_scalar!("select generation from generations where consumer = $1", consumer.to_string())
            .fetch_optional(conn)
            .await?;
    Ok(found.unwrap_or(0))
}

/// All generations, by consumer.
pub async fn all(conn: &mut PgConnection) -> sqlx::Result<HashMap<String, Generation>> {
    let rows = sqlx::query!("select consumer, generation from generations").fetch_all(conn).await?;
    Ok(rows.into_iter().map(|row| (row.consumer, row.generation)).collect())
}
