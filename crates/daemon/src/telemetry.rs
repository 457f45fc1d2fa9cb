//! Logs: one JSON object per line for machines, text for a terminal. What never goes into them: docs/logging.md.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Sends events to standard error. `WH_LOG` filters as `tracing_subscriber::EnvFilter` (default `info`).
pub fn install() {
    let filter = EnvFilter::try_from_env("WH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE);
    // A second subscriber in one process is a test's; the first one stays.
    let _ = if std::io::stderr().is_terminal() {
        builder.compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}
