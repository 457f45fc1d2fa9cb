//! `scripts/bench ingress`: our proxy beside Traefik, `HAProxy`, nginx and Caddy. One JSON line per case.
//!
//! Each engine has one core, the load and the app the other. The rounds of the engines are interleaved, so that what
//! disturbs the machine disturbs them alike. The figure is CPU time per request, because it repeats where requests per
//! second do not; ratios count, and their targets.

mod cases;
mod changes;
mod engine;
mod figures;
mod hub;
mod load;
mod process;
mod upstream;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use cases::{Bench, Case};
use engine::{Ours, Place};

#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure; everything when empty.
    cases: Vec<Case>,
    /// Short rounds: under three minutes, and less sure.
    #[arg(long)]
    quick: bool,
    /// Our program, in the release profile.
    #[arg(long, value_name = "FILE")]
    proxy: PathBuf,
    /// Another build of it, to be measured beside it as `variant`.
    #[arg(long, value_name = "FILE")]
    variant: Option<PathBuf>,
    /// An argument that the variant has beside those of ours; without --variant it is the same program.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    variant_argument: Vec<String>,
    #[arg(long, env = "WH_TRAEFIK", value_name = "FILE")]
    traefik: PathBuf,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the answer of the command")]
fn main() -> ExitCode {
    let measured = measure(&Arguments::parse(), |line| println!("{line}"));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments, say: impl Fn(serde_json::Value)) -> Result<()> {
    daemon::crypto::install();
    let folder = std::env::temp_dir().join(format!("wh-ingress-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let upstream = upstream::start()?;
    let ours = Ours { program: arguments.proxy.clone(), arguments: Vec::new() };
    let program = arguments.variant.clone();
    let differs = program.is_some() || !arguments.variant_argument.is_empty();
    let variant = differs.then(|| Ours {
        program: program.unwrap_or_else(|| ours.program.clone()),
        arguments: arguments.variant_argument.clone(),
    });
    let place = Place::new(&folder, ours, variant, arguments.traefik.clone(), upstream)?;
    let bench = Bench { place, quick: arguments.quick };
    let all = <Case as clap::ValueEnum>::value_variants();
    let cases = if arguments.cases.is_empty() { all } else { &arguments.cases };
    for &case in cases {
        for line in bench.run(case).with_context(|| format!("case {case:?}"))? {
            say(line);
        }
    }
    // Logs and configurations stay where something went wrong.
    Ok(std::fs::remove_dir_all(&folder)?)
}
