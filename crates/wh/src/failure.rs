//! What went wrong, in words, and the exit code that scripts see.

use std::io::Write as _;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::ui::Ui;

/// The exit codes that scripts may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Error = 1,
    Usage = 2,
    Auth = 3,
    NotFound = 4,
    Conflict = 5,
    DeployFailed = 6,
    Timeout = 7,
    /// Done, but what some node has to say is missing or old.
    Partial = 8,
    Interrupted = 130,
}

pub(crate) type Result<T, E = Box<Failure>> = std::result::Result<T, E>;

/// A command's failure: one line, a remedy, and what support would ask for.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Stable word; the API's own where it came from there.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) field: Option<String>,
    pub(crate) request_id: Option<String>,
    /// Evidence below the error line, for people.
    pub(crate) details: Vec<String>,
    /// The same evidence, for machines: merged into the JSON error.
    pub(crate) data: Value,
}

/// The body of an API error, as far as it is one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ApiError {
    code: String,
    message: String,
    field: Option<String>,
    hint: Option<String>,
    request_id: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            exit,
            code: code.to_owned(),
            message: message.into(),
            hint: None,
            field: None,
            request_id: None,
            details: Vec::new(),
            data: Value::Null,
        })
    }

    pub(crate) fn usage(message: impl Into<String>) -> Box<Self> {
        Self::new(Exit::Usage, "usage", message)
    }

    /// Nobody knows whether the server did what it was asked.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.code.as_str(), "unreachable" | "timeout")
    }

    pub(crate) fn io(what: &str, error: &std::io::Error) -> Box<Self> {
        Self::new(Exit::Error, "io", format!("{what}: {error}"))
    }

    pub(crate) fn hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn detail(mut self: Box<Self>, line: impl Into<String>) -> Box<Self> {
        self.details.push(line.into());
        self
    }

    /// From an answer that is not a success. `body` may be anything: a gateway in between may have answered.
    pub(crate) fn from_answer(status: u16, body: &[u8]) -> Box<Self> {
        let error: ApiError = serde_json::from_slice(body).unwrap_or_default();
        let exit = match status {
            401 | 403 => Exit::Auth,
            404 => Exit::NotFound,
            409 | 423 => Exit::Conflict,
            408 | 504 => Exit::Timeout,
            _ => Exit::Error,
        };
        let code = if error.code.is_empty() { format!("http_{status}") } else { error.code };
        let message = match (error.message.is_empty(), status) {
            (false, _) => error.message,
            (true, 404) => "the server does not know this address".to_owned(),
            (true, _) => format!("the server answered HTTP {status}"),
        };
        let mut failure = Self::new(exit, &code, message);
        failure.hint = error.hint.or_else(|| default_hint(status));
        failure.field = error.field;
        failure.request_id = error.request_id;
        failure
    }

    /// Writes the failure to standard error.
    pub(crate) fn print(&self, ui: Ui) {
        let text = if ui.json { format!("{}\n", self.to_json()) } else { self.to_text(ui) };
        // Nobody is left to tell when standard error is closed.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    fn to_json(&self) -> Value {
        let mut error = json!({
            "code": self.code, "message": self.message, "field": self.field,
            "hint": self.hint, "request_id": self.request_id, "exit_code": self.exit as i32,
        });
        if let (Value::Object(error), Value::Object(data)) = (&mut error, &self.data) {
            error.extend(data.clone());
        }
        json!({ "error": error })
    }

    fn to_text(&self, ui: Ui) -> String {
        let paint = ui.err_paint();
        let mut origin = self.code.clone();
        if let Some(field) = &self.field {
            origin = format!("{origin}, field {field}");
        }
        if let Some(id) = &self.request_id {
            origin = format!("{origin}, request {id}");
        }
        let mut text = format!(
            "{} {} {}\n",
            paint.red("error:"),
            crate::ui::sanitize(&self.message),
            paint.dim(&format!("({origin})"))
        );
        for line in &self.details {
            text.push_str(line);
            text.push('\n');
        }
        if let Some(hint) = &self.hint {
            text = format!("{text}{} {}\n", paint.yellow("hint:"), crate::ui::sanitize(hint));
        }
        text
    }
}

fn default_hint(status: u16) -> Option<String> {
    let hint = match status {
        401 => "sign in with `wh login`",
        403 => "your role does not allow this; `wh whoami` shows it",
        429 => "too many requests: wait a minute and try again",
        502..=504 => "the control plane is starting or unreachable: try again in a moment",
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_exit_code() {
        for (status, exit) in [
            (400, Exit::Error),
            (401, Exit::Auth),
            (403, Exit::Auth),
            (404, Exit::NotFound),
            (409, Exit::Conflict),
            (422, Exit::Error),
            (503, Exit::Error),
            (504, Exit::Timeout),
        ] {
            assert_eq!(Failure::from_answer(status, b"{}").exit, exit, "{status}");
        }
    }

    #[test]
    fn the_servers_words_are_kept() {
        let body = br#"{"code":"slug_taken","message":"hello is taken","field":"slug","hint":"take another","request_id":"r1","more":1}"#;
        let failure = Failure::from_answer(409, body);
        let text = failure.to_text(Ui::plain());
        assert_eq!(text, "error: hello is taken (slug_taken, field slug, request r1)\nhint: take another\n");
    }

    #[test]
    fn an_answer_that_is_no_json_still_makes_one_line() {
        let failure = Failure::from_answer(502, b"<html>bad gateway</html>");
        assert!(
            failure.to_text(Ui::plain()).starts_with("error: the server answered HTTP 502 (http_502)\nhint:")
        );
    }

    #[test]
    fn a_message_cannot_move_the_cursor() {
        let failure = Failure::new(Exit::Error, "x", "a\u{1b}[2Jb");
        assert_eq!(failure.to_text(Ui::plain()), "error: ab (x)\n");
    }
}
