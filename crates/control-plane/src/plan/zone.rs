//! The route table of direct zones: what one worker answers for by itself.

use std::net::Ipv4Addr;
use std::sync::Arc;

use protocol::report::InstanceState;
use protocol::spec::ProxySpec;

use super::routes::{Backend, Served, routes};

/// Requests stay on the worker as long as one of the app's instances there serves; else they go to those elsewhere,
/// over the mesh. There is no TLS: certificates are the proxies'.
pub fn spec(worker: Ipv4Addr, mut served: Vec<Served>) -> ProxySpec {
    for app in &mut served {
        let is_here =
            |backend: &Backend| backend.address == worker && backend.state == InstanceState::Healthy;
        if app.backends.iter().any(is_here) {
            app.backends.retain(|backend| backend.address == worker);
        }
    }
    let routes = routes(None, &served, false).into_iter().map(Arc::new).collect();
    ProxySpec { routes, ..ProxySpec::default() }
}

#[cfg(test)]
mod tests {
    use protocol::ids::{AppId, InstanceId};
    use protocol::spec::{RouteOptions, Unavailable};

    use super::super::routes::Site;
    use super::*;

    const HERE: Ipv4Addr = Ipv4Addr::new(10, 50, 0, 2);
    const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 50, 0, 3);

    fn table(backends: &[(Ipv4Addr, u16, InstanceState)]) -> ProxySpec {
        let backend = |&(address, port, state): &(Ipv4Addr, u16, InstanceState)| Backend {
            instance: InstanceId::new(),
            address,
            port,
            state,
            unreached: false,
        };
        let site = Site {
            host: "ape.de.test".to_owned(),
            domain: None,
            options: RouteOptions::default(),
            branches: Vec::new(),
        };
        let ape = Served {
            app_id: AppId::new(),
            slug: "ape".to_owned(),
            stopped: false,
            starting: false,
            options: RouteOptions::default(),
            sites: vec![site],
            backends: backends.iter().map(backend).collect(),
        };
        spec(HERE, vec![ape])
    }

    fn ports(spec: &ProxySpec) -> Vec<u16> {
        spec.routes[0].upstreams.iter().map(|upstream| upstream.address.port()).collect()
    }

    #[test]
    fn requests_stay_on_the_worker_while_an_instance_there_serves() {
        let healthy = InstanceState::Healthy;
        assert_eq!(ports(&table(&[(ELSEWHERE, 20001, healthy), (HERE, 20002, healthy)])), [20002]);
        let failing = [(HERE, 20002, InstanceState::Unhealthy), (ELSEWHERE, 20001, healthy)];
        assert_eq!(ports(&table(&failing)), [20001]);
    }

    #[test]
    fn an_app_that_serves_nowhere_keeps_its_route_and_nothing_is_redirected_to_https() {
        let table = table(&[]);
        assert_eq!(table.routes[0].hosts, ["ape.de.test"]);
        assert_eq!(table.routes[0].unavailable, Some(Unavailable::Unhealthy));
        assert!(!table.routes[0].https_only && table.certificates.is_empty());
    }
}
