//! `wh deploy`: this folder, a repository or an image.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Shell, no_app, upload, watch, way};
use crate::api::types::{App, Deployment, Source, Variables};
use crate::api::{Client, path};
use crate::args::Deploy;
use crate::failure::{Exit, Failure, Result};
use crate::project::{self, Found, Project};
use crate::settings::{merged, patch};

pub(crate) async fn run(shell: &Shell, deploy: Deploy) -> Result<()> {
    let start = start(&deploy)?;
    let (project, folder) = match project::find(&start)? {
        Some(Found { project, folder }) if deploy.folder.is_none() => (project, folder),
        Some(Found { project, .. }) => (project, start),
        None => (Project::default(), start),
    };
    let app = shell.global.app.clone().or_else(|| project.app.clone()).ok_or_else(no_app)?;
    let client = shell.client()?;
    let present = ensure_app(shell, &client, &app, &deploy, &project).await?;
    check_variables(&client, &app, &project).await?;
    let (source, what) = source(shell, &client, &app, &deploy, &project, &folder).await?;
    way::bring(shell, &client, &app, &project).await?;
    let settings = changed_settings(&present, &project, deploy.image.is_some());
    let deployment = start_deployment(&client, &app, source, &deploy, settings).await?;
    let paint = shell.ui.err_paint();
    shell.ui.note(&format!("{} deployment {} · {}", paint.bold(&app), deployment.number, paint.dim(&what)));
    watch::finish(shell, &client, deployment, deploy.detach).await
}

fn start(deploy: &Deploy) -> Result<PathBuf> {
    let folder = deploy.folder.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder = folder
        .canonicalize()
        .map_err(|error| Failure::usage(format!("cannot read the folder {}: {error}", folder.display())))?;
    if folder.is_dir() {
        Ok(folder)
    } else {
        Err(Failure::usage(format!("{} is no folder", folder.display())))
    }
}

async fn ensure_app(
    shell: &Shell,
    client: &Client,
    app: &str,
    deploy: &Deploy,
    project: &Project,
) -> Result<App> {
    match client.get::<App>(&path(&["apps", app])).await {
        Err(failure) if failure.exit == Exit::NotFound => {}
        found => return found,
    }
    let mut body = settings(project, true).as_object().cloned().unwrap_or_default();
    body.insert("slug".to_owned(), json!(app));
    if let Some(project) = deploy.project.as_ref().or(project.project.as_ref()) {
        body.insert("project".to_owned(), json!(project));
    }
    let created: App = client.send(Method::POST, "/apps", &Value::Object(body)).await?;
    shell.ui.done(&format!("created app {} in project {}", created.slug, created.project.slug));
    Ok(created)
}

/// The project file's settings. How to build belongs to a source that is built.
fn settings(project: &Project, image: bool) -> Value {
    let mut settings = project.settings();
    if let (true, Some(settings)) = (image, settings.as_object_mut()) {
        settings.remove("containerfile");
    }
    settings
}

/// What the project file changes of the app's settings. The API takes groups as a whole, and the file may say less.
fn changed_settings(app: &App, project: &Project, image: bool) -> Value {
    patch(&app.settings, &merged(&app.settings, &settings(project, image)))
}

/// Before anything is uploaded or built: the app would not start without them.
async fn check_variables(client: &Client, app: &str, project: &Project) -> Result<()> {
    if project.env.required.is_empty() {
        return Ok(());
    }
    let env: Variables = client.get(&path(&["apps", app, "env"])).await?;
    let set = |name: &String| env.variables.iter().any(|variable| variable.name == *name);
    let missing: Vec<&str> =
        project.env.required.iter().filter(|name| !set(name)).map(String::as_str).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let message = format!("the project file requires {}, which the app does not have", missing.join(", "));
    Err(Failure::usage(message)
        .hint(format!("`wh env set --app {app} {first}=-` reads it from standard input")))
}

/// The source for the API, and the same in words.
async fn source(
    shell: &Shell,
    client: &Client,
    app: &str,
    deploy: &Deploy,
    project: &Project,
    folder: &Path,
) -> Result<(Source, String)> {
    if let Some(reference) = &deploy.image {
        return Ok((Source::Image { reference: reference.clone() }, format!("image {reference}")));
    }
    if let Some(url) = &deploy.git {
        let Deploy { reference, submodules, lfs, .. } = deploy;
        let source =
            Source::Git { url: url.clone(), r#ref: reference.clone(), submodules: *submodules, lfs: *lfs };
        return Ok((source, format!("{url} {}", deploy.reference)));
    }
    upload::folder(shell, client, app, project, folder).await
}

async fn start_deployment(
    client: &Client,
    app: &str,
    source: Source,
    deploy: &Deploy,
    settings: Value,
) -> Result<Deployment> {
    let mut body = Map::from_iter([("source".to_owned(), json!(source))]);
    if settings.as_object().is_some_and(|settings| !settings.is_empty()) {
        body.insert("settings".to_owned(), settings);
    }
    if deploy.no_cache {
        body.insert("no_cache".to_owned(), json!(true));
    }
    if let Some(message) = &deploy.message {
        body.insert("message".to_owned(), json!(message));
    }
    client.send_once(&path(&["apps", app, "deployments"]), &Value::Object(body)).await
}
