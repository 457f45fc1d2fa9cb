//! Certificates that people bring.

use std::path::Path;

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::Shell;
use crate::api::path_with;
use crate::api::types::ImportedCertificate;
use crate::failure::{Failure, Result};
use crate::ui::prompt;

pub(super) async fn import(shell: &Shell, chain: &Path, key: Option<&Path>) -> Result<()> {
    let chain_pem = read(chain)?;
    let key_pem = match key {
        Some(key) if key == Path::new("-") => prompt::stdin_value()?,
        Some(key) => read(key)?.into(),
        None => SecretString::from(chain_pem.clone()),
    };
    if !key_pem.expose_secret().contains("PRIVATE KEY-----") {
        return Err(Failure::usage("there is no private key in it")
            .hint("name the file of the key: `wh cert import CHAIN --key KEY`"));
    }
    let body = json!({ "chain_pem": certificates(&chain_pem), "key_pem": key_pem.expose_secret() });
    let imported: ImportedCertificate =
        shell.client()?.send(Method::POST, "/certificates/imports", &body).await?;
    if shell.ui.json {
        return crate::ui::json(&imported);
    }
    let ImportedCertificate { hosts, issuer, not_after, notes, .. } = &imported;
    let until = not_after.format("%Y-%m-%d");
    shell.ui.done(&format!("served for {} until {until}, issued by {issuer}", hosts.join(", ")));
    for note in notes {
        shell.ui.warn(note);
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::io(&format!("cannot read {}", file.display()), &error))
}

/// The certificates of a file that may hold the key as well: the key is sent as such alone.
fn certificates(text: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        inside |= line.starts_with("-----BEGIN CERTIFICATE-----");
        if inside {
            kept.push_str(line);
            kept.push('\n');
        }
        inside &= !line.starts_with("-----END CERTIFICATE-----");
    }
    // Something else: the server says what is wrong with it.
    if kept.is_empty() && !text.contains("PRIVATE KEY-----") { text.to_owned() } else { kept }
}

/// Asks for the name once more unless `--confirm` says it.
pub(super) async fn remove(shell: &Shell, name: &str, confirm: Option<String>) -> Result<()> {
    let client = shell.client()?;
    let all: Vec<ImportedCertificate> = client.list("/certificates/imports").await?;
    let is_meant = |imported: &&ImportedCertificate| {
        imported.hosts.iter().chain(&imported.names).any(|other| other.eq_ignore_ascii_case(name))
    };
    let found = all.iter().find(is_meant).and_then(|imported| Some((imported, imported.names.first()?)));
    let Some((imported, first)) = found else {
        return Err(Failure::usage(format!("no imported certificate is for {name}"))
            .hint("`wh cert list` tells which are imported"));
    };
    let confirm = match confirm {
        Some(confirm) => confirm,
        None if prompt::possible() => {
            prompt::line(&format!("Type {first} to remove the certificate with its key: "))?
        }
        None => {
            return Err(Failure::usage("removing a certificate needs its first name once more")
                .hint(format!("`wh cert remove {name} --confirm {first}`")));
        }
    };
    if confirm != *first {
        return Err(Failure::usage(format!("this is not {first}: nothing was removed")));
    }
    client.delete(&path_with(&["certificates", "imports", &imported.id], &[("confirm", first)])).await?;
    if shell.ui.json {
        return crate::ui::json(&json!({ "names": imported.names, "removed": true }));
    }
    shell.ui.done(&format!("the certificate for {first} is removed; proxies serve or order one of a CA"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::certificates;

    #[test]
    fn the_key_is_no_part_of_the_chain() {
        let block = |word: &str| format!("-----BEGIN {word}-----\nAA==\n-----END {word}-----\n");
        let (one, key) = (block("CERTIFICATE"), block("EC PRIVATE KEY"));
        assert_eq!(certificates(&format!("Bag\n{key}{one}subject=x\n{one}")), format!("{one}{one}"));
        assert_eq!(certificates(&key), "");
        assert_eq!(certificates("what is this"), "what is this");
    }
}
