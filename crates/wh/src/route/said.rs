//! Options as the project file says them: known, of the right type, and written as the control plane keeps them, so that
//! both can be compared.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{BODY, HEADERS, KEYS, Options, bytes};
use crate::context::nearest;
use crate::settings::Kind;

/// Options whose default is nothing at all: `"none"` says so, as on the command line.
const MAY_BE_NONE: [&str; 9] = [
    "basic_auth",
    "canonical_host",
    "eject",
    "forward_auth",
    "https_redirect",
    "maintenance",
    BODY,
    "rate_limit",
    "timeout_s",
];

/// Reads what stands in the file; the error names the option.
pub(crate) fn read(said: &Options) -> Result<Options, String> {
    said.iter().map(|(option, value)| Ok((option.clone(), one(option, value)?))).collect()
}

fn one(option: &str, value: &Value) -> Result<Value, String> {
    match option {
        _ if *value == "none" && MAY_BE_NONE.contains(&option) => Ok(Value::Null),
        "basic_auth" => {
            Err("basic_auth is not set here, because passwords do not belong beside the source: `wh route auth add` \
                 sets them, and \"none\" lets everybody in"
                .to_owned())
        }
        "redirects" => redirects(value),
        _ => part(option, value),
    }
}

/// A value, or a table of them, by its whole word such as `rate_limit.requests`.
fn part(word: &str, value: &Value) -> Result<Value, String> {
    if let Some((_, kind)) = KEYS.iter().find(|(key, _)| *key == word) {
        return leaf(word, *kind, value);
    }
    let is_group = KEYS.iter().any(|(key, _)| is_below(key, word))
        || HEADERS.iter().any(|start| *start == format!("{word}."));
    match value {
        Value::Object(parts) if is_group => parts
            .iter()
            .map(|(name, value)| Ok((name.clone(), part(&format!("{word}.{name}"), value)?)))
            .collect::<Result<Map<_, _>, String>>()
            .map(Value::Object),
        _ if is_group => Err(format!("{word} has parts: write it as a table")),
        Value::String(_) if HEADERS.iter().any(|start| word.starts_with(start)) => Ok(value.clone()),
        _ if HEADERS.iter().any(|start| word.starts_with(start)) => Err(format!("{word} must be text")),
        _ => Err(match nearest(word, KEYS.iter().map(|(key, _)| *key)) {
            Some(near) => format!("there is no option `{word}`: did you mean `{near}`?"),
            None => format!("there is no option `{word}`: docs/operations/route-settings.md lists them all"),
        }),
    }
}

fn is_below(key: &str, word: &str) -> bool {
    key.strip_prefix(word).is_some_and(|rest| rest.starts_with('.'))
}

fn leaf(word: &str, kind: Kind, value: &Value) -> Result<Value, String> {
    match (kind, value) {
        (_, Value::String(text)) if word == BODY => {
            bytes(text).map(Value::from).map_err(|failure| failure.message)
        }
        (_, Value::Number(number)) if word == BODY && number.is_u64() => Ok(value.clone()),
        (_, _) if word == BODY => Err(format!("{word} must be a size such as \"10M\"")),
        (Kind::Number, Value::Number(number)) if number.is_u64() => Ok(value.clone()),
        (Kind::Number, _) => Err(format!("{word} must be a whole number")),
        (Kind::Flag, Value::Bool(_)) | (Kind::Text, Value::String(_)) => Ok(value.clone()),
        (Kind::Flag, _) => Err(format!("{word} must be true or false")),
        (Kind::Text, _) => Err(format!("{word} must be text")),
        (Kind::Words, Value::Array(words)) => words
            .iter()
            .map(|one| match one.as_str() {
                Some(text) if word.ends_with("allow") => network(word, text),
                Some(_) => Ok(one.clone()),
                None => Err(format!("{word} must be a list of words in quotes")),
            })
            .collect(),
        (Kind::Words, _) => Err(format!("{word} must be a list of words in quotes")),
    }
}

