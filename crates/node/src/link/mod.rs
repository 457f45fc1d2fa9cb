//! The link of an agent to the control plane: signing in, one WebSocket, everything that must survive its loss.
//!
//! An agent makes a [`Link`], spawns [`Link::run`], speaks through the [`LinkHandle`] and reads [`Events`]. Messages
//! are delivered as their type says ([`protocol::message::Delivery`]); the link itself sends the heartbeat.

mod dial;
mod inbox;
mod outbox;
pub(crate) mod request;
mod session;
mod token;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon::backoff::Backoff;
use daemon::http::{ClientOptions, check_base_url};
use protocol::enrol::{AccessToken, REFRESH_BEFORE_S};
use protocol::identity::{AgentKind, ApiKey, NodeIdentity, SigningKey};
use protocol::message::FromAgent;
use protocol::report::Hello;
use tokio::sync::{Mutex as AsyncMutex, Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

pub use inbox::{Events, LinkEvent};
pub use outbox::SendError;
pub use request::RequestError;

use dial::Dialer;
use inbox::Inbox;
use outbox::Outbox;

use crate::identity::{KeyWatch, SETTLE};

/// What a link needs to know.
pub struct LinkConfig {
    pub identity: NodeIdentity,
    pub agent: AgentKind,
    /// The agent's version, for example `env!("CARGO_PKG_VERSION")`.
    pub version: String,
    /// Root certificates in PEM besides the system's, for control planes with `https://`.
    pub root_pem: Option<Vec<u8>>,
    /// Asked at each connect; what it says is the first message.
    pub hello: Box<dyn Fn() -> Hello + Send + Sync>,
    pub timing: Timing,
}

/// Times of a link. The default is what the protocol says.
#[derive(Debug, Clone)]
pub struct Timing {
    pub ping: Duration,
    /// A connection that says nothing for so long is dead.
    pub silence: Duration,
    pub heartbeat: Duration,
    pub first_backoff: Duration,
    pub most_backoff: Duration,
    /// For a connection to be made, and for its handshakes.
    pub dial: Duration,
    /// How long before its end a token is exchanged.
    pub refresh_before: Duration,
    /// Least time between two exchanges, whatever the clocks say.
    pub refresh_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            heartbeat: Duration::from_mins(1),
            first_backoff: Duration::from_millis(250),
            most_backoff: Duration::from_secs(15),
            dial: Duration::from_secs(10),
            refresh_before: Duration::from_secs(REFRESH_BEFORE_S.unsigned_abs()),
            refresh_pause: Duration::from_secs(10),
        }
    }
}

/// Why a link cannot be made at all.
#[derive(Debug, thiserror::Error)]
pub enum LinkConfigError {
    #[error("identity.json: `control_planes` is empty: join the host again")]
    NoControlPlane,
    #[error("identity.json: `control_planes` entry {url} {problem}")]
    Url { url: String, problem: String },
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
}

struct Shared {
    config: LinkConfig,
    control_planes: Vec<Url>,
    /// Index of the control plane in use.
    current: AtomicUsize,
    http: reqwest::Client,
    /// What the host signs in with; the identity's until it changes.
    key: Mutex<ApiKey>,
    /// It has changed.
    rekeyed: Notify,
    token: Mutex<Option<SignedIn>>,
    /// Held while signing in, so that the refresh and a dial do not do it twice.
    signing_in: AsyncMutex<()>,
    outbox: Outbox,
}

/// An access token, and the key that signs what is sent under it.
#[derive(Clone)]
struct SignedIn {
    token: AccessToken,
    key: SigningKey,
}

/// Speaks for the agent. Cheap to clone.
#[derive(Clone)]
pub struct LinkHandle(Arc<Shared>);

/// The background work of a link; see [`Link::run`].
pub struct Link {
    shared: Arc<Shared>,
    dialer: Dialer,
    inbox: Inbox,
}

impl Link {
    /// Checks `config`; nothing is dialled before [`Link::run`].
    pub fn new(config: LinkConfig) -> Result<(Self, LinkHandle, Events), LinkConfigError> {
        let control_planes = control_planes(&config.identity)?;
        let options =
            ClientOptions { root_pem: config.root_pem.clone(), direct: true, ..ClientOptions::default() };
        let http = daemon::http::client(&options).map_err(LinkConfigError::Client)?;
        let tls = control_planes.iter().any(|url| url.scheme() == "https");
        let dialer = Dialer::new(tls, config.root_pem.as_deref(), config.timing.dial)?;
        let shared = Arc::new(Shared {
            key: Mutex::new(config.identity.api_key.clone()),
            rekeyed: Notify::new(),
            config,
            control_planes,
            current: AtomicUsize::new(0),
            http,
            token: Mutex::default(),
            signing_in: AsyncMutex::default(),
            outbox: Outbox::new(outbox::MAX_MESSAGES, outbox::MAX_BYTES),
        });
        let (inbox, events) = Inbox::new();
        Ok((Self { shared: shared.clone(), dialer, inbox }, LinkHandle(shared), events))
    }

