//! Ports that lead to apps past HTTP: TCP, and UDP by sessions.
//!
//! The table says which ports there are and where they lead; each connection asks it anew, so that a table is in force
//! for streams in the same moment as for requests. [`serve`] listens on what the table names and tells what it cannot
//! listen on; a port that is in use is tried again, and nothing else suffers by it. Connections stay with the instance
//! that they began at, and, when their stream is removed, have [`LEAVE`] to end.

mod copy;
mod desk;
mod listeners;
mod proxy_header;
mod table;
mod tcp;
mod tls;
mod udp;

use std::time::Duration;

pub(crate) use desk::Desk;
pub use listeners::{refuse, serve};
pub(crate) use table::{StreamEntry, StreamKey, StreamTable};

/// How long connections may go on after their stream was removed, and UDP sessions after their instance was.
const LEAVE: Duration = Duration::from_secs(30);
