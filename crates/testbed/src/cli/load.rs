//! Requests at a steady rate, whatever becomes of the answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use testbed::http::{Connection, Server, get};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Requests that one connection serves before its client makes a new one.
const PER_CONNECTION: usize = 50;
/// Failures that are told in words.
const TOLD: usize = 5;
const LIMIT: Duration = Duration::from_secs(30);

/// Who asks what, how often.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) host: String,
    /// Asked in turn.
    pub(crate) servers: Vec<Server>,
    /// Clients; each waits for its answer before it asks again.
    pub(crate) clients: usize,
    /// Requests per second, of all clients together.
    pub(crate) rate: u32,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) requests: usize,
    /// Answers with another status than 200.
    pub(crate) failed: usize,
    /// Connections that were refused, reset or silent.
    pub(crate) reset: usize,
    /// Of good answers, sorted.
    pub(crate) seconds: Vec<f64>,
    /// The first failures.
    pub(crate) told: Vec<String>,
}

/// A load that runs.
#[derive(Debug)]
pub(crate) struct Load {
    clients: JoinSet<Outcome>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
}

impl Load {
    pub(crate) fn begin(plan: &Plan) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let every = Duration::from_secs(1) / plan.rate;
        let begin = tokio::time::Instant::now();
        let mut clients = JoinSet::new();
        for at in 0..plan.clients {
            let (server, host) = (plan.servers[at % plan.servers.len()].clone(), plan.host.clone());
            let (stop, sent) = (stop.clone(), sent.clone());
            let steps = u32::try_from(plan.clients).unwrap_or(u32::MAX);
            let first = begin + every * u32::try_from(at).unwrap_or_default();
            let mut ticks = tokio::time::interval_at(first, every * steps);
            // The rate stays also after a slow answer.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            clients.spawn(async move {
                let mut client = Client {
                    server,
                    host,
                    begin: Instant::now(),
                    connection: None,
                    outcome: Outcome::default(),
                };
                while !stop.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    client.ask().await;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                client.outcome
            });
        }
        Self { clients, stop, sent }
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits for the answers that are under way.
    pub(crate) async fn end(mut self) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        while let Some(ended) = self.clients.join_next().await {
            let one = ended?;
            all.requests += one.requests;
            all.failed += one.failed;
            all.reset += one.reset;
            all.seconds.extend(one.seconds);
            all.told.extend(one.told);
        }
        all.seconds.sort_by(f64::total_cmp);
        all.told.truncate(TOLD);
        Ok(all)
    }
}

/// One browser.
struct Client {
    server: Server,
    host: String,
    begin: Instant,
    connection: Option<(Connection, usize)>,
    outcome: Outcome,
}

impl Client {
    async fn ask(&mut self) {
        let start = Instant::now();
        self.outcome.requests += 1;
        let answer = tokio::time::timeout(LIMIT, self.exchange()).await;
        let problem = match answer {
            Ok(Ok(200)) => {
                self.outcome.seconds.push(start.elapsed().as_secs_f64());
                return;
            }
            Ok(Ok(status)) => {
                self.outcome.failed += 1;
                format!("status {status}")
            }
            Ok(Err(error)) => {
                self.outcome.reset += 1;
                format!("{error:#}")
            }
            Err(_) => {
                self.outcome.reset += 1;
                format!("no answer within {} s", LIMIT.as_secs())
            }
        };
        self.connection = None;
        if self.outcome.told.len() < TOLD {
            let at = (start - self.begin).as_secs_f64();
            self.outcome.told.push(format!("after {at:.1} s from {}: {problem}", self.server.address));
        }
    }

    async fn exchange(&mut self) -> Result<u16> {
        let (mut connection, served) = match self.connection.take() {
            Some((connection, served)) if served < PER_CONNECTION => (connection, served),
            _ => (self.server.connect(&self.host).await?, 0),
        };
        let status = connection.send(get(&self.host, "/")?).await?.status;
        self.connection = Some((connection, served + 1));
        Ok(status)
    }
}
