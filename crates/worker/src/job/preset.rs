//! What a source without a Containerfile is built with.

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use protocol::job::{Containerfile, Failure, Recipe, Stage};

use super::containerfile::Found;
use super::folder::Folder;
use super::log::Log;
use super::run::Stop;
use crate::failure::{FailureExt as _, failure};

/// Deeper than this nothing tells what a source is.
const DEPTH: usize = 5;
/// And neither do more names than this.
const NAMES: usize = 20_000;
/// What is not the source's own.
const SKIPPED: [&str; 4] = [".git", "node_modules", "target", ".venv"];
const LARGEST: u64 = 256 * 1024;

/// A preset's Containerfile and what it leaves out, written beside the source.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) found: Found,
    pub(super) ignore: PathBuf,
    pub(super) recipe: Recipe,
}

/// The preset that the settings name, or the first that fits what is in `context`.
pub(super) fn prepare(context: PathBuf, wanted: &Containerfile, job: &Folder) -> Result<Prepared, Stop> {
    let read = |name: &str| read(&context.join(name));
    let files = presets::Files::new(names(&context)?, &read);
    let site = site(wanted);
    let recipe = match wanted.preset {
        Some(preset) => presets::with(preset, &files, &site),
        None => presets::detect(&files, &site),
    };
    let recipe = recipe.map_err(unknown)?;
    let own = [".containerignore", ".dockerignore"].into_iter().find_map(|name| files.text(name));
    let (file, ignore) = (job.path("Containerfile"), job.path("containerignore"));
    std::fs::write(&file, &recipe.containerfile)?;
    std::fs::write(&ignore, recipe.ignore.clone() + &own.unwrap_or_default())?;
    let name = format!("the Containerfile of the preset {}", recipe.preset);
    Ok(Prepared { found: Found { file, context, name }, ignore, recipe })
}

/// Says what will be built and why, with the whole Containerfile.
pub(super) fn explain(recipe: &Recipe, chosen: bool, log: &Log) {
    let why = if chosen { "as the settings say" } else { "the source has no Containerfile" };
    log.say(&format!("Building with the preset {}: {why}", recipe.preset));
    for line in &recipe.because {
        log.say(&format!("  found {line}"));
    }
    if !recipe.others.is_empty() {
        let others: Vec<&str> = recipe.others.iter().map(|preset| preset.name()).collect();
        log.say(&format!("  {} would fit too; `preset` in [build] chooses", others.join(" and ")));
    }
    for line in recipe.containerfile.lines() {
        log.say(&format!("  | {line}"));
    }
    log.say("`wh init --eject` puts this Containerfile into the source");
}

/// What the settings say to presets that serve files.
pub(super) fn site(wanted: &Containerfile) -> presets::Site {
    presets::Site { publish: wanted.publish.clone(), spa: wanted.spa }
}

fn unknown(unknown: presets::Unknown) -> Box<Failure> {
    Box::new(failure(Stage::Build, unknown.code, unknown.message).hint(unknown.hint))
}

/// Files below `root`, relative to it. Links are not followed: they may lead out of the source.
fn names(root: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut folders = vec![(root.to_owned(), String::new(), 1)];
    while let Some((folder, start, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            if kind.is_dir() && depth < DEPTH && !SKIPPED.contains(&name.as_str()) {
                folders.push((entry.path(), format!("{start}{name}/"), depth + 1));
            } else if kind.is_file() && names.len() < NAMES {
                names.push(format!("{start}{name}"));
            }
        }
    }
    Ok(names)
}

/// The text of a file of the size that people write.
fn read(path: &Path) -> Option<String> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).ok()?;
    let mut text = String::new();
    let whole = file.metadata().ok()?.len() <= LARGEST;
    (whole && file.take(LARGEST).read_to_string(&mut text).is_ok()).then_some(text)
}

#[cfg(test)]
mod tests {
    use protocol::job::Preset;

    use super::*;

    fn prepared(files: &[(&str, &str)], preset: Option<Preset>) -> Result<(Prepared, String), Box<Failure>> {
        let root = tempfile::tempdir().expect("temp dir");
        for (name, text) in files {
            let path = root.path().join("source").join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folder");
            std::fs::write(path, text).expect("write");
        }
        std::os::unix::fs::symlink("/etc", root.path().join("source/etc")).expect("link");
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("source/go.mod")).expect("link");
        let wanted = Containerfile { preset, ..Containerfile::default() };
        match prepare(root.path().join("source"), &wanted, &Folder::at(root.path().to_owned())) {
            Ok(prepared) => {
                let written = std::fs::read_to_string(&prepared.found.file).expect("written");
                assert_eq!(written, prepared.recipe.containerfile);
                let ignore = std::fs::read_to_string(&prepared.ignore).expect("written");
                Ok((prepared, ignore))
            }
            Err(Stop::Failed(failure)) => Err(failure),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_preset_is_written_beside_the_source_and_keeps_its_ignored_files() {
        let files = [("index.html", "<h1>"), (".dockerignore", "drafts\n")];
        let (prepared, ignore) = prepared(&files, None).expect("static");
        assert_eq!(prepared.recipe.preset, Preset::Static);
        assert!(ignore.starts_with(".git\n") && ignore.ends_with("\ndrafts\n"), "{ignore}");
    }

    #[test]
    fn links_tell_nothing_about_a_source() {
        let failure = prepared(&[("README.md", "")], None).expect_err("nothing");
        assert_eq!(failure.code, "no_preset");
        assert!(failure.message.ends_with("it has README.md"), "{}", failure.message);
        let failure = prepared(&[("README.md", "")], Some(Preset::Go)).expect_err("no go.mod");
        assert!(failure.message.contains("needs go.mod"), "{}", failure.message);
    }
}
