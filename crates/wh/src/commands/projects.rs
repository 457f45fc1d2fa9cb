//! Projects, which apps belong to.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Shell;
use crate::api::path;
use crate::api::types::Project;
use crate::args::ProjectCommand;
use crate::failure::{Failure, Result};
use crate::ui::table::{Cell, Table};
use crate::ui::{prompt, sanitize};

pub(crate) async fn run(shell: &Shell, command: Option<ProjectCommand>) -> Result<()> {
    match command.unwrap_or(ProjectCommand::Ls) {
        ProjectCommand::Ls => ls(shell).await,
        ProjectCommand::Create { slug, name } => create(shell, &slug, name).await,
        ProjectCommand::Rename { slug, name } => rename(shell, &slug, &name).await,
        ProjectCommand::Rm { slug, yes } => rm(shell, &slug, yes).await,
    }
}

async fn ls(shell: &Shell) -> Result<()> {
    let projects: Vec<Project> = shell.client()?.list("/projects").await?;
    if shell.ui.json {
        return crate::ui::json(&projects);
    }
    if projects.is_empty() {
        shell.ui.note("no projects yet: `wh project create SLUG` makes one");
        return Ok(());
    }
    let mut table = Table::new(&["PROJECT", "NAME", "APPS"]);
    for project in &projects {
        table.row(vec![Cell::name(&project.slug), Cell::plain(&project.name), Cell::plain(apps(project))]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// `2, 1 deleted`: a deleted one that can come back keeps its project.
fn apps(project: &Project) -> String {
    match project.deleted_apps {
        0 => project.apps.to_string(),
        deleted => format!("{}, {deleted} deleted", project.apps),
    }
}

async fn create(shell: &Shell, slug: &str, name: Option<String>) -> Result<()> {
    let mut body = Map::from_iter([("slug".to_owned(), Value::from(slug))]);
    body.extend(name.map(|name| ("name".to_owned(), Value::from(name))));
    let made: Project = shell.client()?.send(Method::POST, "/projects", &Value::Object(body)).await?;
    if shell.ui.json {
        return crate::ui::json(&made);
    }
    shell.ui.done(&format!("created project {}", made.slug));
    let next = format!("`wh apps create NAME --project {}`", made.slug);
    shell.ui.note(&format!("  {} {next}", shell.ui.err_paint().dim("next")));
    Ok(())
}

async fn rename(shell: &Shell, slug: &str, name: &str) -> Result<()> {
    let route = path(&["projects", slug]);
    let renamed: Project = shell.client()?.send(Method::PATCH, &route, &json!({ "name": name })).await?;
    if shell.ui.json {
        return crate::ui::json(&renamed);
    }
    shell.ui.done(&format!("project {} is called {}", renamed.slug, sanitize(&renamed.name)));
    Ok(())
}

async fn rm(shell: &Shell, slug: &str, yes: bool) -> Result<()> {
    sure(slug, yes)?;
    shell.client()?.delete(&path(&["projects", slug])).await?;
    if shell.ui.json {
        return crate::ui::json(&json!({ "slug": slug, "removed": true }));
    }
    shell.ui.done(&format!("project {slug} is removed"));
    Ok(())
}

fn sure(slug: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !prompt::possible() {
        return Err(Failure::usage(format!("nobody can be asked whether project {slug} goes"))
            .hint(format!("`wh project rm {slug} --yes` removes it")));
    }
    match prompt::line(&format!("Remove project {slug} with its grants? [y/N] "))?.as_str() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::usage("nothing was removed")),
    }
}
