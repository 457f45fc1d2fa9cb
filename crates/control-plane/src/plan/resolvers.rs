//! Zones whose certificates a Traefik orders by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::spec::ProxySpec;

/// Puts `resolvers`, by host name, into a table. What they order for is served over HTTPS, also where nothing else is.
pub fn put(spec: &mut ProxySpec, resolvers: BTreeMap<String, String>) {
    for route in &mut spec.routes {
        if route.hosts.iter().any(|host| resolvers.contains_key(host)) {
            Arc::make_mut(route).https_only = route.options.https_redirect != Some(false);
        }
    }
    spec.resolvers = resolvers;
}

#[cfg(test)]
mod tests {
    use protocol::spec::{Route, RouteOptions};

    use super::*;

    fn route(host: &str, https_redirect: Option<bool>) -> Route {
        Route {
            id: host.to_owned(),
            app: host.to_owned(),
            hosts: vec![host.to_owned()],
            path: "/".to_owned(),
            upstreams: Vec::new(),
            unavailable: None,
            https_only: false,
            options: Box::new(RouteOptions { https_redirect, ..RouteOptions::default() }),
        }
    }

    #[test]
    fn names_of_a_resolver_are_led_to_https_unless_people_said_otherwise() {
        let routes = [route("a.test", None), route("b.test", Some(false)), route("c.test", None)];
        let routes = routes.map(Arc::new).to_vec();
        let mut spec = ProxySpec { routes, ..ProxySpec::default() };
        put(&mut spec, ["a.test", "b.test"].map(|host| (host.to_owned(), "le".to_owned())).into());
        assert_eq!(
            spec.routes.iter().map(|route| route.https_only).collect::<Vec<_>>(),
            [true, false, false]
        );
        assert_eq!(spec.resolvers.len(), 2);
    }
}
