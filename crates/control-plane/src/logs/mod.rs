//! What instances print.

pub mod api;
pub mod store;
#[cfg(test)]
mod tests;
