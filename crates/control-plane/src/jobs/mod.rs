//! Durable jobs of agents: builds for workers, certificate orders for proxies.
//!
//! A job is claimed once and runs under a lease. While its agent is connected, to whichever control plane, the lease
//! is renewed. A job runs on through a disconnect, so an agent that is gone keeps the lease for [`LEASE_S`]; only then
//! does the job fail, with the code `worker_lost`. Nothing is tried again by itself.
//!
//! Queued builds wait in one line for all workers: who was moved to the front first, then the oldest.

pub mod api;
pub mod dispatch;
pub mod inbox;
pub mod queue;
pub mod store;
pub mod waiting;

use protocol::identity::AgentKind;

/// Seconds that an agent may be out of sight before its jobs count as lost.
pub const LEASE_S: f64 = 15.0 * 60.0;

/// The kind of jobs that an agent carries out, as in the `jobs` table. Mesh agents have none.
pub fn kind_of(agent: AgentKind) -> &'static str {
    match agent {
        AgentKind::Worker => "build",
        AgentKind::Proxy => "certificate",
        AgentKind::Mesh | AgentKind::Ingress => "none",
    }
}

#[cfg(test)]
mod tests;
