//! Takes the values of an app's variables out of what is logged, before it leaves the node.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A shorter value is met by chance.
const SHORTEST: usize = 8;
/// A word or a number up to this length says nothing by itself: `production`, a port, an id.
const LONGEST_WORD: usize = 15;
/// Unless the variable's name says that it is meant to be secret.
const SECRET_NAMES: [&str; 5] = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL"];
/// Fewer characters of a value that was cut off say nothing.
const SHORTEST_BEGINNING: usize = 4;
/// What is longer is looked for as it is, not encoded: the automaton would be too large.
const LONGEST_ENCODED: usize = 512;

/// What not to log, and by which name it is known.
#[derive(Default)]
pub(crate) struct Scrubber {
    finder: Option<AhoCorasick>,
    patterns: Vec<Pattern>,
}

struct Pattern {
    text: String,
    name: String,
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scrubber { … }")
    }
}

impl Scrubber {
    pub(crate) fn new(variables: &BTreeMap<String, String>) -> Self {
        let mut patterns = Vec::new();
        for (name, value) in variables {
            let texts: BTreeSet<String> = parts(name, value).into_iter().flat_map(forms).collect();
            patterns.extend(texts.into_iter().map(|text| Pattern { text, name: name.clone() }));
        }
        if patterns.is_empty() {
            return Self::default();
        }
        let texts = patterns.iter().map(|pattern| &pattern.text);
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts);
        // Err means more patterns than an automaton takes; the limits of variables are far below.
        Self { finder: finder.ok(), patterns }
    }

    /// `text` with names in place of values; `found` hears each name. Text of `limit` bytes was cut there, perhaps in
    /// the middle of a value, whose beginning is then taken out too.
    pub(crate) fn scrub(&self, text: String, limit: usize, mut found: impl FnMut(&str)) -> String {
        let Some(finder) = &self.finder else { return text };
        // A character that was cut is missing or replaced.
        let cut = if text.len() + char::MAX.len_utf8() > limit { self.begun(&text) } else { None };
        if cut.is_none() && !finder.is_match(&text) {
            return text;
        }
        let mut clean = String::with_capacity(text.len());
        let mut name = |clean: &mut String, pattern: &Pattern| {
            found(&pattern.name);
            clean.extend(["[", &pattern.name, "]"]);
        };
        let end = cut.map_or(text.len(), |(start, _)| start);
        let mut done = 0;
        for hit in finder.find_iter(&text).take_while(|hit| hit.start() < end) {
            clean.push_str(&text[done..hit.start()]);
            name(&mut clean, &self.patterns[hit.pattern().as_usize()]);
            done = hit.end();
        }
        clean.push_str(&text[done.min(end)..end]);
        if let Some((_, pattern)) = cut.filter(|_| done < text.len()) {
            name(&mut clean, pattern);
        }
        clean
    }

    /// Where a value begins with which `text` ends, and whose it is.
    fn begun(&self, text: &str) -> Option<(usize, &Pattern)> {
        let text = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        let longest = self.patterns.iter().map(|pattern| pattern.text.len()).max()?;
        let starts = text.len().saturating_sub(longest)..=text.len().checked_sub(SHORTEST_BEGINNING)?;
        starts.filter(|start| text.is_char_boundary(*start)).find_map(|start| {
            let pattern = self.patterns.iter().find(|pattern| pattern.text.starts_with(&text[start..]))?;
            Some((start, pattern))
        })
    }
}

/// The parts of a value that must not be seen: each line of it, because logs are lines, and the password of an address.
fn parts<'a>(name: &str, value: &'a str) -> Vec<&'a str> {
    let name = name.to_ascii_uppercase();
    let meant = SECRET_NAMES.iter().any(|part| name.contains(part));
    let lines = value.lines().map(str::trim);
    let all = lines.flat_map(|line| [Some(line), password(line)]).flatten();
    all.filter(|part| is_telling(part, meant)).collect()
}

fn password(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    let (login, _) = rest.rsplit_once('@')?;
    Some(login.split_once(':')?.1)
}

fn is_telling(part: &str, meant: bool) -> bool {
    let word = part.bytes().all(|byte| byte.is_ascii_lowercase())
        || part.bytes().all(|byte| byte.is_ascii_uppercase())
        || part.bytes().all(|byte| byte.is_ascii_digit());
    // The first and last lines of a key are the same for all keys.
    part.len() >= SHORTEST && (meant || !word || part.len() > LONGEST_WORD) && !part.starts_with("-----")
}

