//! A first project file.

use std::path::Path;

use super::Shell;
use crate::archive::Manifest;
use crate::args::Init;
use crate::detect::{Builder, detect, slug};
use crate::failure::{Exit, Failure, Result};
use crate::project::{self, Project};

pub(crate) fn run(shell: &Shell, init: &Init) -> Result<()> {
    let here = std::env::current_dir().map_err(|error| Failure::io("cannot find this folder", &error))?;
    let present = present(&here, init)?;
    let build = present.as_ref().map(|project| &project.build);
    let manifest = Manifest::scan(&here, build.and_then(|build| build.containerfile.as_deref()))?;
    let builder = detect(&manifest, build.unwrap_or(&project::Build::default()));
    let mut wrote = Vec::new();
    let app = match present.as_ref().and_then(|project| project.app.clone()) {
        Some(app) => app,
        None => name(shell, &here)?,
    };
    if present.is_none() {
        let text = project_file(&app, builder.port());
        project::parse(&text, project::FILE)?;
        write(&here.join(project::FILE), &text, init.force)?;
        wrote.push(project::FILE);
    }
    if init.eject {
        let folder = build.and_then(|build| build.folder.as_deref()).unwrap_or(".");
        wrote.extend(eject(&here.join(folder), &builder, init.force)?);
    }
    if shell.ui.json {
        let preset = if let Builder::Preset(recipe) = &builder { Some(recipe) } else { None };
        return crate::ui::json(&serde_json::json!({
            "app": app, "port": builder.port(), "found": builder.because(),
            "preset": preset.map(|recipe| recipe.preset), "wrote": wrote,
        }));
    }
    explain(shell, &app, &builder, &wrote);
    if init.eject && build.is_some_and(|build| build.preset.is_some()) {
        shell.ui.warn("take `preset` out of [build]: it wins over the Containerfile");
    }
    Ok(())
}

/// The project file that is there already and stays: to eject, one needs no new one.
fn present(here: &Path, init: &Init) -> Result<Option<Project>> {
    if !init.eject || init.force {
        return Ok(None);
    }
    match std::fs::read_to_string(here.join(project::FILE)) {
        Ok(text) => project::parse(&text, project::FILE).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io(&format!("cannot read {}", project::FILE), &error)),
    }
}

/// Puts the preset's Containerfile into the folder, with what it leaves out.
fn eject(folder: &Path, builder: &Builder, force: bool) -> Result<Vec<&'static str>> {
    let recipe = match builder {
        Builder::Preset(recipe) => recipe,
        Builder::Containerfile { name, .. } => {
            return Err(Failure::new(Exit::Conflict, "file_exists", format!("{name} is there already"))
                .hint("it is what builds this folder; there is nothing to eject"));
        }
        Builder::Nothing(unknown) => {
            return Err(Failure::usage(unknown.message.clone()).hint(unknown.hint.clone()));
        }
    };
    write(&folder.join("Containerfile"), &recipe.containerfile, force)?;
    let mut wrote = vec!["Containerfile"];
    if ![".containerignore", ".dockerignore"].iter().any(|name| folder.join(name).exists()) {
        write(&folder.join(".dockerignore"), &recipe.ignore, false)?;
        wrote.push(".dockerignore");
    }
    Ok(wrote)
}

fn name(shell: &Shell, folder: &Path) -> Result<String> {
    let folder_name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match &shell.global.app {
        None => Ok(slug(&folder_name)),
        Some(name) if *name == slug(name) => Ok(name.clone()),
        Some(name) => Err(Failure::usage(format!("`{name}` is no name of an app"))
            .hint(format!("lower case letters, digits and single hyphens, a letter first: {}", slug(name)))),
    }
}

fn write(path: &Path, text: &str, force: bool) -> Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(Exit::Conflict, "file_exists", format!("{name} is there already"))
                .hint("`--force` overwrites it")
        }
        _ => Failure::io(&format!("cannot write {name}"), &error),
    })
}

fn explain(shell: &Shell, app: &str, builder: &Builder, wrote: &[&str]) {
    let (ui, paint) = (&shell.ui, shell.ui.err_paint());
    for line in builder.because() {
        ui.note(&format!("  {} {line}", paint.dim("found")));
    }
    match builder {
        Builder::Preset(recipe) => {
            ui.note(&format!("  {} {}, port {}", paint.dim("preset"), recipe.preset, recipe.port));
            if !recipe.others.is_empty() {
                let others: Vec<&str> = recipe.others.iter().map(|preset| preset.name()).collect();
                let others = others.join(" and ");
                ui.note(&format!("  {others} would fit too: `preset` in [build] chooses"));
            }
        }
        Builder::Nothing(unknown) => ui.warn(&unknown.message),
        Builder::Containerfile { .. } => {}
    }
    ui.done(&format!("wrote {} for app {}", wrote.join(", "), paint.bold(app)));
    let next = match builder {
        _ if wrote.contains(&"Containerfile") => "look through the Containerfile, then `wh deploy`",
        Builder::Containerfile { .. } => "`wh deploy`",
        Builder::Preset(_) => "`wh deploy`; `wh init --eject` writes the preset's Containerfile",
        Builder::Nothing(_) => "write a Containerfile, then `wh deploy`; or `wh deploy --image REFERENCE`",
    };
    ui.note(&format!("  {} {next}", paint.dim("next ")));
}

fn project_file(app: &str, port: Option<u16>) -> String {
    let port = match port {
        Some(port) => format!("port = {port}"),
        None => {
            "# port = 8080            # the port that the app listens on; else the image's EXPOSE".to_owned()
        }
    };
    format!(
        "# What this app needs. Values of variables do not belong here: `wh env set NAME=value`.\n\
         app = \"{app}\"\n\n\
         [run]\n{port}\n# replicas = 1\n\n\
         # [build]\n# preset = \"node\"        # else the Containerfile here, else the preset that fits\n\n\
         # Healthy once this answers with 200 to 399; without it a connection to the port is enough.\n\
         # [probe]\n# type = \"http\"\n# path = \"/\"\n\n\
         # [resources]\n# memory_mb = 512\n# cpu_millis = 1000\n\n\
         # [env]\n# required = [\"DATABASE_URL\"]   # `wh deploy` refuses without them\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_is_written_can_be_read_also_with_every_comment_taken_away() {
        let text = project_file("hello", Some(3000));
        let project = project::parse(&text, "f").expect("valid");
        assert_eq!((project.app.as_deref(), project.run.port), (Some("hello"), Some(3000)));
        let open: String = text
            .lines()
            .skip(1)
            .filter(|line| !line.contains("Healthy"))
            .map(|line| line.trim_start_matches("# ").to_owned() + "\n")
            .collect();
        let project = project::parse(&open, "f").expect("valid with all options");
        assert_eq!(project.env.required, ["DATABASE_URL"]);
    }
}
