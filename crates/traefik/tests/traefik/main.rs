//! Every option of a route through a real Traefik: it takes the table, says nothing about it in its log, and does with
//! requests what the built-in engine does.

mod bed;
mod certificates;

use std::net::SocketAddr;
use std::time::Duration;

use bed::{App, Bed};
use protocol::ids::InstanceId;
use protocol::spec::options::{
    BasicAuth, Eject, HeaderChanges, Maintenance, RateLimit, Redirect, Retry, UpstreamProtocol,
};
use protocol::spec::{ForwardAuth, ProxySpec, Route, RouteOptions, Upstream};

/// bcrypt's own test vector, of the password `U*U`.
const HASH: &str = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
const U_U: &str = "Authorization: Basic YW5uOlUqVQ==";

fn route(id: &str, hosts: &[&str], path: &str, upstreams: &[SocketAddr], options: RouteOptions) -> Route {
    let upstream =
        |address: &SocketAddr| Upstream { instance: InstanceId::new(), address: *address, weight: 1 };
    Route {
        id: id.to_owned(),
        app: id.to_owned(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        path: path.to_owned(),
        upstreams: upstreams.iter().map(upstream).collect(),
        https_only: false,
        options: Box::new(options),
        unavailable: None,
    }
}

fn net(text: &str) -> ipnet::IpNet {
    text.parse().expect("a network")
}

fn redirect(from: &str, to: &str, status: u16) -> Redirect {
    Redirect { from: from.to_owned(), to: to.to_owned(), status }
}

fn none() -> RouteOptions {
    RouteOptions::default()
}

fn guarded(instances: &[SocketAddr]) -> RouteOptions {
    let auth = ForwardAuth {
        instances: instances.to_vec(),
        response_headers: vec!["Remote-User".to_owned()],
        skip: vec!["/public/*".to_owned()],
        ..ForwardAuth::new("app:door/verify")
    };
    RouteOptions { forward_auth: Some(auth), ..none() }
}

/// Not of the world outside: the control plane takes no such address.
fn outside(address: SocketAddr) -> ForwardAuth {
    ForwardAuth::new(format!("http://{address}/verify"))
}

/// One table with everything, and each option's hosts.
fn table(a: &App, b: &App, dead: SocketAddr) -> ProxySpec {
    let one =
        |id: &str, options: RouteOptions| route(id, &[&format!("{id}.test")], "/", &[a.address], options);
    let headers = |set: &[(&str, &str)], remove: &[&str]| HeaderChanges {
        set: set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        remove: remove.iter().map(|name| (*name).to_owned()).collect(),
    };
    let closed = |allow: &[&str]| Maintenance {
        allow: allow.iter().map(|network| net(network)).collect(),
        ..Maintenance::default()
    };
    let users = [("ann".to_owned(), HASH.to_owned())].into();
    let routes = vec![
        route("wild", &["*.paths.test"], "/", &[b.address], none()),
        route("paths", &["paths.test", "own.paths.test"], "/", &[a.address], none()),
        route("api", &["paths.test"], "/api", &[b.address], RouteOptions { strip_prefix: true, ..none() }),
        route("deep", &["paths.test"], "/api/deep", &[a.address], none()),
        route(
            "canonical",
            &["www.moved.test", "moved.test", "*.moved.test"],
            "/",
            &[a.address],
            RouteOptions { canonical_host: Some("www.moved.test".to_owned()), ..none() },
        ),
        one(
            "redirects",
            RouteOptions {
                redirects: vec![
                    redirect("/old", "/new?x=$1", 308),
                    redirect("/a.b", "/dot", 302),
                    redirect("/blog/*", "https://blog.test/*", 301),
                    redirect("/up/*", "/*", 307),
                    redirect("/here/*", "/here/start", 302),
                ],
                ..none()
            },
        ),
        one(
            "headers",
            RouteOptions {
                request_headers: headers(&[("X-Tier", "{{ gold }} $1 `x`")], &["X-Secret"]),
                response_headers: headers(&[("X-Frame-Options", "DENY")], &["X-Powered-By"]),
                ..none()
            },
        ),
        one(
            "auth",
            RouteOptions { basic_auth: Some(BasicAuth { realm: "Staff".to_owned(), users }), ..none() },
        ),
        one("guarded", guarded(&[b.address])),
        one("guardless", guarded(&[])),
        one("outside", RouteOptions { forward_auth: Some(outside(b.address)), ..none() }),
        one("unasked", RouteOptions { forward_auth: Some(outside(dead)), ..none() }),
        one("allowed", RouteOptions { allow: vec![net("127.0.0.0/8"), net("fd00::/8")], ..none() }),
        one("refused", RouteOptions { allow: vec![net("10.0.0.0/8")], ..none() }),
        one(
            "limited",
            RouteOptions { rate_limit: Some(RateLimit { requests: 1, per_s: 60, burst: Some(2) }), ..none() },
        ),
        one("small", RouteOptions { max_body_bytes: Some(10), ..none() }),
        one("compressed", RouteOptions { compress: true, ..none() }),
        route(
            "closed",
            &["closed.test", "www.closed.test"],
            "/",
            &[a.address],
            RouteOptions {
                maintenance: Some(closed(&[])),
                canonical_host: Some("closed.test".to_owned()),
                rate_limit: Some(RateLimit { requests: 1, per_s: 60, burst: None }),
                ..none()
            },
        ),
        one("open", RouteOptions { maintenance: Some(closed(&["127.0.0.1/32"])), ..none() }),
        route(
            "sticky",
            &["sticky.test"],
            "/",
            &[a.address, b.address],
            RouteOptions { sticky: true, ..none() },
        ),
        one("late", RouteOptions { timeout_s: Some(1), ..none() }),
        one("h2c", RouteOptions { upstream_protocol: UpstreamProtocol::H2c, ..none() }),
        route(
            "retried",
            &["retried.test"],
            "/",
            &[dead, a.address],
            RouteOptions { retry: Retry { attempts: 2, ..Retry::default() }, ..none() },
        ),
        route(
            "ejected",
            &["ejected.test"],
            "/",
            &[dead, a.address],
            RouteOptions { eject: Some(Eject { failures: 1, for_s: 600 }), ..none() },
        ),
        one("both", RouteOptions { https_redirect: Some(false), ..none() }),
        Route { https_only: true, ..one("secure", none()) },
        route("nobody", &["nobody.test"], "/", &[], none()),
    ];
    ProxySpec { routes: routes.into_iter().map(Into::into).collect(), ..ProxySpec::default() }
}

#[test]
fn traefik_does_what_the_options_say() {
    let (a, b, agent) = (App::start("a"), App::start("b"), App::start("agent"));
    let dead = bed::free_port();
    let bed = Bed::start(&table(&a, &b, dead), agent.address);
    let log = bed.log();
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains(r#""level":"error""#)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    paths_and_hosts(&bed);
    redirects(&bed);
    headers_and_compression(&bed);
    access(&bed);
    asked(&bed);
    limits(&bed);
    upstreams(&bed, &a);
}

fn paths_and_hosts(bed: &Bed) {
    for (host, path, app, seen) in [
        ("paths.test", "/", "a", "/"),
        ("paths.test", "/api", "b", "/"),
        ("paths.test", "/api/x?y=1", "b", "/x?y=1"),
        ("paths.test", "/apix", "a", "/apix"),
        ("paths.test", "/api/deep/x", "a", "/api/deep/x"),
        ("any.paths.test", "/api", "b", "/api"),
        ("own.paths.test", "/", "a", "/"),
    ] {
        let answer = bed.get(host, path, &[]);
        assert_eq!((answer.app(), answer.path()), (app, seen), "{host}{path}: {answer:?}");
    }
    for host in ["paths.test.evil.test", "a.b.paths.test", "xpaths.test"] {
        assert_eq!(bed.get(host, "/", &[]).status, 404, "{host}");
    }
    let stripped = bed.get("paths.test", "/api/x", &[]);
    assert!(stripped.body.contains("X-Forwarded-Prefix: /api"), "{stripped:?}");
    assert_eq!(bed.get("both.test", "/", &[]).status, 200);
    assert_eq!(bed.get("secure.test", "/", &[]).header("location"), Some("https://secure.test/"));
}

fn redirects(bed: &Bed) {
    let port = bed.web.port();
    for (host, path, status, location) in [
        ("moved.test", "/x?y=1", 301, format!("http://www.moved.test:{port}/x?y=1")),
        ("any.moved.test", "/", 301, format!("http://www.moved.test:{port}/")),
        ("redirects.test", "/old?a=1", 301, format!("http://redirects.test:{port}/new?x=$1")),
        ("redirects.test", "/a.b?q", 302, format!("http://redirects.test:{port}/dot?q")),
        ("redirects.test", "/blog/x/y?q=1", 301, "https://blog.test/x/y?q=1".to_owned()),
        ("redirects.test", "/up//evil.test/", 302, format!("http://redirects.test:{port}/evil.test/")),
        ("redirects.test", "/here/x", 302, format!("http://redirects.test:{port}/here/start")),
    ] {
        let answer = bed.get_at_port(host, path);
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, Some(location.as_str())),
            "{host}{path}"
        );
    }
    for path in ["/axb", "/older", "/here/start", "/x/old"] {
        assert_eq!(bed.get_at_port("redirects.test", path).status, 200, "{path}");
    }
    assert_eq!(bed.get("www.moved.test", "/", &[]).status, 200);
}

