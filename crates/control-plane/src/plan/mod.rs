//! Decisions without side effects: rows in, desired state or steps out. The same rows give the same bytes.

pub mod fleet;
pub mod guards;
pub mod mesh;
pub mod network;
pub mod placement;
pub mod preview;
pub mod resolvers;
pub mod rollout;
pub mod routes;
pub mod stop;
pub mod streams;
pub mod undo;
pub mod worker;
#[cfg(test)]
mod world;
pub mod zone;
