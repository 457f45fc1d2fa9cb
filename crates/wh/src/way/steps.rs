//! What leads from the domains and options that an app has to those that its project file says: pure, and printable.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Path, Wanted, Way};
use crate::api::types::{Change, Domain};
use crate::route::{Options, flat, said};

/// What the app has, as far as the file speaks of it.
#[derive(Debug, Default)]
pub(crate) struct Present {
    pub(crate) domains: Vec<Domain>,
    /// The app's own options.
    pub(crate) routes: Options,
    /// Those of domains, by host name.
    pub(crate) of_domains: BTreeMap<String, Options>,
    /// Names that `canonical_host` may have.
    pub(crate) hosts: Vec<String>,
}

impl Present {
    /// The domain that the file calls `name`, which may be written with any letters.
    pub(crate) fn domain(&self, name: &str) -> Option<&Domain> {
        self.domains.iter().find(|domain| is(domain, name))
    }
}

/// Whether the file means this domain by `name`.
pub(crate) fn is(domain: &Domain, name: &str) -> bool {
    domain.hostname == name || domain.unicode.as_ref().is_some_and(|written| *written == name)
}

/// One request.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    Add {
        host: String,
    },
    PutPath {
        host: String,
        path: String,
        to: Path,
        before: Option<String>,
    },
    /// Options of the app, or of a domain.
    Set {
        host: Option<String>,
        before: Options,
        set: Options,
    },
    RemovePath {
        host: String,
        path: String,
        id: String,
        before: String,
    },
    Remove {
        host: String,
        state: String,
    },
}

/// What is to be done, what is new before what goes, and what has to wait, in words.
pub(crate) fn steps(way: &Way, present: &Present) -> (Vec<Step>, Vec<String>) {
    let (mut steps, mut waiting) = (Vec::new(), Vec::new());
    let pending = pending(way, present);
    let mut set = |host: Option<&str>, before: Option<&Options>, wanted: &Options| {
        let before = before.map(said::kept).unwrap_or_default();
        let mut set = differing(&before, wanted, host.is_some());
        if let Some(canonical) = held(&set, present, &pending) {
            set.remove("canonical_host");
            let place = host.map_or("routes".to_owned(), |host| format!("domain {host}"));
            waiting.push(format!("{place}: canonical_host waits until {canonical} is verified"));
        }
        let host = host.map(str::to_owned);
        (!set.is_empty()).then_some(Step::Set { host, before, set })
    };
    let mut options: Vec<Step> = set(None, Some(&present.routes), &way.routes).into_iter().collect();
    let mut going = Vec::new();
    for (name, wanted) in &way.domains {
        let there = present.domain(name);
        let host = there.map_or(name, |domain| &domain.hostname).clone();
        match (wanted, there) {
            (Wanted::Gone, None) => {}
            (Wanted::Gone, Some(domain)) => going.push(Step::Remove { host, state: domain.state.clone() }),
            (Wanted::There(domain), there) => {
                if there.is_none() {
                    steps.push(Step::Add { host: host.clone() });
                }
                options.extend(set(Some(&host), present.of_domains.get(&host), &domain.routes));
                for (path, wanted) in &domain.paths {
                    let step = of_path(&host, path, wanted, there);
                    let place =
                        if matches!(step, Some(Step::RemovePath { .. })) { &mut going } else { &mut steps };
                    place.extend(step);
                }
            }
        }
    }
    steps.append(&mut options);
    steps.append(&mut going);
    (steps, waiting)
}

/// Names that are to be the app's and are not served yet.
fn pending(way: &Way, present: &Present) -> BTreeSet<String> {
    let there = way.domains.iter().filter(|(_, wanted)| matches!(wanted, Wanted::There(_)));
    let names = there.map(|(name, _)| present.domain(name).map_or(name, |domain| &domain.hostname).clone());
    let unverified = present.domains.iter().filter(|domain| domain.state != "verified");
    let unverified = unverified.map(|domain| domain.hostname.clone());
    names.chain(unverified).filter(|name| !present.hosts.contains(name)).collect()
}

/// A canonical host that the control plane would refuse today, but not once its record is there.
fn held(set: &Options, present: &Present, pending: &BTreeSet<String>) -> Option<String> {
    let canonical = set.get("canonical_host")?.as_str()?;
    (!present.hosts.iter().any(|host| host == canonical) && pending.contains(canonical))
        .then(|| canonical.to_owned())
}

/// `null` is nothing at an app; at a domain it switches off what its app has.
fn differing(before: &Options, wanted: &Options, of_domain: bool) -> Options {
    let is_so = |option: &String, value: &Value| match before.get(option) {
        None => value.is_null() && !of_domain,
        Some(now) => now == value,
    };
    let differing = wanted.iter().filter(|(option, value)| !is_so(option, value));
    differing.map(|(option, value)| (option.clone(), value.clone())).collect()
}

