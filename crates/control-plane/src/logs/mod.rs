//! What instances print.

pub mod api;
pub mod partitions;
pub mod scrubbed;
pub mod store;
#[cfg(test)]
mod tests;
