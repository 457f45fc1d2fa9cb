//! The way to an app in a zone that one worker serves by itself: a port of that worker, and no proxy.

use super::app;
use crate::doctor::{Check, Door, Evidence, Finding, Knock, Proxy};

/// Whether the zone's port answers where DNS leads. `port` is not 443, which something in front of the worker has.
pub(super) fn port(evidence: &Evidence, port: u16) -> Finding {
    let asked: Vec<&Door> = evidence.doors.iter().filter(|door| door.http != Knock::NotAsked).collect();
    if asked.is_empty() {
        return Finding::warning(
            Check::Ports,
            format!("The addresses are private ones, so port {port} was not tried from here."),
        )
        .fix("Public DNS should hold public addresses; in a private network, open the address in a browser there.");
    }
    for door in asked {
        let how = match &door.http {
            Knock::Answered(_) | Knock::NotAsked => continue,
            Knock::Refused => "refuses connections".to_owned(),
            Knock::TimedOut => "does not answer".to_owned(),
            Knock::NoTls(words) | Knock::Failed(words) => format!("does not speak HTTP: {words}"),
        };
        return Finding::problem(Check::Ports, format!("Port {port} of {} {how}.", door.address)).fix(
            "Open it in the worker's firewall and in the provider's, and see that `ingress` in its worker.toml has it.",
        );
    }
    Finding::ok(Check::Ports, format!("Port {port} answers."))
}

/// Whether the worker has the route: it listens, is connected, and its table is the newest.
pub(super) fn route(evidence: &Evidence, worker: &str) -> Finding {
    let Some(Proxy { connected, applied, .. }) = evidence.proxies.first().filter(|proxy| proxy.listens)
    else {
        return silent(evidence, worker);
    };
    let generation = evidence.generation;
    if !connected {
        return Finding::warning(
            Check::Route,
            format!("The ingress of {worker} is not connected to the control plane: it serves the last table it got."),
        )
        .fix(format!("See why: `wh node show {worker}`, and `journalctl -u wisehosting-worker` there."));
    }
    let Some(route) = &evidence.route else {
        return Finding::problem(
            Check::Route,
            format!("The worker {worker} has no route for {}.", evidence.host),
        )
        .fix("The app gets one with its first deployment: `wh deploy`.");
    };
    if *applied < generation {
        return Finding::warning(
            Check::Route,
            format!("Route table {generation} is not in force yet on {worker}."),
        )
        .fix("That takes less than a second; if it stays so, look at the worker's log.");
    }
    if route.maintenance {
        return app::in_maintenance(route);
    }
    Finding::ok(
        Check::Route,
        format!("The route to the app {} is in force on {worker} (table {generation}).", route.app),
    )
}

/// Without an ingress: a Traefik may read the worker's routes, and answers then.
fn silent(evidence: &Evidence, worker: &str) -> Finding {
    let summary = format!("The worker {worker} does not listen for its zone");
    if evidence.doors.iter().any(|door| matches!(door.http, Knock::Answered(_))) {
        return Finding::warning(Check::Route, format!("{summary}: something else answers, whose routes nobody knows."))
            .fix("That is right for a Traefik that reads the worker's routes; else set `ingress` in its worker.toml.");
    }
    Finding::problem(Check::Route, format!("{summary}."))
        .fix("Set `ingress = \"0.0.0.0:8080\"` in its worker.toml, or let a Traefik there read its routes.")
}
