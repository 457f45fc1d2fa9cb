//! Files of a running container, as a tar: client → control plane → worker. Bodies pass through; nobody unpacks them but
//! the client and Podman.

use serde::{Deserialize, Serialize};

use crate::identity::SigningKey;
use crate::ids::InstanceId;
use crate::ticket;

/// What is at a path, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub enum Kind {
    Folder,
    /// Or anything else that is no folder.
    File,
    /// Nothing.
    Absent,
}

/// Which way the files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Out of the container.
    Out,
    /// Into it.
    In,
}

/// Lets the bearer read or write one path of one instance until a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilesTicket<'a> {
    pub instance: InstanceId,
    pub way: Way,
    pub path: &'a str,
}

const TICKET: &str = "files";

impl FilesTicket<'_> {
    /// `expires_at` in Unix seconds.
    pub fn seal(self, expires_at: i64, key: &SigningKey) -> String {
        ticket::seal(TICKET, &self.subject(), expires_at, key)
    }

    /// Whether `ticket` is this one, at `now` (Unix seconds).
    pub fn is(self, ticket: &str, key: &SigningKey, now: i64) -> bool {
        ticket::admits(ticket, TICKET, &self.subject(), key, now)
    }

    fn subject(self) -> String {
        let way = match self.way {
            Way::Out => "out",
            Way::In => "in",
        };
        format!("{}|{way}|{}", self.instance, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ApiKey;

    #[test]
    fn a_ticket_is_for_one_path_and_one_way() {
        let key = ApiKey::generate().signing_key();
        let ticket = FilesTicket { instance: InstanceId::new(), way: Way::Out, path: "/etc/passwd" };
        let sealed = ticket.seal(100, &key);
        assert!(ticket.is(&sealed, &key, 99));
        assert!(!ticket.is(&sealed, &key, 100), "expired");
        assert!(!FilesTicket { way: Way::In, ..ticket }.is(&sealed, &key, 99), "the other way");
        assert!(!FilesTicket { path: "/etc/shadow", ..ticket }.is(&sealed, &key, 99), "another path");
        assert!(
            !FilesTicket { instance: InstanceId::new(), ..ticket }.is(&sealed, &key, 99),
            "another instance"
        );
    }
}
