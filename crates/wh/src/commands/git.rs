//! Access to private repositories.

use std::io::Read as _;
use std::path::Path;

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::Shell;
use crate::api::types::{GitAccess, GitAccessAnswer};
use crate::args::GitCommand;
use crate::failure::{Failure, Result};
use crate::ui::prompt;
use crate::ui::time::age_of;

/// Bytes of a key or of a `known_hosts`.
const LIMIT: u64 = 64 << 10;

pub(crate) async fn run(shell: &Shell, command: Option<GitCommand>) -> Result<()> {
    match command.unwrap_or(GitCommand::Show) {
        GitCommand::Show => show(shell).await,
        GitCommand::Token { host, username, token_stdin } => {
            let token = token(token_stdin)?;
            let body = json!({ "kind": "token", "host": host, "username": username, "token": token.expose_secret() });
            put(shell, &body).await
        }
        GitCommand::Key { host, file, known_hosts } => {
            let key = if file == Path::new("-") { prompt::stdin_value()? } else { read(&file)?.into() };
            let known_hosts = known_hosts.as_deref().map(read).transpose()?.unwrap_or_default();
            let key = key.expose_secret();
            let body = json!({ "kind": "key", "host": host, "private_key": key, "known_hosts": known_hosts });
            put(shell, &body).await
        }
        GitCommand::Rm => rm(shell).await,
    }
}

async fn show(shell: &Shell) -> Result<()> {
    let answer: GitAccessAnswer = shell.client()?.get(&shell.app_path(&["git-access"])?).await?;
    if shell.ui.json {
        return crate::ui::json(&answer);
    }
    if let Some(access) = answer.access {
        return crate::ui::data(&in_words(&access));
    }
    shell
        .ui
        .note("only public repositories: `wh git token HOST` or `wh git key HOST FILE` opens private ones");
    Ok(())
}

fn in_words(access: &GitAccess) -> String {
    let mut lines = vec![("host", access.host.clone()), ("with", access.kind.clone())];
    lines.extend(access.username.iter().map(|name| ("user", name.clone())));
    lines.extend(access.public_key.iter().map(|key| ("public key", key.clone())));
    if access.kind == "key" {
        let none = access.host_keys.is_empty().then(|| "the first that it shows".to_owned());
        lines.extend(access.host_keys.iter().cloned().chain(none).map(|key| ("host key", key)));
    }
    lines.push(("stored", format!("{} by {}", age_of(Some(access.updated_at)), access.updated_by)));
    let line = |(name, value): (&str, String)| format!("{name:<12}{}\n", crate::ui::sanitize(&value));
    lines.into_iter().map(line).collect()
}

async fn put(shell: &Shell, body: &Value) -> Result<()> {
    let path = shell.app_path(&["git-access"])?;
    let stored: GitAccessAnswer = shell.client()?.send(Method::POST, &path, body).await?;
    if shell.ui.json {
        return crate::ui::json(&stored);
    }
    let Some(access) = stored.access else { return Ok(()) };
    shell
        .ui
        .done(&format!("repositories of {} are fetched with this {} from now on", access.host, access.kind));
    if let Some(key) = &access.public_key {
        shell.ui.note(&format!("its public part, which the repository must know as a deploy key:\n{key}"));
    }
    Ok(())
}

async fn rm(shell: &Shell) -> Result<()> {
    shell.client()?.delete(&shell.app_path(&["git-access"])?).await?;
    if shell.ui.json {
        return crate::ui::json(&json!({ "removed": true }));
    }
    shell.ui.done("the app fetches public repositories only");
    Ok(())
}

fn token(from_stdin: bool) -> Result<SecretString> {
    if from_stdin {
        return prompt::stdin_value();
    }
    if !prompt::possible() {
        return Err(Failure::usage("there is no terminal to ask for the token on")
            .hint("pipe it into `wh git token HOST --token-stdin`"));
    }
    prompt::hidden("Token: ")
}

fn read(file: &Path) -> Result<String> {
    let shown = file.display();
    let mut text = String::new();
    let opened = std::fs::File::open(file);
    opened
        .and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text))
        .map_err(|error| Failure::io(&format!("cannot read {shown}"), &error))?;
    if text.len() as u64 > LIMIT {
        return Err(Failure::usage(format!("{shown} is too large to be a key")));
    }
    Ok(text)
}
