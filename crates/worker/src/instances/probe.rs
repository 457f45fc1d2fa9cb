//! Asks an instance whether it serves: from outside, as a client would, at its published address; or, if its app wants
//! it so, by a program inside.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use chrono::Utc;
use protocol::job::ProbeEvidence;
use protocol::report::InstanceState;
use protocol::spec::{InstanceSpec, ProbeCheck};
use tokio::net::TcpStream;

use super::record::{Attempt, Verdict};
use super::{Host, inside, sockets};
use crate::logs;
use crate::scrub::Scrubber;

/// How much of an answer's body is kept.
pub(super) const BODY: usize = 256;
/// Lines of the app that a failure shows.
pub(super) const LAST_LINES: usize = 20;
/// For the connection alone: it goes no further than this host, and one whose first packet was lost while Podman set
/// up the port would wait in vain.
const CONNECT: Duration = Duration::from_secs(1);
/// Between attempts until the first success, so that a fast app is in rotation fast.
const EAGER: Duration = Duration::from_millis(250);
/// After so many vain attempts the reconciler looks at the container.
const LOOK_EVERY: u32 = 4;
/// The attempt after which somebody looks where the app listens instead. Most apps listen by then.
const LOOK_INSIDE: u32 = 12;

/// A client that connects anew for each attempt, because a kept connection says nothing about the next client's.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent("wisehosting-probe")
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
}

/// Probes `container` until the record is about something else.
pub(super) async fn watch(host: &Host, spec: &InstanceSpec, container: &str) {
    let mut attempts = 0;
    let scrubber = Scrubber::new(&spec.env);
    loop {
        let Some(record) = host.board.get(spec.id) else { return };
        if !record.is_live() || record.container.as_deref() != Some(container) {
            return;
        }
        attempts += 1;
        let mut attempt = match &spec.probe.check {
            ProbeCheck::Command { .. } | ProbeCheck::Off => {
                inside::attempt(host, spec, container, attempts).await
            }
            _ => attempt(&host.probe, spec, attempts).await,
        };
        attempt.evidence.body = attempt.evidence.body.map(|body| scrubber.scrub(body, BODY, |_| {}));
        if attempt.refused && attempts.is_multiple_of(LOOK_EVERY) {
            // The container may have ended: Podman's events can be seconds late.
            host.board.reconcile();
        }
        if attempt.refused && attempts == LOOK_INSIDE && record.state == InstanceState::Starting {
            look_inside(host, spec, container).await;
        }
        let verdict = host.board.update(spec.id, |record| {
            let same = record.is_live() && record.container.as_deref() == Some(container);
            same.then(|| record.probed(attempt, &spec.probe, Utc::now()))
        });
        match verdict.flatten() {
            None => return,
            Some(Verdict::TooLate) => {
                look_inside(host, spec, container).await;
                let lines = last_lines(host, container, &spec.env).await;
                host.board.update(spec.id, |record| record.too_late(spec, lines));
                return;
            }
            Some(Verdict::Same | Verdict::Changed) => {}
        }
        let interval = Duration::from_secs(u64::from(spec.probe.interval_s.max(1)));
        let eager = record.state == InstanceState::Starting;
        tokio::time::sleep(if eager { interval.min(EAGER) } else { interval }).await;
    }
}

/// Finds out where an app listens that takes no connection.
async fn look_inside(host: &Host, spec: &InstanceSpec, container: &str) {
    let listening = sockets::look(host, container, spec.port).await;
    host.board.update(spec.id, |record| {
        if record.is_live() && record.container.as_deref() == Some(container) && !record.listened {
            record.listening = listening;
        }
    });
}

pub(super) async fn last_lines(
    host: &Host,
    container: &str,
    variables: &BTreeMap<String, String>,
) -> Vec<String> {
    match host.podman.inspect(container).await {
        Ok(found) => {
            let path = found.host_config.log_config.path;
            logs::tail(path.as_ref(), LAST_LINES, &Scrubber::new(variables))
        }
        Err(error) => vec![format!("(the app's last lines cannot be read: {error})")],
    }
}

/// One attempt.
async fn attempt(http: &reqwest::Client, spec: &InstanceSpec, attempts: u32) -> Attempt {
    let limit = Duration::from_secs(u64::from(spec.probe.timeout_s.max(1)));
    let started = Instant::now();
    let (target, seen) = match &spec.probe.check {
        ProbeCheck::Http { path, status } => {
            let url = url(spec, path);
            (format!("GET {url}"), get(http, &url, *status, limit, started).await)
        }
        _ => (format!("TCP {}", spec.published), tcp(spec, limit.min(CONNECT), started).await),
    };
    seen.attempt(target, attempts)
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) outcome: String,
    pub(super) body: Option<String>,
    pub(super) success: bool,
    pub(super) refused: bool,
}

