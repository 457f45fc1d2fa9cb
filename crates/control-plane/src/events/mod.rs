//! Server-sent events: how they are sent, and the stream of hints to fetch again.

pub mod api;
pub mod store;
pub mod stream;
#[cfg(test)]
mod tests;
