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
            options: Box::default(),
        }
    }
}

/// An app that the proxies answer for.
#[derive(Debug, Clone)]
pub struct Served {
    pub app_id: AppId,
    pub slug: String,
    pub host: String,
    /// Its instances in rotation.
    pub backends: Vec<Backend>,
}

/// An instance that is in rotation.
#[derive(Debug, Clone)]
pub struct Backend {
    pub instance: InstanceId,
    pub address: Ipv4Addr,
    pub port: u16,
    pub state: InstanceState,
}

/// The front, then one route per app. Instances that do not serve are left out; an app without any, be it stopped or
/// broken, keeps its route, so that the proxy can say that it is unavailable. An app that had the front's host before
/// the front did has no route: passwords are typed there.
pub fn routes(front: Option<&Front>, served: &[Served], https_only: bool) -> Vec<Route> {
    let is_free = |served: &&Served| front.is_none_or(|front| front.host != served.host);
    let mut served: Vec<&Served> = served.iter().filter(is_free).collect();
    served.sort_by(|one, other| one.slug.cmp(&other.slug));
    let apps = served.into_iter().map(|served| Route {
        id: served.app_id.to_string(),
        app: served.slug.clone(),
        hosts: vec![served.host.clone()],
        path: "/".to_owned(),
        upstreams: upstreams(&served.backends),
        https_only,
        options: Box::default(),
    });
    front.map(|front| front.route(https_only)).into_iter().chain(apps).collect()
}

fn upstreams(backends: &[Backend]) -> Vec<Upstream> {
    let healthy = backends.iter().filter(|backend| backend.state == InstanceState::Healthy);
    let mut upstreams: Vec<Upstream> = healthy
        .map(|backend| Upstream {
            instance: backend.instance,
            address: SocketAddr::new(backend.address.into(), backend.port),
            weight: 1,
        })
        .collect();
    upstreams.sort_by_key(|upstream| upstream.instance);
    upstreams
}

/// Everything a proxy needs.
pub fn spec(
    front: Option<&Front>,
    served: &[Served],
    mut certificates: Vec<Certificate>,
    mut challenges: Vec<HttpChallenge>,
    https_only: bool,
) -> ProxySpec {
    certificates.sort_by(|one, other| one.hosts.cmp(&other.hosts));
    challenges.sort_by(|one, other| one.token.cmp(&other.token));
    ProxySpec { routes: routes(front, served, https_only), certificates, challenges, ..ProxySpec::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(slug: &str, backends: Vec<Backend>) -> Served {
        Served { app_id: AppId::new(), slug: slug.to_owned(), host: format!("{slug}.route.test"), backends }
    }

    fn backend(port: u16, state: InstanceState) -> Backend {
        Backend { instance: InstanceId::new(), address: Ipv4Addr::new(10, 50, 0, 2), port, state }
    }

    #[test]
    fn the_order_of_rows_does_not_change_the_table() {
        let healthy = |port| backend(port, InstanceState::Healthy);
        let mut rows =
            vec![served("zoo", vec![healthy(20002)]), served("ape", vec![healthy(20000), healthy(20001)])];
        let table = routes(None, &rows, true);
        rows.reverse();
        rows[0].backends.reverse();
        assert_eq!(routes(None, &rows, true), table);
        assert_eq!(table[0].hosts, ["ape.route.test"]);
        assert_eq!(table[0].upstreams.len(), 2);
    }

    #[test]
    fn an_app_of_which_nothing_serves_keeps_a_route_without_upstreams() {
        let failing = vec![backend(20000, InstanceState::Unhealthy), backend(20001, InstanceState::Exited)];
        let table = routes(None, &[served("ape", failing), served("bee", Vec::new())], false);
        assert_eq!(table.len(), 2);
        assert!(table.iter().all(|route| route.upstreams.is_empty()));
    }

    #[test]
    fn the_front_comes_first_and_an_app_cannot_have_its_host() {
        let front =
            Front { host: "ape.route.test".to_owned(), upstream: "10.50.0.1:8082".parse().expect("address") };
        let rows = [
            served("ape", vec![backend(20000, InstanceState::Healthy)]),
            served("bee", vec![backend(20001, InstanceState::Healthy)]),
        ];
        let table = routes(Some(&front), &rows, true);
        let apps: Vec<&str> = table.iter().map(|route| route.app.as_str()).collect();
        assert_eq!(apps, ["control-plane", "bee"]);
        assert_eq!(table[0].hosts, ["ape.route.test"]);
        assert_eq!(table[0].upstreams[0].address, front.upstream);
        assert!(table[0].https_only);
    }
}
