//! Colours, and the removal of what a foreign text could do to a terminal.

/// Colours, when on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    pub(crate) on: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// The colour of a status word, the same everywhere. Colour is never the only signal: the word stays.
    pub(crate) fn status(self, word: &str) -> String {
        // `online, cordoned` is as good as online.
        match word.split_once(", ").map_or(word, |(first, _)| first) {
            "running" | "live" | "healthy" | "online" | "issued" | "done" | "direct" => self.green(word),
            "failed" | "crash-looping" | "unhealthy" | "exited" | "offline" | "unreachable" | "expired"
            | "critical" | "silent" => self.wrap("31", word),
            "deploying" | "queued" | "building" | "rolling-out" | "starting" | "pulling" | "pending"
            | "joining" | "degraded" | "expiring" | "ordering" | "warning" | "relayed" => self.yellow(word),
            _ => self.dim(word),
        }
    }
}

/// `text` without escape sequences and control characters: a log line must not move the cursor or set the title.
pub(crate) fn sanitize(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => match rest.next() {
                Some('[') => while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']' | 'P' | '_' | '^' | 'X') => {
                    while let Some(c) = rest.next() {
                        if c == '\u{7}' {
                            break;
                        }
                        if c == '\u{1b}' {
                            rest.next_if_eq(&'\\');
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\t' => clean.push_str("    "),
            '\n' => clean.push('\n'),
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {}
            c => clean.push(c),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_control_characters_are_removed() {
        assert_eq!(sanitize("\u{1b}[31mred\u{1b}[0m\r"), "red");
        assert_eq!(sanitize("\u{1b}]0;title\u{7}text"), "text");
        assert_eq!(sanitize("\u{1b}]8;;http://x\u{1b}\\link"), "link");
        assert_eq!(sanitize("a\tb\u{202e}c"), "a    bc");
        assert_eq!(sanitize("Größe ✓"), "Größe ✓");
        assert_eq!(sanitize("cut \u{1b}["), "cut ");
    }

    #[test]
    fn without_colours_nothing_is_added() {
        assert_eq!(Paint { on: false }.status("running"), "running");
        assert_eq!(Paint { on: true }.status("running"), "\u{1b}[32mrunning\u{1b}[0m");
    }
}
