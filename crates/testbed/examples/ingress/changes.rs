//! How long a change of the routes takes in our proxy, under load: from the last byte of its message on the link to the
//! first answer by it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use protocol::ids::InstanceId;
use protocol::spec::{Generation, ProxySpec, Route, Upstream};
use serde_json::{Value, json};

use crate::engine::{Engine, HOST, Kind, Place, host};
use crate::figures::{median, round};
use crate::hub::{Hub, Proxy};
use crate::load::{self, Report, Wrk};
use crate::process::{float, soon};

const HOSTS: usize = 10_000;

/// One of 10,000 routes changes, and then all of them, `rounds` times each.
pub(crate) fn measure(place: &Place, rounds: usize) -> Result<Vec<Value>> {
    let kinds = [Some(Kind::Ours), place.variant.as_ref().map(|_| Kind::Variant)];
    let mut lines = Vec::new();
    for kind in kinds.into_iter().flatten() {
        let hub = Hub::start()?;
        let mut linked = Linked::start(place, kind, &hub)?;
        let one = |spec: &mut ProxySpec, name: &str| rename(&mut spec.routes[HOSTS / 2], name);
        let all = |spec: &mut ProxySpec, name: &str| {
            for (at, route) in spec.routes.iter_mut().enumerate().skip(1) {
                rename(route, &format!("h{at}.{name}"));
            }
            rename(&mut spec.routes[HOSTS / 2], name);
        };
        lines.push(linked.line("one route of 10,000", rounds, 5.0, &one)?);
        lines.push(linked.line("all of 10,000 routes", rounds, 50.0, &all)?);
    }
    Ok(lines)
}

/// A proxy on a link, and its table.
struct Linked {
    engine: Engine,
    proxy: Proxy,
    generation: Generation,
    spec: ProxySpec,
}

impl Linked {
    fn start(place: &Place, kind: Kind, hub: &Hub) -> Result<Self> {
        let names = std::iter::once(HOST.to_owned()).chain((1..=HOSTS).map(host));
        let routes = names.map(|name| route(&name, place)).collect();
        let spec = ProxySpec { routes, ..ProxySpec::default() };
        let (engine, proxy) = place.start_linked(kind, hub, spec.clone())?;
        Ok(Self { engine, proxy, generation: 1, spec })
    }

    fn line(
        &mut self,
        case: &str,
        rounds: usize,
        target_ms: f64,
        change: &dyn Fn(&mut ProxySpec, &str),
    ) -> Result<Value> {
        let (mut live, mut unchanged) = (Vec::new(), Vec::new());
        let seconds = u32::try_from(rounds)? / 2 + 2;
        let url = format!("http://{HOST}:{}/", self.engine.http.port());
        let load = Wrk { url, connections: 16, seconds, close: false, script: None };
        let mut bytes = 0;
        let report = std::thread::scope(|scope| -> Result<Report> {
            let load = scope.spawn(|| load.run());
            for _ in 0..rounds {
                std::thread::sleep(Duration::from_millis(400));
                unchanged.push(self.answer(HOST)?);
                let (took, length) = self.change(change)?;
                live.push(took);
                bytes = length;
            }
            load.join().expect("no panic")
        })?;
        let value = median(live.clone());
        Ok(json!({
            "bench": "ingress",
            "case": case,
            "engine": self.engine.kind.name(),
            "metric": "last_byte_to_first_answer_ms",
            "value": round(value),
            "unit": "ms",
            "ratio": null,
            "target": { "at most": target_ms },
            "met": value <= target_ms && report.failed == 0,
            // What any answer takes under this load.
            "unchanged_answer_ms": round(median(unchanged)),
            "worst_ms": round(live.iter().copied().fold(0.0, f64::max)),
            "message_bytes": bytes,
            "resident_mib": round(float(self.engine.running.resident_kib()) / 1024.0),
            "requests": report.requests,
            "lost": report.failed,
        }))
    }

    /// Milliseconds until a changed route answers, and the bytes of the message.
    fn change(&mut self, change: &dyn Fn(&mut ProxySpec, &str)) -> Result<(f64, usize)> {
        self.generation += 1;
        let fresh = format!("new{}.test", self.generation);
        change(&mut self.spec, &fresh);
        let message = self.proxy.message(self.generation, self.spec.clone());
        let length = message.len();
        self.proxy.send(message)?;
        let began = Instant::now();
        self.answer(&fresh)?;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        self.proxy.applied(self.generation)?;
        Ok((took, length))
    }

    /// Milliseconds until a host is served.
    fn answer(&self, host: &str) -> Result<f64> {
        let began = Instant::now();
        let answers = || load::get(self.engine.http, host).is_ok_and(|answer| answer.contains(" 200 "));
        soon(Duration::from_secs(30), answers).with_context(|| format!("{host} is not served"))?;
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    }
}

fn rename(route: &mut Arc<Route>, host: &str) {
    Arc::make_mut(route).hosts = vec![host.to_owned()];
}

fn route(name: &str, place: &Place) -> Arc<Route> {
    let upstream = Upstream { instance: InstanceId::new(), address: place.upstream, weight: 1 };
    Arc::new(Route {
        id: InstanceId::new().to_string(),
        app: name.to_owned(),
        hosts: vec![name.to_owned()],
        path: "/".to_owned(),
        upstreams: vec![upstream],
        unavailable: None,
        https_only: false,
        options: Box::default(),
    })
}
