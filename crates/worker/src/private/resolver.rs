//! The agent's side of the names: writes the table, and keeps the process running that answers from it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;
use tracing::info;

use super::names::{self, Table};

/// For the process to come up, or to take a table.
const LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// Where the process is found.
#[derive(Debug)]
pub(crate) struct Resolver {
    folder: PathBuf,
    program: PathBuf,
    /// What it answers from.
    served: Option<Table>,
}

impl Resolver {
    pub(crate) fn new(folder: PathBuf, program: PathBuf) -> Self {
        Self { folder, program, served: None }
    }

    /// The process answers from `table` when this returns without an error.
    pub(crate) async fn serve(&mut self, table: &Table) -> anyhow::Result<()> {
        let known = self.served.take();
        if known.as_ref() != Some(table) {
            std::fs::create_dir_all(&self.folder).context("cannot make the folder of the names")?;
            let text = serde_json::to_vec(table)?;
            daemon::file::replace(&self.folder.join(names::TABLE), &text, 0o600)
                .context("cannot write the names")?;
        }
        let stream = match self.connect().await {
            // It has this table since it was last asked, or has just read it.
            Some(_) if known.as_ref() == Some(table) => {
                self.served = known;
                return Ok(());
            }
            Some(stream) => stream,
            None => self.start().await?,
        };
        tokio::time::timeout(LIMIT, reload(stream)).await.context("the names are not taken in time")??;
        self.served = Some(table.clone());
        Ok(())
    }

    /// To the process, if it runs and is of this very program.
    async fn connect(&self) -> Option<UnixStream> {
        let stream = UnixStream::connect(self.folder.join(names::SOCKET)).await.ok()?;
        let pid = stream.peer_cred().ok()?.pid()?;
        if is_program(pid, &self.program) {
            return Some(stream);
        }
        info!(pid, "ending the process that answers names, which is of another version");
        drop(end(&self.folder, stream).await);
        None
    }

    async fn start(&self) -> anyhow::Result<UnixStream> {
        let log = std::fs::File::create(self.folder.join("log")).context("cannot write its log")?;
        let child = Command::new(&self.program)
            .arg0("wisehosting-worker")
            .args(["names", "--dir"])
            .arg(&self.folder)
            // Credentials and systemd's sockets are none of its business.
            .env_clear()
            .env("WH_LOG", "warn,worker=info")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start the process that answers names")?;
        info!(pid = child.id(), "started the process that answers names");
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            if let Ok(stream) = UnixStream::connect(self.folder.join(names::SOCKET)).await {
                return Ok(stream);
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "it does not come up: see {}",
                self.folder.join("log").display()
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

async fn reload(stream: UnixStream) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"reload\n").await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    match answer.trim() {
        "ok" => Ok(()),
        "" => bail!("the process that answers names has ended"),
        problem => bail!("{problem}"),
    }
}

/// Programs are replaced by an upgrade while the process goes on.
fn is_program(pid: i32, program: &Path) -> bool {
    let file = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let own = file(program);
    own.is_some() && own == file(Path::new(&format!("/proc/{pid}/exe")))
}

/// Ends the process and waits until it is gone; `false` when there is none.
pub(crate) async fn stop(folder: &Path) -> anyhow::Result<bool> {
    match UnixStream::connect(folder.join(names::SOCKET)).await {
        Ok(stream) => end(folder, stream).await.map(|()| true),
        Err(_) => Ok(false),
    }
}

async fn end(folder: &Path, stream: UnixStream) -> anyhow::Result<()> {
    // The kernel says who listens: no file with a process id that could be of somebody else by now.
    let pid = stream.peer_cred()?.pid().context("nobody listens")?;
    ensure!(pid > 1, "a process with the id {pid}");
    drop(stream);
    kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    let deadline = tokio::time::Instant::now() + LIMIT;
    while UnixStream::connect(folder.join(names::SOCKET)).await.is_ok() {
        ensure!(tokio::time::Instant::now() < deadline, "process {pid} does not end");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
