//! What a person reads on standard error: one line per step with its time, and failures with the end of the log.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Says what is going on, unless it is to be quiet.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    quiet: bool,
}

impl Progress {
    pub fn loud() -> Self {
        Self { quiet: false }
    }

    pub fn quiet() -> Self {
        Self { quiet: true }
    }

    /// Runs one step and prints how long it took; a failure names the step.
    pub async fn step<T>(self, name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let start = Instant::now();
        let done = work.await;
        self.line(if done.is_ok() { "✓" } else { "✗" }, start.elapsed(), name);
        done.with_context(|| format!("{name}: failed"))
    }

    #[expect(clippy::print_stderr, reason = "progress is for the person at the terminal")]
    fn line(self, mark: &str, took: Duration, name: &str) {
        if !self.quiet {
            eprintln!("  {mark} {:6.2} s  {name}", took.as_secs_f64());
        }
    }
}

const TAIL_LINES: usize = 20;

/// The end of a log, indented, with the log's path above it.
pub fn tail(log: &Path) -> String {
    tail_from(log, 0, |_| true).unwrap_or_else(|| format!("  the end of {}:\n    (empty)", log.display()))
}

/// The end of what stands behind the first `skip` bytes of a log and is worth reading, if anything.
pub fn tail_from(log: &Path, skip: u64, worth: impl Fn(&str) -> bool) -> Option<String> {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(text.get(usize::try_from(skip).ok()?..)?);
    let lines: Vec<&str> = text.lines().filter(|line| worth(line)).collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    let shown = || format!("  the end of {}:\n    {}", log.display(), last.join("\n    "));
    (!last.is_empty()).then(shown)
}

/// Asks until there is an answer, at first ten times a second. An error of `ask` counts as "not yet"; the last one is told when
/// `limit` has passed.
pub async fn until<T, F: Future<Output = Result<Option<T>>>>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let error = match ask().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if start.elapsed() > limit {
            let gave_up = format!("{what}: not within {} s", limit.as_secs());
            return Err(match error {
                Some(error) => error.context(gave_up),
                None => anyhow::anyhow!(gave_up),
            });
        }
        // To ask costs those who are waited for: more seldom the longer it takes.
        let pause = (start.elapsed() / 10).clamp(Duration::from_millis(100), Duration::from_millis(500));
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_names_its_log_and_shows_the_last_lines_only() {
        let folder = tempfile::tempdir().expect("temp dir");
        let log = folder.path().join("pebble.log");
        let text: Vec<String> = (0..50).map(|number| format!("line {number}")).collect();
        fs::write(&log, text.join("\n")).expect("write");
        let shown = tail(&log);
        assert!(shown.contains("pebble.log") && shown.contains("line 49") && !shown.contains("line 29\n"));
        let since = tail_from(&log, text.join("\n").len() as u64 - 7, |_| true).expect("one line");
        assert!(since.contains("line 49") && !since.contains("line 48"));
        assert_eq!(tail_from(&log, 10_000, |_| true), None);
        assert_eq!(tail_from(&log, 0, |line| line.ends_with("17")).expect("one line").lines().count(), 2);
    }

    #[tokio::test]
    async fn giving_up_tells_the_last_error() {
        let error =
            until("Pebble", Duration::ZERO, || async { anyhow::bail!("refused") as Result<Option<()>> })
                .await
                .expect_err("gives up");
        assert_eq!(format!("{error:#}"), "Pebble: not within 0 s: refused");
    }
}
