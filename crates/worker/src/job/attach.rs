//! The agent's side of jobs: starts a process for each, follows its folder, reports, cancels. A restarted agent does
//! the same with the folders that it finds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use daemon::backoff::Backoff;
use nix::sys::signal::Signal;
use protocol::ids::{AppId, JobId};
use protocol::job::{Build, Job, Outcome, Source, Stage, Work};
use protocol::message::{FromAgent, JobDone};
use protocol::report::{GitHostKey, JobLog, JobProgress, Scrubbed, ScrubbedFrom};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::folder::Folder;
use super::log::{self, Batch, Log};
use super::{BuildSettings, JobFile};
use crate::failure::{FailureExt as _, failure, internal};
use crate::uplink::{DownloadError, Uplink};

/// How often a running job's folder is looked at.
const POLL: Duration = Duration::from_millis(100);
/// How often the gauges are set at least.
const GAUGES_EVERY: Duration = Duration::from_secs(15);
/// From the wish to cancel to SIGKILL.
const PATIENCE: Duration = Duration::from_millis(950);

/// Where and how jobs run.
#[derive(Debug, Clone)]
pub struct JobsConfig {
    /// `<state_dir>/jobs`
    pub folder: PathBuf,
    pub slots: u32,
    pub settings: BuildSettings,
    /// This program, to be started as `PROGRAM job --dir FOLDER`.
    pub program: PathBuf,
}

/// What the control plane wants.
#[derive(Debug)]
pub enum JobCommand {
    Start(Box<Job>),
    Cancel(JobId),
}

/// All jobs of this host.
#[derive(Debug)]
pub struct Jobs<U> {
    shared: Arc<Shared<U>>,
    /// A follower gives the id of its job.
    tasks: JoinSet<Option<JobId>>,
    cancels: HashMap<JobId, CancellationToken>,
}

#[derive(Debug)]
struct Shared<U> {
    config: JobsConfig,
    uplink: U,
    slots: Semaphore,
}

impl<U: Uplink> Jobs<U> {
    pub fn new(config: JobsConfig, uplink: U) -> std::io::Result<Self> {
        std::fs::create_dir_all(&config.folder)?;
        let slots = Semaphore::new(config.slots.max(1) as usize);
        Ok(Self {
            shared: Arc::new(Shared { config, uplink, slots }),
            tasks: JoinSet::new(),
            cancels: HashMap::new(),
        })
    }

    /// Jobs that have a folder: running, or not yet acknowledged as done.
    pub fn known(folder: &Path) -> Vec<JobId> {
        Folder::all(folder).map(|all| all.into_iter().map(|(id, _)| id).collect()).unwrap_or_default()
    }

    /// Follows the jobs of an earlier agent, then does what `commands` say. The jobs outlive it.
    pub async fn run(
        mut self,
        mut commands: mpsc::Receiver<JobCommand>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        for (id, folder) in Folder::all(&self.shared.config.folder)? {
            info!(job.id = %id, "attached to a job that an earlier agent started");
            self.follow(id, folder);
        }
        loop {
            self.shared.gauges();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(JobCommand::Start(job)) => self.start(*job),
                    Some(JobCommand::Cancel(id)) => self.cancel(id),
                    None => return Ok(()),
                },
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(Some(id)) => drop(self.cancels.remove(&id)),
                    Ok(None) => {}
                    Err(panic) => error!(error = %panic, "a job's follower panicked"),
                },
                () = tokio::time::sleep(GAUGES_EVERY) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    fn start(&mut self, job: Job) {
        let (id, folder) = (job.id, self.shared.folder(job.id));
        let created = match job.work {
            Work::Build(mut build) => {
                let secrets = std::mem::take(&mut build.secrets);
                let settings = self.shared.config.settings.clone();
                folder.create(&JobFile { id, build: *build, settings }, &secrets)
            }
            Work::Certificate(_) => Err(std::io::Error::other("a worker does not order certificates")),
        };
        match created {
            Ok(true) => self.follow(id, folder),
            // Said again on a new connection.
            Ok(false) => {}
            Err(error) => {
                error!(job.id = %id, %error, "cannot take the job");
                let outcome = Outcome::Failed(internal(Stage::Fetch, &error.into()));
                self.report_only(id, outcome);
            }
        }
    }

    fn cancel(&mut self, id: JobId) {
        let Some(cancel) = self.cancels.get(&id) else {
            // Nothing of it is here, so nothing of it will come.
            return self.report_only(id, Outcome::Cancelled);
        };
        if cancel.is_cancelled() {
            return;
        }
        cancel.cancel();
        let folder = self.shared.folder(id);
        self.tasks.spawn(async move {
            end_process(&folder).await;
            // The end of the follower is what frees the id.
            None
        });
    }

