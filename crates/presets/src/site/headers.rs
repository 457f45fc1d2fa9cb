//! `_headers`: a path in a line of its own, and below it, indented, the headers that it gets.

use super::Problem;
use super::pattern::{Pattern, shown};
use crate::render;

const MOST: usize = 100;

/// One header for some paths.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) on: Pattern,
    pub(super) name: String,
    pub(super) value: String,
}

/// What the server says itself, or what frames the answer. A second one would contradict it.
const OURS: [&str; 14] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "host",
    "keep-alive",
    "location",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "basic-auth",
];

pub(super) fn parse(text: &str) -> Result<Vec<Header>, Problem> {
    let mut headers = Vec::new();
    let mut on = None;
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let at = |what| Problem { line: number, what };
        if !line.starts_with([' ', '\t']) {
            on = Some(path(content).map_err(at)?);
            continue;
        }
        let Some(on) = &on else { return Err(at("a header stands below its path".to_owned())) };
        let (name, value) = header(content).map_err(at)?;
        headers.push(Header { on: Pattern::clone(on), name, value });
        if headers.len() > MOST {
            return Err(at(format!("there may be at most {MOST} headers")));
        }
    }
    Ok(headers)
}

fn path(text: &str) -> Result<Pattern, String> {
    if text.contains('%') {
        return Err("a path is written decoded here: the character itself for `%` and two digits".to_owned());
    }
    let hint = if text.contains(": ") { "; a header is indented below its path" } else { "" };
    Pattern::parse(text).map_err(|what| format!("{what}{hint}"))
}

fn header(text: &str) -> Result<(String, String), String> {
    if text.starts_with('!') {
        return Err("headers cannot be taken away with `!`".to_owned());
    }
    let Some((name, value)) = text.split_once(':') else {
        return Err(format!("`{}` is no header: it has no `:`", shown(text)));
    };
    let (name, value) = (name.trim(), value.trim());
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    if !name.starts_with(|char: char| char.is_ascii_alphabetic())
        || !name.chars().all(plain)
        || name.len() > 100
    {
        return Err(format!("`{}` is no name of a header", shown(name)));
    }
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("the header `{name}` cannot be set here"));
    }
    if let Some(char) = value.chars().find(|char| !matches!(char, ' '..='~') || *char == '$') {
        return Err(format!(
            "the value of `{name}` has the character `{}`, which a header cannot have here",
            char.escape_default()
        ));
    }
    if value.is_empty() || value.len() > render::LONGEST {
        return Err(format!("the value of `{name}` must have between 1 and {} characters", render::LONGEST));
    }
    Ok((name.to_owned(), value.to_owned()))
}
