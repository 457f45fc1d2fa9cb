//! Headers on their way through: what belongs to one connection stays behind (RFC 9110 section 7.6.1), and what says
//! where a request came from is ours to say.

use std::net::IpAddr;

use http::header::{
    self, CONNECTION, COOKIE, EXPECT, FORWARDED, HOST, HeaderName, HeaderValue, TE, TRAILER, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Uri, Version};

use crate::server::Scheme;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What requests of one connection tell the upstream about it. Made once per connection.
#[derive(Debug)]
pub(crate) struct Origin {
    address: HeaderValue,
    proto: HeaderValue,
    forwarded: HeaderValue,
}

impl Origin {
    pub(crate) fn new(client: IpAddr, scheme: Scheme) -> Self {
        let client = client.to_canonical();
        let proto = scheme.as_str();
        let forwarded = match client {
            IpAddr::V4(address) => format!("for={address};proto={proto}"),
            IpAddr::V6(address) => format!("for=\"[{address}]\";proto={proto}"),
        };
        let value = |text: String| HeaderValue::try_from(text).expect("addresses are visible ASCII");
        Self {
            address: value(client.to_string()),
            proto: HeaderValue::from_static(proto),
            forwarded: value(forwarded),
        }
    }
}

/// Makes `request` fit for the upstream. `upgrade` keeps the two headers that ask for it.
pub(crate) fn prepare_request<B>(request: &mut Request<B>, origin: &Origin, upgrade: bool) {
    let protocol = upgrade.then(|| request.headers_mut().remove(UPGRADE)).flatten();
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    if authority.is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    }
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    let trailers = takes_trailers(headers);
    remove(headers, |name| name == EXPECT.as_str() || tells_origin(name));
    if let Some(host) = authority.and_then(|authority| HeaderValue::try_from(authority).ok()) {
        headers.insert(HOST, host);
    }
    join_cookies(headers);
    headers.insert(X_FORWARDED_FOR, origin.address.clone());
    headers.insert(X_FORWARDED_PROTO, origin.proto.clone());
    if let Some(host) = headers.get(HOST).cloned() {
        headers.insert(X_FORWARDED_HOST, host);
    }
    headers.insert(FORWARDED, origin.forwarded.clone());
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    } else if trailers {
        // Asked for anew, as it holds for one connection (RFC 9110 section 10.1.4). gRPC servers insist on it.
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// A request's own headers for somebody who is asked about it: without those of its connection and its body, and without
/// what it says of its origin.
pub(crate) fn about(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    remove(&mut headers, |name| {
        tells_origin(name) || ["expect", "content-length", "trailer"].contains(&name)
    });
    join_cookies(&mut headers);
    headers
}

/// Whether the sender reads trailers (`TE: trailers`).
fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(TE).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

/// Drops trailers that would change how the message, its sender or its way is understood by someone who merges them
/// into the header (RFC 9110 section 6.5.1).
pub(crate) fn prepare_trailers(trailers: &mut HeaderMap) {
    const EARLY: [HeaderName; 12] = [
        TRAILER,
        HOST,
        COOKIE,
        EXPECT,
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::MAX_FORWARDS,
        header::SET_COOKIE,
    ];
    remove(trailers, |name| tells_origin(name) || EARLY.iter().any(|early| name == early.as_str()));
}

/// Makes an upstream's answer fit for the client. `upgrade` keeps the two headers that grant it.
pub(crate) fn prepare_response(headers: &mut HeaderMap, upgrade: bool) {
    let protocol = upgrade.then(|| headers.remove(UPGRADE)).flatten();
    remove(headers, |_| false);
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// Drops what belongs to one connection, and what is `unwanted`. Looks at the names that are there, because looking up
/// each that might be there costs several times as much.
fn remove(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    // Of what is listed stays that without which the message would mean something else; naming it there is an attack,
    // not a wish.
    let listed = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| *name != HOST && *name != http::header::CONTENT_LENGTH);
    let found =
        headers.keys().filter(|name| is_hop_by_hop(name.as_str()) || unwanted(name.as_str())).cloned();
    let all: Vec<HeaderName> = listed.chain(found).collect();
    for name in all {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
    )
}

/// Whether a field says where a request came from, which is ours to say, or might to an app that takes `_` for `-`, as
/// those behind CGI and its heirs do.
fn tells_origin(name: &str) -> bool {
    if !name.contains('_') {
        return name.starts_with("x-forwarded-") || name == "forwarded" || name == "x-real-ip";
    }
    let plain = name.replace('_', "-");
    plain.starts_with("x-forwarded-")
        || ["x-real-ip", "content-length", "transfer-encoding"].contains(&plain.as_str())
}

/// HTTP/2 clients may send one field per cookie (RFC 9113 section 8.2.3); HTTP/1.1 has one for all.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(request: http::request::Builder, upgrade: bool) -> Request<()> {
        let mut request = request.body(()).expect("request");
        let origin = Origin::new(IpAddr::from([192, 0, 2, 7]), Scheme::Https);
        prepare_request(&mut request, &origin, upgrade);
        request
    }

    fn get<'a>(request: &'a Request<()>, name: &str) -> Option<&'a str> {
        request.headers().get(name).and_then(|value| value.to_str().ok())
    }

    #[test]
    fn what_a_client_says_about_its_origin_is_replaced() {
        let request = prepared(
            Request::builder()
                .uri("/x")
                .header("host", "App.test:8443")
                .header("x-forwarded-for", "1.1.1.1")
                .header("x-forwarded-for", "2.2.2.2")
                .header("x-forwarded-prefix", "/admin")
                .header("forwarded", "for=3.3.3.3")
                .header("x-real-ip", "4.4.4.4"),
            false,
        );
        assert_eq!(get(&request, "x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(request.headers().get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(get(&request, "x-forwarded-proto"), Some("https"));
        assert_eq!(get(&request, "x-forwarded-host"), Some("App.test:8443"));
        assert_eq!(get(&request, "forwarded"), Some("for=192.0.2.7;proto=https"));
        assert_eq!(get(&request, "x-forwarded-prefix"), None);
        assert_eq!(get(&request, "x-real-ip"), None);
    }

    #[test]
    fn connection_headers_stay_behind_but_the_message_stays_whole() {
        let request = prepared(
            Request::builder()
                .uri("/x")
                .header("host", "app.test")
                .header("content-length", "3")
                .header("connection", "close, X-Secret, Content-Length, Host, X-Forwarded-For")
                .header("x-secret", "1")
                .header("keep-alive", "timeout=5")
                .header("te", "gzip")
                .header("proxy-authorization", "Basic x")
                .header("upgrade", "websocket"),
            false,
        );
        for gone in ["connection", "x-secret", "keep-alive", "te", "proxy-authorization", "upgrade"] {
            assert_eq!(get(&request, gone), None, "{gone}");
        }
        assert_eq!(get(&request, "content-length"), Some("3"));
        assert_eq!(get(&request, "host"), Some("app.test"));
        assert_eq!(get(&request, "x-forwarded-for"), Some("192.0.2.7"));
    }

    #[test]
    fn an_http2_request_becomes_a_plain_http1_request() {
        let request = prepared(
            Request::builder()
                .version(Version::HTTP_2)
                .uri("https://app.test/x?y=1")
                .header("cookie", "a=1")
                .header("cookie", "b=2"),
            false,
        );
        assert_eq!(request.uri().to_string(), "/x?y=1");
        assert_eq!(request.version(), Version::HTTP_11);
        assert_eq!(get(&request, "host"), Some("app.test"));
        assert_eq!(get(&request, "cookie"), Some("a=1; b=2"));
    }

    #[test]
    fn a_client_that_reads_trailers_is_sent_them() {
        let request = prepared(Request::builder().uri("/").header("te", "gzip, Trailers"), false);
        assert_eq!(get(&request, "te"), Some("trailers"));
        assert_eq!(get(&request, "connection"), Some("te"));
    }

    #[test]
    fn trailers_that_mean_something_before_the_body_are_dropped() {
        let mut trailers = HeaderMap::new();
        for name in
            ["grpc-status", "content-length", "transfer-encoding", "host", "x-forwarded-for", "set-cookie"]
        {
            trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        prepare_trailers(&mut trailers);
        assert_eq!(trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status"]);
    }

    #[test]
    fn an_upgrade_keeps_its_two_headers() {
        let request = prepared(
            Request::builder()
                .uri("/")
                .header("host", "app.test")
                .header("connection", "keep-alive, Upgrade")
                .header("upgrade", "websocket"),
            true,
        );
        assert_eq!(get(&request, "connection"), Some("upgrade"));
        assert_eq!(get(&request, "upgrade"), Some("websocket"));
    }
}
