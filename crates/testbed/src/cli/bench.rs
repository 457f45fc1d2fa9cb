//! `bench`: how long the first minutes and a way back take, and what a redeploy loses. One JSON line per figure.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::{Value, json};
use testbed::cluster::{Cluster, Options};
use testbed::preflight;
use testbed::session::Session;

use super::hello::{self, round};
use super::up::{ended, first_app, forward_dashboard};
use super::{Places, footprint, propagation, redeploy, rollback};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// A fresh cluster until every node is online.
    Boot,
    /// The first `wh deploy` until the app answers over HTTPS.
    Deploy,
    /// `wh rollback` until the older release serves its first request.
    Rollback,
    /// Requests that are lost while an app is deployed anew and scaled.
    Redeploy,
    /// A change of a route by the API until three proxies, and a polling Traefik, follow it.
    Propagation,
    /// What the agents hold and use while nothing happens.
    Footprint,
}

impl Case {
    /// Seconds that it may take; lost requests for the redeploys; MiB for the footprint.
    fn target(self) -> f64 {
        match self {
            Self::Boot => 10.0,
            Self::Deploy => 20.0,
            Self::Rollback => 3.0,
            Self::Redeploy => 0.0,
            Self::Propagation => 1.0,
            Self::Footprint => 40.0,
        }
    }

    fn proxies(self) -> usize {
        match self {
            Self::Boot | Self::Deploy | Self::Rollback | Self::Footprint => 1,
            Self::Redeploy => 2,
            Self::Propagation => 3,
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(crate) async fn run(places: &Places, case: Case) -> Result<ExitCode> {
    preflight::check_machine()?;
    let options = Options { proxies: case.proxies(), ..places.options()? };
    let session = Session::begin(&places.state, options)?;
    let work = async {
        println!("{}", Box::pin(measure(&session, case)).await?);
        Ok(())
    };
    ended(session.run(work).await?)
}

async fn measure(session: &Session, case: Case) -> Result<Value> {
    if let Case::Rollback = case {
        let cluster = Cluster::boot(&session.options).await?;
        let dashboard = forward_dashboard(&cluster, 0).await?;
        let rounds = rollback::measure(&cluster, dashboard.port);
        let seconds = session.options.progress.step("rollbacks", rounds).await?;
        let mut line = line("rollback", "between two releases", "rollback_p99_s", at(&seconds, 99), case);
        line["p50"] = json!(round(at(&seconds, 50)));
        line["rounds"] = json!(seconds.len());
        return Ok(line);
    }
    if let Case::Redeploy = case {
        let cluster = Cluster::boot(&session.options).await?;
        let dashboard = forward_dashboard(&cluster, 0).await?;
        let rounds = redeploy::measure(&cluster, dashboard.port);
        return session.options.progress.step("redeploys under load", rounds).await;
    }
    if let Case::Propagation = case {
        let cluster = Cluster::boot(&session.options).await?;
        let dashboard = forward_dashboard(&cluster, 0).await?;
        let rounds = propagation::measure(&cluster, dashboard.port, case.target());
        return session.options.progress.step("changes of a route", rounds).await;
    }
    if let Case::Footprint = case {
        let cluster = Cluster::boot(&session.options).await?;
        let dashboard = forward_dashboard(&cluster, 0).await?;
        hello::deploy(&cluster, dashboard.port, Path::new("examples/hello")).await?;
        let watched = footprint::measure(&cluster, case.target());
        return session.options.progress.step("nothing happens", watched).await;
    }
    let (boot_s, served) = first_app(&session.options, Path::new("examples/hello")).await?;
    Ok(match case {
        Case::Boot => line("boot", "fresh cluster", "boot_s", boot_s, case),
        _ => line("deploy", "fresh cluster", "deploy_s", served.seconds, case),
    })
}

fn line(bench: &str, what: &str, metric: &str, seconds: f64, case: Case) -> Value {
    json!({
        "bench": bench,
        "case": what,
        "metric": metric,
        "value": round(seconds),
        "unit": "s",
        "versus": null,
        "target": case.target(),
        "met": seconds <= case.target(),
    })
}

/// The value that `percent` of the sorted `values` do not exceed.
pub(super) fn at(values: &[f64], percent: usize) -> f64 {
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Seconds to the millisecond.
pub(super) fn milli(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        let found = [50, 95, 99, 100].map(|percent| super::at(&values, percent));
        assert_eq!(format!("{found:?}"), "[10.0, 19.0, 20.0, 20.0]");
        assert_eq!(super::at(&[7.0], 50).to_string(), "7");
    }
}
