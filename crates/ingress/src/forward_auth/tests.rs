use http::Method;

use super::*;
use crate::server::Scheme;

fn guard(auth: &ForwardAuth) -> Guard {
    Guard::new(auth, Arc::new(Asker::default()), &mut |problem| panic!("{problem}"))
}

fn visitor() -> Visitor {
    Visitor { address: [192, 0, 2, 7].into(), scheme: Scheme::Https }
}

fn get<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[test]
fn the_service_sees_the_request_and_what_the_client_says_of_its_origin_is_replaced() {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/a?b=c")
        .header("host", "app.test:8443")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("authorization", "Bearer x")
        .header("content-length", "5")
        .header("connection", "upgrade, x-hop")
        .header("upgrade", "websocket")
        .header("x-hop", "1")
        .header("x-forwarded-for", "1.1.1.1")
        .header("x-forwarded-user", "admin")
        .header("x-forwarded-uri", "/public")
        .body(())
        .expect("request");
    let seen = guard(&ForwardAuth::new("https://auth.test/verify")).question(visitor(), &request);
    for (name, value) in [
        ("cookie", Some("a=1; b=2")),
        ("authorization", Some("Bearer x")),
        ("x-forwarded-method", Some("POST")),
        ("x-forwarded-proto", Some("https")),
        ("x-forwarded-host", Some("app.test:8443")),
        ("x-forwarded-uri", Some("/a?b=c")),
        ("x-forwarded-for", Some("192.0.2.7")),
        ("x-forwarded-user", None),
        ("host", None),
        ("content-length", None),
        ("upgrade", None),
        ("connection", None),
        ("x-hop", None),
    ] {
        assert_eq!(get(&seen, name), value, "{name}");
    }
    let some =
        ForwardAuth { request_headers: vec!["Cookie".to_owned()], ..ForwardAuth::new("app:auth/verify") };
    let seen = guard(&some).question(visitor(), &request);
    assert_eq!((get(&seen, "cookie"), get(&seen, "authorization")), (Some("a=1; b=2"), None));
    assert_eq!(get(&seen, "host"), Some("app.test:8443"), "an app hears the visitor's host");
}

#[test]
fn what_only_the_service_may_say_is_taken_off_however_it_is_written() {
    let response_headers = vec!["Remote-User".to_owned(), "X-Forwarded-User".to_owned()];
    let guard = guard(&ForwardAuth { response_headers, ..ForwardAuth::new("app:auth") });
    let mut request = Request::builder()
        .uri("/")
        .header("remote-user", "admin")
        .header("remote_user", "admin")
        .header("x_forwarded-user", "admin")
        .header("remote.user", "admin")
        .header("remote-users", "kept")
        .body(())
        .expect("request");
    let said = HeaderMap::from_iter([
        (HeaderName::from_static("x-forwarded-user"), HeaderValue::from_static("ann")),
        (HeaderName::from_static("x-other"), HeaderValue::from_static("1")),
    ]);
    request.extensions_mut().insert(Granted(guard.of_interest(&said)));
    guard.introduce(&mut request);
    assert_eq!(request.headers().len(), 2, "{:?}", request.headers());
    assert_eq!(get(request.headers(), "x-forwarded-user"), Some("ann"));
    assert_eq!(get(request.headers(), "remote-users"), Some("kept"));
}

#[test]
fn what_cannot_be_asked_is_reported() {
    let problems = |auth: &ForwardAuth| {
        let mut problems = Vec::new();
        let guard = Guard::new(auth, Arc::default(), &mut |problem| problems.push(problem));
        (problems.len(), guard.addresses.len())
    };
    for url in ["ftp://auth.test/", "auth.test/verify", "http://10.50.0.1:8081/", "http://localhost:x/", ""] {
        assert_eq!(problems(&ForwardAuth::new(url)), (1, 0), "{url}");
    }
    let headers = ["a b", "Content-Length", "Host"].map(str::to_owned).to_vec();
    assert_eq!(problems(&ForwardAuth { response_headers: headers, ..ForwardAuth::new("app:auth") }), (3, 0));
}

#[test]
fn a_path_of_a_service_outside_stays_there_and_one_of_an_app_stays_here() {
    let leads = |url: &str, location: &'static str| {
        let mut refusal = Response::new(ResponseBody::empty());
        refusal.headers_mut().insert(LOCATION, HeaderValue::from_static(location));
        refusal.headers_mut().insert("connection", HeaderValue::from_static("close"));
        let relayed = guard(&ForwardAuth::new(url)).relayed(refusal);
        assert!(!relayed.headers().contains_key("connection"));
        get(relayed.headers(), "location").map(str::to_owned)
    };
    assert_eq!(leads("https://auth.test/verify", "/login?a").as_deref(), Some("https://auth.test/login?a"));
    assert_eq!(leads("https://auth.test/verify", "https://b.test/x").as_deref(), Some("https://b.test/x"));
    assert_eq!(leads("app:auth/verify", "/login?a").as_deref(), Some("/login?a"));
}
