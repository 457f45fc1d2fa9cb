//! Which requests a router takes, and which router is asked first: a longer path before a shorter one, and a host of
//! its own before a wildcard whatever the paths.

use protocol::spec::Route;

use crate::options::pattern;

/// Above what any rule's length gives, which is its priority when it has none.
const WITH_PATH: i32 = 1_000_000_000;
/// Below it.
const WILDCARD: i32 = -1_000_000_000;

/// Hosts of a route that are treated alike.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    /// Ends the names of its routers.
    pub(crate) suffix: &'static str,
    pub(crate) hosts: Vec<&'a str>,
    /// Their requests belong on the canonical host.
    pub(crate) moved: bool,
    wildcard: bool,
}

/// What a group's routers ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) text: String,
    pub(crate) priority: Option<i32>,
}

/// A route's hosts: most routes have one group.
pub(crate) fn groups(route: &Route) -> Vec<Group<'_>> {
    let hosts = || route.hosts.iter().map(String::as_str);
    let (wild, own): (Vec<&str>, Vec<&str>) = hosts().partition(|host| host.starts_with("*."));
    let canonical = route.options.canonical_host.as_deref();
    let (main, moved): (Vec<&str>, Vec<&str>) =
        own.into_iter().partition(|host| canonical.is_none_or(|canonical| canonical == *host));
    let group = |suffix, hosts, moved, wildcard| Group { suffix, hosts, moved, wildcard };
    let groups = [
        group("", main, false, false),
        group("-alias", moved, true, false),
        group("-wildcard", wild, canonical.is_some(), true),
    ];
    groups.into_iter().filter(|group| !group.hosts.is_empty()).collect()
}

impl<'a> Group<'a> {
    /// Those of its hosts that fit, and the others.
    pub(crate) fn split(&self, fits: impl Fn(&str) -> bool) -> [Option<Self>; 2] {
        let (some, others): (Vec<&'a str>, Vec<&'a str>) = self.hosts.iter().partition(|host| fits(host));
        let of = |hosts: Vec<&'a str>| (!hosts.is_empty()).then_some(Self { hosts, ..*self });
        [of(some), of(others)]
    }

    pub(crate) fn rule(&self, route: &Route) -> Rule {
        let hosts: Vec<String> = self.hosts.iter().map(|host| host_rule(host)).collect();
        let hosts = hosts.join(" || ");
        let prefix = prefix(&route.path);
        let text = if prefix.is_empty() {
            hosts
        } else {
            let (whole, below) = (literal(prefix), literal(&format!("{prefix}/")));
            format!("({hosts}) && (Path({whole}) || PathPrefix({below}))")
        };
        // Two apart: a rule that is narrower than another of the same length goes between.
        let length = 2 * i32::try_from(prefix.len()).unwrap_or(i32::MAX / 4);
        let priority = match (self.wildcard, prefix.is_empty()) {
            (false, true) => None,
            (false, false) => Some(WITH_PATH + length),
            (true, _) => Some(WILDCARD + length),
        };
        Rule { text, priority }
    }
}

impl Rule {
    /// For clients of `networks` alone, before this one. Without a number, the longer rule goes first.
    pub(crate) fn within(&self, networks: impl Iterator<Item = String>) -> Self {
        let networks: Vec<String> =
            networks.map(|network| format!("ClientIP({})", literal(&network))).collect();
        self.and(&format!("({})", networks.join(" || ")))
    }

    /// For requests that `narrower` fits as well, before this one.
    pub(crate) fn and(&self, narrower: &str) -> Self {
        Self {
            text: format!("({}) && {narrower}", self.text),
            priority: self.priority.map(|priority| priority + 1),
        }
    }
}

/// A path without its last `/`; empty for all paths.
pub(crate) fn prefix(path: &str) -> &str {
    path.trim_end_matches('/')
}

fn host_rule(host: &str) -> String {
    match host.strip_prefix("*.") {
        Some(domain) => format!("HostRegexp({})", literal(&format!(r"^[^.]+\.{}$", pattern(domain)))),
        None => format!("Host({})", literal(host)),
    }
}

/// A string in a rule. Rules are Go expressions, so no text may end its own quotes.
pub(crate) fn literal(text: &str) -> String {
    if text.contains('`') { format!("{text:?}") } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use protocol::spec::RouteOptions;

    use super::*;

    fn route(hosts: &[&str], path: &str) -> Route {
        Route {
            id: "1".to_owned(),
            app: "hello".to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            path: path.to_owned(),
            upstreams: Vec::new(),
            https_only: false,
            options: Box::default(),
            unavailable: None,
        }
    }

    fn rules(route: &Route) -> Vec<(&'static str, String)> {
        groups(route).iter().map(|group| (group.suffix, group.rule(route).text)).collect()
    }

    fn priority(host: &str, path: &str) -> i32 {
        let route = route(&[host], path);
        let rule = groups(&route)[0].rule(&route);
        rule.priority.unwrap_or_else(|| i32::try_from(rule.text.len()).expect("short"))
    }

    #[test]
    fn no_path_ends_its_quotes() {
        let rules = rules(&route(&["a.test"], "/`) || Host(`other.test"));
        assert_eq!(
            rules[0].1,
            r#"(Host(`a.test`)) && (Path("/`) || Host(`other.test") || PathPrefix("/`) || Host(`other.test/"))"#
        );
    }

    #[test]
    fn a_path_covers_itself_and_what_is_below_it() {
        let expected = "(Host(`a.test`)) && (Path(`/api`) || PathPrefix(`/api/`))";
        assert_eq!(rules(&route(&["a.test"], "/api"))[0].1, expected);
        assert_eq!(rules(&route(&["a.test"], "/api/"))[0].1, expected);
    }

    #[test]
    fn a_wildcard_is_one_label_and_a_router_of_its_own() {
        let rules = rules(&route(&["a.test", "*.b-c.test"], "/"));
        assert_eq!(rules[0], ("", "Host(`a.test`)".to_owned()));
        assert_eq!(rules[1], ("-wildcard", r"HostRegexp(`^[^.]+\.b\-c\.test$`)".to_owned()));
    }

    #[test]
    fn a_host_of_its_own_goes_before_a_wildcard_and_a_longer_path_before_a_shorter_one() {
        let order = [
            priority("a.test", "/api/v1"),
            priority("a.test", "/api"),
            priority("a.test", "/"),
            priority("*.test", "/api/v1/long"),
            priority("*.test", "/"),
        ];
        assert!(order.is_sorted_by(|one, other| one > other), "{order:?}");
        let route = route(&["a.test"], "/api");
        let rule = groups(&route)[0].rule(&route);
        let within = rule.within(["10.0.0.0/8".to_owned()].into_iter()).priority.expect("a number");
        assert!(priority("a.test", "/api") < within && within < priority("a.test", "/apis"));
    }

    #[test]
    fn the_canonical_host_is_a_group_of_its_own() {
        let options =
            RouteOptions { canonical_host: Some("www.a.test".to_owned()), ..RouteOptions::default() };
        let route = Route { options: Box::new(options), ..route(&["a.test", "www.a.test", "*.a.test"], "/") };
        let found: Vec<_> = groups(&route).into_iter().map(|group| (group.hosts, group.moved)).collect();
        assert_eq!(found, [(vec!["www.a.test"], false), (vec!["a.test"], true), (vec!["*.a.test"], true)]);
    }
}
