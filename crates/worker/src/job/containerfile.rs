//! The Containerfile: where it is, and which of its lines a failing step is.

use std::path::{Path, PathBuf};

use protocol::job::{Containerfile, Failure, Stage};

use crate::failure::{FailureExt as _, failure};

/// What `podman build` is pointed at. Both are absolute and inside the source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) file: PathBuf,
    pub(super) context: PathBuf,
    /// For people: relative to the source.
    pub(super) name: String,
}

const EXAMPLE: &str = "Add a file `Containerfile` to the root of the source, for example:\n\
    FROM docker.io/library/node:22-slim\nWORKDIR /app\nCOPY . .\nEXPOSE 3000\nCMD [\"node\", \"server.js\"]";

/// Looks below `root`. Links may not lead out of it.
pub(super) fn find(root: &Path, wanted: &Containerfile) -> Result<Found, Box<Failure>> {
    let root = root
        .canonicalize()
        .map_err(|error| Box::new(crate::failure::internal(Stage::Build, &error.into())))?;
    let inside = |path: &Path| path.canonicalize().ok().filter(|path| path.starts_with(&root));
    let context = inside(&root.join(&wanted.context)).filter(|path| path.is_dir()).ok_or_else(|| {
        let message = format!("the source has no folder `{}` to build in", wanted.context);
        let failure = failure(Stage::Build, "context_not_found", message);
        Box::new(failure.hint("Set `context` to a folder of the source, `.` for its root"))
    })?;
    let candidates = match &wanted.path {
        Some(path) => vec![path.as_str()],
        None => vec!["Containerfile", "Dockerfile"],
    };
    for name in candidates {
        if let Some(file) = inside(&root.join(name)).filter(|path| path.is_file()) {
            return Ok(Found { file, context, name: name.to_owned() });
        }
    }
    Err(Box::new(match &wanted.path {
        Some(path) => failure(Stage::Build, "no_containerfile", format!("the source has no file `{path}`"))
            .hint("Correct the path of the Containerfile, or leave it out to use `Containerfile` or `Dockerfile`"),
        None => failure(
            Stage::Build,
            "no_containerfile",
            "the source has neither a Containerfile nor a Dockerfile at its root",
        )
        .hint(EXAMPLE),
    }))
}

/// The step that was running when `podman build` said `lines`, as in `RUN npm ci`, and how many earlier steps had the
/// same text.
fn last_step<'a>(lines: impl DoubleEndedIterator<Item = &'a str> + Clone) -> Option<(&'a str, usize)> {
    let step = |line: &'a str| {
        let line = match line.strip_prefix('[') {
            Some(rest) => rest.split_once("] ")?.1,
            None => line,
        };
        Some(line.strip_prefix("STEP ")?.split_once(": ")?.1)
    };
    let last = lines.clone().rev().find_map(step)?;
    Some((last, lines.filter_map(step).filter(|text| *text == last).count() - 1))
}

/// Number (from 1) and text of the line of the Containerfile on which the last step of `output` begins.
pub(super) fn failing_line(containerfile: &str, output: &[String]) -> Option<(usize, String)> {
    let (step, earlier) = last_step(output.iter().map(String::as_str))?;
    let step = squeezed(step);
    let same: Vec<_> =
        instructions(containerfile).into_iter().filter(|(_, text)| squeezed(text) == step).collect();
    // Podman shows a FROM of an earlier stage by the image's id, so that a step may not be found.
    same.get(earlier).or(same.last()).cloned()
}

/// Instructions with the line on which each begins; continued lines are joined, comments left out.
fn instructions(containerfile: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in containerfile.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let (text, continues) = match trimmed.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (trimmed, false),
        };
        match found.last_mut().filter(|_| open) {
            Some((_, whole)) => {
                whole.push(' ');
                whole.push_str(text);
            }
            None => found.push((index + 1, text.to_owned())),
        }
        open = continues;
    }
    found
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# an app\nFROM busybox AS a\nRUN true\n\nRUN echo ok && \\\n    # inside\n    echo more\nFROM a\nRUN true\n";

    fn failing(output: &[&str]) -> Option<(usize, String)> {
        failing_line(FILE, &output.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_failing_step_is_found_in_the_containerfile() {
        let (line, text) = failing(&[
            "[1/2] STEP 1/3: FROM busybox AS a",
            "[1/2] STEP 3/3: RUN echo ok &&     echo more",
            "boom",
        ])
        .expect("found");
        assert_eq!((line, text.starts_with("RUN echo ok")), (5, true));
    }

    #[test]
    fn the_second_of_two_equal_steps_is_the_second_line() {
        assert_eq!(failing(&["[1/2] STEP 2/3: RUN true"]).expect("first").0, 3);
        assert_eq!(failing(&["[1/2] STEP 2/3: RUN true", "[2/2] STEP 2/2: RUN true"]).expect("second").0, 9);
        assert_eq!(failing(&["no step"]), None);
    }

    #[test]
    fn a_containerfile_is_found_by_path_or_by_its_usual_names() {
        let root = tempfile::tempdir().expect("temp dir");
        let find = |path: Option<&str>| {
            super::find(
                root.path(),
                &Containerfile { path: path.map(str::to_owned), ..Containerfile::default() },
            )
        };
        let none = find(None).expect_err("nothing there");
        assert_eq!(none.code, "no_containerfile");
        assert!(none.hint.expect("hint").contains("FROM "));
        std::fs::write(root.path().join("Dockerfile"), "FROM a").expect("write");
        assert_eq!(find(None).expect("found").name, "Dockerfile");
        std::fs::write(root.path().join("Containerfile"), "FROM a").expect("write");
        assert_eq!(find(None).expect("found").name, "Containerfile");
        assert!(
            find(Some("deploy/Containerfile")).expect_err("absent").message.contains("deploy/Containerfile")
        );
    }

    #[test]
    fn links_do_not_lead_out_of_the_source() {
        let root = tempfile::tempdir().expect("temp dir");
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("Containerfile")).expect("link");
        assert_eq!(
            find(root.path(), &Containerfile::default()).expect_err("outside").code,
            "no_containerfile"
        );
        let outside = Containerfile { context: "..".to_owned(), ..Containerfile::default() };
        assert_eq!(find(root.path(), &outside).expect_err("outside").code, "context_not_found");
    }
}
