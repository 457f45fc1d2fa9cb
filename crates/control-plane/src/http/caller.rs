//! Who is calling: a session cookie or an API token, proven before a handler runs.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use protocol::ids::{OrganizationId, SessionId, TokenId, UserId};

use super::error::{Code, Error, Result};
use super::permission::MemberRole;
use crate::app::AppState;
use crate::{digest, identity};

/// The session cookie's name (seed).
pub const COOKIE_NAME: &str = "wh_session";

/// Someone who has proven who they are.
#[derive(Debug, Clone)]
pub struct Caller {
    pub user_id: UserId,
    pub email: String,
    pub name: String,
    pub organization_id: OrganizationId,
    pub role: MemberRole,
    pub via: Via,
    pub address: Option<IpAddr>,
}

/// How they have proven it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    Session(SessionId),
    Token(TokenId),
    /// E-mail address and password, in this very request.
    Password,
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _app: &AppState) -> Result<Self> {
        // Put there by the guard of the route table; a handler without a guard has no caller.
        parts.extensions.get().cloned().ok_or_else(unauthenticated)
    }
}

/// Finds the caller of a request.
pub async fn identify(
    app: &AppState,
    method: &Method,
    headers: &HeaderMap,
    address: Option<IpAddr>,
) -> Result<Caller> {
    let mut conn = app.db.acquire().await?;
    let found = if let Some(token) = bearer(headers) {
        identity::store::caller_by_token(&mut conn, &digest::of_token(token)).await?
    } else if let Some(cookie) = cookie(headers) {
        refuse_cross_site(method, headers)?;
        identity::store::caller_by_session(&mut conn, &digest::of_token(cookie)).await?
    } else {
        None
    };
    found.map(|caller| Caller { address, ..caller }).ok_or_else(unauthenticated)
}

fn unauthenticated() -> Error {
    Error::new(Code::Unauthenticated, "you are not signed in, or your session or token has ended")
        .hint("Sign in again, or run `wh login`")
}

/// The bearer token of a request.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// The session's token of a request.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}

/// A cookie travels with requests that another site makes. `SameSite=Lax` stops most; this stops the rest: a change
/// must come from our own origin.
pub fn refuse_cross_site(method: &Method, headers: &HeaderMap) -> Result<()> {
    if method.is_safe() {
        return Ok(());
    }
    // Browsers send Origin with every change; a client without one is no browser.
    if same_origin(headers).unwrap_or(true) { Ok(()) } else { Err(cross_site()) }
}

/// A WebSocket is opened by a GET, from any site, with the cookies of ours. Browsers always say from which.
pub fn refuse_foreign_socket(caller: &Caller, headers: &HeaderMap) -> Result<()> {
    let by_cookie = matches!(caller.via, Via::Session(_));
    if same_origin(headers).unwrap_or(!by_cookie) { Ok(()) } else { Err(cross_site()) }
}

/// `None` without an origin.
fn same_origin(headers: &HeaderMap) -> Option<bool> {
    let text =
        |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or_default());
    let origin = text(ORIGIN)?;
    let host = text(HOST).unwrap_or_default();
    Some(!host.is_empty() && origin.split_once("://").is_some_and(|(_, rest)| rest == host))
}

fn cross_site() -> Error {
    Error::new(Code::CrossSite, "this request comes from another site")
        .hint("Use the dashboard's own address, or an API token")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value")))
            .collect()
    }

    #[test]
    fn the_session_cookie_is_found_among_others() {
        assert_eq!(cookie(&headers(&[("cookie", "a=b; wh_session=x1; c=d")])), Some("x1"));
        assert_eq!(cookie(&headers(&[("cookie", "wh_session2=x1")])), None);
    }

    #[test]
    fn a_change_with_a_cookie_must_come_from_our_origin() {
        let own = headers(&[("origin", "https://cp.example.com"), ("host", "cp.example.com")]);
        let other = headers(&[("origin", "https://evil.example.com"), ("host", "cp.example.com")]);
        refuse_cross_site(&Method::POST, &own).expect("own");
        refuse_cross_site(&Method::GET, &other).expect("reads nothing");
        assert_eq!(refuse_cross_site(&Method::POST, &other).unwrap_err().code(), Code::CrossSite);
    }
}
