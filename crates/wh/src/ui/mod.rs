//! What people see: colours only on a terminal, data on standard output, progress on standard error.

pub(crate) mod card;
pub(crate) mod changes;
pub(crate) mod live;
pub(crate) mod os;
pub(crate) mod paint;
pub(crate) mod preview;
pub(crate) mod prompt;
pub(crate) mod table;
pub(crate) mod terminal;
pub(crate) mod time;

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::failure::{Failure, Result};
pub(crate) use paint::{Paint, sanitize};

/// How to speak.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    /// Data and errors as JSON.
    pub(crate) json: bool,
    out: Paint,
    err: Paint,
    /// Standard error is a terminal: a line may be drawn over.
    pub(crate) live: bool,
}

impl Ui {
    pub(crate) fn detect(json: bool) -> Self {
        let quiet = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            json,
            out: Paint { on: out && !quiet && !json },
            err: Paint { on: err && !quiet && !json },
            live: err && !json && !dumb,
        }
    }

    /// Without colours, terminal or JSON.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { json: false, out: Paint { on: false }, err: Paint { on: false }, live: false }
    }

    pub(crate) fn out_paint(self) -> Paint {
        self.out
    }

    pub(crate) fn err_paint(self) -> Paint {
        self.err
    }

    /// Progress: standard error, not with `--json`.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// Done: a tick and what was done.
    pub(crate) fn done(self, text: &str) {
        self.note(&format!("{} {text}", self.err.green("✓")));
    }

    /// Something to know that is no failure. Also with `--json`, because it is on standard error.
    pub(crate) fn warn(self, text: &str) {
        let line = if self.json {
            serde_json::json!({ "warning": text }).to_string()
        } else {
            format!("{} {text}", self.err.yellow("warning:"))
        };
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Data: standard output. A closed pipe ends the program quietly, as `head` expects.
pub(crate) fn data(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(end.as_bytes()));
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::io("cannot write to standard output", &error)),
        Ok(()) => Ok(()),
    }
}

/// JSON on one line, for what goes on.
pub(crate) fn json_line(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Failure::new(crate::failure::Exit::Error, "json", error.to_string()))
}

/// Data as JSON: standard output.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(crate::failure::Exit::Error, "json", error.to_string()))?;
    data(&text)
}
