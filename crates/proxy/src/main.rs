//! The proxy's process.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use proxy::config::Config;

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

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Run.
    Run,
    /// Read and check the configuration file.
    CheckConfig,
}

fn main() -> ExitCode {
    daemon::crypto::install();
    daemon::telemetry::install();
    let cli = Cli::parse();
    let config: Config = match daemon::config::load(&cli.config) {
        Ok(config) => config,
        Err(error) => return complain(&error.to_string(), EX_CONFIG),
    };
    match cli.command {
        Command::CheckConfig => say("the configuration is good"),
        Command::Run => {
            // Before any other thread or file: the sockets come in as numbers of the environment.
            let inherited = ingress::bind::Inherited::from_environment();
            let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
            match runtime.block_on(proxy::run(config, inherited)) {
                Ok(code) => code,
                Err(error) => complain(&format!("{error:#}"), 1),
            }
        }
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
