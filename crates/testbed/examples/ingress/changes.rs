//! How long a change of the routes takes in our proxy, under load.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use protocol::envelope::{MessageId, Receiver, Sender};
use protocol::identity::SigningKey;
use protocol::ids::InstanceId;
use protocol::message::FromControlPlane;
use protocol::spec::{ProxySpec, Route, Spec, Upstream, Versioned};
use serde_json::{Value, json};

use crate::engine::{Engine, HOST, Kind, Place, host};
use crate::figures::{median, round};
use crate::load::{self, Report, Wrk};
use crate::process::soon;

const HOSTS: usize = 10_000;

/// One of 10,000 routes changes, and then all of them, `rounds` times each.
pub(crate) fn measure(place: &Place, rounds: usize) -> Result<Vec<Value>> {
    let engine = place.start(Kind::Ours, HOSTS)?;
    let decoded_ms = decode()?;
    let one = |round: usize, at: usize| if at == 0 { fresh(round) } else { host(at) };
    let all = |round: usize, at: usize| if at == 0 { fresh(round) } else { format!("h{at}.r{round}.test") };
    // The table always comes whole: of all of it also the reading counts.
    Ok(vec![
        Changes { place, engine: &engine, rounds, name: &one }.line(
            "one route of 10,000",
            5.0,
            None,
            decoded_ms,
        )?,
        Changes { place, engine: &engine, rounds, name: &all }.line(
            "all of 10,000 routes",
            50.0,
            Some(decoded_ms),
            decoded_ms,
        )?,
    ])
}

struct Changes<'a> {
    place: &'a Place,
    engine: &'a Engine,
    rounds: usize,
    /// Of a round and a route.
    name: &'a dyn Fn(usize, usize) -> String,
}

/// What one change took, by our proxy's own log.
struct Took {
    read_ms: f64,
    applied_ms: f64,
}

impl Changes<'_> {
    /// `counted` is what is added to the time from the table in memory to its being in force.
    fn line(self, case: &str, target_ms: f64, counted: Option<f64>, decoded_ms: f64) -> Result<Value> {
        let (mut live, mut took) = (Vec::new(), Vec::new());
        let seconds = u32::try_from(self.rounds)? / 2 + 2;
        let url = format!("http://{HOST}:{}/", self.engine.http.port());
        let load = Wrk { url, connections: 16, seconds, close: false, script: None };
        let report = std::thread::scope(|scope| -> Result<Report> {
            let load = scope.spawn(|| load.run());
            for round in 0..self.rounds {
                live.push(self.change(round)?);
                took.push(
                    last_table(&fs::read_to_string(self.engine.folder.join("log"))?)
                        .context("the log does not say that the table is in force")?,
                );
                std::thread::sleep(Duration::from_millis(400));
            }
            load.join().expect("no panic")
        })?;
        let applied: Vec<f64> = took.iter().map(|took| took.applied_ms).collect();
        let value = median(applied.clone()) + counted.unwrap_or(0.0);
        Ok(json!({
            "bench": "ingress",
            "case": case,
            "metric": if counted.is_some() { "decoded_and_applied_ms" } else { "applied_ms" },
            "value": round(value),
            "unit": "ms",
            "ratio": null,
            "target": { "at most": target_ms },
            "met": value <= target_ms && report.failed == 0,
            "applied_ms": round(median(applied.clone())),
            "worst_applied_ms": round(applied.iter().copied().fold(0.0, f64::max)),
            "decoded_from_the_link_ms": round(decoded_ms),
            "read_from_the_file_ms": round(median(took.iter().map(|took| took.read_ms).collect())),
            "file_to_first_answer_ms": round(median(live)),
            "requests": report.requests,
            "lost": report.failed,
        }))
    }

    /// Milliseconds from the signal until the new route answers.
    fn change(&self, round: usize) -> Result<f64> {
        let names: Vec<String> =
            std::iter::once(HOST.to_owned()).chain((0..HOSTS).map(|at| (self.name)(round, at))).collect();
        // Renamed over; the signal spares the look at the file that would come within 200 ms.
        let beside = self.engine.folder.join("routes.new");
        fs::write(&beside, self.place.table(&names))?;
        fs::rename(&beside, self.engine.folder.join("routes.json"))?;
        let began = Instant::now();
        self.engine.running.hang_up()?;
        let fresh = fresh(round);
        let answers = || load::get(self.engine.http, &fresh).is_ok_and(|answer| answer.contains(" 200 "));
        soon(Duration::from_secs(30), answers).context("the new route is not served")?;
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    }
}

fn fresh(round: usize) -> String {
    format!("new{round}.test")
}

fn last_table(log: &str) -> Option<Took> {
    let line = log.lines().rfind(|line| line.contains("table in force"))?;
    let line: Value = serde_json::from_str(line).ok()?;
    let ms = |key: &str| Some(line[key].as_f64()? / 1000.0);
    Some(Took { read_ms: ms("read_us")?, applied_ms: ms("applied_us")? })
}

/// Milliseconds from a message of the link with the whole table to the table in memory: the signature is checked and
/// the JSON read, by the code that the proxy runs.
fn decode() -> Result<f64> {
    let route = |at: usize| Route {
        id: format!("{}-{at}", InstanceId::new()),
        app: format!("app-{at}"),
        hosts: vec![host(at)],
        path: "/".to_owned(),
        upstreams: vec![Upstream {
            instance: InstanceId::new(),
            address: SocketAddr::from(([10, 50, 0, 7], 20_000)),
            weight: 1,
        }],
        unavailable: None,
        https_only: true,
        options: Box::default(),
    };
    let spec = ProxySpec { routes: (0..HOSTS).map(route).map(Into::into).collect(), ..ProxySpec::default() };
    let message = FromControlPlane::Spec(Versioned { generation: 1, spec: Spec::Proxy(spec) });
    let key = SigningKey([7; 32]);
    let text = Sender::new(key.clone()).seal(message.kind(), &MessageId::random(), message.payload(), 1);
    let once = || -> Result<f64> {
        let began = Instant::now();
        let envelope = Receiver::new(key.clone()).open(&text, 1)?;
        let read = FromControlPlane::parse(&envelope)?;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        anyhow::ensure!(matches!(read, FromControlPlane::Spec(_)), "another message was read");
        Ok(took)
    };
    Ok(median((0..11).map(|_| once()).collect::<Result<_>>()?))
}