fn redirects(value: &Value) -> Result<Value, String> {
    let wrong = || {
        "redirects must be a list such as [{ from = \"/old\", to = \"/new\" }], with a status if it is not 308"
            .to_owned()
    };
    let read = |one: &Value| {
        let text = |name: &str| one.get(name).and_then(Value::as_str).ok_or_else(wrong);
        let status = one.get("status").map_or(Some(308), Value::as_u64).ok_or_else(wrong)?;
        let known = one
            .as_object()
            .is_some_and(|parts| parts.keys().all(|name| matches!(name.as_str(), "from" | "to" | "status")));
        if !known {
            return Err(wrong());
        }
        Ok(json!({ "from": text("from")?, "to": text("to")?, "status": status }))
    };
    value.as_array().ok_or_else(wrong)?.iter().map(read).collect()
}

/// An address alone is a network of one; bits beyond the prefix say nothing.
fn network(word: &str, text: &str) -> Result<Value, String> {
    let wrong = || format!("{word}: `{text}` is no address and no network");
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix: u32 = prefix.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
    let host = most.checked_sub(prefix).ok_or_else(wrong)?;
    let address: IpAddr = match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(host).unwrap_or(0)).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(host).unwrap_or(0)).into()),
    };
    Ok(json!(format!("{address}/{prefix}")))
}

/// Options as the control plane has them, in the same form: a redirect may have been stored without its status.
pub(crate) fn kept(options: &Options) -> Options {
    let mut options = options.clone();
    if let Some(list) = options.get("redirects").and_then(|list| redirects(list).ok()) {
        options.insert("redirects".to_owned(), list);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<Value, String> {
        let options: Options = toml::from_str(text).expect("TOML");
        read(&options).map(Value::Object)
    }

    #[test]
    fn options_take_the_form_in_which_they_are_kept() {
        let text = r#"
            compress = true
            max_body_bytes = "10M"
            canonical_host = "none"
            allow = ["203.0.113.7", "10.1.2.3/8", "2001:db8::1/32", "::/0"]
            redirects = [{ from = "/a", to = "/b" }, { from = "/c", to = "/d", status = 302 }]
            retry = {}
            [rate_limit]
            requests = 20
            [response_headers.set]
            X-Frame-Options = "DENY"
            [maintenance]
            allow = ["::1"]
            [forward_auth]
            url = "app:door/verify"
            skip = ["/health", "/public/*"]
        "#;
        assert_eq!(
            said(text).expect("valid"),
            json!({
                "compress": true, "max_body_bytes": 10_485_760, "canonical_host": null, "retry": {},
                "allow": ["203.0.113.7/32", "10.0.0.0/8", "2001:db8::/32", "::/0"],
                "redirects": [
                    { "from": "/a", "to": "/b", "status": 308 }, { "from": "/c", "to": "/d", "status": 302 },
                ],
                "rate_limit": { "requests": 20 },
                "response_headers": { "set": { "X-Frame-Options": "DENY" } },
                "maintenance": { "allow": ["::1/128"] },
                "forward_auth": { "url": "app:door/verify", "skip": ["/health", "/public/*"] },
            })
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_option() {
        for (text, part) in [
            ("compres = true", "did you mean `compress`?"),
            ("rate_limit = { request = 5 }", "did you mean `rate_limit.requests`?"),
            ("rate_limit = 5", "rate_limit has parts"),
            ("forward_auth = \"app:door\"", "forward_auth has parts"),
            ("compress = \"none\"", "compress must be true or false"),
            ("timeout_s = \"soon\"", "timeout_s must be a whole number"),
            ("timeout_s = -1", "timeout_s must be a whole number"),
            ("max_body_bytes = \"lots\"", "max_body_bytes must be a size"),
            ("allow = \"10.0.0.1\"", "allow must be a list"),
            ("allow = [\"10.0.0.1/33\"]", "allow: `10.0.0.1/33` is no address"),
            ("redirects = [{ from = \"/a\" }]", "redirects must be a list"),
            ("redirects = [{ from = \"/a\", to = \"/b\", code = 302 }]", "redirects must be a list"),
            ("response_headers = { set = { X-A = 1 } }", "response_headers.set.X-A must be text"),
            ("strip_prefix = true", "there is no option `strip_prefix`"),
            ("basic_auth = { users = {} }", "passwords do not belong"),
        ] {
            let problem = said(text).expect_err(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }
}
