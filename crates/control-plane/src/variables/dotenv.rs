//! Variables as a text, the `.env` files that people know: `NAME=value` lines and comments, in an order.
//!
//! Nothing is put in place of anything: `$HOME` in a value is five characters, in every kind of quotes. What is read and
//! written is read again as the same, comments and blank lines included; a comment behind a value moves above it.

use super::is_name;

/// What a text holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dotenv {
    pub entries: Vec<Entry>,
    /// Lines below the last variable, as in [`Entry::above`].
    pub end: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub value: String,
    /// Comments between the variable before and this one: lines without their `#`, each with its end; an empty one is a
    /// blank line.
    pub above: String,
}

/// Why a text cannot be read. Does not show what might be a value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Unreadable {
    /// From 1.
    pub line: usize,
    pub problem: String,
}

pub fn parse(text: &str) -> Result<Dotenv, Unreadable> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut reader = Reader { rest: &text, line: 1 };
    let mut found = Dotenv::default();
    let mut lines: Vec<usize> = Vec::new();
    while !reader.rest.is_empty() {
        let line = reader.rest.lines().next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            add_comment(&mut found.end, line);
            reader.skip_line();
            continue;
        }
        let at = reader.line;
        let (name, value, behind) = reader.variable()?;
        if let Some(first) = found.entries.iter().position(|entry| entry.name == name) {
            let problem = format!("{name} is on line {} already", lines[first]);
            return Err(Unreadable { line: at, problem });
        }
        let mut above = std::mem::take(&mut found.end);
        if !behind.is_empty() {
            add_comment(&mut above, &behind);
        }
        found.entries.push(Entry { name, value, above });
        lines.push(at);
    }
    Ok(found)
}

/// `line` is blank, or begins with `#`.
fn add_comment(to: &mut String, line: &str) {
    let text = line.strip_prefix('#').unwrap_or(line);
    to.push_str(text.strip_prefix(' ').unwrap_or(text).trim_end());
    to.push('\n');
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// Name, value, and the comment behind it with its `#`.
    fn variable(&mut self) -> Result<(String, String, String), Unreadable> {
        let at = self.line;
        let refuse = |problem: &str| Err(Unreadable { line: at, problem: problem.to_owned() });
        let line = self.rest.lines().next().unwrap_or_default();
        let Some((name, _)) = line.split_once('=') else {
            return refuse("has no `=`: write NAME=value, or `#` before a comment");
        };
        self.rest = &self.rest[name.len() + 1..];
        let name = name.trim();
        let name = name.strip_prefix("export ").unwrap_or(name).trim_start();
        if !is_name(name) {
            return refuse(
                "what is before `=` is no name: use A-Z, a-z, 0-9 and _, not beginning with a digit",
            );
        }
        let value = self.rest.trim_start_matches([' ', '\t']);
        let quoted = match value.chars().next() {
            Some('\'') => Some(single_quoted(&value[1..])),
            Some('"') => Some(double_quoted(&value[1..])),
            _ => None,
        };
        let (value, behind) = match quoted {
            None => unquoted(self.line()),
            Some(None) => return refuse("the quote that begins here does not end"),
            Some(Some((read, rest))) => {
                self.line += self.rest[..self.rest.len() - rest.len()].matches('\n').count();
                self.rest = rest;
                let behind = self.line().trim();
                if !behind.is_empty() && !behind.starts_with('#') {
                    return refuse("there is something behind the closing quote");
                }
                (read, behind)
            }
        };
        let behind = behind.to_owned();
        self.skip_line();
        Ok((name.to_owned(), value, behind))
    }

    /// What is left of this line.
    fn line(&self) -> &'a str {
        self.rest.lines().next().unwrap_or_default()
    }

    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        self.line += 1;
    }
}

/// The value, and what is behind the quote that ends it.
fn single_quoted(text: &str) -> Option<(String, &str)> {
    text.split_once('\'').map(|(value, rest)| (value.to_owned(), rest))
}

fn double_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => return Some((value, letters.as_str())),
            '\\' => match letters.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                letter @ ('\\' | '"' | '$' | '`') => value.push(letter),
                letter => value.extend(['\\', letter]),
            },
            letter => value.push(letter),
        }
    }
}

/// The value, and the comment behind it: a `#` begins one after a space only.
fn unquoted(line: &str) -> (String, &str) {
    let comment =
        line.char_indices().find(|(at, letter)| *letter == '#' && line[..*at].ends_with([' ', '\t']));
    let (value, behind) = line.split_at(comment.map_or(line.len(), |(at, _)| at));
    (value.trim().to_owned(), behind.trim())
}

pub fn write(dotenv: &Dotenv) -> String {
    let mut text = String::new();
    for Entry { name, value, above } in &dotenv.entries {
        write_comments(&mut text, above);
        text.extend([name, "=", &quoted(value), "\n"]);
    }
    write_comments(&mut text, &dotenv.end);
    text
}

fn write_comments(text: &mut String, lines: &str) {
    for line in lines.lines() {
        if !line.is_empty() {
            text.push_str("# ");
            text.push_str(line);
        }
        text.push('\n');
    }
}

