//! What the public DNS says, as resolvers of the world outside see it: not this host's, which may know other names.

pub mod addresses;
pub mod alias;
pub mod cloudflare;
pub mod config;
#[cfg(test)]
pub(crate) mod testing;
pub mod txt;
