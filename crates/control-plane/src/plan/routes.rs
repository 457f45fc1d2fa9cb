//! The route table: hostname to healthy instances.

use std::net::{Ipv4Addr, SocketAddr};

use protocol::ids::{AppId, InstanceId};
use protocol::report::InstanceState;
use protocol::spec::{Certificate, HttpChallenge, ProxySpec, Route, Upstream};

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

/// One route per app that has instances in rotation. The ones that do not serve are left out; an app without any
/// keeps its route, so that the proxy can say that it is unavailable.
pub fn routes(backends: &[Backend], https_only: bool) -> Vec<Route> {
    let mut backends: Vec<&Backend> = backends.iter().collect();
    backends.sort_by(|one, other| (&one.slug, one.instance).cmp(&(&other.slug, other.instance)));
    let of_one_app = backends.chunk_by(|one, other| one.app_id == other.app_id);
    of_one_app
        .map(|backends| Route {
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
        })
        .collect()
}

/// Everything a proxy needs.
pub fn spec(
    backends: &[Backend],
    mut certificates: Vec<Certificate>,
    mut challenges: Vec<HttpChallenge>,
    https_only: bool,
) -> ProxySpec {
    certificates.sort_by(|one, other| one.hosts.cmp(&other.hosts));
    challenges.sort_by(|one, other| one.token.cmp(&other.token));
    ProxySpec { routes: routes(backends, https_only), certificates, challenges }
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
        let table = routes(&rows, true);
        rows.reverse();
        assert_eq!(routes(&rows, true), table);
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
        let table = routes(&rows, false);
        assert_eq!(table.len(), 1);
        assert_eq!(table[0].upstreams, []);
    }
}
