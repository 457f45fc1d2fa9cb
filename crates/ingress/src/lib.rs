//! Route table and the built-in data plane.
//!
//! [`gateway::Gateway`] holds what is served (routes, certificates, challenges) and swaps it whole; [`server::serve`]
//! accepts on a listener and answers with it; [`Drain`] ends both without cutting requests. A live request
//! touches nothing but memory and its upstream.

mod admission;
pub mod balance;
pub mod bind;
mod body;
mod challenge;
mod conversation;
pub mod drain;
mod extended_connect;
mod forward_auth;
pub mod gateway;
mod grpc;
mod h2c;
mod headers;
pub mod limits;
pub mod observe;
mod options;
pub mod pages;
pub mod proxy_protocol;
mod seldom;
pub mod server;
mod stall;
pub mod streams;
pub mod table;
pub mod tls;
pub mod traffic;
mod tunnel;
pub mod upstream;
mod visit;

pub use drain::Drain;
pub use gateway::{Gateway, Options};
pub use limits::Limits;
pub use server::{Scheme, serve};

/// Something in a spec that cannot be served. It is left out; everything else is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it concerns, for example ``route `hello` ``.
    pub subject: String,
    /// Continues the sentence: `has no host`.
    pub problem: String,
}

impl Problem {
    fn new(subject: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { subject: subject.into(), problem: problem.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.subject, self.problem)
    }
}
