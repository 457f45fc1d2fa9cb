//! The mesh agent: joins the host to the private cloud and owns its `WireGuard` interface.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use daemon::credentials::Credentials;
use daemon::lifecycle::Lifecycle;
use node::mesh::config::Config;
use node::mesh::join::command::{self, Given};
use node::mesh::{self, tunnel};
use tracing::error;

/// `EX_CONFIG` of sysexits: starting again does not help.
const BAD_CONFIG: u8 = 78;
const GRACE: Duration = Duration::from_secs(10);

#[derive(Parser)]
#[command(version, about = "Joins this host to the mesh and keeps its tunnel")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Joins the host, keeps the tunnel and the link to the control plane.
    Run(ConfigPath),
    /// Reads the configuration and says whether it can be used.
    CheckConfig(ConfigPath),
    /// Joins the host now, with a join token from standard input, and says how that went.
    Join {
        /// TOML or JSON; /etc/wisehosting/mesh.toml or mesh.json when absent.
        #[arg(long, env = "CONFIG_PATH")]
        config: Option<PathBuf>,
        /// Standard input is what `wh node register` printed, not a token.
        #[arg(long)]
        joined: bool,
    },
    /// Stops being a node: tells the control plane, takes the tunnel down, removes identity and keys.
    Leave {
        #[command(flatten)]
        path: ConfigPath,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Also when instances should still run on this host.
        #[arg(long)]
        force: bool,
    },
    /// The userspace WireGuard device; started by `run` where the kernel has none.
    Tunnel {
        #[arg(long)]
        interface: String,
    },
}

#[derive(clap::Args)]
struct ConfigPath {
    /// TOML or JSON, by its extension.
    #[arg(long, env = "CONFIG_PATH")]
    config: PathBuf,
}

fn main() -> ExitCode {
    daemon::crypto::install();
    daemon::telemetry::install();
    let command = Arguments::parse().command;
    match command {
        Command::Tunnel { interface } => finish(tunnel::run(&interface).map(|()| ExitCode::SUCCESS)),
        Command::CheckConfig(path) => match load(&path) {
            Ok(_) => {
                say(&format!("{} can be used", path.config.display()));
                ExitCode::SUCCESS
            }
            Err(code) => code,
        },
        Command::Join { config, joined } => {
            let path = ConfigPath { config: config.unwrap_or_else(usual_config) };
            match load(&path) {
                Ok(config) => finish(join(&config, joined)),
                Err(code) => code,
            }
        }
        Command::Leave { path, yes, force } => match load(&path) {
            Ok(config) => finish(leave(&config, yes, force)),
            Err(code) => code,
        },
        Command::Run(path) => match load(&path) {
            Ok(config) => finish(run(config)),
            Err(code) => code,
        },
    }
}

fn run(config: Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        let mut lifecycle = Lifecycle::new();
        let stop = lifecycle.stopping();
        lifecycle.spawn("mesh", mesh::run(config, Credentials::from_env(), stop));
        lifecycle.run(GRACE).await
    });
    // A call into a dead device never returns; the process must end all the same.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Where a host has it that was set up as the documentation says.
fn usual_config() -> PathBuf {
    let [toml, json] = ["toml", "json"].map(|kind| PathBuf::from(format!("/etc/wisehosting/mesh.{kind}")));
    if !toml.exists() && json.exists() { json } else { toml }
}

fn join(config: &Config, by_hand: bool) -> anyhow::Result<ExitCode> {
    let given = Given::read(std::io::stdin().lock(), by_hand)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(command::run(config, given, &command::PAUSES, say))?;
    Ok(ExitCode::SUCCESS)
}

fn leave(config: &Config, yes: bool, force: bool) -> anyhow::Result<ExitCode> {
    daemon::confirm::by_host_name(yes, "This host leaves the mesh and forgets its identity and keys")?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(mesh::leave::run(config, force, say))?;
    Ok(ExitCode::SUCCESS)
}

fn load(path: &ConfigPath) -> Result<Config, ExitCode> {
    daemon::config::load(&path.config).map_err(|error| {
        complain(&error.to_string());
        ExitCode::from(BAD_CONFIG)
    })
}

fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        error!(error = format!("{error:#}"), "failed");
        ExitCode::FAILURE
    })
}

#[expect(clippy::print_stdout, reason = "the answer of a command")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "one line for people, before there is a log")]
fn complain(text: &str) {
    eprintln!("wisehosting-mesh: {text}");
}
