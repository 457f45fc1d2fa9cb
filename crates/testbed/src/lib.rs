//! The whole system on one machine, for end-to-end tests, benchmarks and `scripts/dev`: real hosts (namespaces of the
//! kernel on a bridge that plays the public internet) with the real programs, Podman, Postgres, `WireGuard`, an
//! ACME server and its DNS.

pub mod api;
pub mod cache;
mod cgroup;
pub mod cluster;
mod container_config;
mod dns;
pub mod forward;
pub mod host;
pub mod http;
pub mod init;
pub mod journal;
pub mod network;
pub mod pki;
pub mod preflight;
pub mod process;
pub mod report;
pub mod service;
pub mod session;
mod sockets;
pub mod software;
pub mod tools;
pub mod topology;
pub mod traefik;
