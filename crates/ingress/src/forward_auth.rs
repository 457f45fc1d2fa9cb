//! A service outside of the proxy decides on each request, as with Traefik's `forwardAuth` and nginx's `auth_request`.
//! It sees the request's head; 2xx lets the request on, with some headers of the answer, and any other answer is the
//! client's. Whatever goes wrong keeps the door shut.

mod client;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode};
use protocol::spec::ForwardAuth;
use protocol::spec::forward_auth::Target;
use tracing::debug;
use url::Url;

use crate::body::ResponseBody;
use crate::headers;
use crate::options::{Visitor, frames};
use crate::pages::{Page, wants_json};
pub(crate) use client::Asker;
use client::{Answer, Unanswered};

/// On our questions alone. An address that is asked about itself would ask itself, without end.
const QUESTION: HeaderName = HeaderName::from_static("x-wisehosting-forward-auth");
const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who decides on the requests of one route.
#[derive(Debug)]
pub(crate) struct Guard {
    auth: ForwardAuth,
    /// One after the other begins; none when nobody can be asked.
    addresses: Vec<Url>,
    /// They are instances of an app, and hear the host that the visitor asked for.
    is_app: bool,
    next: AtomicUsize,
    shown: Vec<HeaderName>,
    granted: Vec<HeaderName>,
    asker: Arc<Asker>,
}

/// What the service said of a visitor, for the app.
#[derive(Debug, Clone)]
struct Granted(HeaderMap);

impl Guard {
    /// A guard that cannot be asked lets nobody in.
    pub(crate) fn new(auth: &ForwardAuth, asker: Arc<Asker>, report: &mut impl FnMut(String)) -> Self {
        let (addresses, is_app) = match auth.target() {
            Target::Address(address) => (outside(address, &asker, report).into_iter().collect(), false),
            Target::App { path, .. } => {
                let urls = auth.instances.iter().map(|instance| format!("http://{instance}{path}").parse());
                (urls.filter_map(Result::ok).collect(), true)
            }
        };
        let mut names = |list: &[String], side: &str| {
            let mut name_of = |text: &String| {
                let name = HeaderName::try_from(text).ok().filter(|name| !frames(name));
                if name.is_none() {
                    let text = text.escape_debug();
                    report(format!(
                        "has `{text}` in forward_auth.{side}, which is no header that can be passed"
                    ));
                }
                name
            };
            list.iter().filter_map(&mut name_of).collect()
        };
        Self {
            shown: names(&auth.request_headers, "request_headers"),
            granted: names(&auth.response_headers, "response_headers"),
            auth: auth.clone(),
            addresses,
            is_app,
            next: AtomicUsize::new(0),
            asker,
        }
    }

    /// The answer to a request that the service does not let through; what it said of one that it does goes with it.
    pub(crate) async fn refuse<B>(
        &self,
        visitor: Visitor,
        request: &mut Request<B>,
    ) -> Option<Response<ResponseBody>> {
        if self.auth.skips(request.uri().path()) {
            return None;
        }
        let json = wants_json(request.headers());
        if request.headers().contains_key(QUESTION) {
            return Some(Page::AuthUnreachable.respond(json));
        }
        let question = self.question(visitor, request);
        match self.ask(question).await {
            Ok(Answer::Granted(said)) => {
                request.extensions_mut().insert(Granted(self.of_interest(&said)));
                None
            }
            Ok(Answer::Refused(refusal)) => Some(self.relayed(*refusal)),
            Err(Unanswered::Late) => Some(Page::AuthUnavailable.respond(json)),
            Err(Unanswered::Failed) => Some(Page::AuthUnreachable.respond(json)),
        }
    }

    /// Puts what the service said on `request`, and takes off what only the service may say.
    pub(crate) fn introduce<B>(&self, request: &mut Request<B>) {
        let granted = request.extensions_mut().remove::<Granted>();
        let headers = request.headers_mut();
        let spoofed: Vec<HeaderName> = headers
            .keys()
            .filter(|name| self.granted.iter().any(|own| sounds_like(name, own)))
            .cloned()
            .collect();
        for name in spoofed {
            headers.remove(name);
        }
        if let Some(Granted(said)) = granted {
            for (name, value) in &said {
                headers.append(name, value.clone());
            }
        }
    }

