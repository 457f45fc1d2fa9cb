//! One file for each kind of source.

mod go;
mod node;
mod pages;
mod python;
mod rust;

use crate::{Files, Preset, Recipe, Site, Unknown, render};

/// What a preset finds in a source.
#[derive(Debug)]
pub(crate) enum Look {
    Fits(Draft),
    /// Its sign is there, and yet: why not.
    Unfit(String),
    /// It is of this kind, and says something that cannot be done.
    Wrong(Unknown),
    Absent,
}

/// A recipe before it is known what else would fit.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) because: Vec<String>,
    pub(crate) port: u16,
    pub(crate) containerfile: String,
    /// Beyond what never goes into a build.
    pub(crate) ignore: &'static [&'static str],
}

/// Neither history nor settings belong into an image.
const IGNORED: [&str; 6] =
    [".git", ".containerignore", ".dockerignore", ".gitignore", ".whignore", "wisehosting.toml"];

impl Draft {
    pub(crate) fn recipe(self, preset: Preset, others: Vec<Preset>) -> Recipe {
        let mut ignore = String::new();
        for line in IGNORED.iter().chain(self.ignore) {
            ignore.push_str(line);
            ignore.push('\n');
        }
        let containerfile = format!(
            "# From the preset `{preset}` of WiseHosting. As Containerfile in the source it is yours to change.\n\n{}",
            self.containerfile
        );
        Recipe { preset, because: self.because, others, port: self.port, containerfile, ignore }
    }
}

pub(crate) fn look(preset: Preset, files: &Files<'_>, site: &Site) -> Look {
    match preset {
        Preset::Node => node::program(files),
        Preset::Nextjs => node::nextjs(files, site),
        Preset::Vite => node::vite(files, site),
        Preset::Go => go::look(files),
        Preset::Python => python::look(files),
        Preset::Rust => rust::look(files),
        Preset::Static => pages::look(files, site).unwrap_or_else(Look::Wrong),
    }
}

/// The command of the process `web` in a Procfile.
fn procfile(files: &Files<'_>) -> Option<String> {
    let text = files.text("Procfile")?;
    let command = text.lines().find_map(|line| line.strip_prefix("web:"))?.trim();
    (!command.is_empty() && command.len() <= render::LONGEST && !command.chars().any(char::is_control))
        .then(|| command.to_owned())
}
