//! Users, sessions and tokens.

pub mod store;
