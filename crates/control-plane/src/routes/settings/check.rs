//! What options may say. Every refusal names the field and what to write instead.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use protocol::spec::RouteOptions;
use protocol::spec::options::HeaderChanges;
use serde_json::{Map, Value, json};

use super::{forward_auth, redirects};
use crate::http::{Error, Result};

/// Headers changed in one direction.
const HEADER_LIMIT: usize = 50;
const VALUE_LIMIT: usize = 4096;
/// Networks in one list.
const NETWORK_LIMIT: usize = 1000;
const MESSAGE_LIMIT: usize = 500;
const DAY_S: u32 = 86_400;

/// A message without them, or with others, would be another message: where it ends, where it goes, who reads it.
const FIXED: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "expect",
    "content-length",
    "content-encoding",
    "content-range",
];
/// What apps believe of a request because only the proxy can say it.
const FORWARDED: &[&str] = &["forwarded", "x-real-ip"];

/// Whether there is such an option.
pub fn known(key: &str) -> Result<()> {
    let alone = Map::from_iter([(key.to_owned(), Value::Null)]);
    match serde_json::from_value::<RouteOptions>(Value::Object(alone)) {
        Err(error) if error.to_string().contains("unknown field") => Err(unknown(key)),
        _ => Ok(()),
    }
}

fn unknown(key: &str) -> Error {
    Error::invalid(key, format!("there is no option `{key}`"))
        .hint("docs/operations/route-settings.md lists the options")
}

/// A key's value as it is kept: known, of the right type, networks written one way.
pub fn read(key: &str, mut value: Value) -> Result<Value> {
    if key == "strip_prefix" {
        return Err(Error::invalid(key, "strip_prefix belongs to a path, not to an app or a domain")
            .hint("Set it where the path of the domain is made"));
    }
    if value.is_null() {
        value = nothing(key);
    }
    match key {
        "allow" => networks(&mut value, "allow")?,
        "maintenance" => {
            if let Some(allow) = value.get_mut("allow") {
                networks(allow, "maintenance.allow")?;
            }
        }
        _ => {}
    }
    let alone = Map::from_iter([(key.to_owned(), value.clone())]);
    serde_json::from_value::<RouteOptions>(Value::Object(alone)).map_err(|error| {
        let problem = error.to_string();
        if problem.contains(&format!("unknown field `{key}`")) {
            return unknown(key);
        }
        Error::invalid(key, format!("{key} cannot be read: {problem}"))
            .hint("docs/operations/route-settings.md shows how each option is written")
    })?;
    Ok(value)
}

/// What a domain says to have none of its app's.
fn nothing(key: &str) -> Value {
    match key {
        "allow" | "redirects" => json!([]),
        "request_headers" | "response_headers" | "retry" => json!({}),
        "compress" | "sticky" => json!(false),
        "balance" => json!("least-requests"),
        "upstream_protocol" => json!("http1"),
        _ => Value::Null,
    }
}

/// An address without a prefix is a network of one; bits beyond the prefix say nothing.
fn networks(value: &mut Value, field: &str) -> Result<()> {
    let Some(list) = value.as_array_mut() else { return Ok(()) };
    for (number, entry) in list.iter_mut().enumerate() {
        let Some(text) = entry.as_str() else { continue };
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network = network.map_err(|_| {
            Error::invalid(format!("{field}.{number}"), format!("`{text}` is no address and no network"))
                .hint("Write an address such as 203.0.113.7, or a network such as 203.0.113.0/24 or 2001:db8::/32")
        })?;
        *entry = Value::String(network.trunc().to_string());
    }
    Ok(())
}

