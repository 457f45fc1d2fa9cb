//! What agents say, stored. Each message is one transaction; taking one in twice changes nothing.

use anyhow::Context;
use chrono::Utc;
use protocol::envelope::{Envelope, MessageId};
use protocol::identity::AgentKind;
use protocol::message::{FromAgent, UnknownMessage};
use protocol::report::Hello;
use serde_json::value::RawValue;
use tracing::{info, warn};

use super::registry::Key;
use super::token::Agent;
use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::{
    git_access, healing, images, instances, jobs, logs, mesh, nodes, questions, reconcile, streams, traffic,
};

/// Reads a message. Postgres keeps no NUL in texts, and what apps print may hold any byte.
pub(super) fn parse(mut envelope: Envelope) -> Result<(MessageId, FromAgent), UnknownMessage> {
    if envelope.payload.get().contains("\\u0000") {
        let text = envelope.payload.get().replace("\\u0000", "\\ufffd");
        envelope.payload = RawValue::from_string(text).unwrap_or(envelope.payload);
    }
    FromAgent::parse(&envelope).map(|message| (envelope.id, message))
}

/// The agent has come.
pub(super) async fn hello(
    app: &AppState,
    agent: &Agent,
    serial: u64,
    hello: Hello,
    offset_ms: i64,
) -> anyhow::Result<()> {
    let (node, kind) = (&agent.node, agent.kind);
    let key = Key { node: node.id, kind };
    let mut tx = app.db.begin().await?;
    nodes::store::agent_connected(&mut tx, node.id, kind, app.replica, &hello).await?;
    nodes::store::checks::clock(&mut tx, node.id, kind, offset_ms).await?;
    nodes::store::health::refresh(&mut tx, &app.config.node_health, node.id, kind).await?;
    jobs::store::renew(&mut tx, node.id, jobs::kind_of(kind)).await?;
    bus::say(&mut tx, Topic::Nodes, node.id).await?;
    bus::say(&mut tx, Topic::Jobs, node.id).await?;
    tx.commit().await?;
    app.hub.ready(key, serial, hello.generation, &hello.jobs);
    info!(node.id = %node.id, node.name = node.name, agent = %kind, version = hello.version, "hub: {kind} {} ({}) connected via WSS", node.id, node.name);
    reconcile::dispatch_specs::to_agent(app, key).await?;
    jobs::dispatch::to_agent(app, key).await
}

/// Takes one message in. An error closes the connection: the agent sends again what was not acknowledged.
pub(super) async fn take(
    app: &AppState,
    agent: &Agent,
    message: FromAgent,
    offset_ms: i64,
) -> anyhow::Result<()> {
    let kind = message.kind();
    match store(app, agent, message, offset_ms).await {
        Ok(()) => Ok(()),
        // Data that the schema refuses will be refused every time.
        Err(error) if is_refused_data(&error) => {
            let error = format!("{error:#}");
            warn!(node.id = %agent.node.id, node.name = agent.node.name, message = kind, error, "a message cannot be stored: dropped");
            Ok(())
        }
        Err(error) => Err(error).with_context(|| format!("cannot store a message of type {kind}")),
    }
}

