//! The paths that a rule is about: `/blog/:year/*`.

use std::fmt::Write as _;

use crate::render;

/// Checked on its way in, so that nothing in it means anything to nginx or a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// One part of the path, by its name.
    Name(String),
    /// Everything from here on, or up to what follows.
    Splat,
}

/// The name of what `*` stands for.
pub(super) const SPLAT: &str = "splat";

/// nginx's variable of what a name stands for; the beginning keeps it apart from nginx's own.
pub(super) fn variable(name: &str) -> String {
    format!("${{to_{name}}}")
}

/// What a path or an address may be written with.
pub(super) fn is_plain(char: char) -> bool {
    char.is_ascii_alphanumeric()
        || "-._~%/@!&()+,;=:".contains(char)
        || (!char.is_ascii() && char.is_alphanumeric())
}

/// Whether `text` goes on with two hexadecimal digits.
pub(super) fn is_escape(text: &str) -> bool {
    text.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2
}

/// The name at the start of `text`.
pub(super) fn name(text: &str) -> Option<&str> {
    let end = text.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(text.len());
    (1..=24)
        .contains(&end)
        .then_some(&text[..end])
        .filter(|name| name.starts_with(|char: char| char.is_ascii_alphabetic()))
}

/// Letters beyond ASCII as browsers send them.
pub(super) fn encoded(text: &str) -> String {
    let mut into = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            0..0x80 => into.push(byte.into()),
            _ => _ = write!(into, "%{byte:02X}"),
        }
    }
    into
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') || text.starts_with("//") {
            return Err(format!("`{}` is no path of this site: it must begin with one `/`", shown(text)));
        }
        if text.len() > render::LONGEST {
            return Err(format!("a path may have at most {} bytes", render::LONGEST));
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            let after = &rest[char.len_utf8()..];
            let named = name(after).filter(|_| char == ':' && plain.ends_with('/'));
            rest = after;
            if let Some(name) = named {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::Name(name.to_owned()));
                rest = &after[name.len()..];
            } else if char == '*' {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::Splat);
            } else if is_plain(char) && (char != '%' || is_escape(after)) {
                plain.push(char);
            } else {
                return Err(format!(
                    "the path has the character `{}`, which must be written as %{:02X}",
                    char.escape_default(),
                    char as u32
                ));
            }
        }
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        let pattern = Self { text: text.to_owned(), pieces };
        pattern.check()?;
        Ok(pattern)
    }

    fn check(&self) -> Result<(), String> {
        let mut names = self.names();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(match pair[0] {
                SPLAT => "only one `*` may be in a path, and no `:splat` beside it".to_owned(),
                name => format!("`:{name}` is in the path twice"),
            });
        }
        Ok(())
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn names(&self) -> Vec<&str> {
        let name = |piece| match piece {
            &Piece::Text(_) => None,
            Piece::Name(name) => Some(name.as_str()),
            Piece::Splat => Some(SPLAT),
        };
        self.pieces.iter().filter_map(name).collect()
    }

    /// `/a/` of `/a/*`, if that is all there is.
    pub(super) fn folder(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Text(text), Piece::Splat] if text.ends_with('/') => Some(text),
            _ => None,
        }
    }

    /// Whether it is a path and nothing else.
    pub(super) fn is_path(&self) -> bool {
        matches!(self.pieces.as_slice(), [Piece::Text(_)])
    }

    /// Whether `*` is absent or the last part of the path.
    pub(super) fn ends_with_splat_if_any(&self) -> bool {
        !self.text.contains('*') || self.text.ends_with("/*")
    }

    /// A regular expression for the path as nginx reads it: decoded, without `..` and double slashes. It may have line
    /// ends, and nobody gets out of a rule by adding one.
    pub(super) fn of_path(&self) -> String {
        let mut regex = "(?s)^".to_owned();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => regex.push_str(&escaped(text)),
                Piece::Name(_) => regex.push_str("[^/]+"),
                Piece::Splat => regex.push_str(".*"),
            }
        }
        regex + "\\z"
    }

    /// A regular expression for the path as it was sent, with what its names stand for, and with the query in `to_`.
    ///
    /// What was sent is still encoded, so that no line can end in a header that is made of it; and what `*` stands for
    /// never begins with a slash, which at the start of an address would make the next part a host.
    pub(super) fn of_request(&self) -> String {
        let mut regex = "^".to_owned();
        let whole = self.text.strip_suffix("/*").or(self.text.strip_suffix('/')).unwrap_or(&self.text);
        let mut left = whole.len();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    let text = &text[..text.len().min(left)];
                    left -= text.len();
                    regex.push_str(&escaped(&encoded(text)));
                }
                Piece::Name(name) => {
                    left -= name.len() + 1;
                    _ = write!(regex, "(?<to_{name}>[^/?\\x5C]+)");
                }
                Piece::Splat => {}
            }
        }
        regex.push_str(match (self.text.ends_with('*'), whole.is_empty()) {
            (true, true) => "[/\\x5C]++(?<to_splat>[^?]*)",
            (true, false) => "(?:[/\\x5C]++(?<to_splat>[^?]*))?",
            (false, true) => "/",
            (false, false) => "/?",
        });
        regex + "(?<to_>\\?.*)?$"
    }

    /// Whether a path that begins like this one may be one that the rule is about.
    pub(super) fn may_match(&self, path: &str) -> bool {
        let mut parts = path.trim_end_matches('/').split('/');
        for part in self.text.trim_end_matches('/').split('/') {
            match (part, parts.next()) {
                ("*", _) => return true,
                (part, Some(_)) if part.strip_prefix(':').is_some_and(|rest| name(rest) == Some(rest)) => {}
                (part, Some(other)) if part == other => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

/// For a regular expression in quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut into = String::with_capacity(text.len());
    for char in text.chars() {
        if ".+()".contains(char) {
            into.push('\\');
        }
        into.push(char);
    }
    into
}

/// What somebody wrote, in a message.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let escaped: String = text.chars().take(MOST).flat_map(char::escape_default).collect();
    if text.chars().count() > MOST { escaped + "…" } else { escaped }
}
