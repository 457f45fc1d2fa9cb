//! Programs in running containers, and the streams of those that containers are there for.

use std::time::Duration;

use reqwest::header::{CONNECTION, UPGRADE};
use reqwest::{Method, RequestBuilder, StatusCode, Upgraded};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Error, Podman};
use protocol::exec::Size;

/// A program to be run in a container.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NewExec {
    cmd: Vec<String>,
    env: Vec<String>,
    tty: bool,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    detach_keys: String,
}

impl NewExec {
    pub fn new(command: Vec<String>, terminal: bool) -> Self {
        let env = if terminal { vec!["TERM=xterm-256color".to_owned()] } else { Vec::new() };
        let attach = true;
        Self {
            cmd: command,
            env,
            tty: terminal,
            attach_stdin: attach,
            attach_stdout: attach,
            attach_stderr: attach,
            detach_keys: no_keys(),
        }
    }
}

/// Podman cannot be told to heed no keys, and would keep back the first of its own, Ctrl-P, until the next one is typed.
/// These are a byte that nobody types, so often that no data has it by chance.
fn no_keys() -> String {
    vec!["ctrl-^"; 16].join(",")
}

/// How a program is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Exec {
    pub running: bool,
    pub exit_code: i32,
    /// On the host; 0 before it runs.
    pub pid: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

impl Podman {
    /// The new program's id. It does not run yet.
    pub async fn create_exec(&self, container: &str, exec: &NewExec) -> Result<String, Error> {
        let request = self.request(Method::POST, &format!("/containers/{container}/exec"), &[]).json(exec);
        self.json::<Created>(request).await.map(|created| created.id)
    }

    /// Starts the program; the stream is its input and its outputs.
    pub async fn start_exec(&self, exec: &str, terminal: Option<Size>) -> Result<Upgraded, Error> {
        let body = match terminal {
            Some(size) => json!({ "Detach": false, "Tty": true, "h": size.rows, "w": size.cols }),
            None => json!({ "Detach": false, "Tty": false }),
        };
        self.upgrade(self.request(Method::POST, &format!("/exec/{exec}/start"), &[]).json(&body)).await
    }

    /// The input and the outputs of a container that was not started yet.
    pub async fn attach(&self, container: &str) -> Result<Upgraded, Error> {
        let (keys, yes) = (no_keys(), "true");
        let query = [
            ("stdin", yes),
            ("stdout", yes),
            ("stderr", yes),
            ("stream", yes),
            ("logs", "false"),
            ("detachKeys", &keys),
        ];
        self.upgrade(self.request(Method::POST, &format!("/containers/{container}/attach"), &query)).await
    }

    async fn upgrade(&self, request: RequestBuilder) -> Result<Upgraded, Error> {
        // A runtime under load takes its time.
        let limit = Duration::from_mins(1);
        let request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "tcp").timeout(limit);
        let response = self.send(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::Failed {
                status: response.status().as_u16(),
                message: "Podman gives no stream of the program".to_owned(),
            });
        }
        response.upgrade().await.map_err(Error::Broken)
    }

    pub async fn resize_exec(&self, exec: &str, size: Size) -> Result<(), Error> {
        self.resize(&format!("/exec/{exec}/resize"), size).await
    }

    /// Also before it is started.
    pub async fn resize_container(&self, container: &str, size: Size) -> Result<(), Error> {
        self.resize(&format!("/containers/{container}/resize"), size).await
    }

    async fn resize(&self, path: &str, size: Size) -> Result<(), Error> {
        let (rows, cols) = (size.rows.to_string(), size.cols.to_string());
        // Podman's word for "whether or not it runs".
        let query = [("h", rows.as_str()), ("w", cols.as_str()), ("running", "true")];
        self.send(self.request(Method::POST, path, &query)).await.map(drop)
    }

    pub async fn inspect_exec(&self, exec: &str) -> Result<Exec, Error> {
        self.get(&format!("/exec/{exec}/json"), &[]).await
    }
}
