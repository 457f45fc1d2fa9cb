//! What a source without a Containerfile is, and the Containerfile that builds it. Everything is decided from the
//! names of files and the text of a few of them, so that `wh` proposes exactly what a worker then does.

mod files;
mod kinds;
mod render;
mod site;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use files::Files;
use kinds::Look;
pub use site::Site;

/// What the presets go by.
const SIGNS: &str =
    "package.json, go.mod, Cargo.toml, requirements.txt, pyproject.toml, Pipfile and index.html";

/// A way to build a source that has no Containerfile of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Preset {
    /// A Node.js program.
    Node,
    /// A Next.js app: its own server, or an export of static files.
    Nextjs,
    /// A Vite app as static files.
    Vite,
    Go,
    Python,
    Rust,
    /// Files served as they are.
    Static,
}

impl Preset {
    /// The order in which they are tried: what runs as a program before what only has a page in it.
    pub const ALL: [Self; 7] =
        [Self::Rust, Self::Go, Self::Nextjs, Self::Vite, Self::Node, Self::Python, Self::Static];

    /// As written in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Nextjs => "nextjs",
            Self::Vite => "vite",
            Self::Go => "go",
            Self::Python => "python",
            Self::Rust => "rust",
            Self::Static => "static",
        }
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Node => "Node.js",
            Self::Nextjs => "Next.js",
            Self::Vite => "Vite",
            Self::Go => "Go",
            Self::Python => "Python",
            Self::Rust => "Rust",
            Self::Static => "static files",
        }
    }

    /// What its source must have.
    fn sign(self) -> &'static str {
        match self {
            Self::Node => "package.json",
            Self::Nextjs => "package.json with next",
            Self::Vite => "package.json with vite, and index.html",
            Self::Go => "go.mod",
            Self::Python => "requirements.txt, pyproject.toml or Pipfile",
            Self::Rust => "Cargo.toml",
            Self::Static => "index.html",
        }
    }
}

impl std::fmt::Display for Preset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How a source is built by a preset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Recipe {
    pub preset: Preset,
    /// What was found, one line each, for people.
    pub because: Vec<String>,
    /// Presets that would fit too; the setting `preset` chooses one.
    pub others: Vec<Preset>,
    /// The port that the app listens on unless told another by `PORT`.
    pub port: u16,
    pub containerfile: String,
    /// What of the source does not go into the build, in the form of `.containerignore`.
    pub ignore: String,
}

/// Why a source cannot be built without a Containerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Stable word: `no_preset` or `site_invalid`.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Unknown {
    fn no_preset(message: String, hint: String) -> Self {
        Self { code: "no_preset", message, hint }
    }

    /// What the settings or the source say of its files cannot be done.
    fn site(message: String, hint: &str) -> Self {
        Self { code: "site_invalid", message, hint: hint.to_owned() }
    }

    /// Settings of a site for what is a program.
    fn no_site(setting: &str, preset: Preset) -> Self {
        Self::site(
            format!("`{setting}` is for files that are served, and the preset `{preset}` runs a program"),
            "Take it out of [build], or choose `preset = \"static\"`",
        )
    }
}

/// The first preset that fits.
pub fn detect(files: &Files<'_>, site: &Site) -> Result<Recipe, Unknown> {
    let mut fits = Vec::new();
    let mut near = Vec::new();
    for preset in Preset::ALL {
        match kinds::look(preset, files, site) {
            Look::Fits(draft) => fits.push((preset, draft)),
            Look::Unfit(problem) => near.push(problem),
            // It is of this kind: no other takes its place.
            Look::Wrong(unknown) if fits.is_empty() => return Err(unknown),
            Look::Wrong(_) | Look::Absent => {}
        }
    }
    // A Next.js or Vite app is a Node project too; saying so would say nothing.
    let others = |first: Preset| {
        let implied = matches!(first, Preset::Nextjs | Preset::Vite);
        let new = move |preset: &Preset| {
            !(implied && matches!(preset, Preset::Node | Preset::Static | Preset::Vite))
        };
        fits.iter().skip(1).map(|(preset, _)| *preset).filter(new).collect()
    };
    let Some((preset, _)) = fits.first() else { return Err(unknown(files, &near)) };
    let others = others(*preset);
    let (preset, draft) = fits.swap_remove(0);
    check_site(preset, site)?;
    Ok(draft.recipe(preset, others))
}

/// The recipe of a preset that somebody chose.
pub fn with(preset: Preset, files: &Files<'_>, site: &Site) -> Result<Recipe, Unknown> {
    let unfit = |message| {
        let hint = "Choose another preset, leave `preset` out, or add a Containerfile";
        Err(Unknown::no_preset(message, hint.to_owned()))
    };
    match kinds::look(preset, files, site) {
        Look::Fits(draft) => check_site(preset, site).map(|()| draft.recipe(preset, Vec::new())),
        Look::Wrong(unknown) => Err(unknown),
        Look::Unfit(problem) => unfit(format!("the preset `{preset}` does not fit: {problem}")),
        Look::Absent => {
            unfit(format!("the preset `{preset}` needs {}, which the source does not have", preset.sign()))
        }
    }
}

/// Next.js sees for itself whether it is one.
fn check_site(preset: Preset, site: &Site) -> Result<(), Unknown> {
    match site.setting() {
        Some(setting) if !matches!(preset, Preset::Static | Preset::Vite | Preset::Nextjs) => {
            Err(Unknown::no_site(setting, preset))
        }
        _ => Ok(()),
    }
}

fn unknown(files: &Files<'_>, near: &[String]) -> Unknown {
    let has = match near {
        [] => format!("it has {}", files.at_root()),
        near => near.join("; "),
    };
    let message = format!("the source has no Containerfile, and no preset fits: {has}");
    let inside: Vec<String> = files
        .folders()
        .into_iter()
        .filter_map(|folder| {
            let found = Preset::ALL.into_iter().find(|preset| {
                matches!(kinds::look(*preset, &files.below(&folder), &Site::default()), Look::Fits(_))
            })?;
            Some(format!("`{folder}` ({})", found.title()))
        })
        .take(3)
        .collect();
    let hint = if inside.is_empty() {
        format!("Looked for {SIGNS}: add one of these, or a Containerfile")
    } else {
        format!("An app is in {}: name its folder with `folder` in [build]", inside.join(", "))
    };
    Unknown::no_preset(message, hint)
}
