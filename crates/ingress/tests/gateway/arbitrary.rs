//! Specs that nobody would write: the table is built all the same, and what it says it serves is found. The fuzz
//! targets in `fuzz/` look for more of these.

use ingress::table::{RouteTable, host_key};
use proptest::prelude::*;
use protocol::spec::{HttpChallenge, ProxySpec, Route, Upstream};

use crate::support::{self, upstream};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9.*:_-]{0,12}",
        "\\PC{0,8}",
        Just("a.test".to_owned()),
        Just("*.a.test".to_owned()),
        Just("[::1]:80".to_owned()),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof!["[/a-c*.%?#]{0,8}", "\\PC{0,8}", Just("/".to_owned()), Just("/a".to_owned())]
}

prop_compose! {
    fn route()(
        id in "[a-c]{0,2}",
        hosts in proptest::collection::vec(name(), 0..4),
        path in path(),
        weights in proptest::collection::vec(any::<u16>(), 0..3),
        https_only: bool,
    ) -> Route {
        let mut route = support::route("", &[]);
        (route.id, route.hosts, route.path, route.https_only) = (id, hosts, path, https_only);
        route.upstreams = weights
            .iter()
            .zip(1..)
            .map(|(weight, port)| Upstream { weight: *weight, ..upstream(([127, 0, 0, 1], port).into()) })
            .collect();
        route
    }
}

prop_compose! {
    fn spec()(
        routes in proptest::collection::vec(route(), 0..6),
        challenges in proptest::collection::vec((name(), path()), 0..3),
    ) -> ProxySpec {
        let challenges = challenges.into_iter().map(|(host, token)| {
            HttpChallenge { host, token, key_authorization: "x".to_owned() }
        });
        let routes = routes.into_iter().map(Into::into).collect();
        ProxySpec { routes, challenges: challenges.collect(), ..ProxySpec::default() }
    }
}

proptest! {
    #[test]
    fn any_spec_becomes_a_table_that_serves_what_it_says(spec in spec()) {
        let (table, problems) = RouteTable::build(&spec);
        let servable = table.servable(&spec);
        for route in &servable.routes {
            for host in &route.hosts {
                prop_assert!(table.find(host, &route.path).is_some(), "{host} {}", route.path);
            }
        }
        for (host, path) in spec.routes.iter().flat_map(|route| route.hosts.iter().map(|host| (host, &route.path))) {
            if let Some(key) = host_key(host) {
                let _ = table.find(&key, path);
                let _ = table.challenge(&key, path);
            }
        }
        prop_assert_eq!(table.succeed(&spec).1, problems);
    }

    #[test]
    fn the_key_of_a_name_is_a_plain_name(authority in prop_oneof![name(), "[a-zA-Z.:\\[\\]@/%0-9-]{0,20}"]) {
        if let Some(key) = host_key(&authority) {
            prop_assert!(!key.is_empty() && !key.contains(['/', '@', '#', '?', ' ', ',', '%', '\\']));
            prop_assert!(!key.bytes().any(|byte| byte.is_ascii_uppercase()));
        }
    }
}
