//! Requests that are answered with another address. What a visitor wrote never decides on which host an answer leads:
//! a target's host stands in the spec, and what `*` stood for begins with neither `/` nor `\`.

use http::header::HOST;
use http::{HeaderMap, StatusCode, Uri};
use protocol::spec::options::Redirect;

use crate::server::Scheme;
use crate::table::host_key;

/// What of a request decides on redirects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) scheme: Scheme,
    /// As the client wrote it: host and perhaps port.
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(scheme: Scheme, uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        let authority = match uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => headers.get(HOST).and_then(|host| host.to_str().ok()),
        };
        Self { scheme, authority: authority.unwrap_or_default(), path: uri.path(), query: uri.query() }
    }

    fn origin(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority)
    }

    fn path_and_query(&self) -> String {
        with_query(self.path.to_owned(), self.query)
    }
}

fn with_query(mut address: String, query: Option<&str>) -> String {
    if let Some(query) = query {
        address.push('?');
        address.push_str(query);
    }
    address
}

/// The one host that answers; requests for a route's other hosts are sent there.
#[derive(Debug)]
pub(crate) struct Canonical(Box<str>);

impl Canonical {
    /// Any host, because one with options of its own is another route of the same app.
    pub(crate) fn new(host: &str) -> Result<Self, String> {
        match host_key(host) {
            Some(key) if key == host => Ok(Self(host.into())),
            _ => Err(format!(
                "has the canonical host `{}`, which is not a lower-case host name",
                host.escape_debug()
            )),
        }
    }

    /// Where a request for another host belongs: same scheme, port, path and query.
    pub(crate) fn location(&self, asked: &Asked<'_>) -> Option<String> {
        if host_key(asked.authority).as_deref() == Some(&*self.0) {
            return None;
        }
        let port = port_of(asked.authority);
        Some(format!("{}://{}{port}{}", asked.scheme.as_str(), self.0, asked.path_and_query()))
    }
}

/// With its colon; empty without.
fn port_of(authority: &str) -> &str {
    let name_end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    authority[name_end..].find(':').map_or("", |colon| &authority[name_end + colon..])
}

/// A path or everything below one, and where it leads.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Ends with `/` when `below`.
    from: Box<str>,
    below: bool,
    /// Without the `*`, the query and the fragment.
    to: Box<str>,
    takes_rest: bool,
    query: Option<Box<str>>,
    fragment: Option<Box<str>>,
    status: StatusCode,
}

impl Rule {
    /// Or what is wrong with it, to follow the name of its route.
    pub(crate) fn new(redirect: &Redirect) -> Result<Self, String> {
        Self::parse(redirect).map_err(|problem| {
            let (from, to) = (redirect.from.escape_debug(), redirect.to.escape_debug());
            format!("redirects `{from}` to `{to}`, {problem}")
        })
    }

    fn parse(redirect: &Redirect) -> Result<Self, &'static str> {
        let status = match redirect.status {
            301 | 302 | 303 | 307 | 308 => {
                StatusCode::from_u16(redirect.status).map_err(|_| "with no status")?
            }
            _ => return Err("with a status that is no redirect"),
        };
        let below = redirect.from.ends_with("/*");
        let from = if below { &redirect.from[..redirect.from.len() - 1] } else { &redirect.from };
        if !from.starts_with('/') || !is_visible(from) || from.contains(['*', '?', '#']) {
            return Err(
                "but what is redirected is a path, percent-encoded, with nothing but `/*` at its end",
            );
        }
        let (to, fragment) = match redirect.to.split_once('#') {
            Some((to, fragment)) => (to, Some(fragment)),
            None => (redirect.to.as_str(), None),
        };
        let takes_rest = to.ends_with('*');
        let to = to.strip_suffix('*').unwrap_or(to);
        let (to, query) = match to.split_once('?') {
            Some((to, query)) => (to, Some(query)),
            None => (to, None),
        };
        let parts = [Some(to), query, fragment];
        if parts.iter().flatten().any(|part| !is_visible(part) || part.contains(['*', '\\'])) {
            return Err("which is no address, percent-encoded, with nothing but `*` at its end");
        }
        if takes_rest && (!below || query.is_some() || fragment.is_some()) {
            return Err("but `*` stands for what `/*` covered, at the end of a path");
        }
        check_target(to, takes_rest)?;
        if takes_rest && to.len() > from.len() && to.starts_with(from) {
            return Err("which it would redirect again, without end");
        }
        Ok(Self {
            from: from.into(),
            below,
            to: to.into(),
            takes_rest,
            query: query.map(Into::into),
            fragment: fragment.map(Into::into),
            status,
        })
    }

    /// Where the request leads. `None` when the rule does not fit, or leads to where the request is already.
    pub(crate) fn location(&self, asked: &Asked<'_>) -> Option<(StatusCode, String)> {
        let rest = match asked.path.strip_prefix(&*self.from) {
            Some(rest) if self.below => rest,
            Some("") => "",
            _ => return None,
        };
        let mut path = self.to.to_string();
        if self.takes_rest {
            path.push_str(rest.trim_start_matches(['/', '\\']));
        }
        let location = with_query(path, self.query.as_deref().or(asked.query));
        let here = asked.path_and_query();
        if location.strip_prefix(&asked.origin()).unwrap_or(&location) == here {
            return None;
        }
        let location = match &self.fragment {
            Some(fragment) => format!("{location}#{fragment}"),
            None => location,
        };
        Some((self.status, location))
    }
}

