//! Streams: TCP and UDP ports of the proxies that lead to apps past HTTP.

pub mod api;
mod check;
pub mod ports;
pub mod store;
#[cfg(test)]
mod tests;
mod view;

pub use view::{StreamList, StreamView};

/// Streams of one app.
pub const COUNT_LIMIT: usize = 20;
