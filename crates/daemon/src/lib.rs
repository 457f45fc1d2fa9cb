//! What every process of ours does, so that each does it the same way.

pub mod address;
pub mod backoff;
pub mod config;
pub mod confirm;
pub mod credentials;
pub mod crypto;
pub mod file;
pub mod http;
pub mod lifecycle;
pub mod lock;
pub mod recent;
pub mod reconcile;
pub mod seal;
pub mod status;
pub mod telemetry;
