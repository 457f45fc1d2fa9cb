//! Manual pages, written for packages: `wh.1` and one for every verb.

use std::path::Path;

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::failure::{Failure, Result};

pub(crate) fn write(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|error| Failure::io(&format!("cannot write to {}", directory.display()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the page of `command` and of all below it.
    fn check(command: &clap::Command, name: &str, directory: &Path) {
        let page = directory.join(format!("{name}.1"));
        if command.is_hide_set() {
            assert!(!page.exists(), "{name} is hidden");
            return;
        }
        let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{name}: {error}"));
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty(), "{name} says nothing about itself");
        let plain = text.replace(r"\-", "-").replace(r"\*(Aq", "'");
        assert!(text.contains(".TH ") && plain.contains(&about), "{name}: {text}");
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            check(below, &format!("{name}-{}", below.get_name()), directory);
        }
    }

    #[test]
    fn every_verb_that_help_shows_has_a_page() {
        let folder = tempfile::tempdir().expect("temp dir");
        let directory = folder.path().join("man1");
        write(&directory).expect("written");
        check(&Cli::command(), "wh", &directory);
        // What is checked is what a package installs, down to the last level.
        assert!(directory.join("wh-node-token-create.1").exists());
    }
}
