use proptest::prelude::*;
use protocol::ids::InstanceId;
use protocol::spec::Upstream;
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
    let (table, problems) = RouteTable::build(&spec(&routes));
    (table, problems.iter().map(ToString::to_string).collect())
}

fn spec(routes: &[Route]) -> ProxySpec {
    ProxySpec { routes: routes.iter().cloned().map(Arc::new).collect(), ..ProxySpec::default() }
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
    let servable = table.servable(&spec(&routes));
    assert_eq!(servable, spec(&routes));
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
    let servable = table.servable(&spec(&routes));
    let left: Vec<(&str, &str)> =
        servable.routes.iter().map(|route| (route.id.as_str(), route.hosts[0].as_str())).collect();
    assert_eq!(left, [("upper", "b.test"), ("first", "c.test"), ("twice", "d.test")]);
}

#[test]
fn upstreams_keep_their_connections_and_load_through_a_change() {
    let (before, _) = table(vec![route("a", &["a.test"], "/")]);
    let endpoint = Arc::clone(before.endpoints().next().expect("one"));
    let (after, _) = before.succeed(&spec(&[route("b", &["b.test"], "/")]));
    assert!(Arc::ptr_eq(&endpoint, after.endpoints().next().expect("one")));
    let (empty, _) = after.succeed(&ProxySpec::default());
    assert_eq!(empty.endpoints().count(), 0);
}

#[test]
fn an_unchanged_route_keeps_its_very_entry_and_a_changed_one_its_load() {
    let mut routes: Vec<Route> =
        ["a", "b", "c", "d"].map(|id| route(id, &[&format!("{id}.test")], "/")).to_vec();
    let (before, _) = table(routes.clone());
    let endpoint = Arc::clone(before.endpoints().next().expect("one"));
    let _under_way = endpoint.begin();
    routes[1].https_only = true;
    routes.swap(0, 3);
    routes.insert(2, route("new", &["new.test"], "/"));
    let (after, problems) = before.succeed(&spec(&routes));
    assert_eq!(problems, []);
    for (host, kept) in [("a.test", true), ("b.test", false), ("c.test", true), ("d.test", true)] {
        let [old, new] = [&before, &after].map(|table| table.find(host, "/").expect(host));
        assert_eq!(Arc::ptr_eq(old, new), kept, "{host}");
    }
    let changed = after.find("b.test", "/").expect("b");
    assert!(changed.https_only);
    assert_eq!(changed.upstreams.pick(&[], None).expect("one").in_flight(), 1);
    routes.clear();
    let (empty, _) = after.succeed(&spec(&routes));
    assert_eq!((empty.hosts(), empty.endpoints().count()), (0, 0));
}

#[test]
fn what_was_left_out_is_told_again_and_served_as_soon_as_it_can_be() {
    let routes = vec![
        route("first", &["a.test"], "/"),
        route("second", &["a.test", "b.test"], "/"),
        route("third", &["c.test"], "/"),
    ];
    let (before, problems) = table(routes.clone());
    assert_eq!(problems, ["route `second` wants `a.test/`, which route `first` has already"]);
    let (again, problems) = before.succeed(&spec(&routes));
    assert_eq!(problems.len(), 1, "{problems:?}");
    let (after, problems) = again.succeed(&spec(&routes[1..]));
    assert_eq!(problems, []);
    assert_eq!(found(&after, "a.test", "/"), Some("second"));
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

/// Routes as they come in a spec; some want what others have, or cannot be served at all.
fn any_routes() -> impl Strategy<Value = Vec<Route>> {
    let any = ("[a-f]", proptest::collection::vec("(\\*\\.)?[abA]\\.test", 0..3), "(/[xy]?)?", 1..4_u16);
    proptest::collection::vec(any, 0..8).prop_map(|routes| {
        let made = routes.into_iter().map(|(id, hosts, path, port)| {
            let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
            let mut made = route(&id, &hosts, &path);
            made.upstreams[0].address.set_port(port);
            made
        });
        made.collect()
    })
}

/// What a table shows of itself.
fn shown(table: &RouteTable, spec: &ProxySpec) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut found = Vec::new();
    for host in ["a.test", "b.test", "z.a.test", "z.b.test"] {
        for path in ["/", "/x", "/y/z"] {
            let entry = table.find(host, path);
            found.push(entry.map(|entry| {
                let upstream = entry.upstreams.pick(&[], None).map(|endpoint| endpoint.address());
                (entry.id.to_string(), upstream)
            }));
        }
    }
    let mut endpoints: Vec<_> = table.endpoints().map(|endpoint| endpoint.address()).collect();
    endpoints.sort();
    (found, endpoints, table.hosts(), table.servable(spec).routes)
}

proptest! {
    #[test]
    fn a_table_that_succeeds_others_is_the_one_built_from_nothing(
        all in proptest::collection::vec(any_routes(), 1..6),
        edits in proptest::collection::vec((0..8_usize, 0..8_usize, any::<bool>()), 6),
    ) {
        let mut table = RouteTable::default();
        let mut before: Vec<Arc<Route>> = Vec::new();
        for (routes, (from, to, copied)) in all.into_iter().zip(edits) {
            let routes: Vec<_> = routes.into_iter().map(Arc::new).collect();
            // Either another list, or the one before with a piece of it exchanged.
            let (from, to) = (from.min(before.len()), to.min(before.len()));
            if from < to {
                before.splice(from..to, routes);
            } else {
                before = routes;
            }
            if copied {
                // Equal, and not the very same any more.
                before = spec(&before.iter().map(|route| Route::clone(route)).collect::<Vec<_>>()).routes;
            }
            let spec = ProxySpec { routes: before.clone(), ..ProxySpec::default() };
            let (built, told) = RouteTable::build(&spec);
            let (next, problems) = table.succeed(&spec);
            prop_assert_eq!(problems, told);
            prop_assert_eq!(shown(&next, &spec), shown(&built, &spec));
            table = next;
        }
    }

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
