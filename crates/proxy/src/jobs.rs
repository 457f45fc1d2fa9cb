//! Certificate orders as jobs: at most four at once, each once, with its log, until its result is acknowledged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use node::link::{LinkHandle, RequestError};
use protocol::ids::JobId;
use protocol::job::{
    CertificateOrder, ChallengePending, ChallengeRequest, Failure, Job, NewAccount, Outcome, Stage, Work,
};
use protocol::message::{FromAgent, JobDone};
use protocol::report::{JobLog, JobProgress, LogLine, Stream};
use reqwest::StatusCode;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::acme::{self, Desk, Refusal};

/// Orders at once. The others wait for their turn.
const AT_ONCE: usize = 4;
/// The control plane answers once every live proxy serves the challenge; it gives up after 30 s itself.
const CHALLENGE_LIMIT: Duration = Duration::from_secs(40);
/// The order goes on without.
const ACCOUNT_LIMIT: Duration = Duration::from_secs(10);
/// For the name servers of a zone to answer a challenge.
const DNS_LIMIT: Duration = Duration::from_mins(3);

const ASK_AGAIN: Duration = Duration::from_secs(1);
/// For a control plane that is not there: its restart, or a connection to it from before one.
const ABSENCE_LIMIT: Duration = Duration::from_secs(30);

type Running = Arc<Mutex<HashMap<JobId, CancellationToken>>>;

/// The jobs of this process.
pub(crate) struct Jobs {
    link: LinkHandle,
    running: Running,
    tasks: JoinSet<()>,
    turns: Arc<Semaphore>,
}

/// Names the running jobs, for `hello`.
#[derive(Clone, Default)]
pub(crate) struct JobList(Running);