/// All but the canonical host, which depends on what the app is called.
pub fn check(options: &RouteOptions) -> Result<()> {
    redirects::check(&options.redirects)?;
    headers(&options.request_headers, "request_headers")?;
    headers(&options.response_headers, "response_headers")?;
    network_count(&options.allow, "allow")?;
    limits(options)?;
    options.forward_auth.as_ref().map_or(Ok(()), forward_auth::check)?;
    if let Some(maintenance) = &options.maintenance {
        network_count(&maintenance.allow, "maintenance.allow")?;
        let text = &maintenance.message;
        if text.chars().count() > MESSAGE_LIMIT {
            let message = format!("the message for visitors may have at most {MESSAGE_LIMIT} characters");
            return Err(Error::invalid("maintenance.message", message));
        }
        if text.chars().any(|character| character.is_control() && character != '\n') {
            return Err(Error::invalid(
                "maintenance.message",
                "the message must not have control characters",
            ));
        }
        optional("maintenance.retry_after_s", maintenance.retry_after_s, 1, 7 * DAY_S)?;
    }
    Ok(())
}

fn limits(options: &RouteOptions) -> Result<()> {
    if let Some(limit) = options.rate_limit {
        range("rate_limit.requests", limit.requests, 1, 1_000_000)?;
        range("rate_limit.per_s", limit.per_s, 1, DAY_S)?;
        optional("rate_limit.burst", limit.burst, 1, 1_000_000)?;
    }
    if options.max_body_bytes.is_some_and(|most| most == 0 || most > 1 << 40) {
        let message = "max_body_bytes must be between 1 and 1099511627776 (1 TiB)";
        return Err(Error::invalid("max_body_bytes", message)
            .hint("Unset it for no limit; `max_body_bytes` is in bytes: 10 MiB are 10485760"));
    }
    optional("timeout_s", options.timeout_s, 1, 3600)?;
    range("retry.attempts", options.retry.attempts.into(), 1, 10)?;
    optional("retry.per_try_timeout_s", options.retry.per_try_timeout_s, 1, 3600)?;
    let whole = options.timeout_s.unwrap_or(60);
    if options.retry.per_try_timeout_s.is_some_and(|one| one > whole) {
        let message = format!("one attempt cannot take longer than all of them, which may take {whole} s");
        return Err(Error::invalid("retry.per_try_timeout_s", message).hint("Lower it, or raise timeout_s"));
    }
    if let Some(eject) = options.eject {
        range("eject.failures", eject.failures, 1, 100)?;
        range("eject.for_s", eject.for_s, 1, 3600)?;
    }
    Ok(())
}

pub(super) fn range(field: &str, value: u32, least: u32, most: u32) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("{field} must be between {least} and {most}")))
}

fn optional(field: &str, value: Option<u32>, least: u32, most: u32) -> Result<()> {
    value.map_or(Ok(()), |value| range(field, value, least, most))
}

fn network_count(networks: &[IpNet], field: &str) -> Result<()> {
    if networks.len() <= NETWORK_LIMIT {
        return Ok(());
    }
    Err(Error::invalid(field, format!("{field} may have at most {NETWORK_LIMIT} networks"))
        .hint("Write neighbouring addresses as one network"))
}

/// `hosts` are the names by which the app is reached.
pub fn canonical_host(host: &str, hosts: &[String]) -> Result<()> {
    if hosts.iter().any(|known| known == host) {
        return Ok(());
    }
    let hint = if hosts.is_empty() {
        "Add a domain to the app first".to_owned()
    } else {
        format!("Choose one of {}", hosts.join(", "))
    };
    Err(Error::invalid("canonical_host", format!("`{host}` is no name of the app, or not verified yet"))
        .hint(hint))
}

/// Whether following canonical hosts from `start` ends. `of` tells where a host's requests are sent.
pub(super) fn check_hops(start: &str, of: &HashMap<String, String>) -> Result<()> {
    let (mut seen, mut at) = (vec![start], start);
    while let Some(next) = of.get(at).filter(|next| *next != at) {
        if let Some(begin) = seen.iter().position(|host| host == next) {
            let circle = [&seen[begin..], &[next.as_str()]].concat().join(" → ");
            return Err(Error::invalid(
                "canonical_host",
                format!("requests would be sent in a circle: {circle}"),
            )
            .hint("Let one of these hosts be its own canonical host, or unset it there"));
        }
        seen.push(next);
        at = next;
    }
    Ok(())
}

