//! `bench`: how long the first minutes take. One JSON line per figure.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use testbed::preflight;
use testbed::session::Session;

use super::up::{ended, first_app};
use super::{Places, hello::round};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// A fresh cluster until every node is online.
    Boot,
    /// The first `wh deploy` until the app answers over HTTPS.
    Deploy,
}

impl Case {
    /// Seconds that it may take.
    fn target(self) -> f64 {
        match self {
            Self::Boot => 10.0,
            Self::Deploy => 20.0,
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(crate) async fn run(places: &Places, case: Case) -> Result<ExitCode> {
    preflight::check_machine()?;
    let session = Session::begin(&places.state, places.options()?)?;
    let work = async {
        let (boot_s, served) = first_app(&session.options, Path::new("examples/hello")).await?;
        let (name, value) = match case {
            Case::Boot => ("boot", boot_s),
            Case::Deploy => ("deploy", served.seconds),
        };
        println!(
            "{}",
            serde_json::json!({
                "bench": name,
                "case": "fresh cluster",
                "metric": format!("{name}_s"),
                "value": round(value),
                "unit": "s",
                "versus": null,
                "target": case.target(),
                "ok": value <= case.target(),
            })
        );
        Ok(())
    };
    ended(session.run(work).await?)
}
