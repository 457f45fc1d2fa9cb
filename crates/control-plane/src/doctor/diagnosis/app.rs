//! The route, the instances behind it, and their probes.

use protocol::report::InstanceState;
use protocol::spec::Unavailable;

use crate::doctor::{Check, Evidence, Finding, Proxy, Route, Target};

pub(super) fn way_to_the_app(evidence: &Evidence) -> Vec<Finding> {
    let Some(route) = &evidence.route else {
        let summary = format!("No proxy has a route for {}.", evidence.host);
        return vec![
            Finding::problem(Check::Route, summary)
                .fix("The app gets one with its first deployment: `wh deploy`."),
        ];
    };
    let mut findings = vec![route_on_proxies(evidence, route)];
    findings.extend(targets(&evidence.targets, route));
    findings
}

fn route_on_proxies(evidence: &Evidence, route: &Route) -> Finding {
    let generation = evidence.generation;
    let names =
        |proxies: Vec<&Proxy>| proxies.iter().map(|proxy| proxy.name.as_str()).collect::<Vec<_>>().join(", ");
    if evidence.proxies.is_empty() {
        return Finding::problem(Check::Route, "There is no proxy in the fleet, so nobody answers for it.")
            .fix("Add a node with the role proxy: `wh node token create --role proxy`.");
    }
    let (connected, lost): (Vec<&Proxy>, Vec<&Proxy>) =
        evidence.proxies.iter().partition(|proxy| proxy.connected);
    if connected.is_empty() {
        return Finding::warning(
            Check::Route,
            format!(
                "No proxy is connected to the control plane ({}): they serve the last table they got.",
                names(lost)
            ),
        )
        .fix("See why: `wh node show`, and `journalctl -u wisehosting-proxy` there.");
    }
    let behind: Vec<&Proxy> = connected.into_iter().filter(|proxy| proxy.applied < generation).collect();
    if !behind.is_empty() {
        return Finding::warning(
            Check::Route,
            format!("Route table {generation} is not in force yet on {}.", names(behind)),
        )
        .fix("That takes less than a second; if it stays so, look at the proxy's log.");
    }
    if route.maintenance {
        return in_maintenance(route);
    }
    if !lost.is_empty() {
        return Finding::warning(
            Check::Route,
            format!(
                "Route table {generation} is in force, but not on {}, which is not connected.",
                names(lost)
            ),
        )
        .fix("If DNS leads visitors there, they may get old answers: `wh node show`.");
    }
    Finding::ok(
        Check::Route,
        format!("The route to the app {} is in force on every proxy (table {generation}).", route.app),
    )
}

pub(super) fn in_maintenance(route: &Route) -> Finding {
    let summary = format!("The app {} is in maintenance: visitors see a page that says so.", route.app);
    Finding::warning(Check::Route, summary).fix("End it: `wh route maintenance off`.")
}

pub(in crate::doctor) fn targets(targets: &[Target], route: &Route) -> Vec<Finding> {
    let serving: Vec<&Target> = targets.iter().filter(|target| target.in_rotation).collect();
    if route.upstreams == 0 {
        return vec![nothing_serves(route, targets)];
    }
    let unreached =
        serving.iter().find_map(|target| target.reach.as_ref().err().map(|words| (target, words)));
    let reach = match unreached {
        Some((target, words)) => out_of_reach(target, words),
        None => within_reach(&serving),
    };
    vec![reach, probes(targets)]
}

fn out_of_reach(target: &Target, words: &str) -> Finding {
    let node = &target.node;
    Finding::problem(
        Check::Target,
        format!("The instance on {node} cannot be reached over the mesh: {words}."),
    )
    .fix(format!("See the node's tunnel: `wh node show {node}`; UDP 51821 has to be open."))
}

fn within_reach(serving: &[&Target]) -> Finding {
    let slowest = serving.iter().filter_map(|target| target.reach.as_ref().ok()).max();
    let time = slowest.map(|time| format!(" within {:.1} ms", time.as_secs_f64() * 1000.0));
    let count = count(serving.len());
    Finding::ok(
        Check::Target,
        format!("{count} of the app in reach over the mesh{}.", time.unwrap_or_default()),
    )
}

fn count(instances: usize) -> String {
    if instances == 1 { "1 instance".to_owned() } else { format!("{instances} instances") }
}

fn nothing_serves(route: &Route, targets: &[Target]) -> Finding {
    let app = &route.app;
    match route.unavailable {
        Some(Unavailable::Stopped) => Finding::problem(Check::Target, format!("The app {app} is stopped."))
            .fix(format!("Start it: `wh start --app {app}`.")),
        Some(Unavailable::Starting) => {
            Finding::warning(Check::Target, format!("The app {app} is starting; nothing of it serves yet."))
                .fix(format!("Follow it: `wh ps --app {app}`."))
        }
        _ => {
            let why = targets.iter().find_map(|target| target.failure.clone());
            let (words, fix) = why.unwrap_or_else(|| ("its instances say nothing".to_owned(), None));
            Finding::problem(Check::Target, format!("No instance of the app {app} serves: {words}"))
                .fix(fix.unwrap_or_else(|| format!("Read what it prints: `wh logs --app {app}`.")))
        }
    }
}

fn probes(targets: &[Target]) -> Finding {
    let ill: Vec<&Target> = targets
        .iter()
        .filter(|target| target.in_rotation && target.state != InstanceState::Healthy)
        .collect();
    let Some(first) = ill.first() else {
        return Finding::ok(Check::Probe, "The probes of all its instances succeed.");
    };
    let (words, fix) = first.failure.clone().unwrap_or_else(|| ("its probe fails".to_owned(), None));
    let finding = Finding::warning(
        Check::Probe,
        format!("{} out of {} not healthy; on {}: {words}", ill.len(), count(targets.len()), first.node),
    );
    finding.fix(fix.unwrap_or_else(|| "Read what it prints: `wh logs`.".to_owned()))
}
