//! From evidence to findings.

pub(super) mod app;
mod direct;
mod doors;

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Check, Evidence, Finding, Level, Name, NoAddress, Proxy, Record, cdn};

impl Finding {
    pub(super) fn new(check: Check, level: Level, summary: impl Into<String>) -> Self {
        Self { check, level, summary: summary.into(), fix: None, records: Vec::new() }
    }

    pub(super) fn ok(check: Check, summary: impl Into<String>) -> Self {
        Self::new(check, Level::Ok, summary)
    }

    pub(super) fn warning(check: Check, summary: impl Into<String>) -> Self {
        Self::new(check, Level::Warning, summary)
    }

    pub(super) fn problem(check: Check, summary: impl Into<String>) -> Self {
        Self::new(check, Level::Problem, summary)
    }

    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    fn records(mut self, records: Vec<Record>) -> Self {
        self.records = records;
        self
    }
}

/// What follows from the evidence, in the order of a request's way.
pub fn diagnose(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = vec![domain(evidence)];
    if let Name::Direct { worker: None, .. } = evidence.name {
        return findings;
    }
    let dns = dns(evidence);
    let resolves = dns.level != Level::Problem || !addresses(evidence).is_empty();
    findings.push(dns);
    if resolves {
        let cdn = doors::cdn(evidence);
        let in_front = cdn.is_some();
        findings.extend(cdn);
        findings.push(match &evidence.name {
            Name::Direct { port, .. } if *port != 443 => direct::port(evidence, *port),
            _ => doors::ports(evidence, in_front),
        });
    }
    if let Name::Direct { worker: Some(worker), .. } = &evidence.name {
        findings.push(direct::route(evidence, &worker.name));
        findings.extend(evidence.route.iter().flat_map(|route| app::targets(&evidence.targets, route)));
        return findings;
    }
    // What is not served has neither certificate nor route: the first finding says why.
    if matches!(evidence.name, Name::Unknown | Name::Pending { .. } | Name::Lapsed { .. }) {
        return findings;
    }
    findings.push(doors::certificate(evidence));
    if evidence.name != Name::Front {
        findings.extend(app::way_to_the_app(evidence));
    }
    findings
}

fn domain(evidence: &Evidence) -> Finding {
    let host = &evidence.host;
    let txt = |token: &str| {
        let parent = host.strip_prefix("*.").unwrap_or(host);
        vec![Record {
            kind: "TXT".to_owned(),
            name: format!("_wisehosting.{parent}"),
            value: token.to_owned(),
        }]
    };
    match &evidence.name {
        Name::Unknown => Finding::problem(Check::Domain, format!("No app of yours has the name {host}."))
            .fix(format!("Add it to an app: `wh domain add {host} --app APP`.")),
        Name::Front => Finding::ok(Check::Domain, format!("{host} is the dashboard's own name.")),
        Name::Own { app } => Finding::ok(Check::Domain, format!("{host} is the own name of the app {app}.")),
        Name::Direct { app, worker: Some(worker), .. } => Finding::ok(
            Check::Domain,
            format!("{host} is the own name of the app {app}, in a zone that the worker {} serves itself.", worker.name),
        ),
        Name::Direct { app, worker: None, .. } => Finding::problem(
            Check::Domain,
            format!("{host} is the own name of the app {app}, in a direct zone that has no worker."),
        )
        .fix("Name the zone's worker: `wh zone set`."),
        Name::Verified { app, .. } => {
            Finding::ok(Check::Domain, format!("{host} is a verified domain of the app {app}."))
        }
        Name::Pending { app, token, error } => {
            let why = error.as_ref().map(|error| format!(" The last look-up: {}.", error.trim_end_matches('.'))).unwrap_or_default();
            Finding::problem(
                Check::Domain,
                format!("{host} belongs to the app {app}, but is not verified yet, so it is not served.{why}"),
            )
            .fix(format!("Create this record, then run `wh domain verify {host}`."))
            .records(txt(token))
        }
        Name::Lapsed { app, token } => Finding::problem(
            Check::Domain,
            format!("{host} was a domain of the app {app}, but its TXT record has been gone for too long, so it is no longer served."),
        )
        .fix(format!("Create the record again, then run `wh domain verify {host}`."))
        .records(txt(token)),
    }
}

