//! The rules of joining, apart from the tables.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use chrono::{DateTime, Utc};
use ipnet::Ipv4Net;
use protocol::enrol::EnrolRequest;
use protocol::identity::Role;
use protocol::labels::{self, Labels};

use super::words;
use crate::config::is_label;
use crate::http::{Code, Error, Result};

/// What a join token allows.
#[derive(Debug, Clone)]
pub struct Grant {
    pub roles: Vec<Role>,
    pub name: Option<String>,
    /// Given to the node besides its own.
    pub labels: Labels,
    /// In the place of its own.
    pub zone: Option<String>,
    pub expires_at: DateTime<Utc>,
    /// Public key of the node that has used it.
    pub used_by_key: Option<String>,
    pub used: bool,
}

/// The lowest free address: not the network's, not the broadcast address, not the control plane's.
pub fn lowest_free(cidr: Ipv4Net, control_plane: Ipv4Addr, used: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    cidr.hosts().find(|address| *address != control_plane && !used.contains(address))
}

/// Whether `request` may join by a token with `grant`. A token that was used may be shown again by the host that used
/// it, while it lasts: that host lost the answer.
pub fn check(grant: &Grant, request: &EnrolRequest, now: DateTime<Utc>) -> Result<()> {
    check_words(request)?;
    if grant.used && grant.used_by_key.as_deref() != Some(request.public_key.as_str()) {
        return Err(Error::new(Code::JoinTokenUsed, "this join token was already used by another host")
            .hint(new_token(&request.roles)));
    }
    if grant.expires_at <= now {
        let message = format!("this join token expired at {}", grant.expires_at.format("%Y-%m-%d %H:%M UTC"));
        return Err(Error::new(Code::JoinTokenExpired, message).hint(new_token(&request.roles)));
    }
    if let Some(role) = request.roles.iter().find(|role| !grant.roles.contains(role)) {
        let allowed = words(&grant.roles).join(", ");
        let message = format!("this join token does not allow the role {role}, only {allowed}");
        return Err(Error::new(Code::RoleNotAllowed, message).field("roles").hint(new_token(&request.roles)));
    }
    match &grant.name {
        Some(name) if *name != request.name => {
            let message =
                format!("this join token is for a host named {name}, this one is named {}", request.name);
            Err(Error::new(Code::RoleNotAllowed, message).field("name").hint(
                "Set `node.name` in the host's mesh.toml, or make a token without a name: `wh node add`",
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_words(request: &EnrolRequest) -> Result<()> {
    if !is_label(&request.name) {
        return Err(Error::invalid("name", "must be 1 to 63 of a-z, 0-9 and -, without - at the ends")
            .hint("Set `node.name` in the host's mesh.toml"));
    }
    if request.roles.is_empty() {
        return Err(Error::invalid("roles", "must name at least one role: worker, proxy"));
    }
    let of_the_host = "Set `node.labels` and `node.zone` in the host's mesh.toml";
    labels::check(&request.labels).map_err(|problem| Error::invalid("labels", problem).hint(of_the_host))?;
    if let Some(zone) = &request.zone {
        labels::check_zone(zone).map_err(|problem| Error::invalid("zone", problem).hint(of_the_host))?;
    }
    check_public_key(&request.public_key)
}

/// A `WireGuard` public key: 32 bytes in base64, which are 43 characters and one `=`.
pub fn check_public_key(key: &str) -> Result<()> {
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let good =
        key.len() == 44 && key.ends_with('=') && key.as_bytes()[..43].iter().all(|byte| alphabet(*byte));
    if good { Ok(()) } else { Err(Error::invalid("public_key", "must be a WireGuard public key in base64")) }
}

/// The remedy for a token that is no good.
pub fn new_token(roles: &[Role]) -> String {
    let flags: Vec<String> = roles.iter().map(|role| format!("--role {role}")).collect();
    format!("Make a new one with `wh node add {}`", flags.join(" "))
}

/// For a token that nobody made.
pub fn unknown_token(roles: &[Role]) -> Error {
    Error::new(Code::JoinTokenWrong, "this is not a join token of this control plane, or it was withdrawn")
        .hint(new_token(roles))
}