    /// Keeps the link up until `stop`. To be spawned by the owner of the agent's tasks.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let handle = LinkHandle(self.shared.clone());
        tokio::select! {
            () = self.keep_connected(&stop) => {}
            () = self.shared.keep_token_fresh() => {}
            () = handle.keep_beating() => {}
        }
        self.shared.outbox.close();
        self.inbox.close();
        Ok(())
    }

    async fn keep_connected(&self, stop: &CancellationToken) {
        let timing = &self.shared.config.timing;
        let mut backoff = Backoff::new(timing.first_backoff, timing.most_backoff);
        let mut failures = 0;
        let mut said = String::new();
        loop {
            let url = self.shared.control_plane().clone();
            let ended = self.connect_once(&url, stop).await;
            if stop.is_cancelled() {
                return;
            }
            if ended.useful {
                backoff.reset();
                failures = 0;
                said.clear();
            } else {
                failures += 1;
                self.shared.next_control_plane();
            }
            let reason = format!("{:#}", ended.reason);
            // The same failure again and again is one line, not one per try.
            if reason != said {
                warn!(control_plane = %url, reason, "no connection to the control plane");
                said = reason;
            }
            // The other control planes are tried at once; after a whole round of failures the link waits.
            if ended.useful || failures % self.shared.control_planes.len() == 0 {
                stop.run_until_cancelled(tokio::time::sleep(backoff.wait())).await;
            }
        }
    }

    async fn connect_once(&self, url: &Url, stop: &CancellationToken) -> session::Ended {
        let failed = |reason| session::Ended { useful: false, reason };
        let (socket, key) = match stop.run_until_cancelled(Box::pin(self.dial(url))).await {
            Some(Ok(dialled)) => dialled,
            Some(Err(error)) => return failed(error),
            None => return failed(anyhow::anyhow!("stopping")),
        };
        info!(control_plane = %url, agent = %self.shared.config.agent, "connected to the control plane");
        self.shared.outbox.connected();
        self.inbox.push(LinkEvent::Connected);
        // Err is impossible for a message that is neither reliable nor large.
        let _ = self.shared.outbox.push(&FromAgent::Heartbeat(crate::facts::heartbeat())).await;
        let ended = session::run(&self.shared, &self.inbox, socket, key, stop).await;
        self.shared.outbox.disconnected();
        self.inbox.push(LinkEvent::Disconnected);
        ended
    }

    async fn dial(&self, url: &Url) -> anyhow::Result<(dial::Socket, SigningKey)> {
        let SignedIn { token, key } = self.shared.usable_token(url).await?;
        let socket = self.dialer.dial(url, &token.token).await;
        if socket.as_ref().is_err_and(dial::DialError::is_unauthorized) {
            // The next try signs in with the API key.
            self.shared.forget_token();
        }
        Ok((socket?, key))
    }
}

impl Shared {
    fn control_plane(&self) -> &Url {
        &self.control_planes[self.current.load(Ordering::Relaxed) % self.control_planes.len()]
    }

    fn next_control_plane(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }

    fn key(&self) -> ApiKey {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn token(&self) -> Option<SignedIn> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_token(&self, token: Option<SignedIn>) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

impl LinkHandle {
    /// Hands `message` over. A reliable one waits while the outbox is full (10,000 messages or 16 MiB).
    pub async fn send(&self, message: FromAgent) -> Result<(), SendError> {
        self.0.outbox.push(&message).await.map(drop)
    }

    /// As [`LinkHandle::send`]; the receiver resolves once the control plane has acknowledged the message, at once
    /// for a type that is not acknowledged, and fails when the link ended before.
    pub async fn send_acked(&self, message: FromAgent) -> Result<oneshot::Receiver<()>, SendError> {
        let acknowledged = self.0.outbox.push(&message).await?;
        Ok(acknowledged.unwrap_or_else(|| {
            let (sender, receiver) = oneshot::channel();
            // Err is impossible: the receiver is here.
            let _ = sender.send(());
            receiver
        }))
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.0.outbox.is_connected()
    }

    /// The current access token, for plain HTTP over the mesh; `None` before the first sign-in.
    pub fn token(&self) -> Option<String> {
        self.0.token().map(|signed_in| signed_in.token.token)
    }

    /// The control plane in use, without a trailing slash.
    pub fn base_url(&self) -> String {
        self.0.control_plane().as_str().trim_end_matches('/').to_owned()
    }

    pub fn identity(&self) -> &NodeIdentity {
        &self.0.config.identity
    }

    /// Signs in with `key` from now on. The connection is made anew, and what was not acknowledged sent again.
    pub fn rekey(&self, key: ApiKey) {
        *self.0.key.lock().unwrap_or_else(PoisonError::into_inner) = key;
        self.0.forget_token();
        self.0.rekeyed.notify_waiters();
        info!(agent = %self.0.config.agent, "this host has another API key: signing in with it");
    }

    /// Signs in with each key that `keys` sees, a moment after it was handed to `taken`. Never ends.
    pub async fn follow(
        &self,
        mut keys: KeyWatch,
        mut taken: impl FnMut(&ApiKey),
    ) -> std::convert::Infallible {
        loop {
            let key = keys.next().await;
            taken(&key);
            tokio::time::sleep(SETTLE).await;
            self.rekey(key);
        }
    }

    async fn keep_beating(&self) {
        loop {
            tokio::time::sleep(self.0.config.timing.heartbeat).await;
            // Err only for a closed outbox: the link ends then.
            let _ = self.send(FromAgent::Heartbeat(crate::facts::heartbeat())).await;
        }
    }
}

fn control_planes(identity: &NodeIdentity) -> Result<Vec<Url>, LinkConfigError> {
    if identity.control_planes.is_empty() {
        return Err(LinkConfigError::NoControlPlane);
    }
    let parse = |text: &String| {
        let bad = |problem: String| LinkConfigError::Url { url: text.clone(), problem };
        let url: Url = text.parse().map_err(|error| bad(format!("is not a URL ({error})")))?;
        check_base_url(&url).map_err(bad)?;
        Ok(url)
    };
    identity.control_planes.iter().map(parse).collect()
}

#[cfg(test)]
mod tests;
