//! The control plane's process and its chores.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use control_plane::config::Config;
use control_plane::secret_check::WrongSecret;
use control_plane::{admin, db, secrets, serve};
use daemon::credentials::{Credentials, ExposeSecret};

/// Exit code of a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
const EX_CONFIG: u8 = 78;

#[derive(Parser)]
#[command(name = "wisehosting-control-plane", version, about = "Dashboard, API and hub of WiseHosting")]
struct Cli {
    /// Configuration file, .toml or .json.
    #[arg(long, env = "CONFIG_PATH", default_value = "/etc/wisehosting/control-plane.toml", global = true)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run.
    Serve,
    /// Bring the database's schema up to date and exit; `serve` does this too.
    Migrate,
    /// Read and check the configuration file.
    CheckConfig,
    /// Print the API's `OpenAPI` document.
    Openapi,
    /// Chores for someone who sits at this host.
    #[command(subcommand)]
    Admin(Admin),
}

#[derive(Subcommand)]
enum Admin {
    /// Print the address that opens the first-run page, good for a day.
    SetupCode {
        /// Print the bare code.
        #[arg(long)]
        bare: bool,
    },
    /// Give a user a new random password and end their sessions.
    ResetPassword { email: String },
}

fn main() -> ExitCode {
    daemon::crypto::install();
    daemon::telemetry::install();
    let cli = Cli::parse();
    let config = match &cli.command {
        Command::Openapi => Ok(Config::example()),
        _ => daemon::config::load(&cli.config),
    };
    let config = match config {
        Ok(config) => config,
        Err(error) => return complain(&error.to_string(), EX_CONFIG),
    };
    let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
    match runtime.block_on(run(cli.command, config)) {
        Ok(code) => code,
        Err(error) => {
            // Trying again does not help until somebody gives another secret.
            let wrong_secret = error.is::<WrongSecret>();
            complain(&format!("{error:#}"), if wrong_secret { EX_CONFIG } else { 1 })
        }
    }
}

async fn run(command: Command, config: Config) -> anyhow::Result<ExitCode> {
    let credentials = Credentials::from_env();
    match command {
        Command::Serve => serve::run(config, &credentials).await,
        Command::CheckConfig => Ok(say("the configuration is good")),
        Command::Openapi => Ok(say(&serve::openapi_text()?)),
        Command::Migrate => {
            let pool = db::pool(secrets::database(&config, &credentials)?, 1);
            db::wait(&pool, serve::DATABASE_PATIENCE).await?;
            db::migrate(&pool).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Admin(chore) => {
            let pool = db::pool(secrets::database(&config, &credentials)?, 1);
            db::migrate(&pool).await?;
            match chore {
                Admin::SetupCode { bare } => {
                    let code = admin::setup_code(&pool).await?;
                    let base = config.api_server.base_url.as_str().trim_end_matches('/');
                    Ok(say(&if bare { code } else { format!("{base}/setup#code={code}") }))
                }
                Admin::ResetPassword { email } => {
                    let password = admin::reset_password(&pool, &email).await?;
                    Ok(say(&format!("new password of {email}: {}", password.expose_secret())))
                }
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
