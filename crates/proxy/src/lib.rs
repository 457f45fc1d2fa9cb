//! The proxy's process: listens where the public comes in, serves what the control plane said last (also without it),
//! and orders certificates.

pub mod acme;
pub mod config;
mod engine;
mod jobs;
mod routing;
mod run;
mod sync;

pub use run::run;
