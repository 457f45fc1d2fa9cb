//! What is measured, and what it should come to (design, section 8).

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::engine::{Engine, HOST, Kind, Place, host};
use crate::load::{self, Report, SlowReaders, Wrk};
use crate::process::{float, soon};

const MIB_100: u64 = 100 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// Plain HTTP/1.1 on 64 connections that are kept.
    Plain,
    /// System calls per request of the same.
    Syscalls,
    /// HTTPS on 64 connections that are kept.
    Tls,
    /// Full handshakes of TLS 1.3, one request each.
    Handshakes,
    /// A new connection for each plain request.
    Connections,
    /// Requests for hosts drawn at random of 10, 1,000 and 10,000.
    Hosts,
    /// One of 10,000 routes changes, and all of them, under load.
    Changes,
    /// Memory that a reader of 2 MB/s holds.
    SlowReaders,
    /// 100 MiB from the app, and to it.
    Bodies,
    /// Messages of 1 KiB and of 64 KiB there and back over a WebSocket.
    Websocket,
}

#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) place: Place,
    pub(crate) quick: bool,
}

/// The figures of one engine in one case, of each round.
#[derive(Debug, Default)]
struct Figures {
    /// What counts: CPU seconds per 100,000 requests, unless the case says otherwise.
    values: Vec<f64>,
    reports: Vec<Report>,
    resident_mib: f64,
}

impl Figures {
    fn value(&self) -> f64 {
        median(self.values.clone())
    }
}

type All = BTreeMap<Kind, Figures>;

impl Bench {
    pub(crate) fn run(&self, case: Case) -> Result<Vec<Value>> {
        match case {
            Case::Plain => {
                let all = self.cpu(&Kind::ALL, 0, |engine| self.wrk(engine, false, false))?;
                Ok(vec![line(
                    "plain",
                    "cpu_s_per_100k",
                    "s",
                    &all,
                    &[(Kind::Haproxy, 1.2), (Kind::Traefik, 0.35)],
                )])
            }
            Case::Syscalls => self.system_calls().map(|line| vec![line]),
            Case::Tls => {
                let all = self.cpu(&Kind::ALL, 0, |engine| self.wrk(engine, true, false))?;
                Ok(vec![line("tls keep-alive", "cpu_s_per_100k", "s", &all, &[])])
            }
            Case::Handshakes => {
                let time = Duration::from_secs(self.seconds().into());
                let all = self.cpu(&Kind::ALL, 0, |engine| {
                    load::handshakes(engine.https, &self.place.root_pem, time)
                })?;
                let targets = [(Kind::Traefik, 0.5), (Kind::Nginx, 0.5)];
                Ok(vec![line("tls handshakes", "cpu_s_per_100k", "s", &all, &targets)])
            }
            Case::Connections => {
                let all = self.cpu(&Kind::ALL, 0, |engine| self.wrk(engine, false, true))?;
                Ok(vec![line("new connections", "cpu_s_per_100k", "s", &all, &[])])
            }
            Case::Hosts => [10, 1_000, 10_000].into_iter().map(|hosts| self.hosts(hosts)).collect(),
            Case::Changes => self.changes(),
            Case::SlowReaders => self.slow_readers().map(|line| vec![line]),
            Case::Bodies => self.bodies(),
            Case::Websocket => [1024, 64 * 1024].into_iter().map(|bytes| self.websocket(bytes)).collect(),
        }
    }

    fn seconds(&self) -> u32 {
        if self.quick { 1 } else { 4 }
    }

    fn rounds(&self) -> usize {
        if self.quick { 1 } else { 5 }
    }

    fn wrk(&self, engine: &Engine, tls: bool, close: bool) -> Result<Report> {
        let (scheme, address) = if tls { ("https", engine.https) } else { ("http", engine.http) };
        // By the name, which is what the certificate and the route are for.
        let url = format!("{scheme}://{HOST}:{}/", address.port());
        let connections = if close { 32 } else { 64 };
        Wrk { url, connections, seconds: self.seconds(), close, script: None }.run()
    }

    /// Interleaved rounds: CPU seconds per 100,000 requests of `work` at each engine.
    fn cpu(&self, kinds: &[Kind], hosts: usize, work: impl Fn(&Engine) -> Result<Report>) -> Result<All> {
        let engines = self.start(kinds, hosts)?;
        let mut all = All::new();
        for round in 0..=self.rounds() {
            // Another one begins each time.
            for at in 0..engines.len() {
                let engine = &engines[(at + round) % engines.len()];
                let before = engine.running.cpu();
                let report = work(engine).with_context(|| engine.kind.name())?;
                let used = engine.running.cpu() - before;
                ensure!(
                    report.failed * 1000 <= report.requests && report.requests > 0,
                    "{}: {} of {} requests failed",
                    engine.kind.name(),
                    report.failed,
                    report.requests
                );
                // The first round warms up.
                if round > 0 {
                    let figures = all.entry(engine.kind).or_default();
                    figures.values.push(used * 100_000.0 / float(report.requests));
                    figures.resident_mib = float(engine.running.resident_kib()) / 1024.0;
                    figures.reports.push(report);
                }
            }
        }
        Ok(all)
    }

