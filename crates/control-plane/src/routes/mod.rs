//! What the route table is made from: apps, their host names, and their instances in rotation.

pub mod settings;
pub mod store;
#[cfg(test)]
mod tests;
