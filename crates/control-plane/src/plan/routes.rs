//! The route table: hostname to healthy instances.

use std::net::{Ipv4Addr, SocketAddr};

use protocol::ids::{AppId, InstanceId};
use protocol::report::InstanceState;
use protocol::spec::{Certificate, HttpChallenge, ProxySpec, Route, Upstream};
use uuid::Uuid;

/// The control plane itself, for proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// Host of `base_url`.
    pub host: String,
    /// Its listener for them.
    pub upstream: SocketAddr,
}

/// What the front is called in metrics and logs; no app may have this slug.
const FRONT: &str = "control-plane";

impl Front {
    fn route(&self, https_only: bool) -> Route {
        let upstream = Upstream { instance: InstanceId(Uuid::nil()), address: self.upstream, weight: 1 };
        Route {
            id: FRONT.to_owned(),
            app: FRONT.to_owned(),
            hosts: vec![self.host.clone()],
            path: "/".to_owned(),
            upstreams: vec![upstream],
            https_only,
        }
    }
}

/// An instance that is in rotation.
#[derive(Debug, Clone)]
pub struct Backend {
    pub app_id: AppId,
    pub slug: String,
    pub suffix: String,
    pub instance: InstanceId,
    pub address: Ipv4Addr,
    pub port: u16,
    pub state: InstanceState,
}

impl Backend {
    pub fn host(&self) -> String {
        format!("{}.{}", self.slug, self.suffix)
    }
}

/// The front, then one route per app that has instances in rotation. The ones that do not serve are left out; an app
/// without any keeps its route, so that the proxy can say that it is unavailable. An app that had the front's host
/// before the front did has no route: passwords are typed there.
pub fn routes(front: Option<&Front>, backends: &[Backend], https_only: bool) -> Vec<Route> {
    let is_free = |backend: &&Backend| front.is_none_or(|front| front.host != backend.host());
    let mut backends: Vec<&Backend> = backends.iter().filter(is_free).collect();
    backends.sort_by(|one, other| (&one.slug, one.instance).cmp(&(&other.slug, other.instance)));
    let of_one_app = backends.chunk_by(|one, other| one.app_id == other.app_id);
    let apps = of_one_app.map(|backends| Route {
        id: backends[0].app_id.to_string(),
        app: backends[0].slug.clone(),
        hosts: vec![backends[0].host()],
        path: "/".to_owned(),
        upstreams: backends
            .iter()
            .filter(|backend| backend.state == InstanceState::Healthy)
            .map(|backend| Upstream {
                instance: backend.instance,
                address: SocketAddr::new(backend.address.into(), backend.port),
                weight: 1,
            })
            .collect(),
        https_only,
    });
    front.map(|front| front.route(https_only)).into_iter().chain(apps).collect()
}

/// Everything a proxy needs.
pub fn spec(
    front: Option<&Front>,
    backends: &[Backend],
    mut certificates: Vec<Certificate>,
    mut challenges: Vec<HttpChallenge>,
    https_only: bool,
) -> ProxySpec {
    certificates.sort_by(|one, other| one.hosts.cmp(&other.hosts));
    challenges.sort_by(|one, other| one.token.cmp(&other.token));
    ProxySpec { routes: routes(front, backends, https_only), certificates, challenges }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(app_id: AppId, slug: &str, port: u16, state: InstanceState) -> Backend {
        Backend {
            app_id,
            slug: slug.to_owned(),
            suffix: "route.test".to_owned(),
            instance: InstanceId::new(),
            address: Ipv4Addr::new(10, 50, 0, 2),
            port,
            state,
        }
    }

    #[test]
    fn the_order_of_rows_does_not_change_the_table() {
        let (one, two) = (AppId::new(), AppId::new());
        let mut rows = vec![
            backend(two, "zoo", 20002, InstanceState::Healthy),
            backend(one, "ape", 20000, InstanceState::Healthy),
            backend(one, "ape", 20001, InstanceState::Healthy),
        ];
        let table = routes(None, &rows, true);
        rows.reverse();
        assert_eq!(routes(None, &rows, true), table);
        assert_eq!(table[0].hosts, ["ape.route.test"]);
        assert_eq!(table[0].upstreams.len(), 2);
    }

    #[test]
    fn an_app_whose_instances_all_fail_keeps_a_route_without_upstreams() {
        let app = AppId::new();
        let rows = [
            backend(app, "ape", 20000, InstanceState::Unhealthy),
            backend(app, "ape", 20001, InstanceState::Exited),
        ];
        let table = routes(None, &rows, false);
        assert_eq!(table.len(), 1);
        assert_eq!(table[0].upstreams, []);
    }

    #[test]
    fn the_front_comes_first_and_an_app_cannot_have_its_host() {
        let front =
            Front { host: "ape.route.test".to_owned(), upstream: "10.50.0.1:8082".parse().expect("address") };
        let rows = [
            backend(AppId::new(), "ape", 20000, InstanceState::Healthy),
            backend(AppId::new(), "bee", 20001, InstanceState::Healthy),
        ];
        let table = routes(Some(&front), &rows, true);
        let apps: Vec<&str> = table.iter().map(|route| route.app.as_str()).collect();
        assert_eq!(apps, ["control-plane", "bee"]);
        assert_eq!(table[0].hosts, ["ape.route.test"]);
        assert_eq!(table[0].upstreams[0].address, front.upstream);
        assert!(table[0].https_only);
    }
}
