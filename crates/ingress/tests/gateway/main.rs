//! The gateway against real servers and clients on loopback.

mod access;
mod grpc;
mod http1;
mod rewriting;
mod support;
mod tls;
mod wildcards;
