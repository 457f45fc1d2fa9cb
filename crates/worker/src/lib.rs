//! Builds images and runs instances with Podman.
//!
//! * [`agent`] joins the parts: link, ledger, reconciler, jobs, HTTP on the mesh.
//! * [`job`]: source to image, each build in a process that survives the agent.
//! * [`images`]: keeps and removes images as the spec says.
//! * [`instances`]: keeps the instances of the spec running and no others.
//! * [`lease`]: lets exclusive instances run only while the control plane says so.
//! * [`means`]: by what this host keeps instances apart and within their limits; [`bandwidth`] and [`disk_use`] see to two
//!   of them.
//! * [`exec`]: programs that people run in instances.
//! * [`files`]: files into and out of instances.
//! * [`zones`]: answers for the direct zones that point at this worker.
//! * [`private`]: how apps reach each other by name.
//! * [`leave`]: takes away what all of these made.
//! * [`probe`]: what this host can do for containers.
//! * [`podman`]: the client of Podman's REST interface.

pub mod agent;
pub mod bandwidth;
pub mod bridges;
pub mod config;
pub mod disk_use;
pub mod exec;
mod failure;
pub mod files;
pub mod guard;
mod handover;
pub mod images;
pub mod instances;
pub mod job;
pub mod lease;
pub mod leave;
mod logs;
pub mod means;
mod places;
pub mod podman;
pub mod private;
pub mod probe;
mod registry;
mod scrub;
pub mod serve;
pub mod stats;
pub mod storage;
mod text;
pub mod tickets;
pub mod uplink;
pub mod zones;
