//! The version of each consumer's desired state. Whoever changes what a consumer should do raises its generation in
//! the same transaction; the hub pushes the state whenever the generation is above what the agent has.

use std::collections::{BTreeSet, HashMap};

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

/// Raises the generations of workers to whom nothing but the private network is new, and says so. In no transaction:
/// whoever raises them for other reasons holds them in whatever order.
pub async fn raise_network(conn: &mut PgConnection, nodes: &BTreeSet<NodeId>) -> sqlx::Result<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    let consumers: Vec<String> = nodes.iter().map(|node| Consumer::Worker(*node).to_string()).collect();
    // All that nobody holds at once, and so without waiting for anybody; then the others, one after the other.
    let raised: BTreeSet<String> = sqlx::query_scalar!(
        "with free as (select consumer from generations where consumer = any($1) for update skip locked)
         update generations set generation = generation + 1, changed_at = now(),
             network_from = case when network_to = generation then network_from else generation end,
             network_to = generation + 1
         from free where generations.consumer = free.consumer
         returning generations.consumer",
        &consumers
    )
    .fetch_all(&mut *conn)
    .await?
    .into_iter()
    .collect();
    for consumer in consumers.into_iter().filter(|consumer| !raised.contains(consumer)) {
        sqlx::query!(
            "insert into generations (consumer) values ($1)
             on conflict (consumer) do update set generation = generations.generation + 1, changed_at = now(),
                 network_from = case when generations.network_to = generations.generation
                                     then generations.network_from else generations.generation end,
                 network_to = generations.generation + 1",
            consumer
        )
        .execute(&mut *conn)
        .await?;
    }
    bus::say(conn, Topic::Generations, "").await
}

/// The generation in force; 0 before the first change.
pub async fn current(conn: &mut PgConnection, consumer: Consumer) -> sqlx::Result<Generation> {
    let found =
        sqlx::query_scalar!("select generation from generations where consumer = $1", consumer.to_string())
            .fetch_optional(conn)
            .await?;
    Ok(found.unwrap_or(0))
}

/// A generation, and since which one nothing but the private network has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    pub generation: Generation,
    pub only_network_since: Option<Generation>,
}

/// All generations, by consumer.
pub async fn all(conn: &mut PgConnection) -> sqlx::Result<HashMap<String, Current>> {
    let rows = sqlx::query!(
        "select consumer, generation, case when network_to = generation then network_from end as only_network_since
         from generations"
    )
    .fetch_all(conn)
    .await?;
    let current = |generation, only_network_since| Current { generation, only_network_since };
    Ok(rows.into_iter().map(|row| (row.consumer, current(row.generation, row.only_network_since))).collect())
}