fn headers_and_compression(bed: &Bed) {
    let answer = bed.get("headers.test", "/", &["X-Secret: 1"]);
    assert!(answer.body.contains("X-Tier: {{ gold }} $1 `x`"), "{answer:?}");
    assert!(!answer.body.contains("X-Secret"), "{answer:?}");
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("x-powered-by"), None);
    let gzip = &["Accept-Encoding: gzip"];
    assert_eq!(bed.get("compressed.test", "/big.html", gzip).header("content-encoding"), Some("gzip"));
    assert_eq!(bed.get("compressed.test", "/big.bin", gzip).header("content-encoding"), None);
    assert_eq!(bed.get("paths.test", "/big.html", gzip).header("content-encoding"), None);
}

fn access(bed: &Bed) {
    let asked = bed.get("auth.test", "/", &[]);
    assert_eq!(asked.status, 401);
    assert!(asked.header("www-authenticate").is_some_and(|value| value.contains("Staff")), "{asked:?}");
    assert_eq!(bed.get("auth.test", "/", &["Authorization: Basic YW5uOndyb25n"]).status, 401);
    let let_in = bed.get("auth.test", "/", &[U_U]);
    assert_eq!(let_in.status, 200);
    assert!(!let_in.body.contains("Authorization"), "{let_in:?}");
    assert_eq!(bed.get("allowed.test", "/", &[]).status, 200);
    assert_eq!(bed.get("refused.test", "/", &["X-Forwarded-For: 10.0.0.1"]).status, 403);
    // The agent has the page; a stand-in here.
    for host in ["closed.test", "www.closed.test", "closed.test"] {
        assert_eq!(bed.get(host, "/", &[]).app(), "agent", "{host}");
    }
    assert_eq!(bed.get("open.test", "/", &[]).app(), "a");
    assert_eq!(bed.get("nobody.test", "/", &[]).app(), "agent");
}