    fn follow(&mut self, id: JobId, folder: Folder) {
        let cancel = CancellationToken::new();
        self.cancels.insert(id, cancel.clone());
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            shared.follow(id, &folder, &cancel).await;
            Some(id)
        });
    }

    fn report_only(&mut self, id: JobId, outcome: Outcome) {
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            // Err means that the process stops; the control plane's lease ends the job then.
            let _ = shared.uplink.deliver(FromAgent::JobDone(JobDone { job_id: id, outcome })).await;
            None
        });
    }
}

impl<U: Uplink> Shared<U> {
    fn gauges(&self) {
        let slots = self.config.slots.max(1);
        let free = u32::try_from(self.slots.available_permits()).unwrap_or(slots);
        metrics::gauge!("wisehosting_worker_build_slots").set(slots);
        metrics::gauge!("wisehosting_worker_builds_running").set(slots.saturating_sub(free));
    }

    fn folder(&self, id: JobId) -> Folder {
        Folder::at(self.config.folder.join(id.to_string()))
    }

    /// From wherever the job is to the acknowledged end.
    async fn follow(&self, id: JobId, folder: &Folder, cancel: &CancellationToken) {
        let slot = tokio::select! {
            slot = self.slots.acquire() => slot.ok(),
            () = cancel.cancelled() => None,
        };
        let child = match self.begin(folder, cancel).await {
            Ok(child) => child,
            Err(outcome) => {
                self.end_early(id, folder, *outcome).await;
                return;
            }
        };
        let outcome = match self.forward(id, folder, child).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return,
            Err(error) => Outcome::Failed(internal(Stage::Build, &error)),
        };
        drop(slot);
        self.done(id, folder, outcome).await;
    }

    /// Starts the process, if nobody has. `Err` is an end before the process began.
    async fn begin(
        &self,
        folder: &Folder,
        cancel: &CancellationToken,
    ) -> Result<Option<Child>, Box<Outcome>> {
        let failed = |error: anyhow::Error| Box::new(Outcome::Failed(internal(Stage::Fetch, &error)));
        if folder.process().is_some() || folder.outcome().is_ok_and(|outcome| outcome.is_some()) {
            return Ok(None);
        }
        let Some(job) = folder.job().map_err(|error| failed(error.into()))? else {
            return Err(failed(anyhow::anyhow!("the agent ended before the job was on disk")));
        };
        if folder.is_cancelled() || cancel.is_cancelled() {
            return Err(Box::new(Outcome::Cancelled));
        }
        tokio::select! {
            fetched = self.fetch_archive(folder, &job.build) => fetched?,
            () = cancel.cancelled() => return Err(Box::new(Outcome::Cancelled)),
        }
        spawn(&self.config.program, folder).map(Some).map_err(|error| failed(error.into()))
    }

    /// The uploaded archive, into the folder. The control plane's token stays in the agent.
    async fn fetch_archive(&self, folder: &Folder, build: &Build) -> Result<(), Box<Outcome>> {
        let Source::Archive { archive_id } = build.source else { return Ok(()) };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(u64::from(build.limits.timeout_s));
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        loop {
            let problem = match self.download(&format!("/v1/archives/{archive_id}"), folder, build).await {
                Ok(()) => return Ok(()),
                Err(error @ DownloadError::Refused(_)) => error,
                Err(error) if tokio::time::Instant::now() > deadline => error,
                Err(error) => {
                    warn!(%error, "cannot download the source yet");
                    tokio::time::sleep(backoff.wait()).await;
                    continue;
                }
            };
            let failure =
                failure(Stage::Fetch, "archive_unavailable", format!("the source cannot be had: {problem}"))
                    .hint("Deploy again, so that the source is uploaded anew");
            return Err(Box::new(Outcome::Failed(failure)));
        }
    }

    async fn download(&self, path: &str, folder: &Folder, build: &Build) -> Result<(), DownloadError> {
        let broken = |error: &dyn std::fmt::Display| DownloadError::Unreachable(error.to_string());
        let mut response = self.uplink.get(path).await?;
        let part = folder.path("source.tar.gz.part");
        let mut file = tokio::fs::File::create(&part).await.map_err(|error| broken(&error))?;
        let mut bytes = 0;
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error.without_url()))? {
            bytes += chunk.len() as u64;
            if bytes > build.limits.source_bytes {
                let limit = build.limits.source_bytes;
                return Err(DownloadError::Refused(format!("it is larger than {limit} bytes even packed")));
            }
            file.write_all(&chunk).await.map_err(|error| broken(&error))?;
        }
        file.flush().await.map_err(|error| broken(&error))?;
        tokio::fs::rename(&part, folder.path("source.tar.gz")).await.map_err(|error| broken(&error))
    }

    /// Reports lines and stages until the process has ended and all was acknowledged. `None`: the agent stops.
    async fn forward(
        &self,
        id: JobId,
        folder: &Folder,
        mut child: Option<Child>,
    ) -> anyhow::Result<Option<Outcome>> {
        let log = folder.path("log.jsonl");
        let app = folder.job()?.map(|job| job.build.app_id);
        let mut offset = folder.acked();
        loop {
            // Before the batch: lines are written before the outcome, so an outcome with an empty batch is the end.
            let over = ended(folder, &mut child)?;
            let batch = log::read_batch(&log, offset)?;
            if batch.end > offset {
                let end = batch.end;
                if self.send(id, app, batch).await.is_err() {
                    return Ok(None);
                }
                offset = end;
                folder.set_acked(offset)?;
            } else if let Some(outcome) = over {
                return Ok(Some(outcome));
            } else {
                tokio::time::sleep(POLL).await;
            }
        }
    }

    async fn send(
        &self,
        id: JobId,
        app_id: Option<AppId>,
        Batch { lines, stage, scrubbed, host_keys, .. }: Batch,
    ) -> Result<(), crate::uplink::LinkEnded> {
        if !lines.is_empty() {
            self.uplink.deliver(FromAgent::JobLog(JobLog { job_id: id, lines })).await?;
        }
        for variable in scrubbed {
            let Some(app_id) = app_id else { break };
            let scrubbed = Scrubbed { app_id, variable, from: ScrubbedFrom::Build(id) };
            self.uplink.deliver(FromAgent::Scrubbed(scrubbed)).await?;
        }
        for log::HostKey { host, key } in host_keys {
            self.uplink.deliver(FromAgent::GitHostKey(GitHostKey { job_id: id, host, key })).await?;
        }
        if let Some(log::Step { stage, at, recipe }) = stage {
            let progress = JobProgress { job_id: id, stage, at, recipe };
            self.uplink.deliver(FromAgent::JobProgress(progress)).await?;
        }
        Ok(())
    }

    /// The end of a job whose process never began; its outcome is on disk before it is reported.
    async fn end_early(&self, id: JobId, folder: &Folder, outcome: Outcome) {
        if let Err(error) = folder.finish(&outcome) {
            warn!(job.id = %id, %error, "cannot write the outcome");
        }
        self.done(id, folder, outcome).await;
    }

    async fn done(&self, id: JobId, folder: &Folder, outcome: Outcome) {
        let done = FromAgent::JobDone(JobDone { job_id: id, outcome });
        if self.uplink.deliver(done).await.is_err() {
            return;
        }
        if let Err(error) = folder.remove() {
            warn!(job.id = %id, folder = %folder.root().display(), %error, "cannot remove the job's folder");
        }
    }
}

