//! A first project file.

use std::path::Path;

use super::Shell;
use crate::args::Init;
use crate::detect::{Detected, detect, slug};
use crate::failure::{Exit, Failure, Result};
use crate::project;

pub(crate) fn run(shell: &Shell, init: &Init) -> Result<()> {
    let here = std::env::current_dir().map_err(|error| Failure::io("cannot find this folder", &error))?;
    let detected = detect(&here);
    let app = name(shell, &here)?;
    let text = project_file(&app, &detected);
    project::parse(&text, project::FILE)?;
    write(&here.join(project::FILE), &text, init.force)?;
    let mut wrote = vec![project::FILE];
    if let (true, Some(stack)) = (init.containerfile, detected.stack) {
        write(&here.join("Containerfile"), stack.containerfile(), false)?;
        wrote.push("Containerfile");
    }
    if shell.ui.json {
        return crate::ui::json(&serde_json::json!({
            "app": app, "port": detected.port, "found": detected.because, "wrote": wrote,
        }));
    }
    explain(shell, &app, &detected, &wrote);
    Ok(())
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

fn explain(shell: &Shell, app: &str, detected: &Detected, wrote: &[&str]) {
    let (ui, paint) = (&shell.ui, shell.ui.err_paint());
    for line in &detected.because {
        ui.note(&format!("  {} {}", paint.dim("found"), line));
    }
    if detected.because.is_empty() {
        ui.note(&format!("  {} nothing that tells how to build this folder", paint.dim("found")));
    }
    ui.done(&format!("wrote {} for app {}", wrote.join(" and "), paint.bold(app)));
    let next = match (&detected.containerfile, detected.stack, wrote.len()) {
        (Some(_), ..) => "`wh deploy`",
        (None, Some(_), 2..) => "look through the Containerfile, then `wh deploy`",
        (None, Some(_), _) => {
            "a Containerfile is needed: `wh init --force --containerfile` writes a first one"
        }
        (None, None, _) => "write a Containerfile, then `wh deploy`; or `wh deploy --image REFERENCE`",
    };
    ui.note(&format!("  {} {next}", paint.dim("next ")));
}

fn project_file(app: &str, detected: &Detected) -> String {
    let port = match detected.port {
        Some(port) => format!("port = {port}"),
        None => {
            "# port = 8080            # the port that the app listens on; else the image's EXPOSE".to_owned()
        }
    };
    format!(
        "# What this app needs. Values of variables do not belong here: `wh env set NAME=value`.\n\
         app = \"{app}\"\n\n\
         [run]\n{port}\n# replicas = 1\n\n\
         # Healthy once this answers with 200 to 399; without it a connection to the port is enough.\n\
         # [probe]\n# type = \"http\"\n# path = \"/\"\n\n\
         # [resources]\n# memory_mb = 512\n# cpu_millis = 1000\n\n\
         # [env]\n# required = [\"DATABASE_URL\"]   # `wh deploy` warns when one is not set\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_is_written_can_be_read_also_with_every_comment_taken_away() {
        let detected = Detected { port: Some(3000), ..Detected::default() };
        let text = project_file("hello", &detected);
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
