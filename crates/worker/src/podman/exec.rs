//! Programs in running containers.

use std::time::Duration;

use reqwest::header::{CONNECTION, UPGRADE};
use reqwest::{Method, StatusCode, Upgraded};
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
        // Podman cannot be told to heed no keys, and would keep back the first of its own, Ctrl-P, until the next one is
        // typed. These are a byte that nobody types, so often that no data has it by chance.
        let detach_keys = vec!["ctrl-^"; 16].join(",");
        let env = if terminal { vec!["TERM=xterm-256color".to_owned()] } else { Vec::new() };
        let attach = true;
        Self {
            cmd: command,
            env,
            tty: terminal,
            attach_stdin: attach,
            attach_stdout: attach,
            attach_stderr: attach,
            detach_keys,
        }
    }
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
        let request = self
            .request(Method::POST, &format!("/exec/{exec}/start"), &[])
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "tcp")
            // A runtime under load takes its time.
            .timeout(Duration::from_mins(1));
        let response = self.send(request.json(&body)).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::Failed {
                status: response.status().as_u16(),
                message: "Podman gives no stream of the program".to_owned(),
            });
        }
        response.upgrade().await.map_err(Error::Broken)
    }

    pub async fn resize_exec(&self, exec: &str, size: Size) -> Result<(), Error> {
        let (rows, cols) = (size.rows.to_string(), size.cols.to_string());
        let query = [("h", rows.as_str()), ("w", cols.as_str())];
        self.send(self.request(Method::POST, &format!("/exec/{exec}/resize"), &query)).await.map(drop)
    }

    pub async fn inspect_exec(&self, exec: &str) -> Result<Exec, Error> {
        self.get(&format!("/exec/{exec}/json"), &[]).await
    }
}
