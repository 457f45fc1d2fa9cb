//! The commands.

mod bench;
mod footprint;
mod hello;
mod load;
mod propagation;
mod redeploy;
mod rollback;
mod up;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use testbed::cluster::{Cluster, Options, host_names};
use testbed::journal::Journal;
use testbed::preflight::RunLock;
use testbed::report::Progress;
use testbed::{cache, host, init};

/// A WiseHosting cluster on this machine: five hosts on a network of their own.
#[derive(Debug, Parser)]
#[command(name = "wh-testbed", version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Places {
    /// Folder of the running cluster.
    #[arg(long, global = true, default_value = ".dev", value_name = "FOLDER")]
    state: PathBuf,
    /// Folder that keeps the base image and an empty database.
    #[arg(
        long,
        global = true,
        env = "WH_TESTBED_CACHE",
        default_value = ".cache/testbed",
        value_name = "FOLDER"
    )]
    cache: PathBuf,
    /// Folder of the programs to run; by default the one of this program.
    #[arg(long, global = true, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boots a cluster and runs it until Ctrl-C.
    Up {
        #[command(flatten)]
        ports: up::Ports,
    },
    /// Boots a cluster, deploys an app, prints one line of JSON, removes everything.
    Once {
        /// The app's folder.
        #[arg(long, default_value = "examples/hello")]
        app: PathBuf,
    },
    /// Boots a cluster, runs a command beside it, removes the cluster. The command finds the cluster by `WH_URL`,
    /// `WH_TOKEN`, `WH_EMAIL` and `WH_PASSWORD` (or `WH_SETUP_CODE`), `WH_HTTPS_PORT`, `WH_ACME_ROOT`, `WH_TESTBED`
    /// and `WH_TESTBED_STATE`.
    With {
        /// No account yet, and only the declared worker joins by itself.
        #[arg(long)]
        untouched: bool,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Lets a host of an untouched cluster join by a token.
    Join { host: String, token: String },
    /// Removes what a cluster left, also one whose test bed was killed.
    Down,
    /// Lists the hosts and their processes.
    Status,
    /// Pulls a host's plug.
    Kill { host: String },
    /// Boots a host again, with the storage it had.
    PowerOn { host: String },
    /// Unplugs a host's network cable, or cuts the way between it and another host.
    Cut { host: String, other: Option<String> },
    /// Plugs it in again, or opens the way.
    Heal { host: String, other: Option<String> },
    /// Adds a TXT record to the DNS of the cluster's public internet.
    Txt { name: String, value: String },
    /// Runs a command inside a host.
    Exec {
        host: String,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Measures this machine with a fresh cluster.
    Bench {
        #[arg(value_enum)]
        case: bench::Case,
    },
    /// Process 1 of a host.
    #[command(hide = true)]
    Init { folder: PathBuf },
    /// Fills the cache, in namespaces of its own.
    #[command(hide = true)]
    Prepare { folder: PathBuf },
    /// Becomes a command inside a host.
    #[command(hide = true)]
    Enter {
        init: i32,
        group: String,
        #[arg(last = true)]
        command: Vec<String>,
    },
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let places = &arguments.places;
    let cluster = || Cluster::attach(&places.cluster());
    match arguments.command {
        Command::Up { ports } => runtime()?.block_on(up::up(places, ports)),
        Command::Once { app } => runtime()?.block_on(up::once(places, &app)),
        Command::Bench { case } => runtime()?.block_on(bench::run(places, case)),
        Command::With { untouched, command } => runtime()?.block_on(up::with(places, untouched, &command)),
        Command::Join { host, token } => cluster()?.join(&host, &token).map(|()| ExitCode::SUCCESS),
        Command::Down => down(places),
        Command::Status => status(&cluster()?),
        Command::Kill { host } => cluster()?.power_off(&host).map(|()| ExitCode::SUCCESS),
        Command::PowerOn { host } => cluster()?.power_on(&host).map(|()| ExitCode::SUCCESS),
        Command::Cut { host, other: None } => cluster()?.cut(&host).map(|()| ExitCode::SUCCESS),
        Command::Cut { host, other: Some(other) } => {
            cluster()?.cut_between(&host, &other).map(|()| ExitCode::SUCCESS)
        }
        Command::Heal { host, other: None } => cluster()?.heal(&host).map(|()| ExitCode::SUCCESS),
        Command::Heal { host, other: Some(other) } => {
            cluster()?.heal_between(&host, &other).map(|()| ExitCode::SUCCESS)
        }
        Command::Txt { name, value } => {
            runtime()?.block_on(cluster()?.set_txt(&name, &value)).map(|()| ExitCode::SUCCESS)
        }
        Command::Exec { host, command } => exec(&cluster()?, &host, &command),
        Command::Init { folder } => init::run(&folder).map(|()| ExitCode::SUCCESS),
        Command::Prepare { folder } => cache::prepare(&folder).map(|()| ExitCode::SUCCESS),
        Command::Enter { init, group, command } => {
            host::enter(init, &group, &command).map(|()| ExitCode::SUCCESS)
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("cannot start the runtime")
}

impl Places {
    fn cluster(&self) -> PathBuf {
        self.state.join("cluster")
    }

    /// The folder of the programs: ours, unless another was named.
    fn programs(&self) -> Result<PathBuf> {
        let folder = match &self.programs {
            Some(folder) => folder.clone(),
            None => {
                std::env::current_exe()?.parent().map(Path::to_owned).context("this program has no folder")?
            }
        };
        folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))
    }

    fn options(&self) -> Result<Options> {
        Ok(Options {
            state: std::path::absolute(self.cluster())?,
            programs: self.programs()?,
            cache: std::path::absolute(&self.cache)?,
            untouched: false,
            proxies: 1,
            progress: Progress::loud(),
        })
    }
}

#[expect(clippy::print_stderr, reason = "tells the person what happened")]
fn down(places: &Places) -> Result<ExitCode> {
    let lock = RunLock::take(&places.state)?;
    let journal = Journal::in_folder(&places.cluster());
    let found = journal.exists();
    journal.tear_down()?;
    lock.release()?;
    let did = if found { "removed the cluster" } else { "nothing to remove" };
    eprintln!("{did} in {}", places.state.display());
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn status(cluster: &Cluster) -> Result<ExitCode> {
    for name in host_names() {
        let host = cluster.host(name)?;
        let Ok(init) = host.init() else {
            println!("{name:8} off");
            continue;
        };
        println!("{name:8} on   process {}, logs in {}", init.pid, host.folder.join("log").display());
        for service in host.services()? {
            let state = match (host.inner_pid(&service.name), service.wanted) {
                (Some(pid), _) => format!("runs as {pid}"),
                (None, true) => "is being restarted".to_owned(),
                (None, false) => "is stopped".to_owned(),
            };
            println!("           {} {state}", service.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn exec(cluster: &Cluster, host: &str, command: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let status = cluster.command(host, &words)?.status()?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
