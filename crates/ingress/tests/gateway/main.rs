//! The gateway against real servers and clients on loopback.

mod access;
mod arbitrary;
mod bodies;
mod compression;
mod downgrade;
mod drain;
mod floods;
mod forward_auth;
mod grpc;
mod http1;
mod instances;
mod limits;
mod messages;
mod proxy_protocol;
mod rate;
mod recorder;
mod rewriting;
mod smuggling;
mod streams;
mod support;
mod tls;
mod traffic;
mod wildcards;
mod wire;
