//! SQL of jobs.

mod free;
pub mod queue;

pub use free::Free;

use chrono::{DateTime, Utc};
use protocol::identity::AgentKind;
use protocol::ids::{ArchiveId, DeploymentId, JobId, NodeId};
use protocol::job::{Job, Stage, Work};
use sqlx::PgConnection;

use super::{LEASE_S, kind_of};
use crate::bus::{self, Topic};
use crate::deployments::store::progress;
use crate::http::error::violates;
use crate::vault::{Purpose, Vault, VaultError};

/// Queues work: a build for its deployment, an order for its host.
pub async fn enqueue(conn: &mut PgConnection, vault: &Vault, work: &Work) -> sqlx::Result<JobId> {
    let (kind, deployment, host) = match work {
        Work::Build(build) => ("build", Some(build.deployment_id), None),
        Work::Certificate(order) => ("certificate", None, Some(order.host.as_str())),
    };
    let id = JobId::new();
    let plain = serde_json::to_vec(work).expect("plain data");
    sqlx::query!(
        "insert into jobs (id, kind, deployment_id, host, payload) values ($1, $2, $3, $4, $5)",
        id as _,
        kind,
        deployment as _,
        host,
        vault.seal(Purpose::JobPayload, &format!("job:{id}"), &plain)
    )
    .execute(&mut *conn)
    .await?;
    bus::say(conn, Topic::Jobs, "").await?;
    Ok(id)
}

/// A job as sealed in its row.
#[derive(Debug)]
pub struct Sealed {
    pub id: JobId,
    pub payload: Vec<u8>,
    pub cancel_requested: bool,
}

impl Sealed {
    /// The job for its agent.
    pub fn open(&self, vault: &Vault) -> Result<Job, VaultError> {
        let plain = vault.open(Purpose::JobPayload, &format!("job:{}", self.id), &self.payload)?;
        let work = serde_json::from_slice(&plain).map_err(|_| VaultError::Damaged)?;
        Ok(Job { id: self.id, work })
    }
}

/// A job that an agent has.
#[derive(Debug)]
pub struct Assigned {
    pub id: JobId,
    pub node: NodeId,
    pub agent: AgentKind,
    pub cancel_requested: bool,
}

/// All jobs that agents have.
pub async fn assigned(conn: &mut PgConnection) -> sqlx::Result<Vec<Assigned>> {
    sqlx::query_as!(
        Assigned,
        r#"select id, node_id as "node!: NodeId", cancel_requested,
                  case kind when 'build' then 'worker' else 'proxy' end as "agent!: AgentKind"
           from jobs where state = 'running' and node_id is not null and lease_until > now() order by id"#
    )
    .fetch_all(conn)
    .await
}

/// Jobs that this agent of the node has, with what it needs for them.
pub async fn running(conn: &mut PgConnection, node: NodeId, agent: AgentKind) -> sqlx::Result<Vec<Sealed>> {
    sqlx::query_as!(
        Sealed,
        "select id, payload, cancel_requested from jobs
         where state = 'running' and node_id = $1 and kind = $2 and lease_until > now() order by id",
        node as _,
        kind_of(agent)
    )
    .fetch_all(conn)
    .await
}

