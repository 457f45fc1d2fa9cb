//! Probes that do not ask from outside: a program in the container, or nothing but that it runs.

use std::time::{Duration, Instant};

use chrono::Utc;
use protocol::spec::{InstanceSpec, ProbeCheck};

use super::Host;
use super::probe::{BODY, Seen, silence};
use super::record::Attempt;

/// One attempt.
pub(super) async fn attempt(host: &Host, spec: &InstanceSpec, container: &str, attempts: u32) -> Attempt {
    match &spec.probe.check {
        ProbeCheck::Command { command } => {
            let limit = Duration::from_secs(u64::from(spec.probe.timeout_s.max(1)));
            program(host, container, command, limit).await.attempt(command.join(" "), attempts)
        }
        _ => runs(host, spec, container).await.attempt("that it runs".to_owned(), attempts),
    }
}

async fn program(host: &Host, container: &str, command: &[String], limit: Duration) -> Seen {
    let started = Instant::now();
    match host.podman.exec(container, command, limit, BODY).await {
        Ok(Some(ended)) => Seen {
            outcome: format!("ended with {} in {} ms", ended.exit_code, started.elapsed().as_millis()),
            body: (!ended.output.is_empty()).then(|| crate::text::clean(&ended.output)),
            success: ended.exit_code == 0,
            refused: false,
        },
        Ok(None) => Seen { outcome: silence(limit), ..Seen::default() },
        Err(error) => Seen { outcome: error.to_string(), ..Seen::default() },
    }
}

/// Healthy is what has run for the interval.
async fn runs(host: &Host, spec: &InstanceSpec, container: &str) -> Seen {
    let state = match host.podman.inspect(container).await {
        Ok(found) => found.state,
        Err(error) => return Seen { outcome: error.to_string(), ..Seen::default() },
    };
    let since = state.started_at.filter(|_| state.running).map(|at| (Utc::now() - at).num_seconds().max(0));
    match since {
        Some(seconds) => Seen {
            outcome: format!("runs for {seconds} s"),
            success: seconds >= i64::from(spec.probe.interval_s),
            ..Seen::default()
        },
        None => Seen { outcome: "does not run".to_owned(), ..Seen::default() },
    }
}
