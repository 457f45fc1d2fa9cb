//! The proxy alone: it serves a table from a file and takes every new version of it, without control plane or mesh.

mod file;
mod flags;
mod traffic;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use daemon::lifecycle::Lifecycle;
use ingress::bind::Inherited;
use ingress::{Gateway, Problem};
use protocol::spec::ProxySpec;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::public::{Ending, Public};
use crate::run::serve_status;
pub use flags::Standalone;
use watch::Stamps;

/// How many problems of a table are told.
const TOLD: usize = 20;

/// Checks the flags and the table, and says what is in it.
pub fn check(options: &Standalone) -> anyhow::Result<String> {
    options.verify()?;
    let served = Served::new(options);
    let files = served.take()?;
    let (hosts, certificates) = served.gateway.counts();
    Ok(format!("the table is good: {hosts} hosts, {certificates} certificates, {} files", files.len()))
}

/// Serves the table until told to stop. One that is bad at the start is an error. The flags were verified.
pub async fn run(options: Standalone, mut inherited: Inherited) -> anyhow::Result<ExitCode> {
    let http = options.http.map(|address| inherited.listen("--http", address)).transpose()?;
    let https = options.https.map(|address| inherited.listen("--https", address)).transpose()?;
    let metrics = daemon::status::install_metrics();
    let served = Served::new(&options);
    let files = served.take()?;
    let counted = Arc::clone(&served.gateway);
    daemon::status::add_metrics(move || counted.metrics());
    let mut lifecycle = Lifecycle::new();
    let ending = Ending::new(&lifecycle, options.drain());
    Public { gateway: Arc::clone(&served.gateway), http, https, streams: None }
        .spawn(&mut lifecycle, &ending)?;
    let stop = ending.served.clone();
    lifecycle.spawn("metrics", daemon::status::fold_metrics(metrics.clone(), stop.clone()));
    if let Some(address) = options.health {
        let router = daemon::status::draining_router(metrics, ending.begun.clone());
        lifecycle.spawn("status", serve_status("--health", address, router, stop.clone()));
    }
    if let Some(path) = options.traffic {
        lifecycle.spawn("traffic", traffic::keep(Arc::clone(&served.gateway), path, stop.clone()));
    }
    lifecycle.spawn("table", served.keep(files, stop));
    lifecycle.run(ending.limit()).await
}

/// The table and what serves it.
struct Served {
    path: PathBuf,
    gateway: Arc<Gateway>,
    /// What is in force.
    spec: Mutex<ProxySpec>,
}

/// A table's files, and the versions of them that were taken or refused.
type Files = Vec<PathBuf>;

impl Served {
    fn new(flags: &Standalone) -> Self {
        Self { path: flags.routes.clone(), gateway: Gateway::new(flags.options()), spec: Mutex::default() }
    }

    /// Puts the table in force when all of it can be served. Blocks for the disk.
    fn take(&self) -> anyhow::Result<Files> {
        self.look().map_err(|(_, error)| error)
    }

    fn look(&self) -> Result<Files, (Files, anyhow::Error)> {
        let started = Instant::now();
        let file::Read { files, spec } = file::read(&self.path);
        let read = started.elapsed();
        match spec.and_then(|spec| self.apply(spec)) {
            Ok(applied) => {
                let (hosts, certificates) = self.gateway.counts();
                info!(
                    hosts,
                    certificates,
                    read_us = micros(read),
                    applied_us = micros(applied),
                    "table in force"
                );
                Ok(files)
            }
            Err(error) => Err((files, error.context(format!("{} cannot be served", self.path.display())))),
        }
    }

    /// How long it took until `spec` was in force.
    fn apply(&self, mut spec: ProxySpec) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let mut known = self.spec.lock().unwrap_or_else(PoisonError::into_inner);
        spec.share(&known);
        let prepared = self.gateway.prepare(&spec);
        ensure!(prepared.problems.is_empty(), "{}", told(&prepared.problems));
        let _replaced = self.gateway.swap(prepared);
        let took = started.elapsed();
        *known = spec;
        Ok(took)
    }

    /// Takes every version that comes, until `stop`.
    async fn keep(self, mut files: Files, stop: CancellationToken) -> anyhow::Result<()> {
        let mut hang_up = signal(SignalKind::hangup())?;
        let served = Arc::new(self);
        let mut known = Stamps::of(&files);
        loop {
            tokio::select! {
                () = watch::changed(&files, &known) => {}
                _ = hang_up.recv() => {}
                () = stop.cancelled() => return Ok(()),
            }
            let looking = Arc::clone(&served);
            // The versions before they are read: what changes meanwhile is looked at once more.
            known = Stamps::of(&files);
            let before = files.clone();
            files = match tokio::task::spawn_blocking(move || looking.look()).await? {
                Ok(files) => files,
                Err((files, error)) => {
                    error!(error = format!("{error:#}"), "the table before it stays in force");
                    files
                }
            };
            if files != before {
                known = Stamps::of(&files);
            }
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn told(problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems.iter().take(TOLD).map(ToString::to_string).collect();
    if problems.len() > TOLD {
        lines.push(format!("and {} more", problems.len() - TOLD));
    }
    lines.join("; ")
}
