//! What the control plane and its agents say to each other: ids, the signed envelope, messages, desired state
//! (`spec`) and observed state (`report`). Pure data and pure rules; no socket, no clock, no file.
//!
//! Three kinds of agents speak this protocol, one process each, any of them on any host: the mesh agent, the
//! worker and the proxy. They share the identity of their node ([`identity::NodeIdentity`]).

pub mod enforced;
pub mod enrol;
pub mod envelope;
pub mod exec;
pub mod files;
pub mod identity;
pub mod ids;
pub mod job;
pub mod labels;
pub mod lease;
pub mod message;
pub mod numbers;
mod order;
pub mod question;
pub mod registry;
pub mod report;
pub mod spec;
pub mod storage;
pub mod stream;
mod ticket;
pub mod traffic;
