//! The private network: what the containers of each project on one worker reach by name, and what they reach besides.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::Generation;
use crate::ids::InstanceId;

/// The domain of all names of the private network.
pub const DOMAIN: &str = "internal";

/// Every app is reached on this port as well as on its own.
pub const WEB_PORT: u16 = 80;

/// As [`super::TAKES_CHANGES`], of an agent that understands [`PrivateChange`]: the header's second value.
pub const TAKES_PRIVATE_CHANGES: (&str, &str) = (super::TAKES_CHANGES.0, "spec.private");

/// Of one worker: the projects that have containers there, and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateSpec {
    /// Where the addresses of all apps are taken from. Nobody has them: what goes there is sent on to an instance.
    pub range: Ipv4Net,
    pub projects: Vec<PrivateProject>,
}

/// A project, as its containers on one worker see the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateProject {
    /// Its id, as in [`super::InstanceSpec`].
    pub project: String,
    /// Apps that it may reach: its own, and those that it was granted.
    pub services: Vec<Service>,
    /// Where its containers may open connections outside of the private network; anywhere public when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<EgressRule>>,
}

/// An app as others reach it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Service {
    /// Without the domain, such as `stock.shop`.
    pub name: String,
    /// Its own for as long as it exists, and the same on every worker.
    pub address: Ipv4Addr,
    /// Its instances that serve, by id.
    pub backends: Vec<Backend>,
}

/// An instance that connections are sent to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backend {
    pub instance: InstanceId,
    /// Where it is published.
    pub address: SocketAddr,
    /// The port that it listens on inside its container.
    pub port: u16,
    /// It is published for UDP as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub udp: bool,
}

/// Places outside that a project with such rules may reach.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct EgressRule {
    /// A network such as `203.0.113.0/24`, or one address as `203.0.113.7/32`.
    #[cfg_attr(feature = "control-plane", schema(value_type = String, example = "203.0.113.0/24"))]
    pub to: IpNet,
    /// TCP and UDP ports; all of them, and all other protocols, when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}

/// What became of a worker's private network, when nothing else of its desired state has changed: an app of a large
/// project comes and goes on hundreds of workers that run other apps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateChange {
    /// The generation of the desired state that it changes.
    pub from: Generation,
    pub generation: Generation,
    /// All projects that have containers there; others are gone.
    pub projects: Vec<ProjectChange>,
}

/// What is different for one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectChange {
    pub project: String,
    /// Apps that are new to it, or have changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// Addresses of apps that it may not reach any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<Ipv4Addr>,
    /// Its other rules, when they have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
}

/// As in [`PrivateProject`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    pub rules: Option<Vec<EgressRule>>,
}

impl PrivateChange {
    /// What it makes of `last`, which is of the generation `from`.
    pub fn apply(self, last: &PrivateSpec) -> PrivateSpec {
        let mut known: BTreeMap<&str, &PrivateProject> =
            last.projects.iter().map(|project| (project.project.as_str(), project)).collect();
        let projects = self.projects.into_iter();
        let projects = projects.map(|change| {
            let known = known.remove(change.project.as_str());
            change.apply(known)
        });
        PrivateSpec { range: last.range, projects: projects.collect() }
    }
}

impl ProjectChange {
    fn apply(self, known: Option<&PrivateProject>) -> PrivateProject {
        let Self { project, services: changed, gone, egress } = self;
        let gone: BTreeSet<Ipv4Addr> = gone.into_iter().collect();
        let mut changed: BTreeMap<Ipv4Addr, Service> =
            changed.into_iter().map(|service| (service.address, service)).collect();
        let kept = known.into_iter().flat_map(|known| &known.services);
        let kept = kept.filter(|service| !gone.contains(&service.address));
        let mut services: Vec<Service> =
            kept.map(|known| changed.remove(&known.address).unwrap_or_else(|| known.clone())).collect();
        services.extend(changed.into_values());
        let egress =
            egress.map_or_else(|| known.and_then(|known| known.egress.clone()), |egress| egress.rules);
        PrivateProject { project, services, egress }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, last: u8, backends: usize) -> Service {
        let backend = |at| Backend {
            instance: InstanceId::new(),
            address: SocketAddr::from(([10, 50, 0, last], 20000 + at)),
            port: 8080,
            udp: false,
        };
        let backends = (0..u16::try_from(backends).expect("few")).map(backend).collect();
        Service { name: name.to_owned(), address: Ipv4Addr::new(100, 96, 0, last), backends }
    }

    #[test]
    fn what_has_changed_is_put_in_its_place_and_the_rest_stays() {
        let rule = EgressRule { to: "203.0.113.0/24".parse().expect("a network"), ports: vec![443] };
        let (api, db, web) = (service("api.shop", 1, 2), service("db.shop", 2, 1), service("web.shop", 3, 1));
        let shop = PrivateProject {
            project: "shop".to_owned(),
            services: vec![api.clone(), db.clone(), web.clone()],
            egress: Some(vec![rule]),
        };
        let office = PrivateProject { project: "office".to_owned(), services: vec![api], egress: None };
        let last = PrivateSpec {
            range: "100.96.0.0/11".parse().expect("a network"),
            projects: vec![shop.clone(), office],
        };
        let nothing = |project: &str| ProjectChange {
            project: project.to_owned(),
            services: Vec::new(),
            gone: Vec::new(),
            egress: None,
        };
        let (api, mail) = (service("api.shop", 1, 1), service("mail.shop", 9, 1));
        let change = PrivateChange {
            from: 3,
            generation: 4,
            projects: vec![
                ProjectChange {
                    services: vec![mail.clone(), api.clone()],
                    gone: vec![web.address],
                    ..nothing("shop")
                },
                ProjectChange { egress: Some(Egress { rules: None }), ..nothing("new") },
            ],
        };
        let text = serde_json::to_string(&change).expect("JSON");
        let read: PrivateChange = serde_json::from_str(&text).expect("read");
        assert_eq!(read, change);
        let next = read.apply(&last);
        assert_eq!(next.projects.len(), 2, "a project that is not named is gone");
        assert_eq!(next.projects[0], PrivateProject { services: vec![api, db, mail], ..shop });
        assert_eq!((next.projects[1].project.as_str(), next.projects[1].services.len()), ("new", 0));
    }

    #[test]
    fn rules_that_are_taken_away_are_told_from_rules_that_stay() {
        let open: Egress = serde_json::from_str(r#"{"rules":null}"#).expect("read");
        let project = |egress| ProjectChange {
            project: "p".to_owned(),
            services: Vec::new(),
            gone: Vec::new(),
            egress,
        };
        let fenced =
            PrivateProject { project: "p".to_owned(), services: Vec::new(), egress: Some(Vec::new()) };
        assert_eq!(project(None).apply(Some(&fenced)).egress, Some(Vec::new()));
        assert_eq!(project(Some(open)).apply(Some(&fenced)).egress, None);
    }
}
