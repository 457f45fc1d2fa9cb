//! What every host does: joining, the link to the control plane, the `WireGuard` mesh, the ledger of desired state.
//!
//! The mesh agent (`wisehosting-mesh`) joins the host and owns the tunnel. The other agents of the host wait for the
//! identity that it writes ([`identity::wait_for`]) and hold a link of their own ([`link::Link`]).

pub mod agent;
pub mod answer;
pub mod facts;
pub mod identity;
pub mod ledger;
pub mod link;
pub mod mesh;
pub mod traffic;
