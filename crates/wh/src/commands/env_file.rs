//! Variables as a `.env` file. The control plane reads and writes the text.

use std::io::Read as _;
use std::path::Path;

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Shell, env};
use crate::api::path;
use crate::api::types::{EnvFile, EnvFileChange, Variables};
use crate::args::Effect;
use crate::failure::{Failure, Result};

/// Bytes of a text.
const LIMIT: u64 = 1 << 20;

pub(super) async fn import(shell: &Shell, file: &Path, replace: bool, effect: &Effect) -> Result<()> {
    let text = read(file)?;
    let client = shell.client()?;
    let body = EnvFileChange { text: text.expose_secret(), keep: !replace, deploy: !effect.stage };
    let answer: Variables = client.send(Method::PATCH, &shell.app_path(&["env", "file"])?, &body).await?;
    env::changed(shell, &client, answer, &format!("imported {}", name(file)), effect).await
}

pub(super) async fn export(shell: &Shell) -> Result<()> {
    let file: EnvFile = shell.client()?.get(&path(&["apps", &shell.app()?, "env", "file"])).await?;
    if shell.ui.json {
        return crate::ui::json(&file);
    }
    if !file.locked.is_empty() {
        shell.ui.note(&format!("locked, and therefore left out: {}", file.locked.join(", ")));
    }
    if file.text.is_empty() { Ok(()) } else { crate::ui::data(&file.text) }
}

fn read(file: &Path) -> Result<SecretString> {
    let cannot = |error: &std::io::Error| Failure::usage(format!("cannot read {}: {error}", name(file)));
    let mut text = String::new();
    let count = if file == Path::new("-") {
        std::io::stdin().lock().take(LIMIT + 1).read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(file).map_err(|error| cannot(&error))?;
        opened.take(LIMIT + 1).read_to_string(&mut text)
    };
    if count.map_err(|error| cannot(&error))? as u64 > LIMIT {
        return Err(Failure::usage(format!("{} holds more than 1 MiB, which are no variables", name(file))));
    }
    Ok(SecretString::from(text))
}

fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}
