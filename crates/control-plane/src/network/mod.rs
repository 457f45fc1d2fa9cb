//! The private network: which apps a project reaches by name, what it was granted of others, and where it may go besides.

pub mod api;
pub mod store;
#[cfg(test)]
pub(crate) mod tests;

use std::net::{IpAddr, Ipv4Addr};

use chrono::{DateTime, Utc};
use ipnet::{IpNet, Ipv4Net};
use protocol::ids::{AppId, ProjectId};
use protocol::spec::private::{DOMAIN, EgressRule};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::http::Error;

/// Where apps have their addresses. It is part of the shared address space, which no host of the internet has.
pub const RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 96, 0, 0), 11);

/// Rules of one project.
pub const EGRESS_LIMIT: usize = 100;
/// Ports of one rule.
const PORTS_LIMIT: usize = 50;

/// The app's address.
pub fn address(number: i32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(RANGE.addr()).wrapping_add(number.unsigned_abs()))
}

/// How containers call the app.
pub fn name(app: &str, project: &str) -> String {
    format!("{app}.{project}.{DOMAIN}")
}

/// What a project's private network is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct NetworkView {
    pub project: String,
    /// Apps that its containers reach: its own, then those that it was granted.
    pub apps: Vec<PrivateApp>,
    /// What it may reach of other projects, and what other projects may reach of it.
    pub grants: Vec<Grant>,
    /// Where its containers may open connections besides; anywhere public when null, and nowhere when empty.
    pub egress: Option<Vec<EgressRule>>,
}

/// An app as the containers of a project reach it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PrivateApp {
    pub app: String,
    pub project: String,
    /// The name by which it is reached.
    pub name: String,
    #[schema(value_type = String)]
    pub address: Ipv4Addr,
    /// Ports on which it is reached, besides 80: those of its instances.
    pub ports: Vec<u16>,
    /// Instances that connections are spread over.
    pub instances: i64,
}

/// One project may reach another one, or an app of it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Grant {
    pub id: Uuid,
    /// Whose apps may.
    pub from: String,
    pub to_project: String,
    /// All apps of the project when null.
    pub to_app: Option<String>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    #[serde(skip)]
    pub target: ProjectId,
    #[serde(skip)]
    pub app_id: Option<AppId>,
}

/// An egress rule as somebody wrote it: the network is read where it can be said what is wrong with it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedRule {
    pub to: String,
    #[serde(default)]
    pub ports: Vec<u16>,
}

/// As they are kept: each network by its first address, each port once.
pub fn check_egress(rules: Vec<AskedRule>) -> Result<Vec<EgressRule>, Error> {
    if rules.len() > EGRESS_LIMIT {
        return Err(Error::invalid("egress", format!("at most {EGRESS_LIMIT} rules")));
    }
    let mut checked: Vec<EgressRule> = Vec::with_capacity(rules.len());
    for (at, AskedRule { to, mut ports }) in rules.into_iter().enumerate() {
        if ports.len() > PORTS_LIMIT {
            return Err(Error::invalid("egress", format!("{to}: at most {PORTS_LIMIT} ports")));
        }
        if ports.contains(&0) {
            return Err(Error::invalid("egress", format!("{to}: 0 is no port"))
                .hint("Leave the ports out to allow all of them"));
        }
        ports.sort_unstable();
        ports.dedup();
        let rule = EgressRule { to: network(at, &to)?, ports };
        if !checked.contains(&rule) {
            checked.push(rule);
        }
    }
    Ok(checked)
}

/// Of the rule at this place. An address is a network of itself.
fn network(at: usize, text: &str) -> Result<IpNet, Error> {
    let text = text.trim();
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map(|network| network.trunc()).map_err(|_| {
        Error::invalid(format!("egress[{at}].to"), format!("`{text}` is no network"))
            .hint("Write an address or a network, for example 203.0.113.7 or 10.0.0.0/8")
    })
}
