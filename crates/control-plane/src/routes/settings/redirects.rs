//! Which redirects can be carried out, and end.

use protocol::spec::options::Redirect;
use url::Url;

use crate::http::{Error, Result};

const LIMIT: usize = 100;
const LENGTH_LIMIT: usize = 2048;

pub fn check(redirects: &[Redirect]) -> Result<()> {
    if redirects.len() > LIMIT {
        return Err(Error::invalid("redirects", format!("there may be at most {LIMIT} redirects"))
            .hint("One with /* at its end covers everything below a path"));
    }
    for (number, redirect) in redirects.iter().enumerate() {
        let field = |name: &str| format!("redirects.{number}.{name}");
        if !matches!(redirect.status, 301 | 302 | 303 | 307 | 308) {
            return Err(Error::invalid(
                field("status"),
                format!("{} is no status of a redirect", redirect.status),
            )
            .hint("308 and 301 are for good, 307, 302 and 303 for now"));
        }
        if let Some(problem) = source_problem(&redirect.from) {
            return Err(Error::invalid(field("from"), format!("`{}` {problem}", redirect.from)).hint(
                "Write a path such as /old, or /blog/* for everything below it; encode other letters with %",
            ));
        }
        if let Some(problem) = target_problem(redirect) {
            return Err(Error::invalid(field("to"), format!("`{}` {problem}", redirect.to)).hint(
                "Write a path such as /new or an address such as https://example.com/new; * at its end stands for what /* covered",
            ));
        }
        if let Some(earlier) = redirects[..number].iter().position(|other| other.from == redirect.from) {
            let message = format!("{} is redirected by the redirect {earlier} already", redirect.from);
            return Err(
                Error::invalid(field("from"), message).hint("The first that fits answers: remove one")
            );
        }
    }
    (0..redirects.len()).try_for_each(|number| check_end(redirects, number))
}

fn source_problem(from: &str) -> Option<&'static str> {
    let path = from.strip_suffix("/*").map_or(from, |below| if below.is_empty() { "/" } else { below });
    if !path.starts_with('/') {
        Some("does not begin with /")
    } else if path.contains('*') {
        Some("has a * that is not the /* at its end")
    } else if path.contains(['?', '#']) {
        Some("has a ? or #: only paths are compared")
    } else if !is_plain(from) {
        Some("has characters that no path has")
    } else {
        None
    }
}

fn target_problem(redirect: &Redirect) -> Option<&'static str> {
    let to = redirect.to.as_str();
    let below = redirect.from.ends_with("/*");
    let start = to.strip_suffix('*').unwrap_or(to);
    let takes_rest = start.len() < to.len();
    if !is_plain(to) || start.contains(['*', '\\']) {
        return Some("is no address, or has a * that is not its end");
    }
    if takes_rest && !below {
        return Some("has a *, but the path that is redirected has none");
    }
    if takes_rest && (!start.ends_with('/') || start.contains(['?', '#'])) {
        return Some("has a * that is not a whole part of its path");
    }
    if start.starts_with('/') {
        if start.starts_with("//") {
            return Some("names a host without saying http or https");
        }
        let source = redirect.from.trim_end_matches('*');
        return (takes_rest && start.len() > source.len() && start.starts_with(source))
            .then_some("would be redirected again, without end");
    }
    match Url::parse(start) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => Some("is neither a path nor http(s)"),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => Some("holds a user or password"),
        // `https://host*` would let a visitor's path end the host.
        Ok(url) if takes_rest && !start[url.scheme().len() + 3..].contains('/') => {
            Some("has a * in its host: put a / before it")
        }
        Ok(_) if start.contains("://") => None,
        _ => Some("is neither a path nor an http(s) address"),
    }
}

fn is_plain(text: &str) -> bool {
    text.len() <= LENGTH_LIMIT && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Follows what a browser would: an address elsewhere ends the way, as does a path that leads to itself.
fn check_end(redirects: &[Redirect], number: usize) -> Result<()> {
    let mut at = redirects[number].from.replace("/*", "/x");
    let mut seen = vec![at.clone()];
    while let Some(next) =
        redirects.iter().find_map(|redirect| lead(redirect, &at)).filter(|next| *next != at)
    {
        if seen.contains(&next) || seen.len() > redirects.len() + 1 {
            let way = seen.join(" → ");
            let message = format!("requests would be redirected in a circle: {way} → {next}");
            return Err(Error::invalid(format!("redirects.{number}"), message)
                .hint("Let one of these paths be answered by the app"));
        }
        seen.push(next.clone());
        at = next;
    }
    Ok(())
}

/// The path on the same host to which a request for `path` is sent.
fn lead(redirect: &Redirect, path: &str) -> Option<String> {
    let rest = match redirect.from.strip_suffix('*') {
        Some(start) => path.strip_prefix(start)?,
        None => (path == redirect.from).then_some("")?,
    };
    let to = redirect.to.split(['?', '#']).next().unwrap_or_default();
    if !to.starts_with('/') {
        return None;
    }
    Some(to.strip_suffix('*').map_or_else(|| to.to_owned(), |to| format!("{to}{rest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(rules: &[(&str, &str)]) -> Result<()> {
        let redirect = |(from, to): &(&str, &str)| Redirect {
            from: (*from).to_owned(),
            to: (*to).to_owned(),
            status: 308,
        };
        check(&rules.iter().map(redirect).collect::<Vec<_>>())
    }

    #[test]
    fn paths_and_addresses_are_taken() {
        all(&[
            ("/old", "/new"),
            ("/blog/*", "https://blog.test:8443/x/*"),
            ("/a", "/b?x=1#top"),
            ("/start", "https://example.com"),
            ("/up/*", "/*"),
            ("/*", "/start"),
        ])
        .expect("fine");
    }

    #[test]
    fn what_cannot_be_a_redirect_is_refused_by_its_field() {
        for (from, to, field) in [
            ("old", "/new", "from"),
            ("/a*", "/new", "from"),
            ("/a/*/b", "/new", "from"),
            ("/a?x", "/new", "from"),
            ("/caf\u{e9}", "/new", "from"),
            ("/a", "new", "to"),
            ("/a", "//evil.test/", "to"),
            ("/a", "/\\evil.test", "to"),
            ("/a", "javascript:alert(1)", "to"),
            ("/a", "ftp://x.test/", "to"),
            ("/a", "https://user@x.test/", "to"),
            ("/a", "/b\r\nset-cookie: x", "to"),
            ("/a", "/b/*", "to"),
            ("/a/*", "https://x.test*", "to"),
            ("/a/*", "/b?x=*", "to"),
            ("/a/*", "/*/b", "to"),
            ("/*", "/deeper/*", "to"),
        ] {
            let error = format!("{:?}", all(&[(from, to)]).expect_err(to));
            assert!(error.contains(&format!("\"redirects.0.{field}\"")), "{from} to {to}: {error}");
        }
        let status = Redirect { from: "/a".to_owned(), to: "/b".to_owned(), status: 200 };
        assert!(format!("{:?}", check(&[status])).contains("redirects.0.status"));
    }

    #[test]
    fn redirects_end() {
        let error = format!("{:?}", all(&[("/a", "/b"), ("/b", "/a")]).expect_err("a circle"));
        assert!(error.contains("/a → /b → /a"), "{error}");
        all(&[("/a/*", "/b/*"), ("/b/*", "/a/*")]).expect_err("a circle");
        all(&[("/a", "/x"), ("/a", "/y")]).expect_err("twice");
        all(&[("/a", "/b"), ("/b", "/c")]).expect("ends");
    }
}
