//! What a route does with its requests beyond sending them on. Everything is parsed when the table is built; a route
//! without options has no [`Rules`], and its requests ask for nothing here.
//!
//! A request passes in this order, after the gateway has answered ACME challenges, refused misdirected requests and
//! led plain HTTP to HTTPS:
//!
//! 1. `allow`: others learn nothing, not even that the app is closed;
//! 2. `maintenance`: whoever visits a closed app sees that, whatever else they would be asked for;
//! 3. `canonical_host`: before a password is asked for, because browsers keep those by host;
//! 4. `rate_limit`: before a password is checked, so that it slows guessing;
//! 5. `basic_auth`: before all that says something about the app;
//! 6. `forward_auth`: as well, and after what costs less;
//! 7. `redirects`;
//! 8. `max_body_bytes`.

mod access;
mod auth;
mod compress;
mod eject;
mod headers;
mod rate;
mod redirects;
mod sticky;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, LOCATION, SET_COOKIE, WWW_AUTHENTICATE,
};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use protocol::spec::{Route, RouteOptions};

use crate::body::ResponseBody;
use crate::forward_auth::{Asker, Guard};
use crate::pages::{Extra, Page, wants_json};
use crate::server::Scheme;
use access::Maintenance;
pub(crate) use access::Networks;
use auth::{Auth, Verdict, Verifier};
pub(crate) use compress::Gzip;
pub(crate) use eject::Health;
use headers::Changes;
pub(crate) use headers::frames;
use rate::{Buckets, Limit};
use redirects::{Asked, Canonical, Rule};
use sticky::Sticky;

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// What all routes share, and what outlives a table.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    verifier: Arc<Verifier>,
    buckets: Arc<Buckets>,
    asker: Arc<Asker>,
}

impl Shared {
    /// See [`Asker::new`].
    pub(crate) fn asking(anywhere: bool) -> Self {
        Self { asker: Arc::new(Asker::new(anywhere)), ..Self::default() }
    }
}

/// The options of one route that concern requests and answers.
#[derive(Debug)]
pub(crate) struct Rules {
    allow: Option<Networks>,
    maintenance: Option<Maintenance>,
    canonical: Option<Canonical>,
    rate: Option<Limit>,
    auth: Option<Auth>,
    guard: Option<Guard>,
    redirects: Vec<Rule>,
    pub(crate) max_body_bytes: Option<u64>,
    compress: bool,
    sticky: Option<Sticky>,
    strip: Option<Prefix>,
    request_headers: Option<Changes>,
    response_headers: Option<Changes>,
}

/// A path prefix that the app does not see.
#[derive(Debug)]
struct Prefix {
    path: Box<str>,
    header: HeaderValue,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor {
    pub(crate) address: IpAddr,
    pub(crate) scheme: Scheme,
}

/// What a request says about the answer that its client would like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wishes {
    gzip: bool,
    secure: bool,
    /// The instance that it was with before.
    pub(crate) instance: Option<SocketAddr>,
}

impl Rules {
    /// `None` when there is nothing to do. What cannot be done is reported and left out.
    pub(crate) fn new(route: &Route, shared: &Shared, report: &mut impl FnMut(String)) -> Option<Box<Self>> {
        let options: &RouteOptions = &route.options;
        if options.is_default() {
            return None;
        }
        let mut kept = |result: Result<Rule, String>| result.map_err(&mut *report).ok();
        let redirects = options.redirects.iter().filter_map(|redirect| kept(Rule::new(redirect))).collect();
        let canonical = options.canonical_host.as_deref().map(Canonical::new);
        let rate = options.rate_limit.map(|limit| Limit::new(limit, &route.id, &shared.buckets));
        let strip = options.strip_prefix.then(|| Prefix::new(&route.path)).flatten();
        Some(Box::new(Self {
            allow: (!options.allow.is_empty()).then(|| Networks::new(&options.allow)),
            maintenance: options.maintenance.as_ref().map(Maintenance::new),
            canonical: canonical.and_then(|canonical| canonical.map_err(&mut *report).ok()),
            rate: rate.and_then(|rate| rate.map_err(&mut *report).ok()),
            auth: options
                .basic_auth
                .as_ref()
                .map(|auth| Auth::new(auth, Arc::clone(&shared.verifier), report)),
            guard: options
                .forward_auth
                .as_ref()
                .map(|auth| Guard::new(auth, Arc::clone(&shared.asker), report)),
            redirects,
            max_body_bytes: options.max_body_bytes,
            compress: options.compress,
            sticky: options.sticky.then(|| Sticky::new(route)),
            strip: strip.and_then(|strip| strip.map_err(&mut *report).ok()),
            request_headers: Changes::new(&options.request_headers, "request_headers", report),
            response_headers: Changes::new(&options.response_headers, "response_headers", report),
        }))
    }

    /// The answer to a request that does not reach the app.
    pub(crate) async fn answer<B>(
        &self,
        visitor: Visitor,
        request: &mut Request<B>,
    ) -> Option<Response<ResponseBody>> {
        let asked = Asked::new(visitor.scheme, request.uri(), request.headers());
        if let Some(answer) = self.turned_away(visitor, request.headers(), &asked) {
            return Some(answer);
        }
        if let Some(auth) = &self.auth
            && let Some(page) = ask(auth, request.headers()).await
        {
            return Some(page);
        }
        if let Some(guard) = &self.guard
            && let Some(refusal) = guard.refuse(visitor, request).await
        {
            return Some(refusal);
        }
        let headers = request.headers();
        let asked = Asked::new(visitor.scheme, request.uri(), headers);
        if let Some((status, location)) = self.redirects.iter().find_map(|rule| rule.location(&asked)) {
            return Some(self.redirect(status, location, headers));
        }
        self.is_too_large(headers).then(|| Page::TooLarge.respond(wants_json(headers)))
    }

