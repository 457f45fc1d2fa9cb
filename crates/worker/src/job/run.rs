//! The process that does one job: source to image.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use protocol::job::{Built, Failure, Outcome, RegistryLogin, Source, Stage};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::folder::Folder;
use super::log::Log;
use super::{BUILD_NETWORK, BUILD_SUBNET, JobFile, archive, build, git, process, secrets, target};
use crate::failure::{FailureExt as _, failure, internal};
use crate::podman::{NewNetwork, Podman, Subnet, normalized_reference};

/// Why a job goes no further.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(Box<Failure>),
    Internal(anyhow::Error),
    /// By the signal or by the time limit.
    Cancelled,
}

impl From<Box<Failure>> for Stop {
    fn from(failure: Box<Failure>) -> Self {
        Self::Failed(failure)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

macro_rules! internal_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for Stop {
            fn from(error: $error) -> Self {
                Self::Internal(error.into())
            }
        }
    )*};
}

internal_errors!(std::io::Error, reqwest::Error, tokio::task::JoinError, crate::podman::Error);

/// `wisehosting-worker job --dir FOLDER`.
pub async fn run(folder: &Path) -> anyhow::Result<ExitCode> {
    let folder = Folder::at(folder.to_owned());
    let job = folder.job()?.context("there is no job.json in the folder of the job")?;
    if !folder.claim()? {
        anyhow::bail!("another process has this job already");
    }
    process::adopt_orphans()?;
    let log = Log::open(&folder.path("log.jsonl"))?;
    log.hide(&secrets::known(&folder.secrets()?));
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let limit = Duration::from_secs(u64::from(job.timeout_s()));
    let work = work(&job, &folder, &log, &stop);
    tokio::pin!(work);
    let (result, timed_out) = tokio::select! {
        result = &mut work => (result, false),
        _ = terminate.recv() => {
            stop.cancel();
            (work.await, false)
        }
        () = tokio::time::sleep(limit) => {
            stop.cancel();
            (work.await, true)
        }
    };
    let mut outcome = outcome(result, timed_out.then_some(job.timeout_s()), &log);
    if let Outcome::Failed(failure) = &mut outcome {
        failure.message = log.without_values(std::mem::take(&mut failure.message));
    }
    secrets::forget(&folder)?;
    folder.finish(&outcome)?;
    // The folder goes as a whole once the outcome is acknowledged; the source is of no use until then.
    let _ = std::fs::remove_dir_all(folder.path("source"));
    Ok(ExitCode::SUCCESS)
}

fn outcome(result: Result<Built, Stop>, timed_out_s: Option<u32>, log: &Log) -> Outcome {
    match (result, timed_out_s) {
        (Ok(built), _) => Outcome::Built(built),
        (Err(Stop::Failed(failure)), _) => Outcome::Failed(*failure),
        (Err(Stop::Internal(error)), _) => {
            Outcome::Failed(internal(Stage::Build, &error).last_lines(log.last_lines()))
        }
        (Err(Stop::Cancelled), None) => Outcome::Cancelled,
        (Err(Stop::Cancelled), Some(seconds)) => Outcome::Failed(
            failure(
                Stage::Build,
                "timed_out",
                format!("the build took longer than {seconds} s and was ended"),
            )
            .hint("Make the build shorter, or raise its time limit")
            .last_lines(log.last_lines()),
        ),
    }
}

async fn work(job: &JobFile, folder: &Folder, log: &Log, stop: &CancellationToken) -> Result<Built, Stop> {
    log.stage(Stage::Fetch);
    let podman = Podman::new(&job.settings.socket)?;
    match &job.build.source {
        Source::Image { reference } => {
            log.stage(Stage::Build);
            let reference = normalized_reference(reference);
            target::check_registry(&reference, &job.settings.private_networks).await?;
            let secrets = folder.secrets()?;
            let login = secrets::login_for(&secrets, &reference);
            meanwhile(&podman, until(stop, pull(&podman, &reference, login, log))).await?;
            until(stop, finish(&podman, &reference, None)).await
        }
        source => {
            let root = folder.path("source");
            // Left by nobody: the folder of a job is used by one process.
            std::fs::create_dir(&root)?;
            let commit = fetch(job, source, folder, &root, log, stop).await?;
            log.stage(Stage::Build);
            until(stop, async { Ok(prepare(&podman).await?) }).await?;
            meanwhile(&podman, build::build(job, folder, &root, commit.as_deref(), log, stop)).await?;
            until(stop, finish(&podman, &job.build.tag, commit)).await
        }
    }
}

