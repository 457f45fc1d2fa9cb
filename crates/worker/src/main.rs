//! `wisehosting-worker`: the agent of a worker host.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::error;
use worker::config::Config;

/// Builds images and runs instances with Podman.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent.
    Run(ConfigPath),
    /// Check the configuration file and do nothing.
    CheckConfig(ConfigPath),
    /// Remove the containers, networks, images and firewall rules that WiseHosting made on this host.
    Leave {
        #[command(flatten)]
        path: ConfigPath,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Answer the names of the private network. Started by the agent.
    Names {
        /// The folder with the table.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Carry out one build. Started by the agent.
    Job {
        /// The job's folder.
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct ConfigPath {
    #[arg(long, env = "CONFIG_PATH", default_value = "/etc/wisehosting/worker.toml")]
    config: PathBuf,
}

/// `EX_CONFIG` of sysexits.h.
const BAD_CONFIG: u8 = 78;

fn main() -> ExitCode {
    daemon::crypto::install();
    daemon::telemetry::install();
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            error!(error = format!("{error:#}"), "failed");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(path) => match load(&path) {
            Ok(config) => tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
                .block_on(worker::agent::run(config)),
            Err(code) => Ok(code),
        },
        Command::CheckConfig(path) => Ok(load(&path).err().unwrap_or(ExitCode::SUCCESS)),
        Command::Leave { path, yes } => match load(&path) {
            Ok(config) => leave(&config, yes),
            Err(code) => Ok(code),
        },
        Command::Names { dir } => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(worker::private::names::run(&dir)),
        Command::Job { dir } => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(worker::job::run(&dir)),
    }
}

#[expect(clippy::print_stdout, reason = "the answer of a command")]
fn leave(config: &Config, yes: bool) -> anyhow::Result<ExitCode> {
    daemon::confirm::by_host_name(yes, "All containers, networks and images of WiseHosting on this host go")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(worker::leave::run(config, |line| println!("{line}")))?;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stderr, reason = "one plain line for the person who starts it")]
fn load(path: &ConfigPath) -> Result<Config, ExitCode> {
    daemon::config::load(&path.config).map_err(|error| {
        eprintln!("{error}");
        ExitCode::from(BAD_CONFIG)
    })
}
