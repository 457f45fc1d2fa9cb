//! A program in a running container, over a WebSocket: client → control plane → worker. The frames are the same on both
//! ways, so that the control plane looks at them and passes them on.
//!
//! Binary frames carry bytes: the first one names the [`channel`], the rest is data. An empty frame of `STDIN` is its
//! end. Text frames are JSON: [`FromClient`] and [`FromProgram`].

use serde::{Deserialize, Serialize};

use crate::identity::SigningKey;
use crate::ids::{ExecId, InstanceId};
use crate::spec::InstanceSpec;
use crate::ticket;

/// First bytes of binary frames.
pub mod channel {
    pub const STDIN: u8 = 0;
    pub const STDOUT: u8 = 1;
    pub const STDERR: u8 = 2;
}

/// Data bytes of one binary frame.
pub const MAX_DATA: usize = 32 * 1024;
/// Bytes of any frame: a frame of data, or a command as JSON.
pub const MAX_FRAME: usize = 128 * 1024;
/// Bytes of an [`OpenFresh`] as JSON: variables may be long.
pub const MAX_OPEN_FRESH: usize = 32 * 1024 * 1024;
/// Seconds between two pings of whoever writes.
pub const PING_S: u64 = 15;
/// Seconds after which a control plane or a worker that says nothing is gone.
pub const SILENCE_S: u64 = 45;

/// The first frame from the control plane to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// Present when the program gets a terminal.
    pub terminal: Option<Size>,
}

/// The same, of a program that gets a container of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenFresh {
    /// As an instance that runs once; its command is the program.
    pub container: InstanceSpec,
    pub terminal: Option<Size>,
}

/// Of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Size {
    pub cols: u16,
    pub rows: u16,
}

/// What a client says about the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromClient {
    Resize(Size),
    /// It cannot show what comes as fast as it comes, and cannot stop reading: nothing more until [`Self::Resume`]. A
    /// matter between it and the control plane; browsers need it.
    Pause,
    Resume,
}

/// How the program ended. Nothing comes after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromProgram {
    /// By itself.
    Exit { code: i32 },
    /// Otherwise, or it never began.
    Failed { code: String, message: String, hint: Option<String> },
}

impl FromProgram {
    pub fn failed(code: &str, message: impl Into<String>, hint: &str) -> Self {
        Self::Failed { code: code.to_owned(), message: message.into(), hint: Some(hint.to_owned()) }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain strings and numbers")
    }
}

/// A binary frame.
pub fn frame(channel: u8, data: &[u8]) -> Vec<u8> {
    [&[channel], data].concat()
}

/// Lets the bearer run a program in one instance until a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecTicket {
    pub session: ExecId,
    pub instance: InstanceId,
}

const TICKET: &str = "exec";

impl ExecTicket {
    /// `expires_at` in Unix seconds.
    pub fn seal(self, expires_at: i64, key: &SigningKey) -> String {
        ticket::seal(TICKET, &self.subject(), expires_at, key)
    }

    /// Whether `ticket` is this one, at `now` (Unix seconds).
    pub fn is(self, ticket: &str, key: &SigningKey, now: i64) -> bool {
        ticket::admits(ticket, TICKET, &self.subject(), key, now)
    }

    /// Where the worker takes it.
    pub fn path(self) -> String {
        format!("/v1/instances/{}/exec/{}", self.instance, self.session)
    }

    fn subject(self) -> String {
        format!("{}|{}", self.instance, self.session)
    }
}

/// Lets the bearer run a program in a container of its own until a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreshTicket {
    pub session: ExecId,
}

const FRESH_TICKET: &str = "fresh";

impl FreshTicket {
    /// `expires_at` in Unix seconds.
    pub fn seal(self, expires_at: i64, key: &SigningKey) -> String {
        ticket::seal(FRESH_TICKET, &self.session.to_string(), expires_at, key)
    }

    /// Whether `ticket` is this one, at `now` (Unix seconds).
    pub fn is(self, ticket: &str, key: &SigningKey, now: i64) -> bool {
        ticket::admits(ticket, FRESH_TICKET, &self.session.to_string(), key, now)
    }

    /// Where the worker takes it.
    pub fn path(self) -> String {
        format!("/v1/fresh/{}", self.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ApiKey;

    #[test]
    fn frames_read_like_this() {
        let resize = FromClient::Resize(Size { cols: 80, rows: 24 });
        assert_eq!(serde_json::to_string(&resize).expect("json"), r#"{"type":"resize","cols":80,"rows":24}"#);
        assert_eq!(FromProgram::Exit { code: 3 }.to_json(), r#"{"type":"exit","code":3}"#);
        assert_eq!(frame(channel::STDIN, b"a"), [0, b'a']);
    }

    #[test]
    fn a_ticket_is_for_one_session_in_one_instance_until_its_end() {
        let key = ApiKey::generate().signing_key();
        let ticket = ExecTicket { session: ExecId::new(), instance: InstanceId::new() };
        let sealed = ticket.seal(100, &key);
        assert!(ticket.is(&sealed, &key, 99));
        assert!(!ticket.is(&sealed, &key, 100), "expired");
        assert!(!ExecTicket { session: ExecId::new(), ..ticket }.is(&sealed, &key, 99), "another session");
        assert!(
            !ExecTicket { instance: InstanceId::new(), ..ticket }.is(&sealed, &key, 99),
            "another instance"
        );
        assert!(!ticket.is(&sealed, &ApiKey::generate().signing_key(), 99), "another worker");
        let image = crate::job::ImageTicket { image_id: ticket.subject(), expires_at: 100 }.seal(&key);
        assert!(!ticket.is(&image, &key, 99), "a ticket for an image");
        let fresh = FreshTicket { session: ticket.session };
        assert!(!fresh.is(&sealed, &key, 99), "a ticket for an instance");
        assert!(fresh.is(&fresh.seal(100, &key), &key, 99));
    }
}
