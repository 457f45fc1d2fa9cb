//! Why a host name does not answer as it should: what was found out about it ([`Evidence`]), and what follows from
//! that ([`diagnose`]), link by link from DNS to the app's probe.

pub mod api;
mod cdn;
mod diagnosis;
mod evidence;
mod knock;
mod private;
pub mod store;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chrono::{DateTime, Utc};
use protocol::ids::NodeId;
use protocol::report::InstanceState;
use protocol::spec::{Generation, Unavailable};
use serde::Serialize;

pub use diagnosis::diagnose;

use crate::dns::addresses::{Addresses, NoAddress};

/// What is wrong with a host name, or that nothing is.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = DoctorReport)]
pub struct Report {
    pub host: String,
    pub checked_at: DateTime<Utc>,
    /// The worst of the findings.
    pub level: Level,
    /// In the order of a request's way. What cannot be told because of an earlier problem is left out.
    pub findings: Vec<Finding>,
}

/// One link of the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = DoctorFinding)]
pub struct Finding {
    pub check: Check,
    pub level: Level,
    /// One sentence.
    pub summary: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Records to create, for copying.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Record>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = DoctorCheck)]
pub enum Check {
    /// The name in the control plane.
    Domain,
    /// Its addresses, as public resolvers see them.
    Dns,
    /// Another company's proxy in front.
    Cdn,
    /// Ports 80 and 443.
    Ports,
    Certificate,
    /// The route on the proxies.
    Route,
    /// The app's instances, over the mesh.
    Target,
    /// What their probes say.
    Probe,
    /// Whether the project may reach the app, of a name of the private network.
    Access,
    /// Who answers the name on each worker.
    Resolver,
    /// The firewall on each worker, which also leads to the instances.
    Firewall,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = DoctorLevel)]
pub enum Level {
    Ok,
    /// It works, but not for long or not for everybody.
    Warning,
    Problem,
}

/// A DNS record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = DnsRecord)]
pub struct Record {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    pub value: String,
}

/// What was found out about a host name.
#[derive(Debug, Clone)]
pub struct Evidence {
    pub host: String,
    pub now: DateTime<Utc>,
    pub name: Name,
    pub dns: Vec<Answer>,
    /// What answers at the addresses, as far as they may be asked.
    pub doors: Vec<Door>,
    /// Who answers: the proxies, or for a direct zone its worker.
    pub proxies: Vec<Proxy>,
    /// Of the route table.
    pub generation: Generation,
    /// Whether certificates are ordered at all.
    pub acme: bool,
    pub certificate: Option<Certificate>,
    /// Of the Traefiks that serve the name, where it orders the certificate.
    pub resolver: Option<String>,
    pub route: Option<Route>,
    pub targets: Vec<Target>,
}

/// What the control plane knows of the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    Unknown,
    /// The dashboard's own.
    Front,
    /// The app's name in a zone that proxies serve.
    Own {
        app: String,
    },
    /// The app's name in a zone whose DNS points at one worker.
    Direct {
        app: String,
        worker: Option<Worker>,
        /// At which visitors reach it.
        port: u16,
    },
    Verified {
        app: String,
        cname: String,
    },
    Pending {
        app: String,
        token: String,
        error: Option<String>,
    },
    /// Its record has been gone for too long.
    Lapsed {
        app: String,
        token: String,
    },
}

/// The worker that answers for a direct zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    pub id: NodeId,
    pub name: String,
}

/// What one resolver says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub resolver: SocketAddr,
    pub result: Result<Addresses, NoAddress>,
}

/// What answered at one address.
#[derive(Debug, Clone)]
pub struct Door {
    pub address: IpAddr,
    pub http: Knock,
    pub https: Knock,
}

/// How a port took a request for the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Knock {
    Answered(Reply),
    Refused,
    TimedOut,
    /// TLS did not come about.
    NoTls(String),
    Failed(String),
    /// Not an address of the world outside, and none of the fleet's.
    NotAsked,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub location: Option<String>,
    /// Headers that tell who answered, in lower case: `server`, `via` and those of CDNs.
    pub headers: Vec<(String, String)>,
    /// Why the certificate is not trusted; absent when it is, and over plain HTTP.
    pub distrust: Option<Distrust>,
}

/// What is wrong with a certificate that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// It is for the name and in its time, but of an authority that browsers do not know.
    Authority,
    Other(String),
}

/// A node that answers for the name: one with the role, or the worker of a direct zone.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub name: String,
    pub address: Option<IpAddr>,
    /// Whether its ingress ever said that it is there; only a worker may be without.
    pub listens: bool,
    pub connected: bool,
    pub applied: Generation,
}

/// The certificate that proxies serve for the host.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub not_after: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub ordering: bool,
}

/// The host's route.
#[derive(Debug, Clone)]
pub struct Route {
    pub app: String,
    pub upstreams: usize,
    pub unavailable: Option<Unavailable>,
    pub maintenance: bool,
}

/// One instance of the app.
#[derive(Debug, Clone)]
pub struct Target {
    pub node: String,
    pub state: InstanceState,
    pub in_rotation: bool,
    /// The probe's words, and what to do about them.
    pub failure: Option<(String, Option<String>)>,
    /// Time of a connection over the mesh, or why there was none.
    pub reach: Result<Duration, String>,
}
