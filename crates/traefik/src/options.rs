//! What a route's options are in Traefik's middlewares. Text of people is quoted wherever Traefik reads a pattern or a
//! replacement.

use protocol::spec::options::{BasicAuth, HeaderChanges, RateLimit, Redirect, Retry};
use protocol::spec::{Route, RouteOptions};

use crate::forward_auth;
use crate::words::{IpStrategy, Middleware, SourceCriterion};

/// What the built-in engine takes for text, as far as types can be listed.
const TEXT: &[&str] = &[
    "text/html",
    "text/css",
    "text/plain",
    "text/javascript",
    "text/csv",
    "text/markdown",
    "text/xml",
    "text/calendar",
    "text/vcard",
    "application/javascript",
    "application/x-javascript",
    "application/x-ndjson",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/problem+json",
    "application/xml",
    "application/xhtml+xml",
    "application/atom+xml",
    "application/rss+xml",
    "application/wasm",
    "image/svg+xml",
    "font/ttf",
    "font/otf",
];

/// Decides who learns anything at all.
pub(crate) fn entry(options: &RouteOptions) -> Vec<Middleware> {
    if options.allow.is_empty() {
        return Vec::new();
    }
    let source_range = options.allow.iter().map(ToString::to_string).collect();
    vec![Middleware::IpAllowList { source_range }]
}

/// For a host whose requests belong on the canonical one.
pub(crate) fn moved(options: &RouteOptions) -> Vec<Middleware> {
    let mut chain = entry(options);
    chain.extend(options.canonical_host.as_deref().map(canonical));
    chain
}

/// Paths about which a service is asked, or nobody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paths {
    Asked,
    Skipped,
}

/// All of the way to the app, the outermost first: in the order of docs/operations/routes.md.
pub(crate) fn whole(route: &Route, for_paths: Paths) -> Vec<Middleware> {
    let options = &route.options;
    let mut chain = entry(options);
    chain.extend(options.rate_limit.as_ref().map(rate_limit));
    chain.extend(options.basic_auth.as_ref().map(basic_auth));
    if let Some(auth) = &options.forward_auth {
        chain.extend(forward_auth::unspoofed(auth, for_paths));
        chain.extend(forward_auth::question(auth).filter(|_| for_paths == Paths::Asked));
    }
    chain.extend(headers(&options.request_headers, &options.response_headers));
    chain.extend(options.redirects.iter().filter_map(redirect));
    if options.compress {
        chain.push(Middleware::Compress { included_content_types: TEXT });
    }
    if let Some(max_request_body_bytes) = options.max_body_bytes {
        chain.push(Middleware::Buffering { max_request_body_bytes });
    }
    let prefix = crate::rules::prefix(&route.path);
    if options.strip_prefix && !prefix.is_empty() {
        chain.push(Middleware::StripPrefix { prefixes: [prefix.to_owned()] });
    }
    chain.extend(retry(options.retry));
    chain
}

/// To `host`, with the rest of the address as it was.
fn canonical(host: &str) -> Middleware {
    Middleware::RedirectRegex {
        regex: r"^(https?)://[^/?:]*(:\d+)?(.*)$".to_owned(),
        replacement: format!("${{1}}://{}${{2}}${{3}}", replacement(host)),
        permanent: true,
    }
}

fn rate_limit(limit: &RateLimit) -> Middleware {
    Middleware::RateLimit {
        average: limit.requests,
        period: format!("{}s", limit.per_s.max(1)),
        burst: limit.burst.unwrap_or(limit.requests),
        source_criterion: SourceCriterion { ip_strategy: IpStrategy { ipv6_subnet: 64 } },
    }
}

/// Traefik sees the whole address. What `*` stood for begins with neither `/` nor `\`, so that it cannot become a host;
/// an address that would lead to itself is let through.
fn redirect(redirect: &Redirect) -> Option<Middleware> {
    let (from, rest) = match redirect.from.strip_suffix('*') {
        Some(below) if below.ends_with('/') => (below, r"[/\\]*([^?]*)"),
        Some(_) => return None,
        None => (redirect.from.as_str(), "()"),
    };
    let regex = format!(r"^(https?://[^/?]*){}{rest}(\?.*)?$", pattern(from));
    let (to, fragment) = match redirect.to.split_once('#') {
        Some((to, fragment)) => (to, format!("#{}", replacement(fragment))),
        None => (redirect.to.as_str(), String::new()),
    };
    let origin = if to.starts_with('/') { "${1}" } else { "" };
    let (to, rest) = to.strip_suffix('*').map_or((to, ""), |to| (to, "${2}"));
    let query = if to.contains('?') { "" } else { "${3}" };
    Some(Middleware::RedirectRegex {
        regex,
        replacement: format!("{origin}{}{rest}{query}{fragment}", replacement(to)),
        permanent: matches!(redirect.status, 301 | 308),
    })
}

/// The app does not see what was meant for the proxy.
fn basic_auth(auth: &BasicAuth) -> Middleware {
    let users = auth.users.iter().map(|(name, hash)| format!("{name}:{hash}")).collect();
    Middleware::BasicAuth { users, realm: auth.realm.clone(), remove_header: true }
}

fn headers(request: &HeaderChanges, response: &HeaderChanges) -> Option<Middleware> {
    // An empty text takes a header away.
    let words = |changes: &HeaderChanges| {
        let removed = changes.remove.iter().map(|name| (name.clone(), String::new()));
        removed.chain(changes.set.clone()).collect()
    };
    (!request.is_default() || !response.is_default()).then(|| Middleware::Headers {
        custom_request_headers: words(request),
        custom_response_headers: words(response),
    })
}

/// Traefik asks one server when nothing is said, and so does this table for a route that says nothing.
fn retry(retry: Retry) -> Option<Middleware> {
    (retry.attempts > 1 && retry != Retry::default()).then(|| Middleware::Retry {
        attempts: retry.attempts,
        status: retry.on_gateway_error.then_some(["502-504"]),
    })
}

/// A pattern that fits `text` and nothing else.
pub(crate) fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// `text` where `$1` would be what a group caught.
fn replacement(text: &str) -> String {
    text.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(from: &str, to: &str) -> (String, String) {
        let rule = Redirect { from: from.to_owned(), to: to.to_owned(), status: 308 };
        match redirect(&rule).expect("a redirect") {
            Middleware::RedirectRegex { regex, replacement, .. } => (regex, replacement),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_text_of_people_is_a_pattern() {
        let (regex, replacement) = words("/a.b(c)+$/*", "https://x.test/$1/*");
        assert_eq!(regex, r"^(https?://[^/?]*)\/a\.b\(c\)\+\$\/[/\\]*([^?]*)(\?.*)?$");
        assert_eq!(replacement, "https://x.test/$$1/${2}${3}");
    }

    #[test]
    fn the_query_is_kept_unless_the_target_has_one_and_a_fragment_stays_last() {
        assert_eq!(words("/old", "/new").1, "${1}/new${3}");
        assert_eq!(words("/old", "/new?a=1").1, "${1}/new?a=1");
        assert_eq!(words("/old", "/new#top").1, "${1}/new${3}#top");
    }

    #[test]
    fn a_retry_that_says_nothing_new_is_no_middleware() {
        assert_eq!(retry(Retry::default()), None);
        assert_eq!(retry(Retry { attempts: 1, ..Retry::default() }), None);
        assert!(retry(Retry { on_gateway_error: true, ..Retry::default() }).is_some());
    }
}
