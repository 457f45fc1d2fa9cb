//! Runs `wh` against a control plane that answers by the contract of the public API.

mod account;
mod activity;
mod apps;
mod certs;
mod cp;
mod deploy;
mod dns_provider;
mod doctor;
mod domain;
mod exec;
mod fleet;
mod git;
mod joining;
mod mesh;
mod mock;
mod network;
mod notices;
mod plan;
mod power;
mod project;
mod queue;
mod registry;
mod route;
mod routes;
mod settings;
mod stream;
mod traffic;
mod way;
mod zones;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use mock::Mock;
use serde_json::Value;

/// A user: a home folder and a working folder of their own.
struct User {
    home: tempfile::TempDir,
    work: tempfile::TempDir,
}

/// How a run ended.
#[derive(Debug)]
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Run {
    fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    fn failed(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    fn error(&self) -> Value {
        let value: Value =
            serde_json::from_str(&self.err).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        value["error"].clone()
    }
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("temp dir"), work: tempfile::tempdir().expect("temp dir") }
    }

    fn with_files(files: &[(&str, &str)]) -> Self {
        let user = Self::new();
        for (path, text) in files {
            let path = user.work.path().join(path);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("folders");
            std::fs::write(path, text).expect("write");
        }
        user
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.work.path().join(name)).expect("read")
    }

    fn config(&self) -> std::path::PathBuf {
        self.home.path().join("config/wisehosting/config.toml")
    }

    /// Runs `wh` with nothing in the environment but a home.
    fn bare(&self, args: &[&str], env: &[(&str, &str)], stdin: &str) -> Run {
        let mut child = Command::new(env!("CARGO_BIN_EXE_wh"))
            .args(args)
            .current_dir(self.work.path())
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path().join("config"))
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("wh starts");
        // A command that does not read its input may be gone by now.
        let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
        let output = child.wait_with_output().expect("wh ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Run {
            code: output.status.code().expect("a code"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Runs `wh` signed in by the environment.
    fn wh(&self, mock: &Mock, args: &[&str]) -> Run {
        self.bare(args, &[("WH_URL", &mock.url), ("WH_TOKEN", "wht_test")], "")
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().expect("metadata").permissions().mode() & 0o777
}
