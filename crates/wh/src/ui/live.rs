//! A deployment as it happens: log lines and ended stages scroll, one line at the bottom tells what runs now.

use std::io::Write;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::paint::{Paint, sanitize};
use super::{Ui, time};
use crate::api::types::{Deployment, LogLine, StageProgress};

/// Without a bottom line a wait is told once it lasts.
const PATIENCE: Duration = Duration::from_secs(2);
const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Draws a deployment on standard error.
#[derive(Debug)]
pub(crate) struct Live {
    ui: Ui,
    view: View,
    frame: usize,
    /// The bottom line is on the screen.
    drawn: bool,
    notice: Option<String>,
}

impl Live {
    pub(crate) fn new(ui: Ui) -> Self {
        Self { ui, view: View::default(), frame: 0, drawn: false, notice: None }
    }

    pub(crate) fn deployment(&mut self, deployment: &Deployment) {
        self.notice = None;
        let lines = self.view.update(deployment, self.ui.err_paint());
        self.scroll(&lines);
    }

    pub(crate) fn log(&mut self, line: &LogLine) {
        self.notice = None;
        let line = log_line(line, self.ui.err_paint());
        self.scroll(&[line]);
    }

    pub(crate) fn lost(&mut self) {
        if self.ui.live {
            self.notice = Some("connection lost, reconnecting".to_owned());
            self.tick();
        } else {
            self.scroll(&["  connection lost, reconnecting".to_owned()]);
        }
    }

    /// Shows `text` at the bottom until the next event.
    pub(crate) fn progress(&mut self, text: String) {
        self.notice = Some(text);
        self.tick();
    }

    /// Redraws the bottom line.
    pub(crate) fn tick(&mut self) {
        if !self.ui.live {
            let line = self.view.overdue(Instant::now());
            return self.scroll(line.as_slice());
        }
        self.frame = (self.frame + 1) % FRAMES.len();
        let Some(text) = self.notice.clone().or_else(|| self.view.now(Utc::now())) else { return };
        let paint = self.ui.err_paint();
        let text = fit(&text, width().saturating_sub(4));
        write(&format!("\r\u{1b}[2K  {} {}", paint.cyan(FRAMES[self.frame]), paint.dim(&text)));
        self.drawn = true;
    }

    /// Takes the bottom line away.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.drawn) {
            write("\r\u{1b}[2K");
        }
    }

    fn scroll(&mut self, lines: &[String]) {
        if lines.is_empty() || self.ui.json {
            return;
        }
        self.end();
        write(&(lines.join("\n") + "\n"));
        self.tick();
    }
}

fn write(text: &str) {
    let mut err = std::io::stderr().lock();
    // Progress that nobody can see is no failure of the deployment.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end();
    }
}

/// What was told already, so that each stage is told once.
#[derive(Debug, Default)]
struct View {
    told: Vec<String>,
    running: Option<(String, Option<DateTime<Utc>>)>,
    waiting_for: Option<String>,
    position: Option<i64>,
    queued_since: Option<Instant>,
    /// The wait as it was told last.
    told_wait: Option<String>,
}

impl View {
    /// Lines for the stages that ended since the last call.
    fn update(&mut self, deployment: &Deployment, paint: Paint) -> Vec<String> {
        let mut lines = Vec::new();
        for stage in &deployment.stages {
            let ended = matches!(stage.state.as_str(), "done" | "failed");
            if ended && !self.told.contains(&stage.stage) {
                self.told.push(stage.stage.clone());
                lines.push(stage_line(stage, paint));
            }
        }
        let running = deployment.stages.iter().find(|stage| stage.state == "running");
        self.running = running.map(|stage| (stage.stage.clone(), stage.started_at));
        self.waiting_for = deployment.waiting_for.as_deref().map(sanitize);
        self.position = deployment.queue_position;
        self.queued_since =
            if deployment.state == "queued" { self.queued_since.or(Some(Instant::now())) } else { None };
        if deployment.is_final() {
            self.running = None;
            self.waiting_for = None;
            self.position = None;
        }
        lines
    }

    fn now(&self, now: DateTime<Utc>) -> Option<String> {
        let waiting = self.waiting();
        let (stage, since) = match (&self.running, &waiting) {
            (Some((stage, since)), _) => (stage.as_str(), *since),
            (None, Some(_)) => ("waiting", None),
            (None, None) => return None,
        };
        let mut text = stage.to_owned();
        if let Some(since) = since {
            text = format!("{text:<8}{}", time::duration(time::between(since, now)));
        }
        if let Some(reason) = waiting {
            text = format!("{text}  {reason}");
        }
        Some(text)
    }

