//! axum's extractors whose rejections are our errors.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::request::Parts;
use serde::{Deserialize, Deserializer};

use super::error::{Code, Error};
use super::limits;
use super::listen::Peer;

/// Query parameters.
#[derive(Debug, Clone, Copy, axum::extract::FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Error))]
pub struct Query<T>(pub T);

/// Parts of the path. A part that does not parse names nothing.
#[derive(Debug, Clone, Copy, axum::extract::FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Error))]
pub struct Path<T>(pub T);

impl From<QueryRejection> for Error {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Code::BadRequest, rejection.body_text())
    }
}

impl From<PathRejection> for Error {
    fn from(_: PathRejection) -> Self {
        Self::not_found("such thing: its id is not one of ours")
    }
}

/// Tells null from absent, in a field with `default` and `deserialize_with`.
#[expect(clippy::option_option, reason = "absent, null and a value are three things here")]
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Where a request of nobody in particular comes from.
#[derive(Debug, Clone, Copy)]
pub struct Requester {
    pub address: Option<IpAddr>,
}

impl<S: Sync> FromRequestParts<S> for Requester {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self { address: parts.extensions.get::<Peer>().map(|peer| peer.0.ip()) })
    }
}

impl Requester {
    /// For rate limits.
    pub fn key(self) -> IpAddr {
        limits::requester(self.address)
    }
}
