//! What the containers of one worker reach by name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use protocol::ids::{AppId, InstanceId, ProjectId};
use protocol::spec::PrivateSpec;
use protocol::spec::private::{Backend, EgressRule, PrivateProject, Service};

use crate::network::{RANGE, address};

/// A project with containers on the worker.
#[derive(Debug, Clone)]
pub struct Viewer {
    pub id: ProjectId,
    pub egress: Option<Vec<EgressRule>>,
}

/// An app that a project may reach.
#[derive(Debug, Clone)]
pub struct Reached {
    pub viewer: ProjectId,
    pub app_id: AppId,
    pub app: String,
    /// Of the app.
    pub project: String,
    pub number: i32,
    /// It is an app of the project itself.
    pub own: bool,
}

/// An instance that serves.
#[derive(Debug, Clone)]
pub struct Serving {
    pub instance: InstanceId,
    pub address: Ipv4Addr,
    pub host_port: u16,
    /// Inside its container.
    pub port: u16,
    pub udp: bool,
}

/// Of one worker, in the order of `viewers` and `reached`.
pub fn spec(
    viewers: Vec<Viewer>,
    reached: &[Reached],
    serving: &BTreeMap<AppId, Vec<Serving>>,
) -> PrivateSpec {
    let projects = projects(viewers, reached, serving).into_iter().map(|(_, project)| project).collect();
    PrivateSpec { range: RANGE, projects }
}

/// What the containers of each viewer reach, which is the same on every worker.
pub fn projects(
    viewers: Vec<Viewer>,
    reached: &[Reached],
    serving: &BTreeMap<AppId, Vec<Serving>>,
) -> Vec<(ProjectId, PrivateProject)> {
    let mut by_viewer: BTreeMap<ProjectId, Vec<&Reached>> = BTreeMap::new();
    for reached in reached {
        by_viewer.entry(reached.viewer).or_default().push(reached);
    }
    let project = |viewer: Viewer| {
        let mut seen = BTreeSet::new();
        let reached = by_viewer.get(&viewer.id).into_iter().flatten();
        let services = reached
            .filter(|reached| seen.insert(reached.app_id))
            .map(|reached| service(reached, serving))
            .collect();
        let project = PrivateProject { project: viewer.id.to_string(), services, egress: viewer.egress };
        (viewer.id, project)
    };
    viewers.into_iter().map(project).collect()
}

fn service(reached: &Reached, serving: &BTreeMap<AppId, Vec<Serving>>) -> Service {
    let backends = serving.get(&reached.app_id).map(Vec::as_slice).unwrap_or_default();
    let backend = |serving: &Serving| Backend {
        instance: serving.instance,
        address: SocketAddr::new(serving.address.into(), serving.host_port),
        port: serving.port,
        udp: serving.udp,
    };
    Service {
        name: format!("{}.{}", reached.app, reached.project),
        address: address(reached.number),
        backends: backends.iter().map(backend).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_project_reaches_what_it_may_at_the_same_address() {
        let (shop, office) = (ProjectId::new(), ProjectId::new());
        let [api, db] = [1, 2].map(|_| AppId::new());
        let reached = |viewer: ProjectId, app_id, app: &str, number| Reached {
            viewer,
            app_id,
            app: app.to_owned(),
            project: "shop".to_owned(),
            number,
            own: viewer == shop,
        };
        let all =
            [reached(shop, api, "api", 1), reached(shop, db, "db", 300), reached(office, api, "api", 1)];
        let one = Serving {
            instance: InstanceId::new(),
            address: Ipv4Addr::new(10, 50, 0, 12),
            host_port: 20007,
            port: 8080,
            udp: false,
        };
        let viewers = [shop, office].map(|id| Viewer { id, egress: None });
        let spec = spec(viewers.to_vec(), &all, &BTreeMap::from([(api, vec![one.clone()])]));
        let told: Vec<Vec<(&str, String, usize)>> = spec
            .projects
            .iter()
            .map(|project| {
                let told = |service: &Service| service.address.to_string();
                let services = project.services.iter();
                services.map(|one| (one.name.as_str(), told(one), one.backends.len())).collect()
            })
            .collect();
        let api = ("api.shop", "100.96.0.1".to_owned(), 1);
        assert_eq!(told, [vec![api.clone(), ("db.shop", "100.96.1.44".to_owned(), 0)], vec![api]]);
        assert_eq!(
            spec.projects[0].services[0].backends[0].address,
            "10.50.0.12:20007".parse().expect("addr")
        );
    }
}
