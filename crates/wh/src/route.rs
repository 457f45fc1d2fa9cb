//! Options of routes in words: `rate_limit.requests`, `response_headers.set.X-Frame-Options` and so on.

pub(crate) mod said;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::context::nearest;
use crate::failure::{Failure, Result};
use crate::settings::{Kind, put, read, text};

#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Show what holds, and where it was set
    Show,
    /// Change options; they hold on every proxy at once, without a deployment
    Set {
        /// For example `compress=true` or `rate_limit.requests=20`; KEY= takes the default, KEY=none gives a domain nothing
        /// of its app's
        #[arg(required = true, value_name = "KEY=VALUE")]
        pairs: Vec<String>,
    },
    /// Take options back to what holds without them
    Unset {
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Close the app for visitors, or open it again
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
    /// Send requests for a path elsewhere
    #[command(subcommand)]
    Redirect(RedirectCommand),
    /// Ask visitors for a name and a password
    #[command(subcommand)]
    Auth(AuthCommand),
    /// Let a service decide on each request, as a sign-in in front of the app
    #[command(subcommand)]
    ForwardAuth(ForwardAuthCommand),
    /// Let only clients of some networks in
    #[command(subcommand)]
    Allow(AllowCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ForwardAuthCommand {
    /// Ask about each request: 2xx lets it on, any other answer goes to the client
    On {
        /// Address of the service, or app:SLUG/PATH for an app of the same project
        url: String,
        /// A header of the service's answer that the app sees; may be repeated
        #[arg(long, value_name = "NAME")]
        response_header: Vec<String>,
        /// A header of the request that the service sees; may be repeated, all without it
        #[arg(long, value_name = "NAME")]
        request_header: Vec<String>,
        /// A path for which nobody is asked: /health, or /public/* for everything below; may be repeated
        #[arg(long, value_name = "PATH")]
        skip: Vec<String>,
        /// Seconds that the service may take; 5 without it
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u32>,
    },
    /// Ask nobody
    Off,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MaintenanceCommand {
    /// Answer with a page that says the app is closed for a while
    On {
        /// What visitors read
        #[arg(long)]
        message: Option<String>,
        /// Seconds after which programs may come again
        #[arg(long, value_name = "SECONDS")]
        retry_after: Option<u32>,
        /// A network whose clients still reach the app; may be repeated
        #[arg(long, value_name = "NETWORK")]
        allow: Vec<String>,
    },
    /// Let everybody in again
    Off,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RedirectCommand {
    /// Add one, or change the one of this path
    Add {
        /// A path such as /old, or /blog/* for everything below it
        from: String,
        /// A path or an address; * at its end stands for what /* covered
        to: String,
        #[arg(long, default_value_t = 308)]
        status: u16,
    },
    /// Remove the one of this path
    #[command(alias = "rm")]
    Remove { from: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Add a user, or change the password; it is asked for, never an argument
    Add {
        user: String,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Remove a user; without any, nobody is asked
    #[command(alias = "rm")]
    Remove { user: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AllowCommand {
    /// Let clients of these networks in, and of no others that are not listed
    Add {
        /// An address such as 203.0.113.7, or a network such as 203.0.113.0/24
        #[arg(required = true)]
        networks: Vec<String>,
    },
    /// Take networks off the list; everybody gets in when it is empty
    #[command(alias = "rm")]
    Remove {
        #[arg(required = true)]
        networks: Vec<String>,
    },
}

/// The words and what they hold. Headers come on top.
const KEYS: &[(&str, Kind)] = &[
    ("canonical_host", Kind::Text),
    ("https_redirect", Kind::Flag),
    ("allow", Kind::Words),
    ("basic_auth.realm", Kind::Text),
    ("forward_auth.url", Kind::Text),
    ("forward_auth.request_headers", Kind::Words),
    ("forward_auth.response_headers", Kind::Words),
    ("forward_auth.skip", Kind::Words),
    ("forward_auth.timeout_s", Kind::Number),
    ("maintenance.message", Kind::Text),
    ("maintenance.retry_after_s", Kind::Number),
    ("maintenance.allow", Kind::Words),
    ("request_headers.remove", Kind::Words),
    ("response_headers.remove", Kind::Words),
    ("rate_limit.requests", Kind::Number),
    ("rate_limit.per_s", Kind::Number),
    ("rate_limit.burst", Kind::Number),
    (BODY, Kind::Text),
    ("timeout_s", Kind::Number),
    ("compress", Kind::Flag),
    ("sticky", Kind::Flag),
    ("balance", Kind::Text),
    ("upstream_protocol", Kind::Text),
    ("retry.attempts", Kind::Number),
    ("retry.per_try_timeout_s", Kind::Number),
    ("retry.on_gateway_error", Kind::Flag),
    ("eject.failures", Kind::Number),
    ("eject.for_s", Kind::Number),
];
const HEADERS: [&str; 2] = ["request_headers.set.", "response_headers.set."];
const BODY: &str = "max_body_bytes";
/// Options that are set and taken away, but have words of their own to be made with.
const WHOLE: [&str; 2] = ["redirects", "basic_auth"];

/// Options by name.
pub(crate) type Options = Map<String, Value>;

/// The API's change that `KEY=VALUE` pairs make of what holds.
pub(crate) fn set(effective: &Options, pairs: &[String]) -> Result<Value> {
    let mut wanted = Value::Object(effective.clone());
    let mut touched = Vec::new();
    for pair in pairs {
        let (word, value) = pair.split_once('=').ok_or_else(|| {
            Failure::usage(format!("`{pair}` must be KEY=VALUE, for example compress=true"))
        })?;
        let option = option_of(word)?;
        match value {
            "" => remove(&mut wanted, word),
            "none" if word == option => wanted[option] = Value::Null,
            _ => put(&mut wanted, &place(word), parse(word, value)?),
        }
        touched.push(option.to_owned());
    }
    Ok(change(&wanted, &touched))
}

/// The API's change that takes keys back.
pub(crate) fn unset(effective: &Options, keys: &[String]) -> Result<Value> {
    let mut wanted = Value::Object(effective.clone());
    let mut touched = Vec::new();
    for word in keys {
        touched.push(option_of(word)?.to_owned());
        remove(&mut wanted, word);
    }
    Ok(change(&wanted, &touched))
}

/// Options go whole: what is left of each is set, what is gone is unset.
fn change(wanted: &Value, touched: &[String]) -> Value {
    let (mut set, mut unset) = (Map::new(), Vec::new());
    for option in touched {
        match wanted.get(option) {
            Some(value) => drop(set.insert(option.clone(), value.clone())),
            None if unset.contains(option) => {}
            None => unset.push(option.clone()),
        }
    }
    json!({ "set": set, "unset": unset })
}

/// The option that a word is a part of.
fn option_of(word: &str) -> Result<&str> {
    let known = KEYS.iter().any(|(key, _)| *key == word || key.split('.').next() == Some(word));
    let header = HEADERS.iter().any(|start| word.strip_prefix(start).is_some_and(|name| !name.is_empty()));
    if known || header || WHOLE.contains(&word) {
        return Ok(word.split('.').next().unwrap_or(word));
    }
    let near = nearest(word, KEYS.iter().map(|(key, _)| *key));
    Err(Failure::usage(format!("there is no option `{word}`")).hint(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "docs/operations/route-settings.md lists them all".to_owned(),
    }))
}

fn place(word: &str) -> String {
    let parts = word.splitn(3, '.').map(|part| part.replace('~', "~0").replace('/', "~1"));
    parts.flat_map(|part| ["/".to_owned(), part]).collect()
}

fn parse(word: &str, value: &str) -> Result<Value> {
    if word == BODY {
        return bytes(value).map(Value::from);
    }
    let known = KEYS.iter().find(|(key, _)| *key == word);
    match known {
        Some((_, kind)) => read(word, *kind, value),
        None if HEADERS.iter().any(|start| word.starts_with(start)) => Ok(json!(value)),
        None => {
            Err(Failure::usage(format!("{word} has parts, and one of them must be named")).hint(match word {
                "redirects" => "`wh route redirect add FROM TO`".to_owned(),
                "basic_auth" => "`wh route auth add USER`".to_owned(),
                "maintenance" => "`wh route maintenance on`".to_owned(),
                "forward_auth" => "`wh route forward-auth on URL`".to_owned(),
                _ => {
                    let parts = KEYS.iter().map(|(key, _)| *key).filter(|key| key.starts_with(word));
                    parts.collect::<Vec<_>>().join(", ")
                }
            }))
        }
    }
}

/// Reads `1048576`, `512K`, `10M` or `2G`.
fn bytes(text: &str) -> Result<u64> {
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(1 << 20),
        "g" | "gb" | "gib" => Some(1_u64 << 30),
        _ => None,
    };
    let amount =
        number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    amount.ok_or_else(|| Failure::usage(format!("{BODY} must be a size such as 10M, not `{text}`")))
}

/// Takes a part away, and the option with its last part.
fn remove(options: &mut Value, word: &str) {
    let place = place(word);
    let (group, name) = place.rsplit_once('/').unwrap_or(("", word));
    let name = name.replace("~1", "/").replace("~0", "~");
    if let Some(group) = options.pointer_mut(group).and_then(Value::as_object_mut) {
        group.remove(&name);
    }
    let empty = options.pointer(group).and_then(Value::as_object).is_some_and(Map::is_empty);
    if empty && !group.is_empty() {
        remove(options, &group[1..].replace('/', "."));
    }
}

/// What is set, line by line.
pub(crate) fn flat(options: &Options) -> Vec<(String, String)> {
    options.iter().flat_map(|(name, value)| lines(name, value)).collect()
}

fn lines(word: &str, value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Object(parts) if word == "basic_auth.users" => {
            parts.keys().map(|user| (format!("{word}.{user}"), "password set".to_owned())).collect()
        }
        Value::Object(parts) if parts.is_empty() => vec![(word.to_owned(), "on".to_owned())],
        Value::Object(parts) => {
            parts.iter().flat_map(|(name, value)| lines(&format!("{word}.{name}"), value)).collect()
        }
        Value::Array(redirects) if word == "redirects" => redirects
            .iter()
            .map(|one| {
                let status = one["status"].as_u64().unwrap_or(308);
                (format!("redirect {}", text(&one["from"])), format!("{} ({status})", text(&one["to"])))
            })
            .collect(),
        Value::Array(list) => {
            vec![(word.to_owned(), list.iter().map(text).collect::<Vec<_>>().join(" "))]
        }
        Value::Null => vec![(word.to_owned(), "none".to_owned())],
        other => vec![(word.to_owned(), text(other))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(value: Value) -> Options {
        value.as_object().expect("an object").clone()
    }

    fn patched(effective: Value, pairs: &[&str]) -> Value {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        set(&options(effective), &pairs).expect("valid")
    }

    #[test]
    fn an_option_goes_whole_with_what_holds_of_it() {
        assert_eq!(
            patched(json!({ "rate_limit": { "requests": 5 } }), &["rate_limit.burst=9", "compress=true"]),
            json!({ "set": { "rate_limit": { "requests": 5, "burst": 9 }, "compress": true }, "unset": [] })
        );
        assert_eq!(
            patched(
                json!({}),
                &["response_headers.set.X-A.b=DENY", "max_body_bytes=10M", "allow=10.0.0.1 ::1"]
            ),
            json!({ "set": {
                "response_headers": { "set": { "X-A.b": "DENY" } },
                "max_body_bytes": 10_485_760,
                "allow": ["10.0.0.1", "::1"],
            }, "unset": [] })
        );
    }

    #[test]
    fn the_last_part_takes_its_option_along_and_none_is_something() {
        let effective = json!({ "response_headers": { "set": { "X-A": "1" } }, "sticky": true });
        assert_eq!(
            patched(effective.clone(), &["response_headers.set.X-A=", "timeout_s=none"]),
            json!({ "set": { "timeout_s": null }, "unset": ["response_headers"] })
        );
        assert_eq!(
            unset(&options(effective), &["sticky".to_owned(), "sticky".to_owned()]).expect("valid"),
            json!({ "set": {}, "unset": ["sticky"] })
        );
    }

    #[test]
    fn what_is_unknown_or_half_said_is_named() {
        let refused = |pair: &str| {
            let failure = set(&Options::new(), &[pair.to_owned()]).expect_err(pair);
            (failure.message.clone(), failure.hint.clone().unwrap_or_default())
        };
        assert_eq!(refused("compres=true").1, "did you mean `compress`?");
        assert!(refused("compress=yes").0.contains("true or false"));
        assert!(refused("rate_limit=5").1.contains("rate_limit.requests"));
        assert!(refused("redirects=/a").1.contains("wh route redirect add"));
        assert!(refused("max_body_bytes=lots").0.contains("10M"));
        assert!(refused("compress").0.contains("KEY=VALUE"));
    }

    #[test]
    fn everything_is_a_line() {
        let all = options(json!({
            "basic_auth": { "realm": "Staff", "users": { "ann": null } },
            "eject": {}, "allow": ["10.0.0.0/8", "::1/128"], "compress": true,
            "redirects": [{ "from": "/a", "to": "/b" }],
        }));
        let lines: Vec<String> = flat(&all).iter().map(|(word, value)| format!("{word}: {value}")).collect();
        assert_eq!(
            lines,
            [
                "allow: 10.0.0.0/8 ::1/128",
                "basic_auth.realm: Staff",
                "basic_auth.users.ann: password set",
                "compress: true",
                "eject: on",
                "redirect /a: /b (308)",
            ]
        );
    }
}
