//! The route tables for any Traefik's HTTP provider, rendered by crate `traefik`. They are rendered once for each
//! generation: Traefik asks every few seconds whether anything changed, and mostly nothing did.

pub mod api;
mod tables;

#[cfg(test)]
mod tests;

pub use tables::Tables;
