//! The control plane: dashboard, API, hub for the agents, planner; all over Postgres.
//!
//! Every feature is one folder with the same file names: `mod.rs` types and pure rules, `api.rs` handlers, `store.rs`
//! the only SQL, `tests.rs` tests through HTTP. What must stay true is in `reconcile`, what must be decided without
//! touching anything is in `plan`.

pub mod activity;
pub mod admin;
pub mod app;
pub mod bus;
pub mod config;
pub mod db;
pub mod digest;
pub mod dns_providers;
pub mod front;
pub mod generations;
pub mod git_access;
pub mod http;
pub mod secret_check;
pub mod secrets;
pub mod serve;
#[cfg(test)]
pub(crate) mod testing;
pub mod vault;
pub mod zones;

pub mod apps;
pub mod archives;
pub mod audit;
pub mod census;
pub mod certificates;
pub mod deployments;
pub mod dns;
pub mod doctor;
pub mod domains;
pub mod events;
pub mod exec;
pub mod files;
pub mod healing;
pub mod hub;
pub mod identity;
pub mod images;
pub mod instances;
pub mod jobs;
pub mod logs;
pub mod mesh;
pub mod network;
pub mod nodes;
pub mod notices;
pub mod placement;
pub mod plan;
pub mod projects;
pub mod questions;
pub mod reconcile;
pub mod registries;
pub mod releases;
pub mod route_tokens;
pub mod routes;
pub mod streams;
pub mod tombstones;
pub mod traefik;
pub mod traffic;
pub mod variables;
