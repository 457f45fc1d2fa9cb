//! What differs, one line each: `+` is new, `-` is gone, `~` is different.

use super::paint::{Paint, sanitize};
use crate::api::types::Change;

pub(crate) fn render(changes: &[Change], paint: Paint) -> String {
    changes.iter().map(|change| line(change, paint) + "\n").collect()
}

fn line(change: &Change, paint: Paint) -> String {
    let clean = |text: &str| sanitize(text).replace('\n', " ");
    let (before, after) = (change.before.as_deref().map(clean), change.after.as_deref().map(clean));
    let told = match (before, after) {
        (Some(before), Some(after)) => format!(": {before} → {after}"),
        (Some(only), None) | (None, Some(only)) => format!(": {only}"),
        (None, None) => String::new(),
    };
    let text = format!("{}{told}", clean(&change.label));
    let marked = match change.kind.as_str() {
        "added" => paint.green(&format!("+ {text}")),
        "removed" => paint.red(&format!("- {text}")),
        _ => paint.yellow(&format!("~ {text}")),
    };
    let takes = if change.impact == "build" { paint.dim("  (with the next build)") } else { String::new() };
    marked + &takes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_became_of_a_thing() {
        let change = |kind: &str, before: Option<&str>, after: Option<&str>, impact: &str| Change {
            field: String::new(),
            label: "x".to_owned(),
            kind: kind.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
            impact: impact.to_owned(),
        };
        let changes = [
            change("changed", Some("1"), Some("2\u{1b}[2J\n3"), "containers"),
            change("changed", None, None, "containers"),
            change("added", None, Some("2"), "build"),
            change("removed", None, None, "containers"),
        ];
        assert_eq!(
            render(&changes, Paint { on: false }),
            "~ x: 1 → 2 3\n~ x\n+ x: 2  (with the next build)\n- x\n"
        );
    }
}
