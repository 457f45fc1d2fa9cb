//! The proxy's end of the link: specs to [`Routing`], jobs to [`Jobs`].

use std::sync::Arc;
use std::time::Duration;

use node::link::{Events, LinkEvent, LinkHandle};
use protocol::message::{Applied, FromAgent, FromControlPlane};
use protocol::spec::{Generation, ProxySpec, Spec, Versioned};
use protocol::stream::{StreamProblem, StreamReport};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::jobs::Jobs;
use crate::routing::{Routing, Taken};

/// How soon a spec that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(5);

pub(crate) struct Sync {
    pub(crate) link: LinkHandle,
    pub(crate) routing: Arc<Routing>,
    pub(crate) jobs: Jobs,
    /// The next spec is the first one of its connection.
    first: bool,
    /// A spec that could not be written yet.
    waiting: Option<(Arc<Versioned<ProxySpec>>, bool)>,
    /// The generation that was taken last, until it is served.
    unacknowledged: Option<Generation>,
    streams: watch::Receiver<Vec<StreamProblem>>,
}

impl Sync {
    pub(crate) fn new(link: LinkHandle, routing: Arc<Routing>, jobs: Jobs) -> Self {
        let streams = routing.stream_problems();
        Self { link, routing, jobs, first: true, waiting: None, unacknowledged: None, streams }
    }

    /// Handles what the link says until `stop` or until the link ends.
    pub(crate) async fn run(mut self, mut events: Events, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            let retry = async {
                match self.waiting {
                    Some(_) => tokio::time::sleep(RETRY).await,
                    None => std::future::pending().await,
                }
            };
            let served = async {
                match self.unacknowledged {
                    Some(generation) => {
                        self.routing.served(generation).await;
                        generation
                    }
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                generation = served => {
                    self.unacknowledged = None;
                    self.link.send(FromAgent::Applied(Applied { generation })).await?;
                    continue;
                }
                event = events.recv() => event,
                () = self.jobs.reap() => continue,
                Ok(()) = self.streams.changed() => {
                    self.tell_streams().await?;
                    continue;
                }
                () = retry => {
                    if let Some((spec, first)) = self.waiting.take() {
                        self.take(spec, first).await?;
                    }
                    continue;
                }
                () = stop.cancelled() => None,
            };
            match event {
                Some(LinkEvent::Connected) => {
                    self.first = true;
                    self.tell_streams().await?;
                }
                Some(LinkEvent::Disconnected) => {}
                Some(LinkEvent::Message(message)) => self.handle(message).await?,
                None => break,
            }
        }
        self.jobs.stop().await;
        Ok(())
    }

    async fn tell_streams(&mut self) -> anyhow::Result<()> {
        let problems = self.streams.borrow_and_update().clone();
        self.link.send(FromAgent::Streams(StreamReport { problems })).await?;
        Ok(())
    }

    async fn handle(&mut self, message: FromControlPlane) -> anyhow::Result<()> {
        match message {
            FromControlPlane::Spec(Versioned { generation, spec: Spec::Proxy(spec) }) => {
                let first = std::mem::take(&mut self.first);
                self.take(Arc::new(Versioned { generation, spec }), first).await?;
            }
            FromControlPlane::Spec(_) => {
                error!("the control plane sent the desired state of another kind of agent: ignored");
            }
            FromControlPlane::Ask(ask) => {
                self.link.send(FromAgent::Answer(node::answer::of_any(&ask))).await?;
            }
            FromControlPlane::JobStart(job) => self.jobs.start(job),
            FromControlPlane::JobCancel(cancel) => self.jobs.cancel(cancel.job_id),
            // The link makes whole tables of changes, and handles the others itself; leases and names are for workers.
            FromControlPlane::SpecChange(_)
            | FromControlPlane::SpecPrivate(_)
            | FromControlPlane::Ack(_)
            | FromControlPlane::Refused(_)
            | FromControlPlane::LeaseGrant(_) => {}
        }
        Ok(())
    }

    async fn take(&mut self, spec: Arc<Versioned<ProxySpec>>, first: bool) -> anyhow::Result<()> {
        let (routing, offered) = (Arc::clone(&self.routing), Arc::clone(&spec));
        let taken = tokio::task::spawn_blocking(move || routing.take(&offered, first)).await?;
        self.waiting = None;
        match taken {
            Ok(Taken::InForce(generation)) => self.unacknowledged = Some(generation),
            Ok(Taken::Old | Taken::Bad) => {}
            Err(error) => {
                let error = format!("{error:#}");
                let served = self.routing.served_unwritten();
                warn!(
                    error,
                    "the new routes cannot be written and are not acknowledged until they are: is the disk full? Visitors get {served}"
                );
                self.waiting = Some((spec, first));
            }
        }
        Ok(())
    }
}
