//! A client's requests go to the same instance, by a cookie. Its value is a hash keyed with the instance's id, which
//! nobody outside knows: it reveals nothing, and all proxies understand it without having to agree on a secret.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{COOKIE, HeaderMap, HeaderValue};
use protocol::spec::{Route, Upstream};
use sha2::Sha256;

/// As Traefik has it from us.
const NAME: &str = "wisehosting-instance";
/// Of 32; enough that none is guessed, and none meets another.
const BYTES: usize = 16;

/// The instances of a route by the values of their cookies.
#[derive(Debug)]
pub(crate) struct Sticky {
    members: Vec<(Box<str>, SocketAddr)>,
    path: Box<str>,
}

impl Sticky {
    pub(crate) fn new(route: &Route) -> Self {
        let value_of = |upstream: &Upstream| (value(&route.app, upstream), upstream.address);
        let path = route.path.trim_end_matches('/');
        // What would end the attribute makes the cookie one of the whole host.
        let whole = path.is_empty() || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
        Self {
            members: route.upstreams.iter().map(value_of).collect(),
            path: if whole { "/" } else { path }.into(),
        }
    }

    /// The instance that a client was with before, if it is still there. Of several cookies, which come from paths
    /// above this one, the first that is known.
    pub(crate) fn wanted(&self, headers: &HeaderMap) -> Option<SocketAddr> {
        let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookies =
            texts.flat_map(|text| text.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        let mut values = cookies.filter(|(name, _)| *name == NAME).map(|(_, value)| value);
        values.find_map(|value| {
            self.members.iter().find(|(known, _)| **known == *value).map(|(_, address)| *address)
        })
    }

    /// What makes a client come back to `address`.
    pub(crate) fn cookie(&self, address: SocketAddr, secure: bool) -> Option<HeaderValue> {
        let (value, _) = self.members.iter().find(|(_, known)| *known == address)?;
        let secure = if secure { "; Secure" } else { "" };
        let path = &self.path;
        HeaderValue::try_from(format!("{NAME}={value}; Path={path}; HttpOnly; SameSite=Lax{secure}")).ok()
    }
}

fn value(app: &str, upstream: &Upstream) -> Box<str> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(upstream.instance.0.as_bytes()).expect("any key length is fine");
    mac.update(b"sticky ");
    mac.update(app.as_bytes());
    let digest = mac.finalize().into_bytes();
    URL_SAFE_NO_PAD.encode(&digest[..BYTES]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ids::InstanceId;
    use protocol::spec::RouteOptions;

    fn route(path: &str) -> Route {
        let upstream = |port| Upstream {
            instance: InstanceId::new(),
            address: SocketAddr::from(([192, 0, 2, 1], port)),
            weight: 1,
        };
        Route {
            id: "a".to_owned(),
            app: "a".to_owned(),
            hosts: vec!["a.test".to_owned()],
            path: path.to_owned(),
            upstreams: vec![upstream(1), upstream(2)],
            unavailable: None,
            https_only: false,
            options: Box::<RouteOptions>::default(),
        }
    }

    fn headers(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|text| (COOKIE, HeaderValue::try_from(*text).expect("value"))).collect()
    }

    #[test]
    fn a_cookie_leads_back_to_its_instance_and_a_new_table_knows_it() {
        let route = route("/shop/");
        let second = route.upstreams[1].address;
        let cookie = Sticky::new(&route).cookie(second, true).expect("a cookie");
        let cookie = cookie.to_str().expect("text");
        let (pair, attributes) = cookie.split_once("; ").expect("attributes");
        assert_eq!(attributes, "Path=/shop; HttpOnly; SameSite=Lax; Secure");
        let sticky = Sticky::new(&route);
        assert_eq!(sticky.wanted(&headers(&["a=1", &format!("b=2;{pair}; c=3")])), Some(second));
        assert_eq!(sticky.wanted(&headers(&[&format!("{NAME}=gone; {pair}")])), Some(second));
        assert_eq!(sticky.wanted(&headers(&[&format!("x{pair}"), NAME])), None);
        assert!(Sticky::new(&self::route("/")).wanted(&headers(&[pair])).is_none(), "another instance");
    }

    #[test]
    fn plain_http_gets_a_cookie_too_and_no_path_ends_the_attribute() {
        let route = route("/a;b");
        let cookie = Sticky::new(&route).cookie(route.upstreams[0].address, false).expect("a cookie");
        assert!(cookie.to_str().expect("text").ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie:?}");
    }
}