impl Seen {
    pub(super) fn attempt(self, target: String, attempts: u32) -> Attempt {
        Attempt {
            evidence: ProbeEvidence {
                at: Utc::now(),
                target,
                attempts,
                outcome: self.outcome,
                body: self.body,
            },
            success: self.success,
            refused: self.refused,
        }
    }
}

fn url(spec: &InstanceSpec, path: &str) -> String {
    format!("http://{}/{}", spec.published, path.trim_start_matches('/'))
}

async fn tcp(spec: &InstanceSpec, limit: Duration, started: Instant) -> Seen {
    match tokio::time::timeout(limit, TcpStream::connect(spec.published)).await {
        Ok(Ok(_)) => Seen {
            outcome: format!("connected in {} ms", started.elapsed().as_millis()),
            success: true,
            ..Seen::default()
        },
        Ok(Err(error)) => Seen { outcome: words(&error), refused: true, ..Seen::default() },
        Err(_) => Seen { outcome: silence(limit), refused: true, ..Seen::default() },
    }
}

async fn get(
    http: &reqwest::Client,
    url: &str,
    wanted: Option<u16>,
    limit: Duration,
    started: Instant,
) -> Seen {
    let mut response = match http.get(url).timeout(limit).send().await {
        Ok(response) => response,
        Err(error) => return no_answer(&error, limit),
    };
    let status = response.status().as_u16();
    let outcome = format!("HTTP {status} in {} ms", started.elapsed().as_millis());
    let mut body = Vec::new();
    // An error or the time limit in the middle of the body: what came is kept.
    while body.len() < BODY {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        body.extend_from_slice(&chunk);
    }
    body.truncate(BODY);
    let body = (!body.is_empty()).then(|| crate::text::clean(&body));
    let success = wanted.map_or((200..400).contains(&status), |wanted| wanted == status);
    Seen { outcome, body, success, refused: false }
}

fn no_answer(error: &reqwest::Error, limit: Duration) -> Seen {
    if error.is_timeout() {
        let limit = if error.is_connect() { limit.min(CONNECT) } else { limit };
        return Seen { outcome: silence(limit), refused: error.is_connect(), ..Seen::default() };
    }
    let mut cause = error.source();
    let mut outcome = "no HTTP answer".to_owned();
    while let Some(inner) = cause {
        outcome = inner.downcast_ref().map_or_else(|| inner.to_string(), words);
        cause = inner.source();
    }
    Seen { outcome, refused: error.is_connect(), ..Seen::default() }
}

fn words(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        _ => error.to_string(),
    }
}

pub(super) fn silence(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::instances::samples::spec;

    async fn probed(check: ProbeCheck, answer: Option<&'static str>) -> Attempt {
        daemon::crypto::install();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let mut spec = spec("a", 1);
        spec.published = listener.local_addr().expect("address");
        spec.probe.check = check;
        let mut server = JoinSet::new();
        if let Some(answer) = answer {
            server.spawn(async move {
                let (mut socket, _) = listener.accept().await.expect("accept");
                let _ = socket.read(&mut [0; 1024]).await;
                socket.write_all(answer.as_bytes()).await.expect("write");
            });
        } else {
            drop(listener);
        }
        attempt(&client().expect("client"), &spec, 1).await
    }

    fn http(status: Option<u16>) -> ProbeCheck {
        ProbeCheck::Http { path: "/up".to_owned(), status }
    }

    #[tokio::test]
    async fn a_closed_port_is_refused_for_both_kinds_of_probes() {
        for check in [ProbeCheck::Tcp, http(None)] {
            let attempt = probed(check, None).await;
            assert_eq!(attempt.evidence.outcome, "connection refused");
            assert!(attempt.refused && !attempt.success);
        }
    }

    #[tokio::test]
    async fn the_status_decides_and_the_answer_is_kept() {
        let answer = "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwait";
        let attempt = probed(http(None), Some(answer)).await;
        assert!(!attempt.success && !attempt.refused);
        assert!(attempt.evidence.outcome.starts_with("HTTP 503 in "), "{}", attempt.evidence.outcome);
        assert_eq!(attempt.evidence.body.as_deref(), Some("wait"));
        assert!(attempt.evidence.target.ends_with("/up"));
        assert!(probed(http(Some(503)), Some(answer)).await.success);
    }

    #[tokio::test]
    async fn redirects_are_answers_and_not_followed() {
        let answer = "HTTP/1.1 302 Found\r\nlocation: http://192.0.2.1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        assert!(probed(http(None), Some(answer)).await.success);
    }
}