/// `work`; meanwhile Podman says where images lie, which [`finish`] would wait for otherwise.
async fn meanwhile<T>(podman: &Podman, work: impl Future<Output = T>) -> T {
    // What it cannot say now is asked again, and then matters.
    tokio::join!(work, podman.graph_root()).0
}

async fn fetch(
    job: &JobFile,
    source: &Source,
    folder: &Folder,
    root: &Path,
    log: &Log,
    stop: &CancellationToken,
) -> Result<Option<String>, Stop> {
    if let Source::Git { url, r#ref, submodules, lfs } = source {
        let reach =
            git::Reach { files: job.settings.allow_file_urls, networks: &job.settings.private_networks };
        let secrets = folder.secrets()?;
        let (access, most_bytes) = (secrets.git.as_ref(), job.build.limits.source_bytes);
        let fetcher = git::Fetcher { reach, access, most_bytes, folder, log, stop };
        let wanted = git::Wanted { url, reference: r#ref, submodules: *submodules, lfs: *lfs };
        fetcher.fetch(wanted, root).await.map(Some)
    } else {
        log.say("Unpacking the source");
        let (archive, root, limit) =
            (folder.path("source.tar.gz"), root.to_owned(), job.build.limits.source_bytes);
        // Not ended by `stop`: unpacking is short and bounded by the limit of bytes.
        tokio::task::spawn_blocking(move || archive::unpack(&archive, &root, limit)).await??;
        Ok(None)
    }
}

/// Makes the network of build containers, the same on every host. Before any other network, which might be given its
/// addresses.
pub async fn prepare(podman: &Podman) -> Result<(), crate::podman::Error> {
    let subnets = vec![Subnet { subnet: BUILD_SUBNET.to_owned() }];
    podman.ensure_network(&NewNetwork { subnets, ..NewNetwork::bridge(BUILD_NETWORK) }).await.map(drop)
}

async fn pull(
    podman: &Podman,
    reference: &str,
    login: Option<&RegistryLogin>,
    log: &Log,
) -> Result<(), Stop> {
    log.say(&format!("Pulling {reference}"));
    let Err(error) = podman.pull(reference, login, |line| log.say(line)).await else { return Ok(()) };
    let failure = if error.is_absent() {
        failure(
            Stage::Build,
            "image_not_found",
            format!("the registry has no image {reference} for this host: {error}"),
        )
        .hint("Check the name and the tag; an image in a private registry needs `wh registry login`")
    } else {
        failure(Stage::Build, "image_unavailable", format!("{reference} cannot be pulled: {error}"))
            .hint("Check that this worker reaches the registry, then deploy again")
    };
    Err(failure.last_lines(log.last_lines()).into())
}

/// A release is made of what this returns, so the image has to be there for as long.
async fn finish(podman: &Podman, name: &str, commit: Option<String>) -> Result<Built, Stop> {
    let image = podman
        .image(name)
        .await?
        .ok_or_else(|| anyhow::anyhow!("the image {name} is gone"))
        .map_err(Stop::Internal)?;
    podman.flush_storage().await.map_err(Stop::Internal)?;
    Ok(Built {
        image_id: image.full_id(),
        reference: name.to_owned(),
        size_bytes: image.size,
        exposed_ports: image.tcp_ports(),
        commit,
    })
}

/// `work`, given up at `stop`.
async fn until<T>(stop: &CancellationToken, work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    tokio::select! {
        result = work => result,
        () = stop.cancelled() => Err(Stop::Cancelled),
    }
}