/// Renews the leases of an agent that was just heard.
pub async fn renew(conn: &mut PgConnection, node: NodeId, kind: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update jobs set lease_until = now() + make_interval(secs => $3)
         where state = 'running' and node_id = $1 and kind = $2",
        node as _,
        kind,
        LEASE_S
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Renews the leases of all agents that are connected to `replica`.
pub async fn renew_all(conn: &mut PgConnection, replica: uuid::Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update jobs set lease_until = now() + make_interval(secs => $2)
         from agents
         where jobs.state = 'running' and agents.node_id = jobs.node_id and agents.connected_to = $1
           and agents.kind = case jobs.kind when 'build' then 'worker' else 'proxy' end",
        replica,
        LEASE_S
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A job and the node that was chosen for it.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub id: JobId,
    pub node: NodeId,
    pub node_name: String,
}

/// Claims one queued job for the best agent that has room, see [`Free`]. `None` when there is no job that may start, or
/// no agent for it. The caller commits.
pub async fn claim(conn: &mut PgConnection, free: &mut Free) -> sqlx::Result<Option<Claimed>> {
    let queued = match free.agent {
        AgentKind::Worker => next_build(conn).await?,
        AgentKind::Proxy => next_order(conn).await?,
        AgentKind::Mesh | AgentKind::Ingress => None,
    };
    let Some((id, deployment)) = queued else { return Ok(None) };
    let last = match deployment {
        Some(deployment) => last_builder(conn, deployment).await?,
        None => None,
    };
    let Some((node, node_name)) = free.take(conn, last).await? else { return Ok(None) };
    sqlx::query!(
        "update jobs set state = 'running', node_id = $2, started_at = now(),
                lease_until = now() + make_interval(secs => $3)
         where id = $1",
        id as _,
        node as _,
        LEASE_S
    )
    .execute(&mut *conn)
    .await?;
    if let Some(deployment) = deployment {
        let begun = sqlx::query!(
            "update deployments set state = 'building', waiting_for = null where id = $1",
            deployment as _
        )
        .execute(&mut *conn)
        .await;
        match begun {
            // Another deployment of the app was faster.
            Err(error) if violates(&error, "deployments_one_running_key") => return Ok(None),
            begun => begun?,
        };
        progress::close(conn, deployment, Stage::Queue).await?;
        bus::say(conn, Topic::Deployments, deployment).await?;
    }
    bus::say(conn, Topic::Jobs, node).await?;
    Ok(Some(Claimed { id, node, node_name }))
}

type Queued = Option<(JobId, Option<DeploymentId>)>;

async fn next_build(conn: &mut PgConnection) -> sqlx::Result<Queued> {
    let row = sqlx::query_file!("src/jobs/store/next_build.sql").fetch_optional(conn).await?;
    Ok(row.map(|row| (row.id, row.deployment_id)))
}

async fn next_order(conn: &mut PgConnection) -> sqlx::Result<Queued> {
    let id = sqlx::query_scalar!(
        "select id from jobs where kind = 'certificate' and state = 'queued' and run_after <= now()
         order by priority desc, id limit 1 for update skip locked"
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(|id| (id, None)))
}

/// The worker of the last build of the deployment's app before this one: it has what that build has kept.
async fn last_builder(conn: &mut PgConnection, deployment: DeploymentId) -> sqlx::Result<Option<NodeId>> {
    sqlx::query_scalar!(
        r#"select jobs.node_id as "node!: NodeId"
           from deployments as this
           join deployments on deployments.app_id = this.app_id and deployments.number < this.number
           join jobs on jobs.deployment_id = deployments.id and jobs.node_id is not null
           where this.id = $1 order by deployments.number desc limit 1"#,
        deployment as _
    )
    .fetch_optional(conn)
    .await
}

/// A running job, held until the transaction ends.
#[derive(Debug)]
pub struct Running {
    pub deployment_id: Option<DeploymentId>,
    pub host: Option<String>,
}

/// The job `id`, if it runs on `node`.
pub async fn lock_running(conn: &mut PgConnection, id: JobId, node: NodeId) -> sqlx::Result<Option<Running>> {
    sqlx::query_as!(
        Running,
        "select deployment_id, host from jobs where id = $1 and node_id = $2 and state = 'running' for update",
        id as _,
        node as _
    )
    .fetch_optional(conn)
    .await
}

/// The job is over.
pub async fn finish(
    conn: &mut PgConnection,
    id: JobId,
    state: &str,
    error: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update jobs set state = $2, error = $3, finished_at = now(), lease_until = null where id = $1",
        id as _,
        state,
        error
    )
    .execute(&mut *conn)
    .await?;
    // A slot is free.
    bus::say(conn, Topic::Jobs, "").await
}

/// A job whose agent was not seen for the whole lease.
#[derive(Debug)]
pub struct Lost {
    pub id: JobId,
    pub deployment_id: Option<DeploymentId>,
    pub host: Option<String>,
    pub node_name: Option<String>,
    pub lease_until: Option<DateTime<Utc>>,
}

/// Jobs whose lease is over, held until the transaction ends.
pub async fn lock_lost(conn: &mut PgConnection) -> sqlx::Result<Vec<Lost>> {
    sqlx::query_as!(
        Lost,
        r#"select jobs.id, deployment_id, jobs.host, nodes.name as "node_name?", lease_until
           from jobs left join nodes on nodes.id = jobs.node_id
           where jobs.state = 'running' and (lease_until < now() or jobs.node_id is null or nodes.removed_at is not null)
           order by jobs.id for update of jobs skip locked"#
    )
    .fetch_all(conn)
    .await
}

/// How many jobs are in each state that is not an end, by kind.
pub async fn count(conn: &mut PgConnection) -> sqlx::Result<Vec<(String, String, i64)>> {
    let rows = sqlx::query!(
        r#"select kind.kind as "kind!", state.state as "state!",
                  (select count(*) from jobs where jobs.kind = kind.kind and jobs.state = state.state) as "count!"
           from unnest(array['build', 'certificate']) as kind (kind), unnest(array['queued', 'running']) as state (state)"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.kind, row.state, row.count)).collect())
}

/// Adds lines of a build to its deployment's log; `true` when any was new.
pub async fn append_log(
    conn: &mut PgConnection,
    deployment: DeploymentId,
    lines: &[protocol::report::LogLine],
) -> sqlx::Result<bool> {
    let seqs: Vec<i64> = lines.iter().map(|line| line.seq).collect();
    let ats: Vec<DateTime<Utc>> = lines.iter().map(|line| line.at).collect();
    let streams: Vec<String> =
        lines.iter().map(|line| crate::instances::store::stream(line.stream).to_owned()).collect();
    let texts: Vec<String> = lines.iter().map(|line| line.text.clone()).collect();
    let done = sqlx::query!(
        "insert into deployment_log (deployment_id, seq, at, stream, text)
         select $1, * from unnest($2::bigint[], $3::timestamptz[], $4::text[], $5::text[])
         on conflict do nothing",
        deployment as _,
        &seqs,
        &ats,
        &streams,
        &texts
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The size of an archive that a build on `node` needs.
pub async fn archive_size(conn: &mut PgConnection, id: ArchiveId, node: NodeId) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "select archives.size_bytes from archives
         join deployments on deployments.app_id = archives.app_id and source ->> 'archive_id' = archives.id::text
         join jobs on jobs.deployment_id = deployments.id and jobs.state = 'running' and jobs.node_id = $2
         where archives.id = $1 and archives.complete",
        id as _,
        node as _
    )
    .fetch_optional(conn)
    .await
}
