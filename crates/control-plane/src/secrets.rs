//! The control plane's own secrets: systemd's credentials, then the configuration, then made on first start.

use std::os::unix::fs::DirBuilderExt;
use std::str::FromStr;

use anyhow::Context;
use daemon::credentials::{Credentials, ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;

use crate::config::Config;
use crate::digest;

/// What a running control plane must know and never show.
#[derive(Debug)]
pub struct Secrets {
    pub api_server_secret: SecretString,
    pub proxy_token: SecretString,
}

impl Secrets {
    pub fn load(config: &Config, credentials: &Credentials) -> anyhow::Result<Self> {
        let secrets = Self {
            api_server_secret: or_made(
                config,
                "api_server_secret",
                credentials.get("api_server_secret", config.api_server.secret.as_ref())?,
            )?,
            proxy_token: or_made(
                config,
                "proxy_token",
                credentials.get("proxy_token", config.proxy.token.as_ref())?,
            )?,
        };
        anyhow::ensure!(
            secrets.api_server_secret.expose_secret().len() >= 32,
            "the credential api_server_secret must have at least 32 characters: openssl rand -hex 32"
        );
        anyhow::ensure!(
            secrets.proxy_token.expose_secret().len() >= 16,
            "the credential proxy_token must have at least 16 characters: openssl rand -hex 32"
        );
        Ok(secrets)
    }
}

/// How to reach the database: the URL of the credential `database_url` or of the configuration, with the password of
/// the credential `database_password` if there is one.
pub fn database(config: &Config, credentials: &Credentials) -> anyhow::Result<PgConnectOptions> {
    let url = credentials
        .get("database_url", config.database.url.as_ref())?
        .context("`database.url` is missing: set it, or give the credential database_url")?;
    let options = PgConnectOptions::from_str(url.expose_secret())
        .map_err(|error| anyhow::anyhow!("`database.url` is not a Postgres URL: {error}"))?;
    Ok(match credentials.get("database_password", None)? {
        Some(password) => options.password(password.expose_secret()),
        None => options,
    })
}

/// A secret that nobody gave is made once and kept in `state_dir/secrets`, so that a first server starts with none.
/// Losing `api_server_secret` means losing everything that is sealed: docs/operations/backup.md.
fn or_made(config: &Config, name: &str, given: Option<SecretString>) -> anyhow::Result<SecretString> {
    if let Some(secret) = given {
        return Ok(secret);
    }
    let folder = config.api_server.state_dir.join("secrets");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("`api_server.state_dir`: cannot make {}", folder.display()))?;
    let path = folder.join(name);
    match std::fs::read_to_string(&path) {
        Ok(secret) => Ok(SecretString::from(secret)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret = digest::new_token("");
            daemon::file::replace(&path, secret.as_bytes(), 0o600)
                .with_context(|| format!("cannot write {}", path.display()))?;
            tracing::info!(secret = name, path = %path.display(), "made a secret; keep a copy with your backups");
            Ok(SecretString::from(secret))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions;

    use super::*;

    #[test]
    fn the_password_of_the_database_may_be_a_credential_of_its_own() {
        let folder = tempfile::tempdir().expect("temp dir");
        let credentials = Credentials::in_folder(folder.path());
        let mut config = Config::example();
        config.database.url = Some(SecretString::from("postgres://wisehosting@127.0.0.1:6432/wisehosting"));
        let password = |options: PgConnectOptions| options.to_url_lossy().password().map(str::to_owned);
        assert_eq!(password(database(&config, &credentials).expect("without")), None);
        std::fs::write(folder.path().join("database_password"), "a/b@c #?\n").expect("write");
        let options = database(&config, &credentials).expect("with");
        assert_eq!(options.get_host(), "127.0.0.1");
        assert_eq!(password(options).as_deref(), Some("a%2Fb%40c%20%23%3F"));
    }
}
