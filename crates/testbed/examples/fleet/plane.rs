//! The control plane under test, and its API as the first administrator.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::{Value, json};
use testbed::report::{tail, until};

use crate::Arguments;
use crate::usage::Usage;

/// Room for more nodes than a /24 has.
const MESH: &str = "10.60.0.0/16";
const START: Duration = Duration::from_mins(1);
const CALL: Duration = Duration::from_mins(1);

pub(crate) struct Plane {
    process: Child,
    postgres: u32,
    api: SocketAddr,
    /// Where agents dial.
    pub(crate) hub: SocketAddr,
    client: Client,
    token: String,
}

impl Plane {
    pub(crate) async fn start(arguments: &Arguments, folder: &Path) -> Result<Self> {
        let (api, hub) = (free_port()?, free_port()?);
        let config = folder.join("control-plane.json");
        std::fs::write(folder.join("public.key"), public_key())?;
        std::fs::write(&config, settings(arguments, folder, api, hub).to_string())?;
        let log = folder.join("control-plane.log");
        let process = Command::new(&arguments.control_plane)
            .arg("--config")
            .arg(&config)
            .arg("serve")
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .with_context(|| arguments.control_plane.display().to_string())?;
        let client = Client::builder().timeout(CALL).build()?;
        let mut plane =
            Self { process, postgres: arguments.postgres, api, hub, client, token: String::new() };
        until("the control plane", START, || async { plane.get("/setup").await.map(Some) })
            .await
            .with_context(|| tail(&log))?;
        plane.token = plane.administrator(arguments, &config).await?;
        Ok(plane)
    }

    async fn administrator(&self, arguments: &Arguments, config: &Path) -> Result<String> {
        let mut chore = Command::new(&arguments.control_plane);
        let code = chore.arg("--config").arg(config).args(["admin", "setup-code", "--bare"]).output()?;
        ensure!(code.status.success(), "no setup code: {}", String::from_utf8_lossy(&code.stderr));
        let code = String::from_utf8(code.stdout)?;
        let (email, password) = ("admin@example.com", hex::encode(rand::random::<[u8; 16]>()));
        let account = json!({ "code": code.trim(), "email": email, "name": "Admin", "password": password, "organization": "Bench" });
        self.post("/setup", &account).await?;
        let token = json!({ "name": "bench", "email": email, "password": password });
        text(&self.post("/tokens", &token).await?, "token")
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.process.id(), self.postgres)
    }

    /// Base URL of the public listener.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.api)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.call(self.client.get(self.url(path)), path).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(self.client.post(self.url(path)).json(body), path).await
    }

    /// Deployments of the last hour that became live, as counted every few seconds.
    pub(crate) async fn live_deployments(&self) -> Result<usize> {
        let answer = self.client.get(format!("http://{}/metrics", self.hub)).send().await?;
        let metrics = answer.error_for_status()?.text().await?;
        let live = "wisehosting_deployments_last_hour{outcome=\"live\"} ";
        let count = metrics.lines().find_map(|line| line.strip_prefix(live)).context("not counted yet")?;
        Ok(count.parse()?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.base_url())
    }

    async fn call(&self, request: reqwest::RequestBuilder, path: &str) -> Result<Value> {
        let answer = request.bearer_auth(&self.token).send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        ensure!(status.is_success(), "{path}: {status}: {body}");
        Ok(serde_json::from_str(&body).unwrap_or_default())
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn settings(arguments: &Arguments, folder: &Path, api: SocketAddr, hub: SocketAddr) -> Value {
    json!({
        "api_server": {
            "listen": api, "mesh_listen": hub, "base_url": format!("http://{api}"), "state_dir": folder.join("state"),
        },
        "database": { "url": arguments.database },
        "mesh": {
            "cidr": MESH, "address": "10.60.0.1", "endpoint": "127.0.0.1:51821",
            "public_key_file": folder.join("public.key"),
        },
        "proxy": { "subdomain_base": "route.example.com" },
    })
}

/// What looks like one: nobody brings a tunnel up here.
pub(crate) fn public_key() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

pub(crate) fn text(answer: &Value, field: &str) -> Result<String> {
    answer[field].as_str().map(str::to_owned).with_context(|| format!("no {field} in {answer}"))
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
