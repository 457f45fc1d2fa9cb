//! What happened to one app: the audit events that are about it, in sentences and for everybody who may see it.

pub mod api;
pub mod sentence;
pub mod store;
#[cfg(test)]
mod tests;