/// All addresses that any resolver knows, each once.
fn addresses(evidence: &Evidence) -> BTreeSet<IpAddr> {
    let answers = evidence.dns.iter().filter_map(|answer| answer.result.as_ref().ok());
    answers.flat_map(|answer| answer.addresses.iter().copied()).collect()
}

/// The addresses at which proxies answer.
fn proxies_at(proxies: &[Proxy]) -> BTreeSet<IpAddr> {
    proxies.iter().filter_map(|proxy| proxy.address).collect()
}

/// The records that would lead here.
fn right_records(evidence: &Evidence) -> Vec<Record> {
    let record =
        |kind: &str, value: String| Record { kind: kind.to_owned(), name: evidence.host.clone(), value };
    if let Name::Verified { cname, .. } = &evidence.name {
        return vec![record("CNAME", format!("{cname}."))];
    }
    let addresses = proxies_at(&evidence.proxies).into_iter();
    addresses
        .map(|address| record(if address.is_ipv4() { "A" } else { "AAAA" }, address.to_string()))
        .collect()
}

fn dns(evidence: &Evidence) -> Finding {
    let host = &evidence.host;
    let known = addresses(evidence);
    let failed = |wanted: &dyn Fn(&NoAddress) -> bool| {
        evidence.dns.iter().any(|answer| answer.result.as_ref().err().is_some_and(wanted))
    };
    if known.is_empty() {
        let (summary, fix) = if failed(&|error| *error == NoAddress::Missing) {
            (
                format!("Public DNS has no name {host}."),
                "Create one of these records where the domain's DNS is kept.",
            )
        } else if failed(&|error| *error == NoAddress::Empty) {
            (
                format!("{host} exists in public DNS, but has neither an A nor an AAAA record."),
                "Create one of these records where the domain's DNS is kept.",
            )
        } else {
            let words = evidence.dns.iter().find_map(|answer| match &answer.result {
                Err(NoAddress::Failed(words)) => Some(words.as_str()),
                _ => None,
            });
            (
                format!("No public resolver could look {host} up: {}.", words.unwrap_or("none was asked")),
                "If other names resolve, the domain's own name servers do not answer: look at its registrar and at DNSSEC.",
            )
        };
        return Finding::problem(Check::Dns, summary).fix(fix).records(right_records(evidence));
    }
    let ours = proxies_at(&evidence.proxies);
    let (here, elsewhere): (Vec<IpAddr>, Vec<IpAddr>) =
        known.iter().copied().partition(|address| ours.contains(address));
    let by_cdn = elsewhere.iter().all(|address| cdn::of_address(*address).is_some());
    if failed(&|error| matches!(error, NoAddress::Missing | NoAddress::Empty)) {
        return Finding::warning(
            Check::Dns,
            format!("Some public resolvers know {host} and some do not yet: {}.", list(&known)),
        )
        .fix("Wait until the old answer has run out everywhere; that is the time that the zone's SOA record names.");
    }
    if elsewhere.is_empty() || by_cdn || ours.is_empty() {
        return Finding::ok(Check::Dns, format!("{host} resolves to {}.", list(&known)));
    }
    let whose = match &evidence.name {
        Name::Direct { worker: Some(worker), .. } => format!("which is not the worker {}", worker.name),
        _ => "which is none of the fleet's proxies".to_owned(),
    };
    let summary = format!("{host} resolves to {}, {whose}.", list(&elsewhere));
    let finding = if here.is_empty() {
        Finding::problem(Check::Dns, summary)
            .fix("Replace its records by these, unless a load balancer of yours is at that address.")
    } else {
        Finding::warning(
            Check::Dns,
            format!("{summary} Only some visitors arrive here, and certificates may fail."),
        )
        .fix("Remove the records with that address, unless a load balancer of yours is there.")
    };
    finding.records(right_records(evidence))
}

fn list<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    addresses.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
