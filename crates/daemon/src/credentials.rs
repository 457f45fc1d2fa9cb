//! Long-lived secrets: systemd's credentials win over the configuration file
//! (`LoadCredential=name:path` puts them at `$CREDENTIALS_DIRECTORY/name`).

use std::path::{Path, PathBuf};

pub use secrecy::{ExposeSecret, SecretString};

/// Where this process finds its credentials.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    folder: Option<PathBuf>,
}

impl Credentials {
    /// From `$CREDENTIALS_DIRECTORY`.
    pub fn from_env() -> Self {
        Self { folder: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) }
    }

    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()) }
    }

    /// The credential `name` without the line end that editors leave, or `from_config` when there is no such file.
    pub fn get(
        &self,
        name: &str,
        from_config: Option<&SecretString>,
    ) -> Result<Option<SecretString>, CredentialError> {
        let Some(folder) = &self.folder else { return Ok(from_config.cloned()) };
        let path = folder.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(from_config.cloned()),
            Err(source) => Err(CredentialError { path, source }),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read the credential {path}: {source}")]
pub struct CredentialError {
    path: PathBuf,
    source: std::io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_wins_over_the_configuration_file() {
        let folder = tempfile::tempdir().expect("temp dir");
        std::fs::write(folder.path().join("secret"), "from systemd\n").expect("write");
        let credentials = Credentials::in_folder(folder.path());
        let config = SecretString::from("from config");
        let found = credentials.get("secret", Some(&config)).expect("read").expect("some");
        assert_eq!(found.expose_secret(), "from systemd");
        let other = credentials.get("other", Some(&config)).expect("read").expect("some");
        assert_eq!(other.expose_secret(), "from config");
    }
}