fn headers(changes: &HeaderChanges, field: &str) -> Result<()> {
    if changes.set.len() + changes.remove.len() > HEADER_LIMIT {
        return Err(Error::invalid(field, format!("{field} may change at most {HEADER_LIMIT} headers")));
    }
    let mut seen = HashSet::new();
    let set = changes.set.keys().map(|name| ("set", name));
    let remove = changes.remove.iter().map(|name| ("remove", name));
    for (verb, name) in set.chain(remove) {
        let at = format!("{field}.{verb}.{name}");
        header_name(name, &at, field == "request_headers")?;
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(Error::invalid(at, format!("the header {name} is named twice in {field}"))
                .hint("A header that is set replaces what was there: name it once"));
        }
    }
    for (name, value) in &changes.set {
        header_value(value, format!("{field}.set.{name}"))?;
    }
    Ok(())
}

pub(super) fn header_name(name: &str, at: &str, of_request: bool) -> Result<()> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > 100 || !name.bytes().all(token) {
        return Err(Error::invalid(at, format!("`{name}` is no header name"))
            .hint("Write letters, digits and - alone, such as X-Frame-Options"));
    }
    let lower = name.to_ascii_lowercase();
    if FIXED.contains(&&*lower) {
        return Err(Error::invalid(
            at,
            format!("the header {name} is the connection's, not a route's to change"),
        )
        .hint("Leave it to the proxy"));
    }
    if of_request && (FORWARDED.contains(&&*lower) || lower.starts_with("x-forwarded-")) {
        return Err(Error::invalid(at, format!("the header {name} tells the app what the proxy saw"))
            .hint("Use a header of another name"));
    }
    Ok(())
}

