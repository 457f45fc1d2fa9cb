//! The command line of `WiseHosting`. Speaks the public API and nothing else.

mod api;
mod archive;
mod args;
mod commands;
mod context;
mod copy;
mod detect;
mod failure;
mod project;
mod route;
mod settings;
mod ui;
mod way;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Output};
use crate::failure::{Exit, Failure, Result};
use crate::ui::Ui;

fn main() -> ExitCode {
    daemon::crypto::install();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ui = Ui::detect(cli.global.json || cli.global.output == Output::Json);
    match run(cli, ui) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.print(ui);
            exit_code(failure.exit)
        }
    }
}

fn exit_code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}

/// Help, version, or what is wrong with the arguments; as JSON when they ask for JSON.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args().any(|arg| arg == "--json" || arg == "--output=json");
    if error.use_stderr() && json {
        let text = error.render().to_string();
        let line = text.lines().next().unwrap_or_default();
        let message = line.strip_prefix("error: ").unwrap_or(line);
        Failure::usage(message).print(Ui::detect(true));
        return exit_code(Exit::Usage);
    }
    // Standard output or error is closed: nobody is left to tell.
    let _ = error.print();
    if error.use_stderr() { exit_code(Exit::Usage) } else { ExitCode::SUCCESS }
}

fn run(cli: Cli, ui: Ui) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start", &error))?;
    let limit = cli.global.timeout;
    let result = runtime.block_on(async {
        let command = commands::run(cli, ui);
        match limit {
            None => command.await,
            Some(limit) => tokio::time::timeout(limit, command).await.unwrap_or_else(|_| {
                let message = format!("not done within {}", ui::time::duration(limit));
                Err(Failure::new(Exit::Timeout, "timeout", message)
                    .hint("what runs on the server goes on; `wh deployments` shows it"))
            }),
        }
    });
    // An archive that is still being written must not hold the program up.
    runtime.shutdown_background();
    result
}
