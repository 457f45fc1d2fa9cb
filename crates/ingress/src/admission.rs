//! What a request must look like before anything is done with it. hyper has refused by then: bad syntax, differing
//! lengths, a transfer coding that does not end in `chunked`, too many or too large headers. Of a length beside a
//! transfer coding it drops the length (RFC 9112 section 6.3), so that only one reading is passed on, and reads nothing
//! after such a request (section 6.1).

use std::borrow::Cow;

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Request, Version};

use crate::table::host_key;

/// The host that a request names, as a key of the route table; or why the request is refused.
pub(crate) fn host<B>(request: &Request<B>) -> Result<Cow<'_, str>, &'static str> {
    if request.method() == Method::CONNECT {
        return Err("CONNECT is not offered here.");
    }
    if !request.uri().path().starts_with('/') {
        return Err("The request names no path.");
    }
    check_framing(request.version(), request.headers())?;
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err("The request has more than one Host header.");
    }
    let header = match header {
        Some(value) => {
            Some(value.to_str().ok().and_then(host_key).ok_or("The Host header is not a host name.")?)
        }
        None => None,
    };
    match (request.uri().authority(), header) {
        (Some(authority), header) => {
            let named = host_key(authority.as_str()).ok_or("The request's address is not a host name.")?;
            if header.is_some_and(|header| header != named) {
                return Err("The Host header and the request's address name different hosts.");
            }
            Ok(named)
        }
        (None, Some(header)) => Ok(header),
        (None, None) => Err("The request has no Host header."),
    }
}

fn check_framing(version: Version, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(_), None) if version == Version::HTTP_2 => Err("HTTP/2 has no Transfer-Encoding."),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err("The only Transfer-Encoding understood here is a single `chunked`."),
    }
}

/// Whether the request asks to leave HTTP for a protocol that may pass. `h2c` may not: requests inside it would
/// escape the routing.
pub(crate) fn wants_upgrade<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.version() == Version::HTTP_11
        && headers.get(UPGRADE).is_some_and(|protocol| {
            !protocol.as_bytes().split(|byte| *byte == b',').any(|name| {
                let name = name.trim_ascii();
                name.eq_ignore_ascii_case(b"h2c") || name.eq_ignore_ascii_case(b"h2")
            })
        })
        && lists(headers, b"upgrade")
}

fn lists(headers: &HeaderMap, token: &[u8]) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(token))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("request")
    }

    fn host_of(uri: &str, headers: &[(&str, &str)]) -> Result<String, &'static str> {
        host(&request(uri, headers)).map(Cow::into_owned)
    }

    #[test]
    fn the_host_is_taken_without_port_dot_and_case() {
        for value in ["app.test", "APP.test:8443", "app.test.", "app.test.:80"] {
            assert_eq!(host_of("/", &[("host", value)]).as_deref(), Ok("app.test"), "{value}");
        }
        assert_eq!(host_of("http://app.test/x", &[]).as_deref(), Ok("app.test"));
        assert_eq!(host_of("http://app.test/x", &[("host", "app.test")]).as_deref(), Ok("app.test"));
    }

    #[test]
    fn a_request_that_two_readers_could_read_differently_is_refused() {
        for headers in [
            &[][..],
            &[("host", "a.test"), ("host", "b.test")],
            &[("host", "a.test, b.test")],
            &[("host", "user@a.test")],
            &[("host", "a.test/x")],
            &[("host", "a.test:80a")],
            &[("host", "")],
            &[("host", "a.test"), ("transfer-encoding", "gzip, chunked")],
            &[("host", "a.test"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        ] {
            assert!(host_of("/", headers).is_err(), "{headers:?}");
        }
        assert!(host_of("http://a.test/", &[("host", "b.test")]).is_err(), "absolute form against Host");
        assert!(host_of("*", &[("host", "a.test")]).is_err(), "no path");
    }

    #[test]
    fn only_a_listed_upgrade_to_something_else_than_h2_passes() {
        let asks = |connection, protocol| {
            wants_upgrade(&request("/", &[("connection", connection), ("upgrade", protocol)]))
        };
        assert!(asks("keep-alive, Upgrade", "websocket"));
        assert!(!asks("keep-alive", "websocket"));
        assert!(!asks("Upgrade", "h2c"));
        assert!(!asks("Upgrade", "websocket, h2c"));
        assert!(!wants_upgrade(&request("/", &[("connection", "upgrade")])));
    }
}