/// So that a shell reads the same, too.
fn quoted(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+,=?^~".contains(&byte);
    if value.bytes().all(plain) {
        return value.to_owned();
    }
    // A carriage return would be taken for a part of the line's end.
    if !value.contains(['\'', '\r']) {
        return format!("'{value}'");
    }
    let mut text = String::from('"');
    for letter in value.chars() {
        match letter {
            '\r' => text.push_str("\\r"),
            '\\' | '"' | '$' | '`' => text.extend(['\\', letter]),
            letter => text.push(letter),
        }
    }
    text.push('"');
    text
}

/// The comment of a variable: those of the lines above it that no blank line separates from it.
pub fn comment(above: &str) -> String {
    let lines: Vec<&str> = above.lines().collect();
    lines[before_comment(&lines)..].join("\n")
}

/// `above` with another comment of the variable.
pub fn with_comment(above: &str, comment: &str) -> String {
    let lines: Vec<&str> = above.lines().collect();
    let own = comment.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines[..before_comment(&lines)].iter().copied().chain(own).flat_map(|line| [line, "\n"]).collect()
}

/// How many lines stand above the comment and are not of it.
fn before_comment(lines: &[&str]) -> usize {
    lines.iter().rposition(|line| line.is_empty()).map_or(0, |blank| blank + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let found = parse(text).expect("readable");
        found.entries.into_iter().map(|entry| (entry.name, entry.value)).collect()
    }

    fn value(text: &str) -> String {
        values(text).pop().expect("a variable").1
    }

    #[test]
    fn values_are_read_in_all_their_quotes() {
        for (text, expected) in [
            ("A=1", "1"),
            ("A=", ""),
            ("  export  A = x y  ", "x y"),
            ("A=x#y", "x#y"),
            ("A=#x", "#x"),
            ("A= # none", ""),
            ("A=a=b&c=$HOME", "a=b&c=$HOME"),
            ("A='it is # \\n \"so\" $X'", "it is # \\n \"so\" $X"),
            ("A=\"a\\tb\\\\n\\\"c\\\" \\$X $Y \\d\"", "a\tb\\n\"c\" $X $Y \\d"),
            ("A=\"\"", ""),
            ("A='-----BEGIN\n# kept\n-----END'\n", "-----BEGIN\n# kept\n-----END"),
            ("\u{feff}A=\"one\r\ntwo\\r\"\r\n", "one\ntwo\r"),
            ("A=it's", "it's"),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
        assert_eq!(
            values("B=1\r\nA=2"),
            [("B".to_owned(), "1".to_owned()), ("A".to_owned(), "2".to_owned())]
        );
        assert_eq!(values("\n# nothing\n"), []);
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line_and_without_values() {
        for (text, line, problem) in [
            ("A=1\nhunter2", 2, "has no `=`"),
            ("\n\n1A=hunter2", 3, "no name"),
            ("=hunter2", 1, "no name"),
            ("A B=hunter2", 1, "no name"),
            ("A=1\nB='hunter2\nC=2\n", 2, "does not end"),
            ("A=\"hunter2\\\"", 1, "does not end"),
            ("A='1' hunter2", 1, "behind the closing quote"),
            ("A='1\n2'\nB=3\nA=hunter2", 4, "A is on line 1 already"),
        ] {
            let refused = parse(text).expect_err(text);
            assert_eq!(refused.line, line, "{text:?}: {refused}");
            assert!(refused.problem.contains(problem) && !refused.problem.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn comments_blank_lines_and_order_stay() {
        let text = "# The shop\n\n# Database\n#   the big one\nDB=postgres://db\n\nA=1\n# end\n";
        let read = parse(text).expect("readable");
        assert_eq!(read.entries[0].above, "The shop\n\nDatabase\n  the big one\n");
        assert_eq!((read.entries[1].above.as_str(), read.end.as_str()), ("\n", "end\n"));
        assert_eq!(write(&read), text);
        let moved = parse("#close\nA=1 # why\n").expect("readable");
        assert_eq!(write(&moved), "# close\n# why\nA=1\n");
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let odd = [
            "",
            "plain",
            "a b",
            "#",
            "it's",
            "\"",
            "\\n",
            "a\nb",
            "a\r\nb'",
            "$HOME `x`",
            " x ",
            "ä",
            "'\\'",
        ];
        let entries = odd.iter().enumerate().map(|(index, value)| Entry {
            name: format!("N{index}"),
            value: (*value).to_owned(),
            above: "\n".repeat(index % 2),
        });
        let dotenv = Dotenv { entries: entries.collect(), end: String::new() };
        let text = write(&dotenv);
        assert_eq!(parse(&text), Ok(dotenv), "{text}");
    }

    #[test]
    fn a_variables_comment_is_what_stands_right_above_it() {
        assert_eq!(comment("The shop\n\nDatabase\nbig\n"), "Database\nbig");
        assert_eq!((comment("The shop\n\n"), comment("")), (String::new(), String::new()));
        assert_eq!(with_comment("The shop\n\nDatabase\n", "one\n\ntwo "), "The shop\n\none\ntwo\n");
        assert_eq!(with_comment("", "one"), "one\n");
        assert_eq!(with_comment("one\n", ""), "");
    }
}