/// A path of the same host, or an address whose host is complete before `*` begins.
fn check_target(to: &str, takes_rest: bool) -> Result<(), &'static str> {
    if let Some(path) = to.strip_prefix('/') {
        return if path.starts_with('/') { Err("which names a host without its scheme") } else { Ok(()) };
    }
    let Some((scheme, rest)) = to.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
    else {
        return Err("which is neither a path nor an http(s) address");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if host_key(authority).is_none() {
        return Err("which names no host");
    }
    if takes_rest && rest.len() == authority.len() {
        return Err("where `*` would be a part of the host: put a / before it");
    }
    debug_assert!(!scheme.is_empty());
    Ok(())
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(from: &str, to: &str) -> Result<Rule, String> {
        Rule::new(&Redirect { from: from.to_owned(), to: to.to_owned(), status: 308 })
    }

    fn asked<'a>(path: &'a str, query: Option<&'a str>) -> Asked<'a> {
        Asked { scheme: Scheme::Https, authority: "App.test:8443", path, query }
    }

    fn leads(from: &str, to: &str, path: &str, query: Option<&str>) -> Option<String> {
        rule(from, to).expect("a rule").location(&asked(path, query)).map(|(_, location)| location)
    }

    #[test]
    fn paths_lead_where_the_rule_says_with_rest_and_query() {
        for (from, to, path, query, location) in [
            ("/old", "/new", "/old", None, Some("/new")),
            ("/old", "/new", "/old", Some("a=1"), Some("/new?a=1")),
            ("/old", "/new?b=2", "/old", Some("a=1"), Some("/new?b=2")),
            ("/old", "/new#top", "/old", Some("a=1"), Some("/new?a=1#top")),
            ("/old", "/new", "/old/", None, None),
            ("/old", "/new", "/older", None, None),
            ("/blog/*", "https://blog.test/*", "/blog/a/b", Some("x"), Some("https://blog.test/a/b?x")),
            ("/blog/*", "/news/*", "/blog/", None, Some("/news/")),
            ("/blog/*", "/news", "/blog/a", None, Some("/news")),
            ("/blog/*", "/news/*", "/blog", None, None),
            ("/*", "https://other.test:444/x/*", "/a", None, Some("https://other.test:444/x/a")),
            ("/", "/start", "/", None, Some("/start")),
            ("/", "/start", "/x", None, None),
        ] {
            assert_eq!(leads(from, to, path, query).as_deref(), location, "{from} to {to} for {path}");
        }
    }

    #[test]
    fn a_request_that_is_there_already_is_not_redirected() {
        assert_eq!(leads("/*", "/start", "/start", None), None);
        assert_eq!(leads("/*", "/start", "/start", Some("a")), None);
        assert_eq!(leads("/*", "/start", "/x", None).as_deref(), Some("/start"));
        assert_eq!(leads("/*", "https://App.test:8443/*", "/x", Some("a")), None);
    }

    #[test]
    fn the_rest_of_a_path_never_becomes_a_host() {
        for path in ["/old//evil.test", "/old/\\evil.test", "/old/\\/evil.test/x", "/old////\\//evil.test"] {
            let location = leads("/old/*", "/*", path, None).expect("fits");
            assert!(location.starts_with("/evil.test"), "{path} leads to {location}");
        }
        assert_eq!(leads("/old/*", "/*", "/old/.evil.test", None).as_deref(), Some("/.evil.test"));
    }

    #[test]
    fn what_cannot_be_a_redirect_is_named() {
        for (from, to) in [
            ("old", "/new"),
            ("/a*", "/new"),
            ("/a/*/b", "/new"),
            ("/a?x", "/new"),
            ("/caf\u{e9}", "/new"),
            ("/a", "new"),
            ("/a", "//evil.test/"),
            ("/a", "/\\evil.test"),
            ("/a", "javascript:alert(1)"),
            ("/a", "ftp://x.test/"),
            ("/a", "https://user@x.test/"),
            ("/a", "https:///x"),
            ("/a", "/b\r\nset-cookie: x"),
            ("/a", "/b/*"),
            ("/a/*", "https://x.test*"),
            ("/a/*", "/b?x=*"),
            ("/a/*", "/*/b"),
            ("/*", "/deeper/*"),
        ] {
            assert!(rule(from, to).is_err(), "{from} to {to}");
        }
        let status = Rule::new(&Redirect { from: "/a".into(), to: "/b".into(), status: 200 });
        assert_eq!(status.unwrap_err(), "redirects `/a` to `/b`, with a status that is no redirect");
    }

    #[test]
    fn the_canonical_host_keeps_scheme_port_path_and_query() {
        let canonical = Canonical::new("www.app.test").expect("a host");
        let location = canonical.location(&asked("//evil.test/x", Some("y=1")));
        assert_eq!(location.as_deref(), Some("https://www.app.test:8443//evil.test/x?y=1"));
        let here = Asked { authority: "WWW.App.test.:8443", ..asked("/", None) };
        assert_eq!(canonical.location(&here), None);
        let six = Asked { authority: "[::1]", scheme: Scheme::Http, ..asked("/", None) };
        assert_eq!(canonical.location(&six).as_deref(), Some("http://www.app.test/"));
        for wrong in ["*.app.test", "App.test", "app.test:80", "evil.test/x", ""] {
            assert!(Canonical::new(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        /// Read as a browser does: `\` is `/`, and what begins with `//` names a host.
        #[test]
        fn no_path_changes_the_host(rest in "[/\\\\a-z.@:%]{0,12}", to in "(/|/x|/x/|https://safe\\.test/)") {
            let rule = rule("/from/*", &format!("{to}*")).expect("a rule");
            let path = format!("/from/{rest}");
            if let Some((_, location)) = rule.location(&asked(&path, None)) {
                let read = location.replace('\\', "/");
                prop_assert!(
                    read.starts_with("https://safe.test/") || (read.starts_with('/') && !read.starts_with("//")),
                    "{} leads to {}", path, location
                );
            }
        }
    }
}
