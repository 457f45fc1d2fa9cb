//! What a roll-out would do: whether requests fail, then its steps in order.

use super::paint::{Paint, sanitize};
use crate::api::types::Preview;

pub(crate) fn render(preview: &Preview, paint: Paint) -> String {
    let downtime = if preview.downtime { paint.yellow("yes") } else { paint.green("none") };
    let because = sanitize(&preview.because).replace('\n', " ");
    let steps = preview.steps.iter().enumerate().map(|(at, step)| {
        let step = sanitize(step).replace('\n', " ");
        format!("{} {step}\n", paint.dim(&format!("{:>3}.", at + 1)))
    });
    format!("{} {downtime}: {because}\n{}", paint.dim("downtime"), steps.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downtime_comes_first_and_steps_are_numbered() {
        let steps = vec!["start an instance on w1".to_owned(), "go\u{1b}[2J live".to_owned()];
        let preview = Preview { downtime: false, because: "the old ones serve".to_owned(), steps };
        assert_eq!(
            render(&preview, Paint { on: false }),
            "downtime none: the old ones serve\n  1. start an instance on w1\n  2. go live\n"
        );
    }
}