    fn start(&self, kinds: &[Kind], hosts: usize) -> Result<Vec<Engine>> {
        kinds.iter().map(|&kind| self.place.start(kind, hosts)).collect()
    }

    fn system_calls(&self) -> Result<Value> {
        let mut all = All::new();
        for engine in self.start(&Kind::ALL, 0)? {
            // Traced, an engine is some ten times slower: the same time in the quick mode, too.
            let url = format!("http://{HOST}:{}/", engine.http.port());
            let load = Wrk { url, connections: 64, seconds: 4, close: false, script: None };
            self.wrk(&engine, false, false)?;
            let calls = engine.running.system_calls(|| Ok(load.run()?.requests))?;
            ensure!(calls.is_finite(), "{}: no request while it was traced", engine.kind.name());
            all.entry(engine.kind).or_default().values.push(calls);
        }
        let ours = all[&Kind::Ours].value();
        let mut line = line("system calls", "calls_per_request", "", &all, &[]);
        line["target"] = json!({ "at_most": 4.2 });
        line["ok"] = json!(ours <= 4.2);
        Ok(line)
    }

    fn hosts(&self, hosts: usize) -> Result<Value> {
        let script = self.place.folder.join("hosts.lua");
        let lua = format!(
            "local requests = {{}}\ninit = function()\n  for at = 0, {} do\n    \
             requests[at] = wrk.format('GET', '/', {{ Host = 'h' .. at .. '.test' }})\n  end\nend\n\
             request = function() return requests[math.random(0, {})] end\n",
            hosts - 1,
            hosts - 1
        );
        fs::write(&script, lua)?;
        let kinds = [Kind::Ours, Kind::Traefik, Kind::Haproxy];
        let all = self.cpu(&kinds, hosts, |engine| {
            let url = format!("http://{HOST}:{}/", engine.http.port());
            Wrk { url, connections: 64, seconds: self.seconds(), close: false, script: Some(&script) }.run()
        })?;
        let mut targets = vec![(Kind::Haproxy, 1.2), (Kind::Traefik, 0.35)];
        if hosts == 10_000 {
            targets = vec![(Kind::Traefik, 0.06)];
        }
        let mut line = line(&format!("{hosts} hosts"), "cpu_s_per_100k", "s", &all, &targets);
        if hosts == 10_000 {
            let resident = all[&Kind::Ours].resident_mib;
            line["target"]["resident_mib"] = json!(64);
            line["ok"] = json!(line["ok"] == true && resident <= 64.0);
        }
        Ok(line)
    }

    /// From the moment the table is handed over until the new route answers, while others are asked for.
    fn changes(&self) -> Result<Vec<Value>> {
        let hosts = 10_000;
        let engine = self.place.start(Kind::Ours, hosts)?;
        let names = |of: &dyn Fn(usize) -> String| -> Vec<String> {
            std::iter::once(HOST.to_owned()).chain((0..hosts).map(of)).collect()
        };
        let rounds = if self.quick { 5 } else { 20 };
        let mut lines = Vec::new();
        for (what, all, target_ms) in
            [("one route of 10,000", false, 5.0), ("all of 10,000 routes", true, 50.0)]
        {
            let (mut live, mut applied) = (Vec::new(), Vec::new());
            let seconds = u32::try_from(rounds)? / 2 + 2;
            let url = format!("http://{HOST}:{}/", engine.http.port());
            let load = Wrk { url, connections: 16, seconds, close: false, script: None };
            let report = std::thread::scope(|scope| -> Result<Report> {
                let load = scope.spawn(|| load.run());
                for round in 0..rounds {
                    let fresh = format!("new{round}.test");
                    let table = if all {
                        self.place.table(&names(&|at| {
                            if at == 0 { fresh.clone() } else { format!("h{at}.r{round}.test") }
                        }))
                    } else {
                        self.place.table(&names(&|at| if at == 0 { fresh.clone() } else { host(at) }))
                    };
                    // Renamed over; the signal spares the look at the file that would come within 200 ms.
                    let beside = engine.folder.join("routes.new");
                    fs::write(&beside, table)?;
                    fs::rename(&beside, engine.folder.join("routes.json"))?;
                    let began = Instant::now();
                    engine.running.hang_up()?;
                    let answers =
                        || load::get(engine.http, &fresh).is_ok_and(|answer| answer.contains(" 200 "));
                    soon(Duration::from_secs(10), answers).context("the new route is not served")?;
                    live.push(began.elapsed().as_secs_f64() * 1000.0);
                    applied.extend(last_applied_ms(&fs::read_to_string(engine.folder.join("log"))?));
                    std::thread::sleep(Duration::from_millis(400));
                }
                load.join().expect("no panic")
            })?;
            let value = median(applied.clone());
            lines.push(json!({
                "bench": "ingress",
                "case": what,
                "metric": "applied_ms",
                "value": round(value),
                "unit": "ms",
                "versus": null,
                "target": target_ms,
                "ok": value <= target_ms && report.failed == 0,
                "worst_ms": round(applied.iter().copied().fold(0.0, f64::max)),
                "file_to_first_answer_ms": round(median(live)),
                "requests": report.requests,
                "lost": report.failed,
            }));
        }
        Ok(lines)
    }

