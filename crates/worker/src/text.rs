//! Output of programs as lines of bounded length.

/// The longest line that is kept; see [`protocol::report::LogLine`].
pub(crate) const MAX_LINE: usize = 16 * 1024;

/// Cuts chunks into lines. A line longer than [`MAX_LINE`] loses its rest.
#[derive(Debug, Default)]
pub(crate) struct LineCutter {
    line: Vec<u8>,
}

impl LineCutter {
    pub(crate) fn push(&mut self, chunk: &[u8], mut line: impl FnMut(String)) {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.keep(&rest[..end]);
            line(self.take());
            rest = &rest[end + 1..];
        }
        self.keep(rest);
    }

    /// What came after the last line end.
    pub(crate) fn finish(&mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn keep(&mut self, part: &[u8]) {
        let room = MAX_LINE - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn take(&mut self) -> String {
        clean(&std::mem::take(&mut self.line))
    }
}

/// Bytes as text that every store takes: at most [`MAX_LINE`] bytes, no NUL, no carriage return at the end.
pub(crate) fn clean(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).trim_end_matches('\r').replace('\0', "\u{fffd}");
    if text.len() > MAX_LINE {
        let end = (0..=MAX_LINE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<String> {
        let (mut cutter, mut lines) = (LineCutter::default(), Vec::new());
        for chunk in chunks {
            cutter.push(chunk, |line| lines.push(line));
        }
        lines.extend(cutter.finish());
        lines
    }

    #[test]
    fn lines_survive_any_cut_of_the_stream() {
        assert_eq!(cut(&[b"a\nb", b"c\r\n", b"\nd"]), ["a", "bc", "", "d"]);
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let lines = cut(&[&vec![b'x'; 3 * MAX_LINE], b"tail\nnext\n"]);
        assert_eq!((lines[0].len(), lines[1].as_str()), (MAX_LINE, "next"));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_within_the_limit() {
        let text = clean(&[0xff; MAX_LINE]);
        assert!(text.len() <= MAX_LINE && text.starts_with('\u{fffd}'));
        assert_eq!(clean(b"a\0b"), "a\u{fffd}b");
    }
}
