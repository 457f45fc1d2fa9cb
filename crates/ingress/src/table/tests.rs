use proptest::prelude::*;
use protocol::ids::InstanceId;
use protocol::spec::HttpChallenge;
use protocol::spec::options::Redirect;

use super::*;

fn route(id: &str, hosts: &[&str], path: &str) -> Route {
    Route {
        id: id.to_owned(),
        app: id.to_owned(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        path: path.to_owned(),
        upstreams: vec![Upstream {
            instance: InstanceId::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            weight: 1,
        }],
        https_only: false,
        options: Box::default(),
        unavailable: None,
    }
}

fn table(routes: Vec<Route>) -> (RouteTable, Vec<String>) {
    let spec = ProxySpec { routes, ..ProxySpec::default() };
    let (table, problems) = RouteTable::build(&spec);
    (table, problems.iter().map(ToString::to_string).collect())
}

fn found<'a>(table: &'a RouteTable, host: &str, path: &str) -> Option<&'a str> {
    table.find(&host_key(host)?, path).map(|route| &*route.id)
}

#[test]
fn the_longest_prefix_of_whole_segments_wins() {
    let (table, problems) = table(vec![
        route("all", &["app.test"], "/"),
        route("api", &["app.test"], "/api"),
        route("v2", &["app.test"], "/api/v2/"),
    ]);
    assert!(problems.is_empty(), "{problems:?}");
    for (path, id) in [
        ("/", "all"),
        ("/apix", "all"),
        ("/api", "api"),
        ("/api/", "api"),
        ("/api/v2", "v2"),
        ("/api/v2/x", "v2"),
        ("/api/v20", "api"),
    ] {
        assert_eq!(found(&table, "app.test", path), Some(id), "{path}");
    }
    assert_eq!(found(&table, "other.test", "/"), None);
}

#[test]
fn hosts_are_found_whatever_their_case_port_and_trailing_dot() {
    let (table, _) = table(vec![route("a", &["app.test"], "/"), route("six", &["[::1]"], "/")]);
    for host in ["app.test", "APP.Test", "app.test.", "app.test:80", "App.Test.:8443"] {
        assert_eq!(found(&table, host, "/"), Some("a"), "{host}");
    }
    assert_eq!(found(&table, "[::1]:8443", "/"), Some("six"));
    for no_host in ["", ".", ":80", "a b", "a/b", "a@b", "a:b", "a:1:2", "[::1", "[::1]x", "a:123456", ".a"] {
        assert_eq!(host_key(no_host), None, "{no_host}");
    }
}

#[test]
fn a_wildcard_covers_one_label_and_a_name_of_its_own_wins() {
    let routes = vec![
        route("any", &["*.app.test"], "/"),
        route("any-api", &["*.app.test"], "/api"),
        route("own", &["own.app.test"], "/"),
        route("part", &["part.app.test"], "/x"),
        route("deeper", &["*.any.app.test"], "/"),
    ];
    let (table, problems) = table(routes.clone());
    assert!(problems.is_empty(), "{problems:?}");
    for (host, path, id) in [
        ("a.app.test", "/", Some("any")),
        ("A.App.test.:8080", "/api/x", Some("any-api")),
        ("own.app.test", "/api", Some("own")),
        ("part.app.test", "/x/y", Some("part")),
        ("part.app.test", "/api", Some("any-api")),
        ("b.any.app.test", "/", Some("deeper")),
        ("any.app.test", "/", Some("any")),
        ("a.b.app.test", "/", None),
        ("app.test", "/", None),
        ("test", "/", None),
    ] {
        assert_eq!(found(&table, host, path), id, "{host}{path}");
    }
    let servable = table.servable(&ProxySpec { routes: routes.clone(), ..ProxySpec::default() });
    assert_eq!(servable.routes, routes);
    assert_eq!(table.hosts(), 4);
}

#[test]
fn a_wildcard_stands_before_a_name_and_belongs_to_one_route() {
    let (table, problems) = table(vec![
        route("first", &["*.app.test"], "/"),
        route("second", &["*.app.test", "*.", "*.*.app.test", "a.*.test", "*.App.test", "*"], "/"),
    ]);
    assert_eq!(problems.len(), 6, "{problems:?}");
    assert!(problems[0].ends_with("wants `*.app.test/`, which route `first` has already"), "{problems:?}");
    assert_eq!(found(&table, "a.app.test", "/"), Some("first"));
}