/// How the job ended, if it has.
fn ended(folder: &Folder, child: &mut Option<Child>) -> std::io::Result<Option<Outcome>> {
    let gone = match (folder.process(), child.as_mut().map(Child::try_wait).transpose()?.flatten()) {
        (Some(process), _) => !process.is_alive(),
        (None, Some(_status)) => true,
        // Just started.
        (None, None) => false,
    };
    if let Some(outcome) = folder.outcome()? {
        return Ok(Some(outcome));
    }
    Ok(match gone {
        false => None,
        true if folder.is_cancelled() => Some(Outcome::Cancelled),
        true => Some(Outcome::Failed(interrupted(folder))),
    })
}

fn interrupted(folder: &Folder) -> protocol::job::Failure {
    failure(
        Stage::Build,
        "build_interrupted",
        "the build was interrupted: the worker was restarted or lost power",
    )
    .hint("Deploy again")
    .last_lines(log::last_lines(&folder.path("log.jsonl")).unwrap_or_default())
}

/// Starts the process in a group of its own, so that no signal to the agent reaches it.
fn spawn(program: &Path, folder: &Folder) -> std::io::Result<Child> {
    // Made here so that the numbering begins with one file, whoever writes first.
    Log::open(&folder.path("log.jsonl"))?;
    let errors = std::fs::File::create(folder.path("process.log"))?;
    Command::new(program)
        .arg("job")
        .arg("--dir")
        .arg(folder.root())
        .env_remove("NOTIFY_SOCKET")
        .env_remove("CREDENTIALS_DIRECTORY")
        .stdin(Stdio::null())
        .stdout(errors.try_clone()?)
        .stderr(errors)
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
}

/// SIGTERM to the job's process group, SIGKILL when that did not help.
async fn end_process(folder: &Folder) {
    if let Err(error) = folder.mark_cancelled() {
        warn!(%error, "cannot note that the job is cancelled");
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut told = false;
    while tokio::time::Instant::now() < deadline {
        if let Some(process) = folder.process() {
            if told && !process.is_alive() {
                return;
            }
            if !told {
                process.signal(Signal::SIGTERM);
                told = true;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if let Some(process) = folder.process() {
        process.signal(Signal::SIGKILL);
    }
}
