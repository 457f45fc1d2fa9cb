//! Set-ups that are broken in one way each, and what is said of them.

use std::fmt::Write as _;

use super::*;

const PROXY: &str = "203.0.113.10";
const HOST: &str = "www.example.com";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("address")
}

fn answers(addresses: &[&str]) -> Vec<Answer> {
    let result =
        Addresses { aliases: Vec::new(), addresses: addresses.iter().map(|text| ip(text)).collect() };
    vec![Answer { resolver: ([9, 9, 9, 9], 53).into(), result: Ok(result) }]
}

fn no_answer(error: NoAddress) -> Vec<Answer> {
    vec![Answer { resolver: ([9, 9, 9, 9], 53).into(), result: Err(error) }]
}

fn reply(status: u16) -> Knock {
    Knock::Answered(Reply { status, ..Reply::default() })
}

fn door(http: Knock, https: Knock) -> Vec<Door> {
    vec![Door { address: ip(PROXY), http, https }]
}

fn proxy(name: &str, connected: bool, applied: Generation) -> Proxy {
    Proxy { name: name.to_owned(), address: Some(ip(PROXY)), listens: true, connected, applied }
}

fn target(state: InstanceState) -> Target {
    Target {
        node: "w1".to_owned(),
        state,
        in_rotation: true,
        failure: None,
        reach: Ok(Duration::from_micros(1500)),
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("time")
}

/// Everything as it should be.
fn fine() -> Evidence {
    Evidence {
        host: HOST.to_owned(),
        now: at("2026-06-01T00:00:00Z"),
        name: Name::Verified { app: "shop".to_owned(), cname: "shop.apps.example.net".to_owned() },
        dns: answers(&[PROXY]),
        doors: door(reply(308), reply(200)),
        proxies: vec![proxy("p1", true, 7)],
        generation: 7,
        acme: true,
        certificate: Some(Certificate {
            not_after: Some(at("2026-08-01T00:00:00Z")),
            error: None,
            ordering: false,
        }),
        resolver: None,
        route: Some(Route { app: "shop".to_owned(), upstreams: 1, unavailable: None, maintenance: false }),
        targets: vec![target(InstanceState::Healthy)],
    }
}

/// What is not in order, as people read it.
fn told(evidence: &Evidence) -> String {
    let mut text = String::new();
    for finding in diagnose(evidence).iter().filter(|finding| finding.level != Level::Ok) {
        writeln!(text, "{:?} {:?}: {}", finding.level, finding.check, finding.summary).expect("text");
        if let Some(fix) = &finding.fix {
            writeln!(text, "  → {fix}").expect("text");
        }
        for record in &finding.records {
            writeln!(text, "  {} {} {}", record.name, record.kind, record.value).expect("text");
        }
    }
    text
}

#[test]
fn nothing_is_wrong_with_what_is_right() {
    assert_eq!(told(&fine()), "");
    let all: Vec<Check> = diagnose(&fine()).iter().map(|finding| finding.check).collect();
    let way = [
        Check::Domain,
        Check::Dns,
        Check::Ports,
        Check::Certificate,
        Check::Route,
        Check::Target,
        Check::Probe,
    ];
    assert_eq!(all, way);
}

/// Set-ups that are broken in one way each.
type Broken = Vec<(&'static str, Evidence)>;

fn broken() -> Broken {
    [names(), answered(), doors(), certificates(), routes(), instances(), direct()].concat()
}

/// A zone that the worker w1 serves by itself, at the address of the proxy of the others.
fn on_a_worker(port: u16) -> Evidence {
    let worker = Some(Worker { id: NodeId::new(), name: "w1".to_owned() });
    Evidence {
        name: Name::Direct { app: shop(), worker, port },
        doors: door(reply(200), Knock::NotAsked),
        proxies: vec![proxy("w1", true, 7)],
        certificate: None,
        ..fine()
    }
}

#[test]
fn a_direct_zone_is_examined_at_its_worker() {
    let all: Vec<(Check, Level)> =
        diagnose(&on_a_worker(8080)).iter().map(|finding| (finding.check, finding.level)).collect();
    let way = [Check::Domain, Check::Dns, Check::Ports, Check::Route, Check::Target, Check::Probe];
    assert_eq!(all, way.map(|check| (check, Level::Ok)));
    let in_front = Evidence { doors: door(reply(308), reply(200)), ..on_a_worker(443) };
    assert_eq!(told(&in_front), "");
}

fn direct() -> Broken {
    let with = |doors| Evidence { doors, ..on_a_worker(8080) };
    let by = |proxy: Proxy| Evidence { proxies: vec![proxy], ..on_a_worker(8080) };
    let silent = Proxy { listens: false, ..proxy("w1", false, 0) };
    vec![
        ("direct: the port is shut", with(door(Knock::Refused, Knock::NotAsked))),
        ("direct: the port is dropped", with(door(Knock::TimedOut, Knock::NotAsked))),
        ("direct: a private address", with(door(Knock::NotAsked, Knock::NotAsked))),
        (
            "direct: another server's address",
            Evidence { dns: answers(&["198.51.100.1"]), ..on_a_worker(8080) },
        ),
        (
            "direct: the worker does not listen",
            Evidence { doors: door(Knock::Refused, Knock::NotAsked), ..by(silent.clone()) },
        ),
        ("direct: a Traefik answers instead", by(silent)),
        ("direct: its ingress is lost", by(proxy("w1", false, 7))),
        ("direct: its ingress has an old table", by(proxy("w1", true, 6))),
        ("direct: an app never deployed", Evidence { route: None, ..on_a_worker(8080) }),
        (
            "direct, HTTPS in front: port 443 shut",
            Evidence { doors: door(reply(200), Knock::Refused), ..on_a_worker(443) },
        ),
    ]
}

fn shop() -> String {
    "shop".to_owned()
}

fn names() -> Broken {
    let pending = Name::Pending {
        app: shop(),
        token: "f00d".to_owned(),
        error: Some("there is no TXT record.".to_owned()),
    };
    let lapsed = Name::Lapsed { app: shop(), token: "f00d".to_owned() };
    let known = |name| Evidence { name, route: None, certificate: None, ..fine() };
    vec![
        ("a name of nobody", known(Name::Unknown)),
        ("a domain that is not verified", known(pending)),
        ("a domain whose record is gone", known(lapsed)),
        (
            "a direct zone without a worker",
            Evidence { name: Name::Direct { app: shop(), worker: None, port: 8080 }, ..fine() },
        ),
    ]
}

fn answered() -> Broken {
    let refused = |error| Evidence { dns: no_answer(error), doors: Vec::new(), ..fine() };
    let at = |addresses: &[&str]| Evidence { dns: answers(addresses), ..fine() };
    let half = [answers(&[PROXY]), no_answer(NoAddress::Missing)].concat();
    vec![
        ("no such name", refused(NoAddress::Missing)),
        ("a name without addresses", refused(NoAddress::Empty)),
        ("broken name servers", refused(NoAddress::Failed("SERVFAIL".to_owned()))),
        ("half of the world knows", Evidence { dns: half, ..fine() }),
        ("another server's address", at(&["198.51.100.1"])),
        ("an old address beside the right one", at(&[PROXY, "198.51.100.1"])),
        ("Cloudflare's orange cloud", at(&["104.16.1.1"])),
    ]
}

fn doors() -> Broken {
    let flexible = Knock::Answered(Reply {
        status: 308,
        location: Some(format!("https://{HOST}/")),
        ..Reply::default()
    });
    let found = |http, https| Evidence { doors: door(http, https), ..fine() };
    let private = Evidence { dns: answers(&["10.0.0.7"]), ..found(Knock::NotAsked, Knock::NotAsked) };
    let strange = Knock::Failed("invalid HTTP version parsed".to_owned());
    vec![
        (
            "Cloudflare in front, Flexible",
            Evidence { dns: answers(&["104.16.1.1"]), ..found(reply(301), flexible) },
        ),
        ("port 443 shut", found(reply(308), Knock::Refused)),
        ("port 80 dropped", found(Knock::TimedOut, reply(200))),
        ("not HTTP", found(strange, reply(200))),
        ("a private address", private),
    ]
}

fn certificates() -> Broken {
    let failing =
        Certificate { not_after: None, error: Some("The CA finds no address.".to_owned()), ordering: false };
    let old = Certificate { not_after: Some(at("2026-06-05T00:00:00Z")), ..failing.clone() };
    let ordering = Certificate { error: None, ordering: true, ..failing.clone() };
    let with = |certificate| Evidence { certificate: Some(certificate), ..fine() };
    let shown = |distrust| {
        let answer = Reply { status: 200, distrust: Some(distrust), ..Reply::default() };
        Evidence { doors: door(reply(308), Knock::Answered(answer)), ..fine() }
    };
    let expired = Distrust::Other("the certificate that is shown has run out".to_owned());
    vec![
        ("an order that fails", with(failing)),
        ("a renewal that fails", with(old)),
        ("no certificate yet", with(ordering)),
        ("no certificates at all", Evidence { certificate: None, acme: false, ..fine() }),
        ("a certificate that browsers refuse", shown(expired)),
        ("a CA of one's own", shown(Distrust::Authority)),
        (
            "a resolver that orders nothing",
            Evidence {
                resolver: Some("le".to_owned()),
                ..shown(Distrust::Other("the certificate that is shown is for another name".to_owned()))
            },
        ),
    ]
}

fn routes() -> Broken {
    let by = |proxies| Evidence { proxies, ..fine() };
    let closed = Route { app: shop(), upstreams: 1, unavailable: None, maintenance: true };
    vec![
        ("an app never deployed", Evidence { route: None, ..fine() }),
        ("no proxies", by(Vec::new())),
        ("a proxy that is lost", by(vec![proxy("p1", false, 7)])),
        ("a proxy with an old table", by(vec![proxy("p1", true, 6), proxy("p2", true, 7)])),
        ("one of two proxies is lost", by(vec![proxy("p1", true, 7), proxy("p2", false, 5)])),
        ("maintenance", Evidence { route: Some(closed), ..fine() }),
    ]
}

fn instances() -> Broken {
    let nothing = |unavailable, targets| {
        let route = Route { app: shop(), upstreams: 0, unavailable: Some(unavailable), maintenance: false };
        Evidence { route: Some(route), targets, ..fine() }
    };
    let crashed = Target {
        failure: Some(("It ended with code 1.".to_owned(), Some("Read its log.".to_owned()))),
        ..target(InstanceState::Exited)
    };
    let lost = Target { reach: Err("no answer within 3 s".to_owned()), ..target(InstanceState::Healthy) };
    vec![
        ("a stopped app", nothing(Unavailable::Stopped, Vec::new())),
        ("an app that is starting", nothing(Unavailable::Starting, Vec::new())),
        ("a crashed app", nothing(Unavailable::Unhealthy, vec![crashed.clone()])),
        ("a worker out of reach", Evidence { targets: vec![lost], ..fine() }),
        (
            "one of two instances is ill",
            Evidence { targets: vec![target(InstanceState::Healthy), crashed], ..fine() },
        ),
    ]
}

#[test]
fn each_broken_set_up_is_named_with_its_remedy() {
    let mut text = String::new();
    for (what, evidence) in broken() {
        writeln!(text, "# {what}\n{}", told(&evidence)).expect("text");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_finding_that_is_not_ok_says_what_to_do() {
    for (what, evidence) in broken() {
        let findings = diagnose(&evidence);
        let wrong: Vec<&Finding> = findings.iter().filter(|finding| finding.level != Level::Ok).collect();
        assert!(!wrong.is_empty(), "{what}");
        assert!(wrong.iter().all(|finding| finding.fix.is_some()), "{what}: {wrong:?}");
    }
}
