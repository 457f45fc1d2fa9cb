//! What tests do with the cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::cluster::Cluster;
use testbed::forward::Forward;
use testbed::http::Answer;
use testbed::report::until;
use testbed::topology;
use tokio::process::Command;

/// For what takes a moment.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// For what takes a build, a certificate or a boot.
pub(crate) const MINUTE: Duration = Duration::from_mins(1);

/// The cluster, its dashboard on a port of this machine, and a folder for the sources of apps.
pub(crate) struct Bed {
    pub(crate) cluster: Cluster,
    /// The repository.
    pub(crate) root: PathBuf,
    dashboard: Forward,
    scratch: PathBuf,
}

/// An app in a folder of its own.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
}

impl Bed {
    pub(crate) async fn open(cluster: Cluster, root: PathBuf) -> Result<Self> {
        let dashboard = Forward::open(0, cluster.host("cp")?, topology::DASHBOARD).await?;
        let scratch = cluster.state().join("scratch");
        fs::create_dir(&scratch)?;
        Ok(Self { cluster, root, dashboard, scratch })
    }

    /// A page served by busybox; `lines` come before the last line of its Containerfile.
    pub(crate) fn page(&self, name: &str, page: &str, lines: &str) -> Result<App> {
        let containerfile = format!(
            "FROM docker.io/library/busybox:stable\nCOPY www /www\n{lines}\nUSER nobody\nCMD [\"httpd\", \"-f\", \"-vv\", \"-p\", \"8080\", \"-h\", \"/www\"]\n"
        );
        let app = self.source(name, &containerfile)?;
        app.write("www/index.html", page)?;
        Ok(app)
    }

    /// An app that listens on 8080 and answers `GET /`.
    pub(crate) fn source(&self, name: &str, containerfile: &str) -> Result<App> {
        let app = self.folder(name)?;
        // Visitors of these apps are quick.
        let project = format!(
            "app = \"{name}\"\n[run]\nport = 8080\n[deploy]\ndrain_s = 2\n[probe]\ntype = \"http\"\npath = \"/\"\n"
        );
        app.write("wisehosting.toml", &project)?;
        app.write("Containerfile", containerfile)?;
        Ok(app)
    }

    /// An app with nothing in its folder.
    pub(crate) fn folder(&self, name: &str) -> Result<App> {
        let app = App { name: name.to_owned(), folder: self.scratch.join(name) };
        fs::create_dir(&app.folder)?;
        Ok(app)
    }

    /// `wh` in `folder` as the administrator, ready to run.
    pub(crate) fn wh(&self, folder: &Path, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(self.cluster.programs().join("wh"));
        command.args(words).current_dir(folder).kill_on_drop(true).env_clear();
        command.env("HOME", &self.scratch).env("PATH", testbed::tools::path());
        command.env("WH_URL", format!("http://127.0.0.1:{}", self.dashboard.port));
        command.env("WH_TOKEN", &self.cluster.login()?.token);
        Ok(command)
    }

    /// Runs `wh` to its end, whatever it is.
    pub(crate) async fn try_wh(&self, folder: &Path, words: &[&str]) -> Result<Output> {
        let output = self.wh(folder, words)?.output();
        let output = tokio::time::timeout(2 * MINUTE, output).await;
        Ok(output.with_context(|| format!("wh {} does not end", words.join(" ")))??)
    }

    /// Runs `wh`, which must succeed, and returns what it printed.
    pub(crate) async fn run_wh(&self, folder: &Path, words: &[&str]) -> Result<String> {
        let output = self.try_wh(folder, words).await?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "wh {}: {}\n{out}{err}", words.join(" "), output.status);
        Ok(out.into_owned())
    }

    /// `wh --json …`, parsed.
    pub(crate) async fn wh_json(&self, folder: &Path, words: &[&str]) -> Result<Value> {
        let text = self.run_wh(folder, &[words, &["--json"]].concat()).await?;
        serde_json::from_str(&text).with_context(|| format!("wh {} --json printed {text}", words.join(" ")))
    }

    /// Deploys with `wh` and waits until the app answers over HTTPS.
    pub(crate) async fn deploy(&self, app: &App) -> Result<Answer> {
        self.run_wh(&app.folder, &["deploy"]).await?;
        self.serves(app, |_| true).await
    }

    /// Waits until the app answers `GET /` with 200 and a page that `like` likes.
    pub(crate) async fn serves(&self, app: &App, like: impl Fn(&str) -> bool) -> Result<Answer> {
        let what = format!("{} over HTTPS", app.name);
        let host = app.host();
        until(&what, MINUTE, || async {
            let answer = self.cluster.https(&host, "/").await?;
            ensure!(answer.status == 200 && like(&answer.text()), "{}: {}", answer.status, answer.text());
            Ok(Some(answer))
        })
        .await
    }

    /// Waits until the app does not answer with its page any more.
    pub(crate) async fn fails(&self, app: &App) -> Result<()> {
        let host = app.host();
        until("the end of the app", MINUTE, || async {
            let answer = self.cluster.https(&host, "/").await;
            Ok(answer.is_ok_and(|answer| answer.status >= 500).then_some(()))
        })
        .await
    }

    /// Waits until the node is online with all its agents.
    pub(crate) async fn online(&self, name: &str) -> Result<Value> {
        let api = self.cluster.api()?;
        let path = format!("/nodes/{name}");
        until(&format!("{name} online"), MINUTE, || async {
            let node = api.get(&path).await?;
            let agents = node["agents"].as_array().map(Vec::as_slice).unwrap_or_default();
            let connected = agents.iter().filter(|agent| agent["connected"] == true).count();
            // A worker has three with its ingress.
            ensure!(node["status"] == "online" && connected >= 2 && connected == agents.len(), "{node}");
            Ok(Some(node))
        })
        .await
    }

    /// Waits until the deployment has ended and returns it.
    pub(crate) async fn ended(&self, deployment: &str) -> Result<Value> {
        let api = self.cluster.api()?;
        let path = format!("/deployments/{deployment}");
        until("the end of the deployment", MINUTE, || async {
            let deployment = api.get(&path).await?;
            Ok(Some(deployment).filter(|deployment| !deployment["finished_at"].is_null()))
        })
        .await
    }

    /// Every line of a deployment's log.
    pub(crate) async fn build_log(&self, deployment: &str) -> Result<Vec<String>> {
        let api = self.cluster.api()?;
        let (mut texts, mut after) = (Vec::new(), 0);
        loop {
            let part = api.get(&format!("/deployments/{deployment}/log?after={after}")).await?;
            let lines = part["lines"].as_array().context("no lines")?;
            if lines.is_empty() {
                return Ok(texts);
            }
            texts.extend(lines.iter().filter_map(|line| line["text"].as_str().map(str::to_owned)));
            after = part["next"].as_i64().context("no next")?;
        }
    }
}

impl App {
    /// Its name in the DNS.
    pub(crate) fn host(&self) -> String {
        format!("{}.{}", self.name, topology::ZONE)
    }

    /// Writes a file of its source.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(&path, text).with_context(|| path.display().to_string())
    }
}