fn asked(bed: &Bed) {
    let spoofed = "Remote-User: admin";
    let let_in =
        bed.get("guarded.test", "/inside?a=b", &["Cookie: session=ann", spoofed, "Remote_User: admin"]);
    assert_eq!((let_in.app(), let_in.path()), ("a", "/inside?a=b"), "{let_in:?}");
    assert!(let_in.body.contains("Remote-User: ann") && !let_in.body.contains("admin"), "{let_in:?}");
    assert!(!let_in.body.contains("X-Secret"), "{let_in:?}");
    for path in ["/inside?a=b", "/public", "/public/../inside", "/public/%2e%2e/inside"] {
        let refused = bed.get("guarded.test", path, &[spoofed]);
        assert!(matches!(refused.status, 302 | 400), "{path}: {refused:?}");
    }
    let refused = bed.get("guarded.test", "/", &[]);
    assert_eq!((refused.header("location"), refused.header("set-cookie")), (Some("/login"), Some("try=1")));
    let skipped = bed.get("guarded.test", "/public/x", &[spoofed, "Remote_User: admin"]);
    assert_eq!((skipped.app(), skipped.body.contains("admin")), ("a", false), "{skipped:?}");
    assert_eq!(bed.get("guardless.test", "/", &["Cookie: session=ann"]).app(), "agent");
    assert_eq!(bed.get("guardless.test", "/public/x", &[]).app(), "a");
    let away = bed.get("outside.test", "/", &[]);
    assert!(away.header("location").is_some_and(|to| to.starts_with("http://127.0.0.1:")), "{away:?}");
    assert_eq!(bed.get("unasked.test", "/", &[]).status, 500, "never open");
}

fn limits(bed: &Bed) {
    let answers: Vec<u16> = (0..4).map(|_| bed.get("limited.test", "/", &[]).status).collect();
    assert_eq!(answers, [200, 200, 429, 429]);
    assert_eq!(bed.post("small.test", "0123456789").status, 200);
    assert_eq!(bed.post("small.test", "0123456789+").status, 413);
    assert_eq!(bed.get("late.test", "/slow", &[]).status, 504);
}

fn upstreams(bed: &Bed, a: &App) {
    let first = bed.get("sticky.test", "/", &[]);
    let cookie = first.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.starts_with("wisehosting-instance=") && cookie.contains("HttpOnly"), "{cookie}");
    let pair = format!("Cookie: {}", cookie.split(';').next().unwrap_or_default());
    for _ in 0..6 {
        assert_eq!(bed.get("sticky.test", "/", &[&pair]).app(), first.app());
    }
    for _ in 0..4 {
        assert_eq!(bed.get("retried.test", "/", &[]).status, 200);
    }
    let failed = (0..8).filter(|_| bed.get("ejected.test", "/", &[]).status != 200).count();
    assert!(failed <= 1, "{failed} requests went to an instance that is gone");
    // The app does not speak HTTP/2, but sees that it should.
    bed.get("h2c.test", "/", &[]);
    a.saw_http2(Duration::from_secs(5));
}
