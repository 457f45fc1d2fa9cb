//! What answers at the name's addresses: somebody else's proxy, the ports, the certificate.

use std::net::IpAddr;

use chrono::TimeDelta;

use super::addresses;
use crate::doctor::{Certificate, Check, Distrust, Door, Evidence, Finding, Knock, Level, Reply, cdn};

/// Time before its end at which a certificate should have been renewed long since.
const RENEWAL_IS_LATE: TimeDelta = TimeDelta::days(14);

impl Knock {
    fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Answered(reply) => Some(reply),
            _ => None,
        }
    }
}

pub(super) fn cdn(evidence: &Evidence) -> Option<Finding> {
    let by_address = addresses(evidence).into_iter().find_map(cdn::of_address);
    let replies = evidence.doors.iter().flat_map(|door| [&door.http, &door.https]);
    let by_reply = replies.filter_map(Knock::reply).find_map(cdn::of_reply);
    let name = by_address.or(by_reply)?;
    let summary =
        format!("{name} stands in front of {}: requests reach the proxies from there.", evidence.host);
    let fix = if name == cdn::CLOUDFLARE {
        "That works if Cloudflare's SSL/TLS mode is \"Full (strict)\": \"Flexible\" ends in endless redirects. Certificates by HTTP-01 need \"Always Use HTTPS\" off for /.well-known/acme-challenge/, or a DNS provider. To go without Cloudflare, make the record grey (\"DNS only\")."
    } else {
        "Let it pass /.well-known/acme-challenge/ and the Host header on, and speak HTTPS to the proxies."
    };
    Some(Finding::warning(Check::Cdn, summary).fix(fix))
}

pub(super) fn ports(evidence: &Evidence, in_front: bool) -> Finding {
    let asked: Vec<&Door> = evidence.doors.iter().filter(|door| door.http != Knock::NotAsked).collect();
    if asked.is_empty() {
        return Finding::warning(
            Check::Ports,
            "The addresses are private ones, so ports 80 and 443 were not tried from here.",
        )
        .fix("Public DNS should hold public addresses; in a private network, open the address in a browser there.");
    }
    for (port, knock_of) in
        [(443, (|door: &Door| door.https.clone()) as fn(&Door) -> Knock), (80, |door| door.http.clone())]
    {
        let shut = asked.iter().find(|door| matches!(knock_of(door), Knock::Refused | Knock::TimedOut));
        if let Some(door) = shut {
            let how =
                if knock_of(door) == Knock::Refused { "refuses connections" } else { "does not answer" };
            return shut_port(port, door.address, how);
        }
    }
    if let Some(found) = asked.iter().find_map(|door| loop_of(door, &evidence.host)) {
        return found;
    }
    let strange = asked.iter().find_map(|door| match (&door.http, &door.https) {
        (Knock::Failed(words), _) | (_, Knock::Failed(words)) => Some((door.address, words.clone())),
        _ => None,
    });
    match strange {
        Some((address, words)) if !in_front => {
            Finding::problem(Check::Ports, format!("What answers at {address} does not speak HTTP: {words}."))
                .fix("See which program has ports 80 and 443 there: `ss -ltnp`.")
        }
        _ => Finding::ok(Check::Ports, "Ports 80 and 443 answer."),
    }
}

fn shut_port(port: u16, address: IpAddr, how: &str) -> Finding {
    let finding = |level| Finding::new(Check::Ports, level, format!("Port {port} of {address} {how}."));
    let fix = "Open it in the host's firewall and in the provider's, and see that the proxy runs there: `wh node show`.";
    if port == 80 {
        return finding(Level::Warning).fix(format!(
            "{fix} Without it, http:// addresses do not work, and certificates need TLS-ALPN-01 or DNS-01."
        ));
    }
    finding(Level::Problem).fix(fix)
}

/// HTTPS that redirects to itself: a CDN that asks over plain HTTP and is sent to HTTPS.
fn loop_of(door: &Door, host: &str) -> Option<Finding> {
    let reply = door.https.reply()?;
    let here = format!("https://{host}/");
    let redirects = (300..400).contains(&reply.status) && reply.location.as_deref() == Some(here.as_str());
    redirects.then(|| {
        Finding::problem(Check::Ports, format!("{here} redirects to itself, without end."))
            .fix("A proxy in front speaks plain HTTP to the fleet: set it to HTTPS (Cloudflare: \"Full (strict)\").")
    })
}

