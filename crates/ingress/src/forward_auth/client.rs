//! Asking. The address was chosen by whoever owns the route, and the proxy stands inside the fleet's networks: so names are
//! resolved here, private addresses are refused, and the connection goes to what was checked. No redirect is followed.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use daemon::address::is_public;
use http::{HeaderMap, Response};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tracing::{debug, error};
use url::{Host, Url};

use super::is_final;
use crate::body::ResponseBody;
use crate::upstream::CONNECT_TIMEOUT;

/// Of an answer that goes to the client; a longer one is none.
const LONGEST_REFUSAL: usize = 256 * 1024;
/// Read of an answer that lets a request on, so that its connection can be used again.
const LONGEST_GRANT: usize = 16 * 1024;
/// How long is waited for the rest of such an answer.
const REST: Duration = Duration::from_millis(200);
/// Connections kept for each address, and for how long.
const MAX_IDLE: usize = 32;
const IDLE: Duration = Duration::from_secs(30);

/// What a service said.
pub(crate) enum Answer {
    Granted(HeaderMap),
    Refused(Box<Response<ResponseBody>>),
}

/// Why it said nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// No connection, a broken one, or an answer that is none.
    Failed,
    Late,
}

/// Asks for all routes, over connections that are kept.
#[derive(Debug, Default)]
pub(crate) struct Asker {
    /// Whoever wrote the table may ask inside, too.
    anywhere: bool,
    client: OnceLock<Option<reqwest::Client>>,
}

impl Asker {
    /// With `anywhere` private addresses are asked, too.
    pub(crate) fn new(anywhere: bool) -> Self {
        Self { anywhere, client: OnceLock::new() }
    }

    /// Judges an address that is written out; a name is judged when it is resolved.
    pub(super) fn may_ask(&self, url: &Url) -> bool {
        let address: IpAddr = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) => return true,
            None => return false,
        };
        self.anywhere || is_public(address.to_canonical())
    }

    pub(super) async fn ask(&self, url: &Url, question: HeaderMap) -> Result<Answer, Unanswered> {
        let client = self.client.get_or_init(|| client(self.anywhere)).as_ref().ok_or(Unanswered::Failed)?;
        let answer = client.get(url.clone()).headers(question).send().await.map_err(|error| {
            debug!(%error, "forward_auth could not ask");
            if error.is_timeout() && !error.is_connect() { Unanswered::Late } else { Unanswered::Failed }
        })?;
        if answer.status().is_success() {
            let headers = answer.headers().clone();
            let _ = tokio::time::timeout(REST, whole(answer, LONGEST_GRANT)).await;
            return Ok(Answer::Granted(headers));
        }
        let (status, headers) = (answer.status(), answer.headers().clone());
        if !is_final(status) {
            return Err(Unanswered::Failed);
        }
        let body = whole(answer, LONGEST_REFUSAL).await.ok_or(Unanswered::Failed)?;
        let mut refusal = Response::new(ResponseBody::full(body));
        *refusal.status_mut() = status;
        *refusal.headers_mut() = headers;
        Ok(Answer::Refused(Box::new(refusal)))
    }
}

/// `None` when it ends before its end, or is longer than `limit`.
async fn whole(mut answer: reqwest::Response, limit: usize) -> Option<Bytes> {
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.ok()? {
        if body.len() + piece.len() > limit {
            return None;
        }
        body.extend_from_slice(&piece);
    }
    Some(body.freeze())
}

fn client(anywhere: bool) -> Option<reqwest::Client> {
    // Each question has its route's time.
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .pool_max_idle_per_host(MAX_IDLE)
        .pool_idle_timeout(IDLE);
    let builder = if anywhere { builder } else { builder.dns_resolver(PublicOnly) };
    builder.build().inspect_err(|error| error!(%error, "forward_auth can ask nobody")).ok()
}

/// Finds public addresses alone.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            public(name.as_str(), found)
        })
    }
}

type Found = Result<Addrs, Box<dyn std::error::Error + Send + Sync>>;

/// All of `found`, if all are public: a name that leads inside as well is a trap.
fn public(name: &str, found: Vec<SocketAddr>) -> Found {
    match found.iter().find(|address| !is_public(address.ip().to_canonical())) {
        Some(inside) => Err(format!("{name} is {}, which is not a public address", inside.ip()).into()),
        None => Ok(Box::new(found.into_iter())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_not_asked_unless_the_table_is_the_operators() {
        for inside in [
            "http://127.0.0.1/",
            "http://[::1]:4180/verify",
            "http://10.50.0.1:8081/",
            "http://169.254.169.254/latest",
            "http://[::ffff:10.0.0.1]/",
            "http://2130706433/",
            "http://0x7f.1/",
        ] {
            let url = inside.parse().expect("a URL");
            assert!(!Asker::default().may_ask(&url), "{inside}");
            assert!(Asker::new(true).may_ask(&url), "{inside}");
        }
        assert!(Asker::default().may_ask(&"https://1.1.1.1/".parse().expect("a URL")));
    }

    #[test]
    fn a_name_that_leads_inside_is_no_name() {
        let at = |text: &str| SocketAddr::new(text.parse().expect("address"), 0);
        assert!(public("a.test", vec![at("1.1.1.1"), at("2606:4700::1111")]).is_ok());
        for found in
            [vec![at("10.50.0.1")], vec![at("1.1.1.1"), at("127.0.0.1")], vec![at("::ffff:10.0.0.1")]]
        {
            assert!(public("a.test", found.clone()).is_err(), "{found:?}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_its_address() {
        let refused = PublicOnly.resolve("localhost".parse().expect("a name")).await.err().expect("loopback");
        assert!(refused.to_string().contains("not a public address"), "{refused}");
    }
}
