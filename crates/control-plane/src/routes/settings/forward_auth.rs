//! Who may be asked about an app's requests. Proxies ask, and they stand inside the fleet's networks: so an address is a
//! public one, and an app is one of the same project. Names are judged by the proxies, each time they are resolved.

use std::collections::HashMap;
use std::net::IpAddr;

use daemon::address::is_public;
use protocol::ids::AppId;
use protocol::spec::ForwardAuth;
use protocol::spec::forward_auth::Target;
use sqlx::PgConnection;
use url::{Host, Url};

use super::check::{header_name, range};
use crate::http::{Error, Result};
use crate::routes::store;

const URL_LIMIT: usize = 2048;
const HEADER_LIMIT: usize = 50;
const SKIP_LIMIT: usize = 100;
/// What proxies say of a request by themselves, and what only they could say.
const OURS: &[&str] = &[
    "forwarded",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-wisehosting-forward-auth",
];

/// What can be said without looking around.
pub fn check(auth: &ForwardAuth) -> Result<()> {
    if !auth.instances.is_empty() {
        return Err(Error::invalid("forward_auth.instances", "where an app answers is not to be set")
            .hint("Name the app: `app:SLUG/path`"));
    }
    address(auth)?;
    headers(&auth.request_headers, "forward_auth.request_headers")?;
    headers(&auth.response_headers, "forward_auth.response_headers")?;
    if auth.skip.len() > SKIP_LIMIT {
        let message = format!("there may be at most {SKIP_LIMIT} paths for which nobody is asked");
        return Err(Error::invalid("forward_auth.skip", message));
    }
    for (number, path) in auth.skip.iter().enumerate() {
        if let Some(problem) = skip_problem(path) {
            return Err(Error::invalid(format!("forward_auth.skip.{number}"), format!("`{path}` {problem}"))
                .hint("Write a path such as /health, or /public/* for everything below it"));
        }
    }
    range("forward_auth.timeout_s", auth.timeout_s, 1, 60)
}

/// What depends on the app: `hosts` are its names.
pub async fn check_for(
    conn: &mut PgConnection,
    app: AppId,
    hosts: &[String],
    auth: &ForwardAuth,
) -> Result<()> {
    let slug = match auth.target() {
        Target::App { slug, .. } => slug,
        Target::Address(address) => return not_itself(address, hosts, auth),
    };
    let named = (app, slug.to_owned());
    let found: HashMap<_, _> = store::guards(conn, std::slice::from_ref(&named)).await?;
    if found.contains_key(&named) {
        return Ok(());
    }
    Err(Error::invalid("forward_auth.url", format!("there is no app `{slug}` in this app's project"))
        .hint("`wh apps ls` lists the apps; one of another project is asked by its https address"))
}

/// A question about a question would be another one.
fn not_itself(address: &str, hosts: &[String], auth: &ForwardAuth) -> Result<()> {
    let Ok(url) = address.parse::<Url>() else { return Ok(()) };
    let own = url.host_str().is_some_and(|host| hosts.iter().any(|own| own == host));
    if !own || auth.skips(url.path()) {
        return Ok(());
    }
    let message = "this address is one of the app's own, for which it would be asked again";
    Err(Error::invalid("forward_auth.url", message)
        .hint("Name the app that answers there, as in `app:SLUG/path`, or add its path to forward_auth.skip"))
}

fn address(auth: &ForwardAuth) -> Result<()> {
    let refused = |problem: &str| {
        Error::invalid("forward_auth.url", format!("`{}` {problem}", auth.url)).hint(
            "Write an address such as https://auth.example.com/verify, or app:SLUG/verify for an app of the project",
        )
    };
    if auth.url.len() > URL_LIMIT || !auth.url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused("is no address, or has characters that no address has"));
    }
    if auth.url.contains('#') {
        return Err(refused("has a #, which no server is told"));
    }
    let address = match auth.target() {
        Target::App { slug, .. } => {
            return crate::apps::rules::check_slug(slug).map_err(|_| refused("names no app"));
        }
        Target::Address(address) => address,
    };
    let url: Url = address.parse().map_err(|_| refused("is no address"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("has a user or a password, which everybody who sees the app could read"));
    }
    let inside = match url.host() {
        None => return Err(refused("names no host")),
        Some(Host::Ipv4(address)) => !is_public(address.into()),
        Some(Host::Ipv6(address)) => !is_public(IpAddr::V6(address).to_canonical()),
        Some(Host::Domain(name)) => !name.trim_end_matches('.').contains('.'),
    };
    if inside { Err(refused("is no public address, and the proxies ask no other")) } else { Ok(()) }
}

fn headers(names: &[String], field: &str) -> Result<()> {
    if names.len() > HEADER_LIMIT {
        return Err(Error::invalid(field, format!("{field} may name at most {HEADER_LIMIT} headers")));
    }
    for (number, name) in names.iter().enumerate() {
        let at = format!("{field}.{number}");
        header_name(name, &at, false)?;
        if OURS.contains(&&*name.to_ascii_lowercase()) {
            return Err(Error::invalid(at, format!("the header {name} tells what the proxy saw"))
                .hint("It is always sent; leave it out"));
        }
    }
    Ok(())
}

