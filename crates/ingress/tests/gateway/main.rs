//! The gateway against real servers and clients on loopback.

mod http1;
mod support;
mod tls;
