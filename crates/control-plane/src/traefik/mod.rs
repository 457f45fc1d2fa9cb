//! The route table for any Traefik's HTTP provider, rendered by crate `traefik`.

pub mod api;

#[cfg(test)]
mod tests;
