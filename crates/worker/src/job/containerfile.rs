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

/// What the settings point at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Search {
    Found(Found),
    /// The source has none, or a preset was chosen: the folder to build in.
    Preset(PathBuf),
}

/// Looks below `root`. Links may not lead out of it.
pub(super) fn find(root: &Path, wanted: &Containerfile) -> Result<Search, Box<Failure>> {
    let root = root
        .canonicalize()
        .map_err(|error| Box::new(crate::failure::internal(Stage::Build, &error.into())))?;
    let inside = |path: &Path| path.canonicalize().ok().filter(|path| path.starts_with(&root));
    let folder = |path: &Path, name: &str, setting: &str| {
        inside(path).filter(|path| path.is_dir()).ok_or_else(|| {
            let message = format!("the source has no folder `{name}` to build in");
            let failure = failure(Stage::Build, &format!("{setting}_not_found"), message);
            Box::new(failure.hint(format!("Set `{setting}` to a folder of the source, `.` for its root")))
        })
    };
    let root = match &wanted.folder {
        Some(name) => folder(&root.join(name), name, "folder")?,
        None => root.clone(),
    };
    let context = folder(&root.join(&wanted.context), &wanted.context, "context")?;
    if wanted.preset.is_some() {
        return Ok(Search::Preset(context));
    }
    let candidates = match &wanted.path {
        Some(path) => vec![path.as_str()],
        None => vec!["Containerfile", "Dockerfile"],
    };
    for name in candidates {
        if let Some(file) = inside(&root.join(name)).filter(|path| path.is_file()) {
            return Ok(Search::Found(Found { file, context, name: name.to_owned() }));
        }
    }
    match &wanted.path {
        Some(path) => Err(Box::new(
            failure(Stage::Build, "no_containerfile", format!("the source has no file `{path}`"))
                .hint("Correct the path of the Containerfile, or leave it out to use `Containerfile` or `Dockerfile`"),
        )),
        None => Ok(Search::Preset(context)),
    }
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
pub(super) fn instructions(containerfile: &str) -> Vec<(usize, String)> {
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
    use protocol::job::Preset;

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
        let search = |wanted: Containerfile| super::find(root.path(), &wanted);
        let name = |wanted: Containerfile| match search(wanted) {
            Ok(Search::Found(found)) => found.name,
            other => panic!("{other:?}"),
        };
        let here = Search::Preset(root.path().canonicalize().expect("path"));
        assert_eq!(search(Containerfile::default()).expect("a preset may fit"), here);
        std::fs::write(root.path().join("Dockerfile"), "FROM a").expect("write");
        assert_eq!(name(Containerfile::default()), "Dockerfile");
        std::fs::write(root.path().join("Containerfile"), "FROM a").expect("write");
        assert_eq!(name(Containerfile::default()), "Containerfile");
        let chosen = Containerfile { preset: Some(Preset::Static), ..Containerfile::default() };
        assert_eq!(search(chosen).expect("chosen"), here, "a chosen preset wins");
        let path = Some("deploy/Containerfile".to_owned());
        let absent = search(Containerfile { path, ..Containerfile::default() }).expect_err("absent");
        assert!(absent.message.contains("deploy/Containerfile"), "{}", absent.message);
    }

    #[test]
    fn a_folder_of_the_source_is_built_as_if_it_were_the_whole() {
        let root = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir_all(root.path().join("apps/web")).expect("folders");
        std::fs::write(root.path().join("Containerfile"), "FROM a").expect("write");
        let search = |folder: &str| {
            let folder = Some(folder.to_owned());
            super::find(root.path(), &Containerfile { folder, ..Containerfile::default() })
        };
        let web = root.path().canonicalize().expect("path").join("apps/web");
        assert_eq!(search("apps/web").expect("no Containerfile there"), Search::Preset(web.clone()));
        std::fs::write(web.join("Containerfile"), "FROM b").expect("write");
        let Ok(Search::Found(found)) = search("apps/web") else { panic!("not found") };
        assert_eq!((found.file, found.context), (web.join("Containerfile"), web));
        assert_eq!(search("apps/api").expect_err("absent").code, "folder_not_found");
        assert_eq!(search("..").expect_err("outside").code, "folder_not_found");
    }

    #[test]
    fn links_do_not_lead_out_of_the_source() {
        let root = tempfile::tempdir().expect("temp dir");
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("Containerfile")).expect("link");
        let found = find(root.path(), &Containerfile::default()).expect("a preset may fit");
        assert!(matches!(found, Search::Preset(_)), "{found:?}");
        let outside = Containerfile { context: "..".to_owned(), ..Containerfile::default() };
        assert_eq!(find(root.path(), &outside).expect_err("outside").code, "context_not_found");
    }
}
