//! What a person wants to know of an agent, or have done by it, while they wait. Unlike desired state nothing of it lasts:
//! a question that is not answered in time is asked anew by whoever still wants to know.

use std::net::Ipv4Addr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Lines in one answer.
pub const MAX_LINES: usize = 1000;
/// Bytes of the texts in one answer.
pub const MAX_TEXT: usize = 384 * 1024;
/// Images that one question is about.
pub const MAX_CLEANED: usize = 500;

/// A question to one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    pub id: Uuid,
    pub question: Question,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Question {
    /// The newest lines of the agent's own log.
    Log(LogQuestion),
    /// Which images of the host nothing needs. For workers.
    Cleanable,
    /// Remove these of them. For workers.
    Clean { images: Vec<String> },
    /// What containers of the project, by its id, would find under a name of the private network. For workers.
    Private { project: String, name: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogQuestion {
    /// Only lines of this run of the program that follow the one with this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<LogPlace>,
    /// The least important level that is wanted.
    pub level: LogLevel,
    /// At most so many, the newest.
    pub lines: u32,
}

/// A line of an agent's log. Numbers begin anew with each run of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    pub run: Uuid,
    pub seq: u64,
}

/// From the most important on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema), schema(as = AgentLogLevel))]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What became of an [`Ask`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub id: Uuid,
    pub answer: AnswerKind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum AnswerKind {
    Log(AgentLog),
    Cleanable(Cleanable),
    Cleaned(Cleaned),
    Private(PrivateName),
    /// It could not be done.
    Failed {
        message: String,
    },
}

/// Lines of an agent's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentLog {
    /// The run of the program.
    pub run: Uuid,
    /// The earliest first.
    pub lines: Vec<AgentLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct AgentLine {
    pub seq: u64,
    pub at: DateTime<Utc>,
    pub level: LogLevel,
    /// The part of the program that said it.
    pub target: String,
    pub text: String,
}

/// Images that nothing needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cleanable {
    /// At most [`MAX_CLEANED`].
    pub images: Vec<CleanableImage>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct CleanableImage {
    /// `sha256:…`.
    pub id: String,
    pub names: Vec<String>,
    pub made_at: DateTime<Utc>,
    /// What its removal frees, if nothing else of the list goes.
    pub frees_bytes: u64,
    /// Why nothing needs it.
    pub reason: String,
}

/// A name of the private network as one host has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PrivateName {
    /// Why the firewall around containers is not in force; absent when it is.
    pub firewall: Option<String>,
    /// Why the process that answers names did not; absent when it did.
    pub resolver: Option<String>,
    /// What it answered.
    pub address: Option<Ipv4Addr>,
}

/// What a clean-up did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Cleaned {
    pub removed: Vec<CleanableImage>,
    /// What stays after all.
    pub left: Vec<LeftImage>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct LeftImage {
    pub id: String,
    pub why: String,
}
