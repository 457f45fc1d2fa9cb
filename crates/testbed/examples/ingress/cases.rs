//! What is measured, and what it should come to (design, section 8).

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde_json::Value;

use crate::changes;
use crate::engine::{Engine, HOST, Kind, Place};
use crate::figures::{All, Bound, Line};
use crate::load::{self, Report, SlowReaders, Wrk};
use crate::process::float;

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
    /// Plain HTTP/1.1 while traffic is recorded, and while it is not.
    Traffic,
    /// Messages of 1 KiB and of 64 KiB there and back over a WebSocket.
    Websocket,
}

#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) place: Place,
    pub(crate) quick: bool,
}

impl Bench {
    pub(crate) fn run(&self, case: Case) -> Result<Vec<Value>> {
        let cpu = |case: &str, all, bounds: &[(Kind, f64)]| {
            let bounds = bounds.iter().map(|(kind, most)| Bound::AtMost(*kind, *most));
            vec![Line::new(case, "cpu_s_per_100k", "s").bound(bounds).json(&all)]
        };
        match case {
            Case::Plain => {
                let all = self.cpu(&self.place.kinds(), 0, |engine| self.wrk(engine, false, false))?;
                Ok(cpu("plain", all, &[(Kind::Haproxy, 1.2), (Kind::Traefik, 0.35)]))
            }
            Case::Syscalls => self.system_calls().map(|line| vec![line]),
            Case::Tls => {
                let all = self.cpu(&self.place.kinds(), 0, |engine| self.wrk(engine, true, false))?;
                Ok(cpu("tls keep-alive", all, &[]))
            }
            Case::Handshakes => {
                let time = Duration::from_secs(self.seconds().into());
                let all = self.cpu(&self.place.kinds(), 0, |engine| {
                    load::handshakes(engine.https, &self.place.root_pem, time)
                })?;
                Ok(cpu("tls handshakes", all, &[(Kind::Traefik, 0.5), (Kind::Nginx, 0.5)]))
            }
            Case::Connections => {
                let all = self.cpu(&self.place.kinds(), 0, |engine| self.wrk(engine, false, true))?;
                Ok(cpu("new connections", all, &[]))
            }
            Case::Hosts => [10, 1_000, 10_000].into_iter().map(|hosts| self.hosts(hosts)).collect(),
            Case::Changes => changes::measure(&self.place, if self.quick { 5 } else { 20 }),
            Case::SlowReaders => self.slow_readers().map(|line| vec![line]),
            Case::Bodies => self.bodies(),
            Case::Traffic => self.traffic().map(|line| vec![line]),
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
        for engine in self.start(&self.place.kinds(), 0)? {
            // Traced, an engine is some ten times slower: the same time in the quick mode, too.
            let url = format!("http://{HOST}:{}/", engine.http.port());
            let load = Wrk { url, connections: 64, seconds: 4, close: false, script: None };
            self.wrk(&engine, false, false)?;
            let calls = engine.running.system_calls(|| Ok(load.run()?.requests))?;
            ensure!(calls.is_finite(), "{}: no request while it was traced", engine.kind.name());
            all.entry(engine.kind).or_default().values.push(calls);
        }
        Ok(Line::new("system calls", "calls_per_request", "").bound([Bound::Value(4.2)]).json(&all))
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
        let mut kinds = self.place.kinds();
        kinds.retain(|kind| ![Kind::Nginx, Kind::Caddy].contains(kind));
        let all = self.cpu(&kinds, hosts, |engine| {
            let url = format!("http://{HOST}:{}/", engine.http.port());
            Wrk { url, connections: 64, seconds: self.seconds(), close: false, script: Some(&script) }.run()
        })?;
        let bounds = match hosts {
            10_000 => vec![Bound::AtMost(Kind::Traefik, 0.06), Bound::ResidentMib(64.0)],
            _ => vec![Bound::AtMost(Kind::Haproxy, 1.2), Bound::AtMost(Kind::Traefik, 0.35)],
        };
        Ok(Line::new(&format!("{hosts} hosts"), "cpu_s_per_100k", "s").bound(bounds).json(&all))
    }

    fn slow_readers(&self) -> Result<Value> {
        let readers = 32;
        let mut all = All::new();
        for kind in self.place.kinds() {
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
        Ok(Line::new("32 slow readers", "kib_per_reader", "KiB").bound([Bound::Value(128.0)]).json(&all))
    }

    fn bodies(&self) -> Result<Vec<Value>> {
        let engines = self.start(&self.place.kinds(), 0)?;
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
                let bounds = [Bound::AtLeast(Kind::Traefik, 0.9), Bound::AtLeast(Kind::Haproxy, 0.9)];
                Ok(Line::new(what, "mib_per_s", "MiB/s").bound(bounds).json(&all))
            })
            .collect()
    }

    fn traffic(&self) -> Result<Value> {
        let all = self.cpu(&[Kind::Ours, Kind::Recording], 0, |engine| self.wrk(engine, false, false))?;
        // Recording may take a tenth more.
        let bounds = [Bound::AtLeast(Kind::Recording, 1.0 / 1.1)];
        Ok(Line::new("traffic", "cpu_s_per_100k", "s").bound(bounds).json(&all))
    }

    fn websocket(&self, bytes: usize) -> Result<Value> {
        let time = Duration::from_secs(self.seconds().into());
        let all = self.cpu(&self.place.kinds(), 0, |engine| load::echoes(engine.http, bytes, time))?;
        Ok(Line::new(&format!("websocket {} KiB", bytes / 1024), "cpu_s_per_100k", "s").json(&all))
    }
}
