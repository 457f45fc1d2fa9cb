//! Server-sent events, read from bytes as they come (WHATWG HTML, section 9.2).

use crate::failure::{Exit, Failure, Result};

/// Most that one event may hold.
const EVENT_LIMIT: usize = 4 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// `message` when the server named none.
    pub(crate) name: String,
    pub(crate) data: String,
    /// Set when the event itself brought one.
    pub(crate) id: Option<String>,
}

/// Cuts a stream of bytes into events; comments are dropped.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    skip_line_feed: bool,
    event: Event,
    has_data: bool,
    size: usize,
}

impl Parser {
    /// Takes bytes in; events that they complete come out.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        for &byte in bytes {
            if std::mem::take(&mut self.skip_line_feed) && byte == b'\n' {
                continue;
            }
            if byte == b'\n' || byte == b'\r' {
                self.skip_line_feed = byte == b'\r';
                let line = std::mem::take(&mut self.line);
                events.extend(self.end_line(&String::from_utf8_lossy(&line)));
            } else {
                self.line.push(byte);
                self.size += 1;
                if self.size > EVENT_LIMIT {
                    return Err(Failure::new(
                        Exit::Error,
                        "event_too_large",
                        "the server sent an event without end",
                    ));
                }
            }
        }
        Ok(events)
    }

    fn end_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            // Comments have an empty field name; a quiet stream of them must not count as one event.
            "" => self.size -= line.len().min(self.size),
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<Event> {
        self.size = 0;
        let mut event = std::mem::take(&mut self.event);
        if event.name.is_empty() {
            "message".clone_into(&mut event.name);
        }
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str, id: Option<&str>) -> Event {
        Event { name: name.to_owned(), data: data.to_owned(), id: id.map(str::to_owned) }
    }

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut() {
        let text = "retry: 5\n: hello\n\nevent: log\r\nid: 7\r\ndata: {\"text\":\"ü\"}\r\n\r\ndata:a\ndata: b\n\nid: 9\n\n";
        let expected = [event("log", "{\"text\":\"ü\"}", Some("7")), event("message", "a\nb", None)];
        for cut in 0..=text.len() {
            let mut parser = Parser::default();
            let mut events = parser.feed(&text.as_bytes()[..cut]).expect("small");
            events.extend(parser.feed(&text.as_bytes()[cut..]).expect("small"));
            assert_eq!(events, expected, "cut at {cut}");
        }
    }

    #[test]
    fn an_unfinished_event_is_not_given_out() {
        assert_eq!(Parser::default().feed(b"data: half\n").expect("small"), []);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = Parser::default();
        let block = vec![b'x'; 1024 * 1024];
        let refused = (0..6).any(|_| parser.feed(&block).is_err());
        assert!(refused);
    }

    #[test]
    fn comments_alone_never_add_up_to_an_event_too_large() {
        let mut parser = Parser::default();
        let comments = ": still here, and here, and here\n".repeat(1024);
        for _ in 0..200 {
            assert_eq!(parser.feed(comments.as_bytes()).expect("comments are free"), []);
        }
    }
}
