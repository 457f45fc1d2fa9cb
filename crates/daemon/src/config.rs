//! One configuration file per process: TOML for people, JSON from Nix, told apart by the extension. Unknown keys are
//! errors, because a misspelt key that is ignored is a setting that silently does not hold.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a configuration cannot be used. Every variant names the file; the text names the key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}. Name the file with --config or CONFIG_PATH")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} has no known extension: it must end in .toml or .json")]
    Extension { path: PathBuf },
    #[error("{path}: {message}")]
    Parse { path: PathBuf, message: String },
    #[error("{path}: `{key}` {problem}")]
    Invalid { path: PathBuf, key: String, problem: String },
}

/// A setting that parses but cannot hold. The program's own `check` returns these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Dotted, for example `api_server.base_url`.
    pub key: String,
    /// Continues the sentence that the key begins: `must be …`.
    pub problem: String,
}

impl Invalid {
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

/// A configuration that can check itself beyond types.
pub trait Check {
    fn check(&self) -> Result<(), Invalid>;
}

/// Reads and checks the configuration in `path`.
pub fn load<T: DeserializeOwned + Check>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let parse_error = |message: String| ConfigError::Parse { path: path.to_owned(), message };
    let config: T = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => toml::from_str(&text).map_err(|error| parse_error(error.to_string()))?,
        Some("json") => serde_json::from_str(&text).map_err(|error| parse_error(error.to_string()))?,
        _ => return Err(ConfigError::Extension { path: path.to_owned() }),
    };
    config.check().map_err(|Invalid { key, problem }| ConfigError::Invalid {
        path: path.to_owned(),
        key,
        problem,
    })?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        port: u16,
    }

    impl Check for Sample {
        fn check(&self) -> Result<(), Invalid> {
            if self.port == 0 { Err(Invalid::new("port", "must not be 0")) } else { Ok(()) }
        }
    }

    fn load_text(name: &str, text: &str) -> Result<Sample, String> {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("write");
        load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn toml_and_json_are_read_by_their_extension() {
        assert_eq!(load_text("a.toml", "port = 1").expect("toml").port, 1);
        assert_eq!(load_text("a.json", r#"{"port":2}"#).expect("json").port, 2);
        assert!(load_text("a.yaml", "port: 3").unwrap_err().contains(".toml or .json"));
    }

    #[test]
    fn errors_name_the_key() {
        for (text, key) in
            [("prot = 1", "prot"), ("port = \"x\"", "port"), ("port = 0", "`port` must not be 0")]
        {
            let error = load_text("a.toml", text).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }
}