pub(super) fn certificate(evidence: &Evidence) -> Finding {
    let host = &evidence.host;
    if let Some(resolver) = &evidence.resolver {
        return of_resolver(evidence, resolver);
    }
    let Some(known) = &evidence.certificate else { return no_certificate(evidence) };
    let Some(not_after) = known.not_after.filter(|not_after| *not_after > evidence.now) else {
        return missing_certificate(host, known);
    };
    let ends = not_after.format("%Y-%m-%d");
    let shown = shown(evidence);
    if let Some(Distrust::Other(words)) = shown {
        return Finding::problem(
            Check::Certificate,
            format!("There is a certificate for {host} until {ends}, but browsers do not get it: {words}."),
        )
        .fix("Something else than the proxies ends TLS there, or a proxy has an old table: see the findings on DNS and on the route.");
    }
    if let (Some(error), true) = (&known.error, not_after - evidence.now < RENEWAL_IS_LATE) {
        return Finding::warning(
            Check::Certificate,
            format!("The certificate ends on {ends}, and its renewal fails: {error}"),
        )
        .fix(format!("Once the cause is mended, order again: `wh cert reissue {host}`."));
    }
    match shown {
        Some(_) => Finding::warning(
            Check::Certificate,
            format!("The certificate is good until {ends}, but of an authority that browsers do not know."),
        )
        .fix("That is right for a CA of your own; for the public, set `acme.directory` to a public CA's."),
        None => Finding::ok(Check::Certificate, format!("The certificate is good until {ends}.")),
    }
}

/// What Traefik's own resolver orders is known only by what it shows.
fn of_resolver(evidence: &Evidence, resolver: &str) -> Finding {
    let by = format!("the proxies' own resolver `{resolver}`");
    match shown(evidence) {
        Some(Distrust::Other(words)) => Finding::problem(
            Check::Certificate,
            format!("The certificate is a matter of {by}, and browsers do not get it: {words}."),
        )
        .fix("See Traefik's log: what the CA said is there, or that there is no resolver of this name."),
        Some(Distrust::Authority) => Finding::warning(
            Check::Certificate,
            format!("The certificate is a matter of {by}, and of an authority that browsers do not know."),
        )
        .fix("That is right for a CA of your own; for the public, set the resolver's `caServer` to a public CA's."),
        None => Finding::ok(Check::Certificate, format!("The certificate is a matter of {by}.")),
    }
}

/// What is wrong with what a browser would be shown.
fn shown(evidence: &Evidence) -> Option<Distrust> {
    evidence.doors.iter().find_map(|door| match &door.https {
        Knock::NoTls(words) => Some(Distrust::Other(words.clone())),
        Knock::Answered(reply) => reply.distrust.clone(),
        _ => None,
    })
}

fn no_certificate(evidence: &Evidence) -> Finding {
    if !evidence.acme {
        return Finding::warning(
            Check::Certificate,
            "Certificates are not set up: apps are served over plain HTTP.",
        )
        .fix("Set `acme` in the control plane's configuration.");
    }
    Finding::problem(
        Check::Certificate,
        format!("There is no certificate for {} and none is on its way.", evidence.host),
    )
    .fix("It is ordered once the name is served: see the findings before and after this one.")
}

fn missing_certificate(host: &str, known: &Certificate) -> Finding {
    let expired = if known.not_after.is_some() { "has run out" } else { "is not there yet" };
    match &known.error {
        Some(error) => Finding::problem(Check::Certificate, format!("The certificate {expired}: {error}"))
            .fix(format!("Once the cause is mended, order again: `wh cert reissue {host}`.")),
        None if known.ordering => {
            Finding::warning(Check::Certificate, format!("The certificate {expired}; it is being ordered."))
                .fix("That takes about a minute.")
        }
        None => Finding::warning(
            Check::Certificate,
            format!("The certificate {expired}; its order waits for a proxy."),
        )
        .fix("See that a proxy is connected: `wh node ls`."),
    }
}
