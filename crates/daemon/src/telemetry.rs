//! Logs: one JSON object per line for machines, text for a terminal. What never goes into them: docs/logging.md.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::recent;

/// Sends events to standard error, and keeps the newest in [`recent::log`]. `WH_LOG` filters as
/// `tracing_subscriber::EnvFilter` (default `info`).
pub fn install() {
    let filter = EnvFilter::try_from_env("WH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if std::io::stderr().is_terminal() {
        lines.compact().boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    };
    // A second subscriber in one process is a test's; the first one stays.
    let _ = tracing_subscriber::registry().with(filter).with(lines).with(recent::Keep).try_init();
}