impl JobList {
    pub(crate) fn ids(&self) -> Vec<JobId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

impl Jobs {
    pub(crate) fn new(link: LinkHandle, list: &JobList) -> Self {
        Self {
            link,
            running: Arc::clone(&list.0),
            tasks: JoinSet::new(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Starts `job` unless it runs already.
    pub(crate) fn start(&mut self, job: Job) {
        let Some((place, cancel)) = Place::take(&self.running, job.id) else { return };
        let (link, turns) = (self.link.clone(), Arc::clone(&self.turns));
        self.tasks.spawn(async move {
            let (id, host) = (job.id, host(&job));
            let outcome = tokio::select! {
                outcome = carry_out(job, &link, &turns) => outcome,
                () = cancel.cancelled() => Outcome::Cancelled,
            };
            log_end(id, &host, &outcome);
            // Until the acknowledgement the job counts as running: the control plane may name it again meanwhile.
            if let Ok(acknowledged) =
                link.send_acked(FromAgent::JobDone(JobDone { job_id: id, outcome })).await
            {
                let _ = acknowledged.await;
            }
            drop(place);
        });
    }

    /// Ends `id`. One that is not known here gets its end reported, so that nobody waits for it.
    pub(crate) fn cancel(&mut self, id: JobId) {
        let known = self.running.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(cancel) = known {
            cancel.cancel();
            return;
        }
        let link = self.link.clone();
        self.tasks.spawn(async move {
            let done = JobDone { job_id: id, outcome: Outcome::Cancelled };
            // Err only when the link has ended, and the process with it.
            let _ = link.send(FromAgent::JobDone(done)).await;
        });
    }

    /// Waits for one job to end. Never returns while none runs.
    pub(crate) async fn reap(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(())) => {}
            Some(Err(error)) => warn!(%error, "a job ended without a result"),
            None => std::future::pending().await,
        }
    }

    /// Ends all. The control plane gives their leases up when they run out.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// A job's entry among the running ones.
struct Place(Running, JobId);

impl Place {
    fn take(running: &Running, id: JobId) -> Option<(Self, CancellationToken)> {
        let mut jobs = running.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.contains_key(&id) {
            return None;
        }
        let cancel = CancellationToken::new();
        jobs.insert(id, cancel.clone());
        Some((Self(Arc::clone(running), id), cancel))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

fn host(job: &Job) -> String {
    match &job.work {
        Work::Certificate(order) => order.host.clone(),
        Work::Build(build) => build.app.clone(),
    }
}

fn log_end(id: JobId, host: &str, outcome: &Outcome) {
    match outcome {
        Outcome::Failed(failure) | Outcome::Limited { failure, .. } => {
            warn!(job.id = %id, host, code = failure.code, message = failure.message, "job failed");
        }
        Outcome::Cancelled => info!(job.id = %id, host, "job cancelled"),
        Outcome::Issued(_) | Outcome::Built(_) => info!(job.id = %id, host, "certificate issued"),
    }
}

async fn carry_out(job: Job, link: &LinkHandle, turns: &Semaphore) -> Outcome {
    let order = match job.work {
        Work::Certificate(order) => order,
        Work::Build(_) => {
            return Outcome::Failed(Failure {
                hint: Some("Give the job to a worker.".to_owned()),
                ..acme::failure("wrong_agent", "A proxy does not build images.")
            });
        }
    };
    let mut desk = LinkDesk { link: link.clone(), job_id: job.id, seq: 0 };
    if turns.available_permits() == 0 {
        desk.say(format!("Waiting: {AT_ONCE} orders are under way.")).await;
    }
    let Ok(_turn) = turns.acquire().await else { return Outcome::Cancelled };
    obtain(&order, &mut desk).await
}

async fn obtain(order: &CertificateOrder, desk: &mut LinkDesk) -> Outcome {
    let progress = JobProgress { job_id: desk.job_id, stage: Stage::Route, at: Utc::now(), recipe: None };
    // Err only when the link has ended, and the process with it.
    let _ = desk.link.send(FromAgent::JobProgress(progress)).await;
    match acme::obtain(order, desk).await {
        Ok(issued) => Outcome::Issued(issued),
        Err(Refusal { failure, until }) => {
            desk.say(failure.message.clone()).await;
            match until {
                Some(until) => Outcome::Limited { failure, until },
                None => Outcome::Failed(failure),
            }
        }
    }
}

/// The control plane, as an order sees it.
struct LinkDesk {
    link: LinkHandle,
    job_id: JobId,
    seq: i64,
}

impl Desk for LinkDesk {
    async fn say(&mut self, text: String) {
        self.seq += 1;
        let line = LogLine { seq: self.seq, at: Utc::now(), stream: Stream::System, text };
        let log = JobLog { job_id: self.job_id, lines: vec![line] };
        // Err only when the link has ended, and the process with it.
        let _ = self.link.send(FromAgent::JobLog(log)).await;
    }

    async fn keep(&mut self, account: String) {
        let path = format!("/v1/jobs/{}/account", self.job_id);
        let account = NewAccount { credentials: account };
        if let Err(error) = self.link.post(&path, &account, ACCOUNT_LIMIT).await {
            // Such as a control plane of an earlier release: it gets the account with the certificate.
            warn!(job.id = %self.job_id, %error, "the new account at the CA is not kept yet");
        }
    }

    async fn publish(&mut self, challenge: &ChallengeRequest) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut absent_since = None;
        let mut said = String::new();
        loop {
            let asked = Instant::now();
            let waiting_for = match self.put(challenge).await {
                Ok(None) => return Ok(()),
                Ok(Some(waiting_for)) => {
                    let limit = DNS_LIMIT.as_secs();
                    anyhow::ensure!(started.elapsed() < DNS_LIMIT, "after {limit} s: {waiting_for}");
                    absent_since = None;
                    waiting_for
                }
                Err(error) if error.is_final() => return Err(error.into()),
                Err(error) => {
                    if absent_since.get_or_insert(asked).elapsed() >= ABSENCE_LIMIT {
                        return Err(error.into());
                    }
                    error.to_string()
                }
            };
            if said != waiting_for {
                self.say(format!("Waiting: {waiting_for}.")).await;
                said = waiting_for;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

impl LinkDesk {
    /// Asks the control plane to put the challenge where the CA looks; what it still waits for, if it does.
    async fn put(&self, challenge: &ChallengeRequest) -> Result<Option<String>, RequestError> {
        let path = format!("/v1/jobs/{}/challenges", self.job_id);
        let answer = self.link.post(&path, challenge, CHALLENGE_LIMIT).await?;
        if answer.status() != StatusCode::ACCEPTED {
            return Ok(None);
        }
        let unreadable = |source| RequestError::Answer { url: path.clone(), source };
        let ChallengePending { waiting_for } = answer.json().await.map_err(unreadable)?;
        Ok(Some(waiting_for))
    }
}
