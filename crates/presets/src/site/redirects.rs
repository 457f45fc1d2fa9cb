//! `_redirects`: one rule in a line, `from to [status]`.

use super::Problem;
use super::pattern::{Pattern, SPLAT, encoded, is_escape, is_plain, name, shown, variable};
use crate::render;

const MOST: usize = 500;

/// In the order in which they are tried.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Redirects {
    pub(super) away: Vec<Away>,
    pub(super) instead: Vec<Instead>,
    /// What is shown with status 404.
    pub(super) not_found: Option<String>,
}

/// Sends the browser to another address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Away {
    pub(super) from: Pattern,
    /// With nginx's variables.
    pub(super) to: String,
    pub(super) status: u16,
}

/// Serves a file for paths that are no file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Instead {
    pub(super) from: Pattern,
    pub(super) file: String,
}

impl Redirects {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let mut all = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let words: Vec<&str> =
                line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
            if !words.is_empty() {
                all.add(&words).map_err(|what| Problem { line: number, what })?;
            }
            if all.len() > MOST {
                return Err(Problem { line: number, what: format!("there may be at most {MOST} rules") });
            }
        }
        Ok(all)
    }

    pub(super) fn len(&self) -> usize {
        self.away.len() + self.instead.len() + usize::from(self.not_found.is_some())
    }

    fn add(&mut self, words: &[&str]) -> Result<(), String> {
        let (from, to, status) = match words {
            [from, to] => (from, to, "302"),
            [from, to, status] if !status.contains('=') => (from, to, *status),
            [_] => return Err("a rule is a path and where it leads to".to_owned()),
            _ => {
                return Err("a rule is a path, where it leads to and a status; conditions and query parameters are not supported".to_owned());
            }
        };
        let from = Pattern::parse(from)?;
        if !from.ends_with_splat_if_any() {
            return Err("`*` may only be the last part of the path, as in `/blog/*`".to_owned());
        }
        // A rule wins over a file anyway, which is what `!` asks for.
        match status.strip_suffix('!').unwrap_or(status) {
            "200" => self.instead(from, to),
            "404" => self.not_found(&from, to),
            status @ ("301" | "302" | "303" | "307" | "308") => {
                let status = status.parse().expect("a number");
                let to = destination(&from, to)?;
                self.away.push(Away { from, to, status });
                Ok(())
            }
            other => {
                Err(format!("the status `{}` is none of 301, 302, 303, 307, 308, 200 and 404", shown(other)))
            }
        }
    }

    fn instead(&mut self, from: Pattern, to: &str) -> Result<(), String> {
        if !from.is_path() && from.folder().is_none() || from.text().contains('%') {
            return Err("with status 200, the path is a plain one or ends in `/*`".to_owned());
        }
        if self.instead.iter().any(|other| other.from == from) {
            return Err(format!("`{}` has a rule with status 200 already", from.text()));
        }
        let file = file(to)?;
        self.instead.push(Instead { from, file });
        Ok(())
    }

    fn not_found(&mut self, from: &Pattern, to: &str) -> Result<(), String> {
        if from.text() != "/*" {
            return Err("with status 404, the path must be `/*`".to_owned());
        }
        self.not_found = Some(file(to)?);
        Ok(())
    }
}

/// A file of the site.
fn file(to: &str) -> Result<String, String> {
    let path = Pattern::parse(to)?;
    if !path.is_path() || to.contains(['%', ';']) {
        return Err(format!("`{}` must be a file of this site, as in `/index.html`", shown(to)));
    }
    Ok(if to.ends_with('/') { format!("{to}index.html") } else { to.to_owned() })
}

/// An address with nginx's variables where `to` has names.
fn destination(from: &Pattern, to: &str) -> Result<String, String> {
    let path = match to.strip_prefix("https://").or_else(|| to.strip_prefix("http://")) {
        Some(rest) => {
            let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
            if !is_host(host) {
                return Err(format!("`{}` names no host that can be redirected to", shown(to)));
            }
            &to[to.len() - rest.len() + host.len()..]
        }
        None if to.starts_with('/') && !to.starts_with("//") => {
            if from.may_match(&to[..to.find(['?', '#']).unwrap_or(to.len())]) {
                return Err("the rule leads to itself, again and again".to_owned());
            }
            to
        }
        None => return Err(format!("`{}` must begin with one `/`, or with https://", shown(to))),
    };
    if to.len() > render::LONGEST {
        return Err(format!("an address may have at most {} bytes", render::LONGEST));
    }
    let start = &to[..to.len() - path.len()];
    let query = if path.contains(['?', '#']) { "" } else { "${to_}" };
    Ok(format!("{start}{}{query}", filled(from, path)?))
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "443"));
    name.starts_with(|char: char| char.is_ascii_alphanumeric())
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '-' || char == '.')
        && port.parse::<u16>().is_ok()
}

/// `text` with variables for the names that `from` has.
fn filled(from: &Pattern, text: &str) -> Result<String, String> {
    let known = from.names();
    let mut into = String::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        let named = name(rest).filter(|_| char == ':');
        match named {
            Some(name) if known.contains(&name) => {
                into.push_str(&variable(name));
                rest = &rest[name.len()..];
            }
            Some(name) if into.ends_with(['/', '=']) => {
                let what = if name == SPLAT { "`*`".to_owned() } else { format!("`:{name}`") };
                return Err(format!("`:{name}` stands for nothing: the path has no {what}"));
            }
            _ if (is_plain(char) || "?#*".contains(char)) && (char != '%' || is_escape(rest)) => {
                into.push_str(&encoded(char.encode_utf8(&mut [0; 4])));
            }
            _ => {
                return Err(format!(
                    "the address has the character `{}`, which must be written as %{:02X}",
                    char.escape_default(),
                    char as u32
                ));
            }
        }
    }
    Ok(into)
}
