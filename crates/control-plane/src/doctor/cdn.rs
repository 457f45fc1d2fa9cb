//! Whose proxy stands in front, by its addresses or by what it says of itself.

use std::net::IpAddr;

use super::Reply;
use crate::dns::cloudflare;

pub(super) const CLOUDFLARE: &str = "Cloudflare";

/// By address.
pub(super) fn of_address(address: IpAddr) -> Option<&'static str> {
    cloudflare::has(address).then_some(CLOUDFLARE)
}

/// By the headers of an answer.
pub(super) fn of_reply(reply: &Reply) -> Option<&'static str> {
    reply.headers.iter().find_map(|(name, value)| match (name.as_str(), value.to_ascii_lowercase()) {
        ("cf-ray", _) => Some(CLOUDFLARE),
        ("server", value) if value == "cloudflare" => Some(CLOUDFLARE),
        ("x-amz-cf-id", _) => Some("Amazon CloudFront"),
        ("x-served-by", value) if value.starts_with("cache-") => Some("Fastly"),
        ("server", value) if value.starts_with("akamai") => Some("Akamai"),
        ("server", value) if value.starts_with("bunnycdn") => Some("bunny.net"),
        _ => None,
    })
}
