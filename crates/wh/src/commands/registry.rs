//! Logins to registries of private images.

use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::Shell;
use crate::api::path;
use crate::api::types::Registry;
use crate::args::RegistryCommand;
use crate::failure::{Failure, Result};
use crate::ui::prompt;
use crate::ui::table::{Cell, Table};
use crate::ui::time;

pub(crate) async fn run(shell: &Shell, command: Option<RegistryCommand>) -> Result<()> {
    match command.unwrap_or(RegistryCommand::Ls) {
        RegistryCommand::Ls => ls(shell).await,
        RegistryCommand::Login { host, username, password_stdin } => {
            login(shell, &host, username, password_stdin).await
        }
        RegistryCommand::Rm { host } => rm(shell, &host).await,
        RegistryCommand::Use { host: Some(host), path, .. } => keep_images(shell, &host, path).await,
        RegistryCommand::Use { host: None, .. } => keep_no_images(shell).await,
    }
}

async fn ls(shell: &Shell) -> Result<()> {
    let registries: Vec<Registry> = shell.client()?.list("/registries").await?;
    if shell.ui.json {
        return crate::ui::json(&registries);
    }
    if registries.is_empty() {
        shell.ui.note("no registries: images are pulled without a login");
        return Ok(());
    }
    let mut table = Table::new(&["HOST", "USER", "BY", "STORED", "BUILT IMAGES"]);
    for registry in &registries {
        table.row(vec![
            Cell::name(&registry.host),
            Cell::plain(&registry.username),
            Cell::plain(&registry.updated_by),
            Cell::plain(time::age_of(Some(registry.updated_at))),
            Cell::plain(images(registry)),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))?;
    for problem in registries.iter().flat_map(|registry| &registry.image_problems) {
        shell.ui.note(&format!("cannot {problem}"));
    }
    Ok(())
}

/// `12 in wisehosting/, 1 waiting`
fn images(registry: &Registry) -> String {
    let Registry { images_path, images_kept: kept, images_waiting: waiting, .. } = registry;
    let there = match images_path {
        Some(path) => format!("{kept} in {path}/"),
        None if *kept > 0 => format!("{kept}, no new ones"),
        None => "-".to_owned(),
    };
    if *waiting > 0 { format!("{there}, {waiting} waiting") } else { there }
}

async fn keep_images(shell: &Shell, host: &str, folder: Option<String>) -> Result<()> {
    let body = json!({ "path": folder });
    let kept: Registry =
        shell.client()?.send(Method::POST, &path(&["registries", host, "images"]), &body).await?;
    if shell.ui.json {
        return crate::ui::json(&kept);
    }
    let place = kept.images_path.unwrap_or_default();
    shell.ui.done(&format!("built images are kept as {}/{place}/APP:vN as well from now on", kept.host));
    Ok(())
}

async fn keep_no_images(shell: &Shell) -> Result<()> {
    let client = shell.client()?;
    let registries: Vec<Registry> = client.list("/registries").await?;
    let used = registries.into_iter().find(|registry| registry.images_path.is_some());
    if let Some(registry) = &used {
        client.delete(&path(&["registries", &registry.host, "images"])).await?;
    }
    if shell.ui.json {
        return crate::ui::json(&json!({ "host": used.map(|registry| registry.host), "used": false }));
    }
    shell.ui.done(&match used {
        Some(registry) => format!(
            "no more images are pushed to {}; those that are there stay as long as they are kept",
            registry.host
        ),
        None => "no registry was in use for built images".to_owned(),
    });
    Ok(())
}

async fn login(shell: &Shell, host: &str, username: Option<String>, from_stdin: bool) -> Result<()> {
    if !from_stdin && !prompt::possible() {
        return Err(Failure::usage("there is no terminal to ask for the password on")
            .hint("pipe it into `wh registry login HOST --username NAME --password-stdin`"));
    }
    let username = match username {
        Some(username) => username,
        None => prompt::line("User name: ")?,
    };
    let password = if from_stdin { prompt::stdin_value()? } else { prompt::hidden("Password or token: ")? };
    let body = json!({ "host": host, "username": username, "password": password.expose_secret() });
    let stored: Registry = shell.client()?.send(Method::POST, "/registries", &body).await?;
    if shell.ui.json {
        return crate::ui::json(&stored);
    }
    let (host, username) = (&stored.host, &stored.username);
    shell.ui.done(&format!("builds pull from {host} as {username} from now on"));
    Ok(())
}

async fn rm(shell: &Shell, host: &str) -> Result<()> {
    shell.client()?.delete(&path(&["registries", host])).await?;
    if shell.ui.json {
        return crate::ui::json(&json!({ "host": host, "removed": true }));
    }
    shell.ui.done(&format!("the login to {host} is forgotten"));
    Ok(())
}