async fn store(app: &AppState, agent: &Agent, message: FromAgent, offset_ms: i64) -> anyhow::Result<()> {
    let (node, kind) = (agent.node.id, agent.kind);
    if !may_say(kind, &message) {
        warn!(node.name = agent.node.name, agent = %kind, message = message.kind(), "an agent of another kind says this: ignored");
        return Ok(());
    }
    // Of these only the newest matters, and none is worth a transaction.
    let message = match message {
        FromAgent::Hello(_) | FromAgent::Ack(_) => return Ok(()),
        FromAgent::Stats(stats) => {
            app.hub.note_stats(stats.instances);
            return Ok(());
        }
        FromAgent::Numbers(said) => {
            app.numbers.take(node, said, Utc::now());
            return Ok(());
        }
        message => message,
    };
    let mut tx = app.db.begin().await?;
    match message {
        FromAgent::Hello(_) | FromAgent::Ack(_) | FromAgent::Stats(_) | FromAgent::Numbers(_) => {}
        FromAgent::Heartbeat(heartbeat) => {
            nodes::store::health::heartbeat(&mut tx, node, kind, &heartbeat, offset_ms).await?;
        }
        FromAgent::Host(host) => nodes::store::health::host(&mut tx, node, &host).await?,
        FromAgent::Applied(applied) => {
            nodes::store::health::applied(&mut tx, node, kind, applied.generation).await?;
        }
        FromAgent::MeshReport(report) => {
            nodes::store::health::mesh_report(&mut tx, node, &report).await?;
            mesh::rotations::take(&mut tx, &agent.node, &report).await?;
        }
        FromAgent::WorkerReport(report) => {
            instances::report::take(&mut tx, node, &report.instances).await?;
            healing::store::strays::replace(&mut tx, node, &report.strays).await?;
        }
        FromAgent::Corrected(told) => healing::corrections::take(&mut tx, &agent.node, &told).await?,
        FromAgent::LeaseRequest(request) => {
            let grant = healing::lease::grant(app, &mut tx, node, request).await?;
            tx.commit().await?;
            app.hub.grant(Key { node, kind }, grant);
            return Ok(());
        }
        FromAgent::ImageReport(report) => {
            images::store::take_report(&mut tx, node, &report).await?;
            images::registry::take(&mut tx, &agent.node, &report.copies).await?;
        }
        FromAgent::StorageReport(report) => nodes::store::storage::take(&mut tx, node, report).await?,
        FromAgent::Answer(answer) => questions::take(&mut tx, node, kind, &answer).await?,
        FromAgent::InstanceLog(log) => instances::store::append_log(&mut tx, node, &log).await?,
        FromAgent::Scrubbed(scrubbed) => logs::scrubbed::take(&mut tx, &agent.node, &scrubbed).await?,
        FromAgent::GitHostKey(told) => git_access::host_key::take(&mut tx, &agent.node, &told).await?,
        FromAgent::Streams(report) => streams::store::take_report(&mut tx, node, &report).await?,
        FromAgent::Traffic(report) => {
            traffic::store::take::report(&mut tx, &app.config.traffic, &agent.node, kind, report).await?;
        }
        FromAgent::JobProgress(progress) => jobs::inbox::progress(&mut tx, node, &progress).await?,
        FromAgent::JobLog(log) => jobs::inbox::log(&mut tx, node, &log).await?,
        FromAgent::JobDone(done) => jobs::inbox::done(app, &mut tx, node, done).await?,
    }
    tx.commit().await?;
    Ok(())
}

fn may_say(kind: AgentKind, message: &FromAgent) -> bool {
    match message {
        FromAgent::MeshReport(_) | FromAgent::Host(_) => kind == AgentKind::Mesh,
        FromAgent::WorkerReport(_)
        | FromAgent::Corrected(_)
        | FromAgent::LeaseRequest(_)
        | FromAgent::ImageReport(_)
        | FromAgent::StorageReport(_)
        | FromAgent::InstanceLog(_)
        | FromAgent::Scrubbed(_)
        | FromAgent::GitHostKey(_) => kind == AgentKind::Worker,
        FromAgent::JobProgress(_) | FromAgent::JobLog(_) | FromAgent::JobDone(_) => {
            matches!(kind, AgentKind::Worker | AgentKind::Proxy)
        }
        FromAgent::Streams(_) => kind == AgentKind::Proxy,
        FromAgent::Traffic(_) => matches!(kind, AgentKind::Proxy | AgentKind::Ingress),
        _ => true,
    }
}

/// Classes 22 (data) and 23 (constraint) of `SQLSTATE`.
fn is_refused_data(error: &anyhow::Error) -> bool {
    let database = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    database
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}
