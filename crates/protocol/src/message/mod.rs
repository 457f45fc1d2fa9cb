//! The messages on the socket and how each is delivered.

mod tables;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::envelope::{Envelope, MessageId};
use crate::ids::JobId;
use crate::job::{Job, Outcome};
use crate::lease::{LeaseGrant, LeaseRequest};
use crate::numbers::NodeNumbers;
use crate::question::{Answer, Ask};
use crate::report::{
    Corrected, GitHostKey, Heartbeat, Hello, HostFacts, ImageReport, InstanceLog, JobLog, JobProgress,
    MeshReport, Scrubbed, Stats, WorkerReport,
};
use crate::spec::private::PrivateChange;
use crate::spec::{Generation, Spec, TableChange, Versioned};
use crate::storage::StorageReport;
use crate::stream::StreamReport;
use crate::traffic::TrafficReport;

pub use tables::LastTable;

/// Bytes of the longest message that an agent may send.
pub const MAX_FROM_AGENT: usize = 1 << 20;

/// Bytes of the longest message that the control plane may send: a route table of 10,000 routes with the certificates
/// of as many names fits.
pub const MAX_FROM_CONTROL_PLANE: usize = 64 << 20;

/// What happens to a message when the socket is down or the receiver is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Kept and sent again after a reconnect until acknowledged by id. Handling one twice is harmless.
    Reliable,
    /// Only the newest of its type matters; an unsent older one is replaced.
    Latest,
    /// Sent once or not at all.
    Once,
}

macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $wire:literal $variant:ident($payload:ty) $delivery:ident;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub enum $name { $($(#[$vdoc])* $variant($payload),)* }

        impl $name {
            /// The envelope's `t`.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $wire,)* }
            }

            pub fn delivery(&self) -> Delivery {
                match self { $(Self::$variant(_) => Delivery::$delivery,)* }
            }

            /// The envelope's `p`.
            pub fn payload(&self) -> Box<RawValue> {
                let text = match self { $(Self::$variant(payload) => serde_json::to_string(payload),)* };
                RawValue::from_string(text.expect("messages have string keys only")).expect("just serialised")
            }

            /// Reads a message out of a checked envelope.
            pub fn parse(envelope: &Envelope) -> Result<Self, UnknownMessage> {
                match envelope.kind.as_str() {
                    $($wire => serde_json::from_str(envelope.payload.get())
                        .map(Self::$variant)
                        .map_err(|source| UnknownMessage { kind: envelope.kind.clone(), source: Some(source) }),)*
                    _ => Err(UnknownMessage { kind: envelope.kind.clone(), source: None }),
                }
            }
        }
    };
}

/// A message type or payload that this version does not know. Logged and skipped, so that versions can differ.
#[derive(Debug, thiserror::Error)]
#[error("message of type `{kind}` is not understood by this version")]
pub struct UnknownMessage {
    pub kind: String,
    #[source]
    pub source: Option<serde_json::Error>,
}

messages! {
    /// What an agent says.
    FromAgent {
        "hello" Hello(Hello) Once;
        "heartbeat" Heartbeat(Heartbeat) Latest;
        "node.numbers" Numbers(NodeNumbers) Latest;
        /// The host is no longer what the hello said.
        "host" Host(HostFacts) Latest;
        "ack" Ack(Ack) Once;
        /// The spec of this generation is in force.
        "spec.applied" Applied(Applied) Latest;
        "mesh.report" MeshReport(MeshReport) Latest;
        "worker.report" WorkerReport(WorkerReport) Latest;
        /// What the worker put right by itself.
        "worker.corrected" Corrected(Corrected) Reliable;
        /// Asked anew as long as there is no answer.
        "lease.request" LeaseRequest(LeaseRequest) Latest;
        "image.report" ImageReport(ImageReport) Latest;
        "storage.report" StorageReport(StorageReport) Latest;
        "job.progress" JobProgress(JobProgress) Reliable;
        "job.log" JobLog(JobLog) Reliable;
        "job.done" JobDone(JobDone) Reliable;
        "instance.log" InstanceLog(InstanceLog) Reliable;
        "log.scrubbed" Scrubbed(Scrubbed) Reliable;
        "git.host-key" GitHostKey(GitHostKey) Reliable;
        "stats" Stats(Stats) Latest;
        "traffic.report" Traffic(TrafficReport) Reliable;
        "stream.report" Streams(StreamReport) Latest;
        /// What became of an `ask`.
        "answer" Answer(Answer) Once;
    }
}

messages! {
    /// What the control plane says.
    FromControlPlane {
        "ack" Ack(Ack) Once;
        /// The agent's whole desired state.
        "spec" Spec(Versioned<Spec>) Latest;
        /// The route table, as what became of the last one on this connection. For agents that say that they take it.
        "spec.change" SpecChange(Box<TableChange>) Latest;
        /// What became of a worker's private network. For agents that say that they take it.
        "spec.private" SpecPrivate(Box<PrivateChange>) Latest;
        /// Sent at most once per connection and again on the next one while the lease lasts: starting a job that
        /// already runs is no change.
        "job.start" JobStart(Job) Once;
        "job.cancel" JobCancel(JobCancel) Once;
        "lease.grant" LeaseGrant(LeaseGrant) Once;
        /// Somebody waits for an `answer`.
        "ask" Ask(Ask) Once;
        /// An envelope was refused; the connection is closed after this.
        "refused" Refused(Refused) Once;
    }
}

/// Acknowledges reliable messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub ids: Vec<MessageId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub generation: Generation,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobDone {
    pub job_id: JobId,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCancel {
    pub job_id: JobId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub code: String,
    pub message: String,
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