fn header_value(value: &str, at: String) -> Result<()> {
    if value.is_empty() {
        let message = "a header that is set has a value";
        return Err(Error::invalid(at, message).hint("To take a header away, name it in `remove`"));
    }
    if value.len() > VALUE_LIMIT || !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        let message =
            format!("a header's value is one line of at most {VALUE_LIMIT} visible ASCII characters");
        return Err(Error::invalid(at, message));
    }
    if value.trim() != value {
        return Err(Error::invalid(at, "a header's value has no spaces at its ends"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(options: Value) -> Result<()> {
        let hosts = ["a.test".to_owned(), "www.a.test".to_owned()];
        let set: Map<String, Value> = options.as_object().expect("an object").clone();
        let read: Result<Map<_, _>> =
            set.into_iter().map(|(key, value)| Ok((key.clone(), read(&key, value)?))).collect();
        let options: RouteOptions = serde_json::from_value(Value::Object(read?)).expect("read");
        options.canonical_host.as_ref().map_or(Ok(()), |host| canonical_host(host, &hosts))?;
        check(&options)
    }

    #[test]
    fn what_makes_sense_is_taken() {
        verdict(json!({
            "canonical_host": "www.a.test",
            "request_headers": { "set": { "X-Tier": "gold; \"a\"" }, "remove": ["Cookie"] },
            "response_headers": { "set": { "Strict-Transport-Security": "max-age=31536000" }, "remove": ["Server"] },
            "allow": ["10.0.0.1", "2001:db8::/32"],
            "rate_limit": { "requests": 10 },
            "max_body_bytes": 1, "compress": true, "sticky": false, "balance": "round-robin",
            "maintenance": { "message": "Back at five.\nSorry!", "retry_after_s": 60, "allow": ["10.0.0.0/8"] },
            "upstream_protocol": "h2c", "timeout_s": 3600,
            "retry": { "attempts": 10, "per_try_timeout_s": 3600, "on_gateway_error": true },
            "eject": {}, "https_redirect": false,
        }))
        .expect("fine");
    }

    #[test]
    fn what_cannot_hold_is_refused_by_its_field_with_a_way_out() {
        let header = |side: &str, name: &str, value: &str| json!({ side: { "set": { name: value } } });
        for (options, field, word) in [
            (json!({ "compres": true }), "compres", "no option"),
            (json!({ "compress": "yes" }), "compress", "boolean"),
            (json!({ "strip_prefix": true }), "strip_prefix", "path"),
            (json!({ "eject": { "failure": 1 } }), "eject", "failure"),
            (json!({ "canonical_host": "b.test" }), "canonical_host", "www.a.test"),
            (json!({ "allow": ["10.0.0.0/33"] }), "allow.0", "203.0.113.0/24"),
            (json!({ "maintenance": { "allow": ["::1", "home"] } }), "maintenance.allow.1", "`home`"),
            (json!({ "maintenance": { "message": "\u{7}" } }), "maintenance.message", "control"),
            (json!({ "maintenance": { "retry_after_s": 0 } }), "maintenance.retry_after_s", "between"),
            (header("request_headers", "Connection", "x"), "request_headers.set.Connection", "connection's"),
            (header("request_headers", "X-Forwarded-For", "x"), "request_headers.set.X-Forwarded-For", "saw"),
            (header("response_headers", "X A", "x"), "response_headers.set.X A", "no header name"),
            (header("response_headers", "X-A", "a\r\nB: c"), "response_headers.set.X-A", "one line"),
            (header("response_headers", "X-A", ""), "response_headers.set.X-A", "remove"),
            (header("response_headers", "X-A", "caf\u{e9}"), "response_headers.set.X-A", "ASCII"),
            (
                json!({ "response_headers": { "set": { "X-A": "1" }, "remove": ["x-a"] } }),
                "response_headers.remove.x-a",
                "twice",
            ),
            (json!({ "rate_limit": { "requests": 0 } }), "rate_limit.requests", "between 1"),
            (json!({ "rate_limit": { "requests": 1, "burst": 0 } }), "rate_limit.burst", "between 1"),
            (json!({ "max_body_bytes": 0 }), "max_body_bytes", "bytes"),
            (json!({ "timeout_s": 0 }), "timeout_s", "between"),
            (json!({ "retry": { "attempts": 11 } }), "retry.attempts", "between"),
            (json!({ "retry": { "per_try_timeout_s": 61 } }), "retry.per_try_timeout_s", "60 s"),
            (json!({ "eject": { "for_s": 0 } }), "eject.for_s", "between"),
        ] {
            let error = format!("{:?}", verdict(options.clone()).expect_err(field));
            assert!(error.contains(&format!("{field:?}")) && error.contains(word), "{options}: {error}");
        }
    }

    #[test]
    fn nothing_can_be_said_of_every_option() {
        let options = json!({
            "canonical_host": null, "redirects": null, "request_headers": null, "response_headers": null,
            "basic_auth": null, "forward_auth": null, "allow": null, "rate_limit": null, "max_body_bytes": null, "compress": null,
            "maintenance": null, "sticky": null, "balance": null, "upstream_protocol": null, "timeout_s": null,
            "retry": null, "eject": null, "https_redirect": null,
        });
        verdict(options.clone()).expect("nothing");
        for (key, value) in options.as_object().expect("an object") {
            let kept = Map::from_iter([(key.clone(), read(key, value.clone()).expect(key))]);
            let read: RouteOptions = serde_json::from_value(Value::Object(kept)).expect(key);
            assert!(read.is_default(), "{key}: {read:?}");
        }
    }

    #[test]
    fn networks_are_kept_one_way() {
        let kept = read("allow", json!(["10.1.2.3/8", "192.0.2.1", "2001:DB8::1/32"])).expect("networks");
        assert_eq!(kept, json!(["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]));
    }

    #[test]
    fn canonical_hosts_end_somewhere() {
        let of = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
            pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
        };
        check_hops("a", &of(&[("a", "b"), ("b", "b"), ("c", "b")])).expect("ends at b");
        let error =
            format!("{:?}", check_hops("a", &of(&[("a", "b"), ("b", "c"), ("c", "b")])).expect_err("circle"));
        assert!(error.contains("b → c → b"), "{error}");
    }
}