fn of_path(host: &str, path: &str, wanted: &Wanted<Path>, domain: Option<&Domain>) -> Option<Step> {
    let now = domain.and_then(|domain| domain.paths.iter().find(|now| now.path == path));
    let before = now.map(|now| leads(&now.app, now.strip_prefix));
    let (host, path) = (host.to_owned(), path.to_owned());
    match (wanted, now, before) {
        (Wanted::Gone, Some(now), Some(before)) => {
            Some(Step::RemovePath { host, path, id: now.id.clone(), before })
        }
        (Wanted::Gone, _, _) => None,
        (Wanted::There(to), _, before) => {
            let to = Path { app: to.app.clone(), strip_prefix: to.strip_prefix };
            let is_so = before.as_ref() == Some(&leads(&to.app, to.strip_prefix));
            (!is_so).then_some(Step::PutPath { host, path, to, before })
        }
    }
}

fn leads(app: &str, strip_prefix: bool) -> String {
    format!("{app}{}", if strip_prefix { ", without the prefix" } else { "" })
}

impl Step {
    /// What it changes, line by line.
    pub(crate) fn changes(&self) -> Vec<Change> {
        match self {
            Self::Add { host } => vec![change(format!("domain {host}"), None, Some("added"))],
            Self::Remove { host, state } => {
                vec![change(format!("domain {host}"), Some(state), Some("removed"))]
            }
            Self::PutPath { host, path, to, before } => {
                let after = leads(&to.app, to.strip_prefix);
                vec![change(format!("domain {host}{path}"), before.as_deref(), Some(&after))]
            }
            Self::RemovePath { host, path, before, .. } => {
                vec![change(format!("domain {host}{path}"), Some(before), None)]
            }
            Self::Set { host, before, set } => {
                let place = host.as_ref().map_or("routes.".to_owned(), |host| format!("domain {host}: "));
                let lines = set.iter().flat_map(|(option, value)| {
                    option_changes(&place, option, before.get(option), value, host.is_some())
                });
                lines.collect()
            }
        }
    }
}

fn option_changes(
    place: &str,
    option: &str,
    before: Option<&Value>,
    after: &Value,
    of_domain: bool,
) -> Vec<Change> {
    let lines = |value: Option<&Value>| -> BTreeMap<String, String> {
        let value = value.filter(|value| of_domain || !value.is_null());
        value.map_or_else(BTreeMap::new, |value| {
            let lines = flat(&Options::from_iter([(option.to_owned(), value.clone())]));
            // An empty list has no words, and says something all the same.
            let empty = (option.to_owned(), "none".to_owned());
            if value.as_array().is_some_and(Vec::is_empty) {
                BTreeMap::from([empty])
            } else {
                lines.into_iter().collect()
            }
        })
    };
    let (old, new) = (lines(before), lines(Some(after)));
    let words: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing = words.into_iter().filter(|word| old.get(*word) != new.get(*word));
    differing
        .map(|word| {
            let of = |side: &BTreeMap<String, String>| side.get(word).cloned();
            change(format!("{place}{word}"), of(&old).as_deref(), of(&new).as_deref())
        })
        .collect()
}