    fn waiting(&self) -> Option<String> {
        let place = self.position.map(|place| format!("place {place} in the queue"));
        let reason = self.waiting_for.as_deref().map(|reason| format!("waiting for {reason}"));
        let parts: Vec<String> = place.into_iter().chain(reason).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// A line about a wait in the queue that lasts and was not told so yet.
    fn overdue(&mut self, now: Instant) -> Option<String> {
        let lasts = self.queued_since.is_some_and(|since| now.duration_since(since) >= PATIENCE);
        let wait = self.waiting().filter(|wait| lasts && self.told_wait.as_ref() != Some(wait))?;
        self.told_wait = Some(wait.clone());
        Some(format!("  {wait}"))
    }
}

/// `  ✓ build   12 s`.
pub(crate) fn stage_line(stage: &StageProgress, paint: Paint) -> String {
    let took = match (stage.started_at, stage.finished_at) {
        (Some(start), Some(end)) => time::duration(time::between(start, end)),
        _ => String::new(),
    };
    let mark = match stage.state.as_str() {
        "done" => paint.green("✓"),
        "failed" => paint.red("✗"),
        "running" => paint.yellow("•"),
        _ => paint.dim("·"),
    };
    let name = format!("{:<7}", sanitize(&stage.stage));
    let name = if stage.state == "waiting" || stage.state == "skipped" { paint.dim(&name) } else { name };
    format!("  {mark} {name} {}", paint.dim(&took)).trim_end().to_owned()
}

/// A line of a build or of an app, set apart from what `wh` says itself.
pub(crate) fn log_line(line: &LogLine, paint: Paint) -> String {
    let text = sanitize(&line.text);
    let bar = if line.stream == "stderr" { paint.yellow("│") } else { paint.dim("│") };
    let text = if line.stream == "system" { paint.cyan(&text) } else { text };
    format!("  {bar} {text}").trim_end().to_owned()
}

/// Columns of the terminal.
fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(80)
}

/// Cut, so that the bottom line stays one line.
fn fit(text: &str, width: usize) -> String {
    text.chars().take(width.max(8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(state: &str, stages: &[(&str, &str)]) -> Deployment {
        let start = "2026-01-01T00:00:00Z";
        let stages: Vec<_> = stages
            .iter()
            .map(|(stage, state)| {
                let end = (*state == "done").then_some("2026-01-01T00:00:12Z");
                serde_json::json!({ "stage": stage, "state": state, "started_at": start, "finished_at": end })
            })
            .collect();
        let json = serde_json::json!({
            "id": "d", "number": 1, "state": state, "created_at": start, "stages": stages,
            "waiting_for": (state == "queued").then_some("a free build slot"),
        });
        serde_json::from_value(json).expect("deployment")
    }

    #[test]
    fn each_stage_is_told_once_when_it_ends() {
        let (mut view, paint) = (View::default(), Paint { on: false });
        let first = deployment("building", &[("queue", "done"), ("fetch", "skipped"), ("build", "running")]);
        assert_eq!(view.update(&first, paint), ["  ✓ queue   12 s"]);
        assert_eq!(view.update(&first, paint), Vec::<String>::new());
        let second = deployment("failed", &[("queue", "done"), ("build", "failed")]);
        assert_eq!(view.update(&second, paint), ["  ✗ build"]);
        assert_eq!(view.now(Utc::now()), None, "nothing runs after the end");
    }

    #[test]
    fn the_bottom_line_says_what_runs_since_when_and_what_it_waits_for() {
        let mut view = View::default();
        view.update(&deployment("queued", &[("queue", "running")]), Paint { on: false });
        let now = "2026-01-01T00:01:05Z".parse().expect("time");
        assert_eq!(view.now(now).as_deref(), Some("queue   1m 05s  waiting for a free build slot"));
    }

    #[test]
    fn a_wait_that_lasts_is_told_without_a_terminal_too_and_again_when_it_changes() {
        let (mut view, paint) = (View::default(), Paint { on: false });
        let mut queued = deployment("queued", &[("queue", "running")]);
        queued.queue_position = Some(2);
        view.update(&queued, paint);
        let now = Instant::now();
        assert_eq!(view.overdue(now), None, "it may begin in a moment");
        let later = now + PATIENCE;
        let told = "  place 2 in the queue, waiting for a free build slot";
        assert_eq!(view.overdue(later).as_deref(), Some(told));
        assert_eq!(view.overdue(later), None, "once");
        queued.queue_position = Some(1);
        view.update(&queued, paint);
        let told = "  place 1 in the queue, waiting for a free build slot";
        assert_eq!(view.overdue(later).as_deref(), Some(told));
        view.update(&deployment("building", &[("queue", "done"), ("build", "running")]), paint);
        assert_eq!(view.overdue(later + PATIENCE), None);
    }

    #[test]
    fn log_lines_cannot_draw() {
        let line =
            LogLine { at: None, stream: "stdout".to_owned(), text: "\u{1b}[2J\u{1b}[31mred".to_owned() };
        assert_eq!(log_line(&line, Paint { on: false }), "  │ red");
    }
}