    /// By what it says of itself; what says nothing is counted on its way.
    fn is_too_large(&self, headers: &HeaderMap) -> bool {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        self.max_body_bytes.zip(length).is_some_and(|(limit, length)| length > limit)
    }

    fn turned_away(
        &self,
        visitor: Visitor,
        headers: &HeaderMap,
        asked: &Asked<'_>,
    ) -> Option<Response<ResponseBody>> {
        let json = wants_json(headers);
        if self.allow.as_ref().is_some_and(|allow| !allow.contains(visitor.address)) {
            return Some(Page::Forbidden.respond(json));
        }
        if let Some(page) = self.maintenance.as_ref().and_then(|closed| closed.page(visitor.address, json)) {
            return Some(page);
        }
        if let Some(location) = self.canonical.as_ref().and_then(|canonical| canonical.location(asked)) {
            return Some(self.redirect(StatusCode::PERMANENT_REDIRECT, location, headers));
        }
        let wait = self.rate.as_ref()?.take(visitor.address).err()?;
        let extra = Extra { retry_after_s: Some(wait), ..Extra::default() };
        Some(Page::TooMany.respond_with(json, &extra))
    }

    fn redirect(&self, status: StatusCode, location: String, headers: &HeaderMap) -> Response<ResponseBody> {
        let Ok(location) = HeaderValue::try_from(location) else {
            return Page::BadRequest("The path cannot be part of an address.").respond(wants_json(headers));
        };
        let mut response = Response::new(ResponseBody::empty());
        *response.status_mut() = status;
        response.headers_mut().insert(LOCATION, location);
        self.change_response(response.headers_mut());
        response
    }

    /// Makes `request`, which is fit for an upstream, what the app is to see.
    pub(crate) fn prepare<B>(&self, request: &mut Request<B>, scheme: Scheme) -> Wishes {
        let wishes = Wishes {
            gzip: self.compress && compress::accepts(request),
            secure: scheme == Scheme::Https,
            instance: self.sticky.as_ref().and_then(|sticky| sticky.wanted(request.headers())),
        };
        self.change_request(request);
        wishes
    }

    fn change_request<B>(&self, request: &mut Request<B>) {
        if let Some(prefix) = &self.strip {
            prefix.strip(request);
        }
        if self.auth.is_some() {
            // It was meant for this proxy: the app has no use for the password.
            request.headers_mut().remove(AUTHORIZATION);
        }
        if let Some(guard) = &self.guard {
            guard.introduce(request);
        }
        if let Some(changes) = &self.request_headers {
            changes.apply(request.headers_mut());
        }
    }

    /// Makes the answer of an app's `instance` what the client is to see.
    pub(crate) fn change_answer(
        &self,
        response: &mut Response<ResponseBody>,
        wishes: Wishes,
        instance: SocketAddr,
    ) {
        self.change_response(response.headers_mut());
        if self.compress {
            compress::apply(response, wishes.gzip);
        }
        if let Some(sticky) = &self.sticky
            && wishes.instance != Some(instance)
            && let Some(cookie) = sticky.cookie(instance, wishes.secure)
        {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }

    fn change_response(&self, headers: &mut HeaderMap) {
        if let Some(changes) = &self.response_headers {
            changes.apply(headers);
        }
    }
}

/// The page for those whose name and password are not known yet.
async fn ask(auth: &Auth, headers: &HeaderMap) -> Option<Response<ResponseBody>> {
    match auth.check(headers).await {
        Verdict::Pass => None,
        Verdict::Ask => {
            let mut page = Page::Unauthorized.respond(wants_json(headers));
            page.headers_mut().insert(WWW_AUTHENTICATE, auth.challenge.clone());
            Some(page)
        }
        Verdict::Busy => Some(Page::TooMany.respond(wants_json(headers))),
    }
}

impl Prefix {
    /// `None` when there is none to strip.
    fn new(path: &str) -> Option<Result<Self, String>> {
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return None;
        }
        Some(match HeaderValue::try_from(path) {
            Ok(header) => Ok(Self { path: path.into(), header }),
            Err(_) => Err("has strip_prefix, but its path is no visible ASCII text".to_owned()),
        })
    }

    fn strip<B>(&self, request: &mut Request<B>) {
        let whole = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let Some(rest) = whole.strip_prefix(&*self.path) else { return };
        let rest =
            if rest.starts_with('/') { PathAndQuery::try_from(rest) } else { format!("/{rest}").try_into() };
        if let Ok(rest) = rest {
            *request.uri_mut() = Uri::from(rest);
            request.headers_mut().insert(X_FORWARDED_PREFIX, self.header.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(prefix: &str, uri: &str) -> (String, Option<String>) {
        let mut request = Request::builder().uri(uri).body(()).expect("request");
        if let Some(prefix) = Prefix::new(prefix) {
            prefix.expect("a path").strip(&mut request);
        }
        let header =
            request.headers().get(X_FORWARDED_PREFIX).map(|value| value.to_str().expect("text").to_owned());
        (request.uri().to_string(), header)
    }

    #[test]
    fn a_prefix_is_removed_and_named() {
        for (prefix, uri, seen) in [
            ("/api", "/api/x?y=/api", "/x?y=/api"),
            ("/api/", "/api", "/"),
            ("/api", "/api?y", "/?y"),
            ("/api", "/api/", "/"),
            ("/api", "/api//x", "//x"),
        ] {
            assert_eq!(stripped(prefix, uri), (seen.to_owned(), Some("/api".to_owned())), "{uri}");
        }
        assert_eq!(stripped("/", "/x"), ("/x".to_owned(), None));
    }
}