#[test]
fn options_that_cannot_be_carried_out_are_named_and_the_others_are() {
    let mut route = route("a", &["a.test"], "/");
    route.options.canonical_host = Some("A.test".to_owned());
    route.options.request_headers.remove = vec!["Host".to_owned()];
    route.options.redirects = vec![Redirect { from: "/x".to_owned(), to: "y".to_owned(), status: 308 }];
    let (table, problems) = table(vec![route]);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.starts_with("route `a` ")), "{problems:?}");
    assert!(table.find("a.test", "/").expect("served").rules.is_some());
}

#[test]
fn what_cannot_be_served_is_named_and_the_rest_is_served() {
    let routes = vec![
        route("nowhere", &[], "/"),
        route("relative", &["a.test"], "api"),
        route("upper", &["A.test", "b.test"], "/"),
        route("first", &["c.test"], "/"),
        route("second", &["c.test"], "/"),
        route("twice", &["d.test", "d.test"], "/"),
    ];
    let (table, problems) = table(routes.clone());
    assert_eq!(
        problems,
        [
            "route `nowhere` has no host",
            "route `relative` has path `api`, which does not start with /",
            "route `upper` has host `A.test`, which is not a lower-case host name",
            "route `second` wants `c.test/`, which route `first` has already",
        ]
    );
    assert_eq!(found(&table, "b.test", "/"), Some("upper"));
    assert_eq!(found(&table, "c.test", "/"), Some("first"));
    assert_eq!(found(&table, "d.test", "/"), Some("twice"));
    let servable = table.servable(&ProxySpec { routes, ..ProxySpec::default() });
    let left: Vec<(&str, &str)> =
        servable.routes.iter().map(|route| (route.id.as_str(), route.hosts[0].as_str())).collect();
    assert_eq!(left, [("upper", "b.test"), ("first", "c.test"), ("twice", "d.test")]);
}

#[test]
fn upstreams_keep_their_connections_and_load_through_a_change() {
    let (before, _) = table(vec![route("a", &["a.test"], "/")]);
    let endpoint = Arc::clone(before.endpoints().next().expect("one"));
    let spec = ProxySpec { routes: vec![route("b", &["b.test"], "/")], ..ProxySpec::default() };
    let (after, _) = before.succeed(&spec);
    assert!(Arc::ptr_eq(&endpoint, after.endpoints().next().expect("one")));
    let (empty, _) = after.succeed(&ProxySpec::default());
    assert_eq!(empty.endpoints().count(), 0);
}

#[test]
fn a_challenge_is_found_by_host_and_token() {
    let challenge = |host: &str, token: &str| HttpChallenge {
        host: host.to_owned(),
        token: token.to_owned(),
        key_authorization: format!("{token}.key"),
    };
    let spec = ProxySpec {
        challenges: vec![challenge("a.test", "one"), challenge("a.test", "two"), challenge("b.test", "../x")],
        ..ProxySpec::default()
    };
    let (table, problems) = RouteTable::build(&spec);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(table.challenge("a.test", "two"), Some("two.key"));
    assert_eq!(table.challenge("a.test", "three"), None);
    assert_eq!(table.challenge("b.test", "one"), None);
}

/// The rule, without any index: of the routes of a host whose path covers the request's, the longest; of equals, the
/// first.
fn model<'a>(routes: &'a [Route], host: &str, path: &str) -> Option<&'a str> {
    let segments = |path: &str| -> Vec<String> { path.split('/').skip(1).map(str::to_owned).collect() };
    let mut best: Option<(usize, &str)> = None;
    for route in routes.iter().filter(|route| route.hosts.iter().any(|known| known == host)) {
        let prefix: Vec<String> = segments(route.path.trim_end_matches('/'));
        let covered = segments(path).starts_with(&prefix);
        if covered && best.is_none_or(|(length, _)| prefix.len() > length) {
            best = Some((prefix.len(), &route.id));
        }
    }
    best.map(|(_, id)| id)
}

proptest! {
    #[test]
    fn lookup_agrees_with_the_rule(
        routes in proptest::collection::vec(
            (proptest::collection::vec("[ab]\\.test", 1..3), "(/[xy]{1,2}){0,3}/?"), 0..12),
        requests in proptest::collection::vec(("[abc]\\.test", "(/[xy]{0,2}){1,4}"), 1..20),
    ) {
        let routes: Vec<Route> = routes
            .iter()
            .enumerate()
            .map(|(index, (hosts, path))| {
                let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
                route(&index.to_string(), &hosts, if path.is_empty() { "/" } else { path })
            })
            .collect();
        let (table, _) = table(routes.clone());
        for (host, path) in &requests {
            prop_assert_eq!(found(&table, host, path), model(&routes, host, path), "{} {}", host, path);
        }
    }

    #[test]
    fn no_authority_panics(text in "\\PC{0,40}") {
        let _ = host_key(&text);
    }
}
