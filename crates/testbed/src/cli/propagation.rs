//! How long a change of a route takes: from the call of the API until each of three proxies does as it says, and until a
//! Traefik that polls every 5 s does.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testbed::api::Api;
use testbed::cluster::Cluster;
use testbed::http::{Connection, Server, get};
use testbed::report::until;
use testbed::{topology, traefik};

use super::bench::{at, milli};
use super::hello;
use super::rollback::write;

/// Changes that the proxies have to follow.
const CHANGES: usize = 200;
/// Changes that Traefik has to follow: each takes seconds.
const POLLED: usize = 20;
/// Traefik's own default.
const POLL: &str = "5s";
const LIMIT: Duration = Duration::from_secs(30);
const APP: &str = "propagation";
/// The header whose value is changed.
const MARK: &str = "x-change";

/// One line: seconds from the call to the last of three proxies, beside Traefik's.
pub(crate) async fn measure(cluster: &Cluster, port: u16, target: f64) -> Result<Value> {
    let folder = cluster.state().join(APP);
    write(&folder, APP, 1)?;
    hello::deploy(cluster, port, &folder).await?;
    let bench = Bench { api: cluster.api()?, host: format!("{APP}.{}", topology::ZONE) };
    let roots = cluster.acme_root().await?.to_owned();
    let at_443 = |place: &topology::Place| cluster.public(place.public, 443, Some(roots.clone()));
    let proxies: Vec<Server> = topology::PROXIES.iter().map(at_443).collect::<Result<_>>()?;
    for proxy in &proxies {
        bench.serves(proxy).await?;
    }
    let pushed = bench.rounds(&proxies, 0, CHANGES).await?;
    let polled = bench.polled(cluster, roots.clone()).await?;
    let p99 = at(&pushed, 99);
    Ok(json!({
        "bench": "propagation",
        "case": format!("{CHANGES} changes of a route, 3 proxies"),
        "metric": "last_proxy_p99_s",
        "value": milli(p99),
        "unit": "s",
        "p50": milli(at(&pushed, 50)),
        "slowest": milli(at(&pushed, 100)),
        "versus": {
            "what": format!("one Traefik that polls every {POLL}"),
            "changes": POLLED,
            "p50": milli(at(&polled, 50)),
            "p99": milli(at(&polled, 99)),
        },
        "ratio_p50": milli(at(&polled, 50) / at(&pushed, 50)),
        "target": target,
        "met": p99 <= target,
    }))
}

struct Bench {
    api: Api,
    host: String,
}

impl Bench {
    /// Waits for the app, certificate and all.
    async fn serves(&self, server: &Server) -> Result<()> {
        until("the app on every proxy", LIMIT, || async {
            let answer = server.send(get(&self.host, "/")?).await?;
            ensure!(answer.status == 200, "it answers {}", answer.status);
            Ok(Some(()))
        })
        .await
    }

    /// Seconds of each change until the last of `servers` follows it, shortest first.
    async fn rounds(&self, servers: &[Server], first: usize, count: usize) -> Result<Vec<f64>> {
        let mut connections = Vec::new();
        for server in servers {
            connections.push(server.connect(&self.host).await?);
        }
        let mut seconds = Vec::with_capacity(count);
        for change in first..first + count {
            seconds.push(self.change(&mut connections, &change.to_string()).await?.as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        Ok(seconds)
    }

    /// Asks while the change is made: what the API's answer costs is part of the time.
    async fn change(&self, connections: &mut [Connection], mark: &str) -> Result<Duration> {
        let start = Instant::now();
        let body = json!({ "set": { "response_headers": { "set": { MARK: mark } } } });
        let path = format!("/apps/{APP}/routes");
        let changed = self.api.patch(&path, body);
        let followed = async {
            let each = connections.iter_mut().map(|connection| follows(connection, &self.host, mark));
            futures_util::future::try_join_all(each).await
        };
        let (_, followed) = tokio::try_join!(changed, followed)?;
        let last = followed.into_iter().max().context("there is no proxy")?;
        Ok(last - start)
    }

    /// The same with a Traefik beside the first proxy.
    async fn polled(&self, cluster: &Cluster, roots: String) -> Result<Vec<f64>> {
        let program = std::env::var("WH_TRAEFIK")
            .context("WH_TRAEFIK is not set: `scripts/bench propagation` gets Traefik and sets it")?;
        let host = cluster.host(topology::PROXY.name)?;
        host.set_service(&traefik::polling(&host, &program, cluster.proxy_token(), POLL)?)?;
        let server = cluster.public(topology::PROXY.public, traefik::HTTPS, Some(roots))?;
        self.serves(&server).await?;
        self.rounds(&[server], CHANGES, POLLED).await
    }
}

/// When an answer had the mark for the first time.
async fn follows(connection: &mut Connection, host: &str, mark: &str) -> Result<Instant> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        let answer = connection.send(get(host, "/")?).await?;
        if answer.headers.get(MARK).is_some_and(|value| value == mark) {
            return Ok(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bail!("change {mark} is not followed within {} s", LIMIT.as_secs())
}
