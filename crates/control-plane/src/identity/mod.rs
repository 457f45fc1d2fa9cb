//! Users, sessions and tokens.

pub mod password;
pub mod store;