fn skip_problem(path: &str) -> Option<&'static str> {
    let plain = path.strip_suffix("/*").map_or(path, |below| if below.is_empty() { "/" } else { below });
    if !path.starts_with('/') {
        Some("does not begin with /")
    } else if path == "/*" {
        Some("is every path: unset forward_auth to ask about none")
    } else if path.len() > URL_LIMIT || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("has characters that no path has")
    } else if plain.contains(['*', '?', '#', '`', '"']) {
        Some("has a * that is not the /* at its end, or what is no part of a path")
    } else if plain.contains(['%', '\\', ';']) || path.contains("//") || plain.split('/').any(is_dots) {
        Some("could be read as another path, and such a one is asked about always")
    } else {
        None
    }
}

fn is_dots(segment: &str) -> bool {
    segment == "." || segment == ".."
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn verdict(options: Value) -> Result<()> {
        check(&serde_json::from_value(options).expect("an option"))
    }

    #[test]
    fn services_outside_and_apps_are_taken() {
        for url in [
            "https://auth.example.com/verify?rd=https://auth.example.com/",
            "http://198.51.100.7:4180/oauth2/auth",
            "https://[2606:4700::1111]/",
            "app:oauth2-proxy/oauth2/auth",
            "app:door",
        ] {
            verdict(json!({ "url": url })).expect(url);
        }
        verdict(json!({
            "url": "app:door", "timeout_s": 60, "skip": ["/", "/health", "/public/*"],
            "request_headers": ["Cookie"], "response_headers": ["Remote-User", "X-Forwarded-User", "Authorization"],
        }))
        .expect("fine");
    }

    #[test]
    fn what_cannot_be_asked_is_refused_by_its_field_with_a_way_out() {
        let url = |url: &str| json!({ "url": url });
        let with = |key: &str, value: Value| json!({ "url": "app:door", key: value });
        for (options, field, word) in [
            (url("auth.example.com"), "forward_auth.url", "no address"),
            (url("ftp://auth.example.com/"), "forward_auth.url", "neither http"),
            (url("https://ann:pw@auth.example.com/"), "forward_auth.url", "password"),
            (url("https://auth.example.com/#a"), "forward_auth.url", "#"),
            (url("https://auth.example.com/a b"), "forward_auth.url", "characters"),
            (url("http://127.0.0.1/"), "forward_auth.url", "no public"),
            (url("http://10.50.0.1:8081/"), "forward_auth.url", "no public"),
            (url("http://0x7f.1/"), "forward_auth.url", "no public"),
            (url("http://[::ffff:169.254.169.254]/"), "forward_auth.url", "no public"),
            (url("http://localhost:4180/"), "forward_auth.url", "no public"),
            (url("app:Door"), "forward_auth.url", "names no app"),
            (url("app:/verify"), "forward_auth.url", "names no app"),
            (with("instances", json!(["10.50.0.1:8081"])), "forward_auth.instances", "app:SLUG"),
            (with("timeout_s", json!(0)), "forward_auth.timeout_s", "between 1"),
            (with("skip", json!(["health"])), "forward_auth.skip.0", "begin with"),
            (with("skip", json!(["/a", "/*"])), "forward_auth.skip.1", "every path"),
            (with("skip", json!(["/a*"])), "forward_auth.skip.0", "/public/*"),
            (with("skip", json!(["/a/../b"])), "forward_auth.skip.0", "another path"),
            (
                with("response_headers", json!(["Content-Length"])),
                "forward_auth.response_headers.0",
                "connection's",
            ),
            (
                with("response_headers", json!(["X-Forwarded-For"])),
                "forward_auth.response_headers.0",
                "proxy saw",
            ),
            (with("request_headers", json!(["a b"])), "forward_auth.request_headers.0", "no header name"),
        ] {
            let error = format!("{:?}", verdict(options.clone()).expect_err(word));
            assert!(error.contains(&format!("{field:?}")) && error.contains(word), "{options}: {error}");
        }
    }

    #[test]
    fn an_app_is_not_asked_about_its_own_questions() {
        let hosts = ["a.test".to_owned()];
        let auth = |skip: &[&str]| ForwardAuth {
            skip: skip.iter().map(|path| (*path).to_owned()).collect(),
            ..ForwardAuth::new("https://a.test/oauth2/auth")
        };
        let asks = |auth: &ForwardAuth| not_itself(&auth.url, &hosts, auth);
        asks(&auth(&["/oauth2/*"])).expect("let through");
        let error = format!("{:?}", asks(&auth(&[])).expect_err("without end"));
        assert!(error.contains("app:SLUG/path"), "{error}");
        asks(&ForwardAuth::new("https://b.test/oauth2/auth")).expect("another host");
    }
}