    /// Until one answers: a question may be asked twice, and an instance may just have gone.
    async fn ask(&self, question: HeaderMap) -> Result<Answer, Unanswered> {
        let count = self.addresses.len();
        if count == 0 {
            return Err(if self.is_app { Unanswered::Late } else { Unanswered::Failed });
        }
        let limit = Duration::from_secs(self.auth.timeout_s.into());
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let asking = async {
            let again = self.asker.ask(&self.addresses[first % count], question.clone()).await;
            match again {
                Err(Unanswered::Failed) => {
                    self.asker.ask(&self.addresses[first.wrapping_add(1) % count], question).await
                }
                answered => answered,
            }
        };
        tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| {
            debug!(url = %self.auth.url, "no answer of forward_auth in time");
            Err(Unanswered::Late)
        })
    }

    /// The head of the request, as the service sees it.
    fn question<B>(&self, visitor: Visitor, request: &Request<B>) -> HeaderMap {
        let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
        let host = authority.or_else(|| request.headers().get(HOST).map(HeaderValue::as_bytes));
        let host = host.and_then(|host| HeaderValue::from_bytes(host).ok());
        let mut about = headers::about(request.headers());
        if !self.shown.is_empty() {
            let wanted =
                self.shown.iter().flat_map(|name| about.get_all(name).iter().map(move |value| (name, value)));
            about = wanted.map(|(name, value)| (name.clone(), value.clone())).collect();
        }
        about.remove(HOST);
        if let Some(host) = host {
            if self.is_app {
                about.insert(HOST, host.clone());
            }
            about.insert(X_FORWARDED_HOST, host);
        }
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        for (name, text) in [
            (X_FORWARDED_METHOD, request.method().as_str()),
            (X_FORWARDED_PROTO, visitor.scheme.as_str()),
            (X_FORWARDED_URI, path),
            (X_FORWARDED_FOR, &visitor.address.to_canonical().to_string()),
            (QUESTION, "1"),
        ] {
            if let Ok(value) = HeaderValue::from_str(text) {
                about.insert(name, value);
            }
        }
        about
    }

    fn of_interest(&self, said: &HeaderMap) -> HeaderMap {
        let named =
            self.granted.iter().flat_map(|name| said.get_all(name).iter().map(move |value| (name, value)));
        named.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// A service outside means addresses of its own; an app means the host that the visitor asked for.
    fn relayed(&self, mut refusal: Response<ResponseBody>) -> Response<ResponseBody> {
        headers::prepare_response(refusal.headers_mut(), false);
        refusal.headers_mut().remove(CONTENT_LENGTH);
        if let (false, Some(base)) = (self.is_app, self.addresses.first()) {
            let location = refusal.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let whole = location.and_then(|location| base.join(location).ok());
            if let Some(whole) = whole.and_then(|whole| HeaderValue::try_from(whole.as_str()).ok()) {
                refusal.headers_mut().insert(LOCATION, whole);
            }
        }
        refusal
    }
}

/// The address of a service that is no app of ours.
fn outside(address: &str, asker: &Asker, report: &mut impl FnMut(String)) -> Option<Url> {
    let shown = address.escape_debug();
    let url = match address.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        _ => {
            report(format!("asks `{shown}` by forward_auth, which is no http(s) address: nobody gets in"));
            return None;
        }
    };
    if !asker.may_ask(&url) {
        report(format!("asks `{shown}` by forward_auth, which is no public address: nobody gets in"));
        return None;
    }
    Some(url)
}

/// Whether an app might take `name` for `own`: behind CGI and its heirs, `_` and `.` are as good as `-`.
fn sounds_like(name: &HeaderName, own: &HeaderName) -> bool {
    let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'-' };
    name.as_str().bytes().map(plain).eq(own.as_str().bytes().map(plain))
}

/// Statuses that are a whole answer.
fn is_final(status: StatusCode) -> bool {
    !status.is_informational()
}

#[cfg(test)]
mod tests;
