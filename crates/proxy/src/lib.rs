//! The proxy's process: listens where the public comes in, serves what the control plane said last (also without it),
//! and orders certificates. Or serves a file ([`standalone`]).

mod access_log;
pub mod acme;
mod cache;
pub mod config;
mod engine;
mod jobs;
mod public;
mod routing;
mod run;
pub mod standalone;
mod sync;

pub use run::run;