fn change(label: String, before: Option<&str>, after: Option<&str>) -> Change {
    let kind = match (before, after) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    Change {
        field: label.clone(),
        label,
        kind: kind.to_owned(),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
        impact: "routes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::project;

    fn way(text: &str) -> Way {
        project::parse(text, "f").expect("valid").way
    }

    fn domain(host: &str, state: &str) -> Domain {
        let proof = json!({ "name": format!("_wisehosting.{host}"), "type": "TXT", "value": "6e0c" });
        let paths = json!([{ "id": "p1", "path": "/api", "app": "api" }]);
        let domain =
            json!({ "hostname": host, "state": state, "records": { "proof": proof }, "paths": paths });
        serde_json::from_value(domain).expect("a domain")
    }

    fn options(value: Value) -> Options {
        value.as_object().expect("an object").clone()
    }

    fn lines(text: &str, present: &Present) -> (Vec<String>, Vec<String>) {
        let (steps, waiting) = steps(&way(text), present);
        let of = |side: &Option<String>| side.clone().unwrap_or_else(|| "–".to_owned());
        let changes = steps.iter().flat_map(Step::changes);
        let told = changes.map(|one| format!("{} {} → {}", one.label, of(&one.before), of(&one.after)));
        (told.collect(), waiting)
    }

    const FILE: &str = r#"
        app = "shop"
        [routes]
        compress = true
        timeout_s = "none"
        response_headers = { set = { X-A = "1" } }
        [domains]
        "Example.com." = true
        "old.example.com" = false
        [domains."www.example.com"]
        paths = { "/api/" = "api2", "/docs" = { app = "docs", strip_prefix = true } }
        routes = { basic_auth = "none", allow = [] }
    "#;

    #[test]
    fn what_is_new_comes_first_and_what_goes_last() {
        let present = Present {
            domains: vec![domain("www.example.com", "verified"), domain("old.example.com", "lapsed")],
            routes: options(json!({ "timeout_s": 5 })),
            ..Present::default()
        };
        assert_eq!(
            lines(FILE, &present),
            (
                [
                    "domain example.com – → added",
                    "domain www.example.com/api api → api2",
                    "domain www.example.com/docs – → docs, without the prefix",
                    "routes.compress – → true",
                    "routes.response_headers.set.X-A – → 1",
                    "routes.timeout_s 5 → –",
                    "domain www.example.com: allow – → none",
                    "domain www.example.com: basic_auth – → none",
                    "domain old.example.com lapsed → removed",
                ]
                .map(str::to_owned)
                .to_vec(),
                Vec::new()
            )
        );
    }

    #[test]
    fn what_is_so_already_is_left_alone() {
        let present = Present {
            domains: vec![domain("www.example.com", "verified"), domain("example.com", "pending")],
            routes: options(json!({
                "compress": true, "sticky": true, "redirects": [{ "from": "/a", "to": "/b" }],
                "response_headers": { "set": { "X-A": "1" } },
            })),
            of_domains: BTreeMap::from([(
                "www.example.com".to_owned(),
                options(json!({ "basic_auth": null, "allow": [] })),
            )]),
            ..Present::default()
        };
        let text =
            FILE.replace("api2", "api").replace(r#""/docs" = { app = "docs", strip_prefix = true }"#, "");
        let text =
            text.replace("compress = true", "compress = true\nredirects = [{ from = \"/a\", to = \"/b\" }]");
        assert_eq!(lines(&text, &present), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_path_that_is_to_be_gone_goes_and_names_may_have_any_letters() {
        let mut book = domain("xn--bcher-kva.example", "verified");
        book.unicode = Some("bücher.example".to_owned());
        let present = Present { domains: vec![book], ..Present::default() };
        let text = "[domains.\"Bücher.example\"]\npaths = { \"/api\" = false, \"/none\" = false }";
        assert_eq!(lines(text, &present).0, ["domain xn--bcher-kva.example/api api → –"]);
    }

    #[test]
    fn a_canonical_host_waits_for_its_record() {
        let text =
            "[routes]\ncanonical_host = \"example.com\"\ncompress = true\n[domains]\n\"example.com\" = true";
        let mut present = Present { hosts: vec!["shop.route.test".to_owned()], ..Present::default() };
        let (told, waiting) = lines(text, &present);
        assert_eq!(told, ["domain example.com – → added", "routes.compress – → true"]);
        assert_eq!(waiting, ["routes: canonical_host waits until example.com is verified"]);
        present.domains.push(domain("example.com", "verified"));
        present.hosts.push("example.com".to_owned());
        let (told, waiting) = lines(text, &present);
        assert_eq!(told[0], "routes.canonical_host – → example.com");
        assert!(waiting.is_empty());
        // A name of nobody is the control plane's to refuse.
        let (told, waiting) =
            lines(&text.replace("canonical_host = \"e", "canonical_host = \"no.e"), &present);
        assert!(told[0].contains("no.example.com") && waiting.is_empty());
    }

    #[test]
    fn what_is_wrong_names_its_place() {
        for (text, part) in [
            ("[routes]\ncompres = true", "f: routes: there is no option `compres`"),
            (
                "[domains.\"a.example\"]\nroutes = { sticky = 1 }",
                "f: domains.\"a.example\": routes: sticky must be",
            ),
            ("[domains.\"a.example\"]\npaths = { api = \"api\" }", "the path `api` must begin with /"),
            ("[domains]\n\"a.example\" = \"x\"", "line 2: invalid type"),
            ("[domains]\n\"a.example\" = true\n\"A.example\" = true", "is there twice"),
            ("[domains.\"a.example\"]\npath = {}", "unknown key `path`"),
            ("[domains.\"a.example\"]\npaths = { \"/a\" = true }", "the name of an app, false, or a table"),
        ] {
            let failure = project::parse(text, "f").expect_err(text);
            assert!(failure.message.contains(part), "{text}: {}", failure.message);
        }
    }
}