/// How a part may be printed: as it is, in a string of JSON, in base64.
fn forms(part: &str) -> Vec<String> {
    let mut forms = vec![part.to_owned()];
    if part.len() <= LONGEST_ENCODED {
        let json = serde_json::Value::from(part).to_string();
        forms.push(json[1..json.len() - 1].to_owned());
        // By itself or after something else, three bytes being four letters: a password follows its user.
        forms.extend((0..3).flat_map(|before| {
            [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD].map(|base64| {
                let text = base64.encode([&[0; 2][..before], part.as_bytes()].concat());
                // Letters that other bytes have a share in are left out.
                text[(before * 8).div_ceil(6)..(before + part.len()) * 8 / 6].to_owned()
            })
        }));
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1000;

    fn scrubbed(pairs: &[(&str, &str)], text: &str) -> (String, Vec<String>) {
        cut(pairs, text, LIMIT)
    }

    fn cut(pairs: &[(&str, &str)], text: &str, limit: usize) -> (String, Vec<String>) {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut found = Vec::new();
        let clean =
            Scrubber::new(&variables).scrub(text.to_owned(), limit, |name| found.push(name.to_owned()));
        (clean, found)
    }

    #[test]
    fn values_are_replaced_by_their_names_wherever_they_stand() {
        let (clean, found) = scrubbed(
            &[("A", "hunter2-hunter2"), ("B", "swordfish-1")],
            "xhunter2-hunter2y swordfish-1 swordfish-1",
        );
        assert_eq!(clean, "x[A]y [B] [B]");
        assert_eq!(found, ["A", "B", "B"]);
    }

    #[test]
    fn the_longest_of_values_that_begin_alike_is_meant() {
        assert_eq!(scrubbed(&[("A", "value-12"), ("B", "value-12345")], "value-12345").0, "[B]");
    }

    #[test]
    fn what_is_short_or_an_ordinary_word_stays() {
        let pairs = [("A", "s3cret!"), ("ENV", "production"), ("PORT", "12345678"), ("EMPTY", "")];
        let text = "s3cret! in production on 12345678";
        assert_eq!(scrubbed(&pairs, text), (text.to_owned(), Vec::new()));
        assert_eq!(scrubbed(&[("A", "correcthorsebattery")], "correcthorsebattery").0, "[A]");
        assert_eq!(scrubbed(&[("db_password", "correcthorse")], "correcthorse").0, "[db_password]");
    }

    #[test]
    fn lines_of_a_key_and_the_password_of_an_address_are_known_by_themselves() {
        let key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n";
        let pairs = [("KEY", key), ("DB", "postgres://ann:p4ss-w0rd@db:5432/shop")];
        assert_eq!(
            scrubbed(
                &pairs,
                "-----BEGIN KEY----- MIIEvQIBADANBg, p4ss-w0rd, postgres://ann:p4ss-w0rd@db:5432/shop"
            )
            .0,
            "-----BEGIN KEY----- [KEY], [DB], [DB]"
        );
    }

    #[test]
    fn a_value_in_json_and_in_base64_is_the_value() {
        let value = "p\"q\\r?>-hunter2~~";
        let printed = serde_json::json!({ "password": value }).to_string();
        assert_eq!(scrubbed(&[("A", value)], &printed).0, r#"{"password":"[A]"}"#);
        for before in ["", "u", "us", "ann:"] {
            for base64 in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let (clean, found) = scrubbed(&[("A", value)], &base64.encode(format!("{before}{value}\n")));
                assert_eq!(found, ["A"], "{before}: {clean}");
                assert!(clean.len() <= before.len() * 2 + "[A]".len() + 4, "{clean}");
            }
        }
    }

    #[test]
    fn the_beginning_of_a_value_at_the_end_of_what_was_cut_is_taken_out() {
        let pairs = [("A", "hunter2-hunter2")];
        let text = "a long line hunter2-hun";
        assert_eq!(cut(&pairs, text, text.len()), ("a long line [A]".to_owned(), vec!["A".to_owned()]));
        assert_eq!(cut(&pairs, text, LIMIT).0, text, "whole");
        assert_eq!(cut(&pairs, "a hun", 5).0, "a hun", "too little of it");
        let text = "hunter2-hunter2hunter2\u{fffd}";
        assert_eq!(cut(&pairs, text, text.len()).0, "[A][A]");
        // The whole value stands before the beginning of another, which it ends with.
        let pairs = [("A", "hunter2-hunter2"), ("B", "ter2-something")];
        assert_eq!(cut(&pairs, "a hunter2-hunter2", 17).0, "a [A]");
    }
}
