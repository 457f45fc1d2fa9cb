//! Aligned columns.

use unicode_width::UnicodeWidthStr;

use super::paint::{Paint, sanitize};

/// Rows of text; the first cell of each row is its name.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// One cell: its text and how it is coloured.
#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

#[derive(Debug, Clone, Copy)]
enum Tone {
    Plain,
    Name,
    Dim,
    Status,
}

impl Cell {
    fn of(text: impl AsRef<str>, tone: Tone) -> Self {
        let text = sanitize(text.as_ref()).replace('\n', " ");
        // A column without a value says so, for the eye and for `awk`.
        if text.is_empty() { Self { text: "–".to_owned(), tone: Tone::Dim } } else { Self { text, tone } }
    }

    pub(crate) fn plain(text: impl AsRef<str>) -> Self {
        Self::of(text, Tone::Plain)
    }

    pub(crate) fn name(text: impl AsRef<str>) -> Self {
        Self::of(text, Tone::Name)
    }

    pub(crate) fn dim(text: impl AsRef<str>) -> Self {
        Self::of(text, Tone::Dim)
    }

    pub(crate) fn status(text: impl AsRef<str>) -> Self {
        Self::of(text, Tone::Status)
    }

    fn paint(&self, paint: Paint) -> String {
        match self.tone {
            Tone::Plain => self.text.clone(),
            Tone::Name => paint.bold(&self.text),
            Tone::Dim => paint.dim(&self.text),
            Tone::Status => paint.status(&self.text),
        }
    }
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|title| (*title).to_owned()).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    pub(crate) fn render(&self, paint: Paint) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.width());
            cells.chain([self.head[column].width()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let head = self.head.iter().map(|title| (title.width(), paint.dim(title))).collect();
        let mut text = line(head, &widths);
        for row in &self.rows {
            text.push_str(&line(
                row.iter().map(|cell| (cell.text.width(), cell.paint(paint))).collect(),
                &widths,
            ));
        }
        text
    }
}

/// Pads by the width on screen, which colours do not count in; the last column ends the line.
fn line(cells: Vec<(usize, String)>, widths: &[usize]) -> String {
    let last = cells.len().saturating_sub(1);
    let mut text = String::new();
    for (column, (width, painted)) in cells.into_iter().enumerate() {
        text.push_str(&painted);
        if column < last {
            text.push_str(&" ".repeat(widths[column].saturating_sub(width) + 2));
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Names and values below each other, for one thing.
pub(crate) fn facts(rows: &[(&str, String)], paint: Paint) -> String {
    let width = rows.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        if !value.is_empty() {
            let pad = " ".repeat(width - name.width() + 2);
            text = format!("{text}{}{pad}{value}\n", paint.dim(name));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_width_on_screen_and_lines_have_no_tail() {
        let mut table = Table::new(&["APP", "STATUS", "URL"]);
        table.row(vec![Cell::name("größe"), Cell::status("running"), Cell::dim("https://x")]);
        table.row(vec![Cell::name("日本"), Cell::status("failed"), Cell::plain("")]);
        assert_eq!(
            table.render(Paint { on: false }),
            "APP    STATUS   URL\ngröße  running  https://x\n日本   failed   –\n"
        );
    }

    #[test]
    fn colours_do_not_shift_columns() {
        let mut table = Table::new(&["A", "B"]);
        table.row(vec![Cell::name("name"), Cell::plain("x")]);
        assert_eq!(table.render(Paint { on: true }).lines().nth(1), Some("\u{1b}[1mname\u{1b}[0m  x"));
    }

    #[test]
    fn facts_without_a_value_are_left_out() {
        let rows = [("app", "hello".to_owned()), ("commit", String::new()), ("url", "u".to_owned())];
        assert_eq!(facts(&rows, Paint { on: false }), "app     hello\nurl     u\n");
    }
}
