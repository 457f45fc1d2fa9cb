//! The newest lines of this process's own log, in memory, for people who look at them from afar. What is kept is bounded,
//! and what looks like a secret is left out of it once more.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines that are kept.
const LINES: usize = 1000;
/// Bytes of one line; the rest is cut.
const BYTES: usize = 2000;
/// Bytes of all lines together.
const ALL_BYTES: usize = 512 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// From 1 on in each run of the program.
    pub seq: u64,
    pub at: SystemTime,
    pub level: Level,
    /// The module that said it.
    pub target: String,
    /// The message and its fields.
    pub text: String,
}

/// The log of this process.
#[derive(Debug)]
pub struct Recent {
    run: u128,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    lines: VecDeque<Line>,
    bytes: usize,
    last: u64,
}

static LOG: LazyLock<Recent> = LazyLock::new(Recent::default);

/// The log that [`crate::telemetry::install`] fills: a process has one, as it has one standard error.
pub fn log() -> &'static Recent {
    &LOG
}

impl Default for Recent {
    fn default() -> Self {
        Self { run: rand::random(), held: Mutex::default() }
    }
}

impl Recent {
    /// Names this run of the program, whose lines are numbered.
    pub fn run(&self) -> u128 {
        self.run
    }

    /// The newest lines that are at least as important as `level` and follow `after`, at most `most` and so many bytes;
    /// the earliest first.
    pub fn read(&self, after: u64, level: Level, most: usize, bytes: usize) -> Vec<Line> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = bytes;
        let wanted = held.lines.iter().rev().take_while(|line| line.seq > after);
        let mut lines: Vec<Line> = wanted
            .filter(|line| line.level <= level)
            .take(most)
            .take_while(|line| {
                let fits = line.text.len() + line.target.len() <= left;
                left = left.saturating_sub(line.text.len() + line.target.len());
                fits
            })
            .cloned()
            .collect();
        lines.reverse();
        lines
    }

    /// Takes one line in; the oldest make room for it.
    pub fn keep(&self, level: Level, target: &str, text: String) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.last += 1;
        held.bytes += text.len();
        let line = Line { seq: held.last, at: SystemTime::now(), level, target: target.to_owned(), text };
        held.lines.push_back(line);
        while held.lines.len() > LINES || held.bytes > ALL_BYTES {
            let Some(gone) = held.lines.pop_front() else { break };
            held.bytes -= gone.text.len();
        }
    }
}

/// Keeps what is logged in [`log`].
#[derive(Debug)]
pub struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut told = Told::default();
        event.record(&mut told);
        let mut text = told.message + &told.fields;
        if text.len() > BYTES {
            text.truncate(text.floor_char_boundary(BYTES));
            text.push('…');
        }
        let meta = event.metadata();
        log().keep(*meta.level(), meta.target(), scrub(&text));
    }
}

#[derive(Debug, Default)]
struct Told {
    message: String,
    /// ` key=value` for each.
    fields: String,
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// What a value follows that nobody should see, in lower case.
const BEFORE: [&str; 8] =
    ["bearer ", "basic ", "password=", "token=", "secret=", "api_key=", "apikey=", "cookie="];
/// How our own tokens and keys begin.
const OURS: [&str; 5] = ["whj_", "whn_", "whr_", "whs_", "wht_"];

/// Takes out what looks like a secret. Nothing should: this is for what slipped through.
fn scrub(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut clean = String::with_capacity(text.len());
    let mut rest = 0;
    while rest < text.len() {
        let Some((start, end)) = next_secret(text, &lower, rest) else { break };
        clean.push_str(&text[rest..start]);
        clean.push_str("[…]");
        rest = end;
    }
    clean.push_str(&text[rest..]);
    clean
}

/// Where the next one begins and ends.
fn next_secret(text: &str, lower: &str, from: usize) -> Option<(usize, usize)> {
    let after = |word: &&str| lower[from..].find(*word).map(|at| from + at + word.len());
    let at = |word: &&str| lower[from..].find(*word).map(|at| from + at);
    let said = BEFORE.iter().filter_map(after).map(|start| (start, end_of(text, start)));
    let ours = OURS.iter().filter_map(at).map(|start| (start, end_of(text, start)));
    let login = login(text, from);
    said.chain(ours).chain(login).filter(|(start, end)| start < end).min()
}

/// A value ends where a blank, a quote or a separator is.
fn end_of(text: &str, start: usize) -> usize {
    let ends = |letter: char| letter.is_whitespace() || "\"'&,;)}]>".contains(letter);
    text[start..].find(ends).map_or(text.len(), |length| start + length)
}

/// The `user:password` of an address.
fn login(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut from = from;
    while let Some(start) = text[from..].find("://").map(|at| from + at + 3) {
        let end = text[start..]
            .find(|letter: char| letter.is_whitespace() || "/\"'?#".contains(letter))
            .map_or(text.len(), |at| start + at);
        if let Some(at) = text[start..end].rfind('@') {
            return Some((start, start + at));
        }
        from = start;
    }
    None
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_no_more_than_fit() {
        let log = Recent::default();
        for number in 1..=LINES + 5 {
            let level = if number % 2 == 0 { Level::WARN } else { Level::INFO };
            log.keep(level, "test", format!("line {number}"));
        }
        let all = log.read(0, Level::TRACE, usize::MAX, usize::MAX);
        assert_eq!((all.len(), all[0].seq, all[0].text.as_str()), (LINES, 6, "line 6"));
        let warned = log.read(0, Level::WARN, 2, usize::MAX);
        let texts: Vec<_> = warned.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["line 1002", "line 1004"]);
        assert_eq!(log.read(1004, Level::INFO, 10, usize::MAX).len(), 1, "what follows a line");
        assert_eq!(log.read(0, Level::INFO, 10, 30).len(), 2, "bytes");
        for _ in 0..LINES {
            log.keep(Level::INFO, "test", "x".repeat(BYTES));
        }
        let held = log.held.lock().expect("no panic");
        assert!(held.bytes <= ALL_BYTES && held.lines.len() < LINES);
    }

    #[test]
    fn what_looks_like_a_secret_is_left_out() {
        for (text, clean) in [
            ("connected to 10.50.0.1 by worker", "connected to 10.50.0.1 by worker"),
            ("header Authorization=Bearer abc.def ok", "header Authorization=Bearer […] ok"),
            ("GET /a?token=hunter2&b=1", "GET /a?token=[…]&b=1"),
            ("postgres://ann:p4ss@db/shop is gone", "postgres://[…]@db/shop is gone"),
            ("https://example.com/a@b", "https://example.com/a@b"),
            ("the token \"whj_AbC123\" was used", "the token \"[…]\" was used"),
            ("PASSWORD=äöü, next", "PASSWORD=[…], next"),
        ] {
            assert_eq!(scrub(text), clean);
        }
    }

    #[test]
    fn events_are_kept_with_their_fields() {
        let subscriber = tracing_subscriber::registry().with(Keep);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(node = "w1", tries = 3, "no connection {}", "yet");
        });
        let lines = log().read(0, Level::WARN, usize::MAX, usize::MAX);
        assert!(lines.iter().any(|line| line.text == "no connection yet node=w1 tries=3"), "{lines:?}");
    }
}
