//! The proxy's process.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ingress::bind::Inherited;
use proxy::config::Config;
use proxy::standalone::{self, Standalone};

/// Exit code of a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
const EX_CONFIG: u8 = 78;

#[derive(Parser)]
#[command(name = "wisehosting-proxy", version, about = "Public entrance of WiseHosting: TLS and routing")]
struct Cli {
    /// Configuration file, .toml or .json.
    #[arg(long, env = "CONFIG_PATH", default_value = "/etc/wisehosting/proxy.toml", global = true)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run.
    Run,
    /// Read and check the configuration file.
    CheckConfig,
    /// Serve a table from a file, without control plane, mesh or configuration file.
    Standalone(Box<Standalone>),
}

fn main() -> ExitCode {
    daemon::crypto::install();
    daemon::telemetry::install();
    let cli = Cli::parse();
    match cli.command {
        Command::Standalone(options) if options.check => match standalone::check(&options) {
            Ok(text) => say(&text),
            Err(error) => complain(&format!("{error:#}"), EX_CONFIG),
        },
        Command::Standalone(options) => match options.verify() {
            Ok(()) => block_on(|inherited| standalone::run(*options, inherited)),
            Err(error) => complain(&error.to_string(), EX_CONFIG),
        },
        Command::CheckConfig => configured(&cli.config, |_| say("the configuration is good")),
        Command::Run => configured(&cli.config, |config| block_on(|inherited| proxy::run(config, inherited))),
    }
}

/// Goes on with the configuration, or says what is wrong with it.
fn configured(path: &Path, go: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match daemon::config::load(path) {
        Ok(config) => go(config),
        Err(error) => complain(&error.to_string(), EX_CONFIG),
    }
}

fn block_on<F>(run: impl FnOnce(Inherited) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    // Before any other thread or file: the sockets come in as numbers of the environment.
    let inherited = Inherited::from_environment();
    let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
    match runtime.block_on(run(inherited)) {
        Ok(code) => code,
        Err(error) => complain(&format!("{error:#}"), 1),
    }
}

#[expect(clippy::print_stdout, reason = "the answer of a chore")]
fn say(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "people read this, also without a log collector")]
fn complain(text: &str, code: u8) -> ExitCode {
    eprintln!("error: {text}");
    ExitCode::from(code)
}