    fn slow_readers(&self) -> Result<Value> {
        let readers = 32;
        let mut all = All::new();
        for kind in Kind::ALL {
            let engine = self.place.start(kind, 0)?;
            self.wrk(&engine, false, false)?;
            let before = engine.running.resident_kib();
            let slow = SlowReaders::start(engine.http, readers);
            std::thread::sleep(Duration::from_secs(3));
            let held = engine.running.resident_kib().saturating_sub(before);
            ensure!(slow.end() == readers, "{}: a slow reader was cut off", kind.name());
            let figures = all.entry(kind).or_default();
            figures.values.push(float(held) / float(readers as u64));
            figures.resident_mib = float(engine.running.resident_kib()) / 1024.0;
        }
        let ours = all[&Kind::Ours].value();
        let mut line = line("32 slow readers", "kib_per_reader", "KiB", &all, &[]);
        line["target"] = json!({ "at_most": 128 });
        line["ok"] = json!(ours <= 128.0);
        Ok(line)
    }

    fn bodies(&self) -> Result<Vec<Value>> {
        let engines = self.start(&Kind::ALL, 0)?;
        let ways = [("100 MiB down", load::download as fn(_, _) -> _), ("100 MiB up", load::upload)];
        ways.into_iter()
            .map(|(what, carry)| {
                let mut all = All::new();
                for round in 0..=self.rounds() * 3 {
                    for engine in &engines {
                        let rate: f64 = carry(engine.http, MIB_100).with_context(|| engine.kind.name())?;
                        if round > 0 {
                            let figures = all.entry(engine.kind).or_default();
                            figures.values.push(rate);
                            figures.resident_mib = float(engine.running.resident_kib()) / 1024.0;
                        }
                    }
                }
                let best = all[&Kind::Traefik].value().max(all[&Kind::Haproxy].value());
                let ratio = all[&Kind::Ours].value() / best;
                let mut line = line(what, "mib_per_s", "MiB/s", &all, &[]);
                line["target"] = json!({ "best of traefik and haproxy": 0.9 });
                line["ok"] = json!(ratio >= 0.9);
                Ok(line)
            })
            .collect()
    }

    fn websocket(&self, bytes: usize) -> Result<Value> {
        let time = Duration::from_secs(self.seconds().into());
        let all = self.cpu(&Kind::ALL, 0, |engine| load::echoes(engine.http, bytes, time))?;
        Ok(line(&format!("websocket {} KiB", bytes / 1024), "cpu_s_per_100k", "s", &all, &[]))
    }
}

/// The time of the last table that our proxy took, by its own log: from the whole table in memory to its being in force.
fn last_applied_ms(log: &str) -> Option<f64> {
    let line = log.lines().rfind(|line| line.contains("table in force"))?;
    let line: Value = serde_json::from_str(line).ok()?;
    Some(line["applied_us"].as_f64()? / 1000.0)
}

/// One line; `targets` are the ratios to others that ours may have at most.
fn line(case: &str, metric: &str, unit: &str, all: &All, targets: &[(Kind, f64)]) -> Value {
    let ours = all[&Kind::Ours].value();
    let ratio = |kind: &Kind| round(ours / all[kind].value());
    let others = all.keys().filter(|kind| **kind != Kind::Ours);
    let versus: BTreeMap<_, _> = others.map(|kind| (kind.name(), ratio(kind))).collect();
    let target: BTreeMap<_, _> = targets.iter().map(|(kind, most)| (kind.name(), *most)).collect();
    let ok =
        (!targets.is_empty()).then(|| targets.iter().all(|(kind, most)| ours / all[kind].value() <= *most));
    let engines: BTreeMap<_, _> = all.iter().map(|(kind, figures)| (kind.name(), details(figures))).collect();
    json!({
        "bench": "ingress",
        "case": case,
        "metric": metric,
        "value": round(ours),
        "unit": unit,
        "versus": versus,
        "target": target,
        "ok": ok,
        "engines": engines,
    })
}

fn details(figures: &Figures) -> Value {
    let of = |field: fn(&Report) -> f64| round(median(figures.reports.iter().map(field).collect()));
    let mut details = json!({ "value": round(figures.value()), "rounds": figures.values.iter().copied().map(round).collect::<Vec<_>>() });
    if figures.resident_mib > 0.0 {
        details["resident_mib"] = json!(round(figures.resident_mib));
    }
    if !figures.reports.is_empty() {
        details["per_s"] = json!(of(|report| report.per_second));
        details["p50_ms"] = json!(of(|report| report.p50_ms));
        details["p99_ms"] = json!(of(|report| report.p99_ms));
    }
    details
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
