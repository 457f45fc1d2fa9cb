//! Why a name of the private network does not answer: whether there is such an app, whether the project that asks may reach
//! it, whether something serves, and what each worker with containers of that project makes of the name.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::future::join_all;
use protocol::identity::AgentKind;
use protocol::ids::OrganizationId;
use protocol::question::{AnswerKind, PrivateName, Question};
use protocol::spec::Unavailable;
use protocol::spec::private::DOMAIN;

use super::diagnosis::app;
use super::{Check, Finding, Route, Target, evidence, store};
use crate::app::AppState;
use crate::http::Result;
use crate::network::address;
use crate::{network, nodes, projects, questions};

/// For a worker to look at its resolver and its firewall.
const PATIENCE: Duration = Duration::from_secs(5);

/// `<app>.<project>.internal`, or something else below `internal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    host: String,
    app: String,
    project: String,
}

impl Name {
    /// `None` for a name of the world outside.
    pub(super) fn of(host: &str) -> Option<Self> {
        let rest = host.strip_suffix(DOMAIN)?.strip_suffix('.')?;
        let (app, project) = rest.split_once('.').unwrap_or((rest, ""));
        Some(Self { host: host.to_owned(), app: app.to_owned(), project: project.to_owned() })
    }
}

/// What was found out about a name.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    name: Name,
    /// The project that asks.
    from: String,
    app: Option<App>,
    targets: Vec<Target>,
    /// Those with containers of the project that asks.
    workers: Vec<Worker>,
}

#[derive(Debug, Clone)]
struct App {
    address: Ipv4Addr,
    allowed: bool,
    stopped: bool,
    serving: usize,
}

#[derive(Debug, Clone)]
struct Worker {
    name: String,
    /// It was told of the newest private network, and has not said that it is in force.
    behind: bool,
    /// Or why it was not asked, or has not answered.
    told: std::result::Result<PrivateName, String>,
}

pub(super) async fn gather(
    app: &AppState,
    organization: OrganizationId,
    name: Name,
    from: Option<&str>,
) -> Result<Evidence> {
    let mut conn = app.db.acquire().await?;
    let from = from.unwrap_or(&name.project);
    let viewer = network::store::project(&mut conn, organization, from).await?;
    let viewer = match viewer {
        Some(viewer) => viewer,
        // Of a wrong name the project is wrong, too, and that is told as a finding.
        None if from == name.project => {
            let from = from.to_owned();
            return Ok(Evidence { name, from, app: None, targets: Vec::new(), workers: Vec::new() });
        }
        None => {
            return Err(projects::absent(from).field("from"));
        }
    };
    let found = store::private_app(&mut conn, viewer.id, organization, &name.app, &name.project).await?;
    let rows = match &found {
        Some(_) => store::targets(&mut conn, &name.app).await?,
        None => Vec::new(),
    };
    let on = match &found {
        Some(found) if found.allowed => store::private_workers(&mut conn, viewer.id).await?,
        _ => Vec::new(),
    };
    drop(conn);
    let question = Question::Private { project: viewer.id.to_string(), name: name.host.clone() };
    let workers = join_all(on.into_iter().map(|row| worker(app, row, question.clone())));
    let (targets, workers) = tokio::join!(evidence::reach_all(rows), workers);
    let found = found.map(|found| App {
        address: address(found.number),
        allowed: found.allowed,
        stopped: found.stopped,
        serving: usize::try_from(found.serving).unwrap_or_default(),
    });
    Ok(Evidence { name, from: viewer.slug, app: found, targets, workers })
}

async fn worker(app: &AppState, row: store::PrivateWorker, question: Question) -> Worker {
    let asked = async {
        let node = nodes::api::find(&mut *app.db.acquire().await?, &row.name).await?;
        questions::ask(app, &node, AgentKind::Worker, question, PATIENCE).await
    };
    let told = match asked.await {
        Ok(AnswerKind::Private(told)) => Ok(told),
        Ok(_) => Err("it answered something else".to_owned()),
        Err(error) => Err(error.message().to_owned()),
    };
    Worker { name: row.name, behind: row.behind, told }
}

/// What follows from the evidence, in the order of a connection's way.
pub(super) fn diagnose(evidence: &Evidence) -> Vec<Finding> {
    let Name { host, app: slug, project } = &evidence.name;
    let Some(found) = &evidence.app else {
        let problem = Finding::problem(Check::Domain, format!("No app of yours has the name {host}."));
        return vec![problem.fix(
            "Names are APP.PROJECT.internal; `wh network show PROJECT` lists those that a project reaches.",
        )];
    };
    let at = found.address;
    let own = Finding::ok(Check::Domain, format!("{host} is the app {slug} of project {project}, at {at}."));
    let mut findings = vec![own, access(evidence, found)];
    let unavailable = found.stopped.then_some(Unavailable::Stopped);
    let route = Route { app: slug.clone(), upstreams: found.serving, unavailable, maintenance: false };
    findings.extend(app::targets(&evidence.targets, &route));
    if found.allowed {
        findings.extend(workers(evidence, found));
    }
    findings
}

fn access(evidence: &Evidence, found: &App) -> Finding {
    let Evidence { name: Name { host, app, project }, from, .. } = evidence;
    if found.allowed {
        return Finding::ok(Check::Access, format!("Apps of project {from} may reach it."));
    }
    let summary = format!("Apps of project {from} may not reach it: for them {host} does not exist.");
    Finding::problem(Check::Access, summary)
        .fix(format!("Let them, if they should: `wh network grant {from} {project}/{app}`."))
}

fn workers(evidence: &Evidence, found: &App) -> Vec<Finding> {
    let from = &evidence.from;
    if evidence.workers.is_empty() {
        let summary = format!("No container of project {from} runs, so nobody asks for the name.");
        let fix = "Deploy an app of the project that should reach it: `wh deploy`.";
        return vec![Finding::warning(Check::Resolver, summary).fix(fix)];
    }
    vec![resolvers(evidence, found), firewalls(evidence)]
}

fn resolvers(evidence: &Evidence, found: &App) -> Finding {
    let host = &evidence.name.host;
    for Worker { name, behind, told } in &evidence.workers {
        let see = format!("See why: `wh node show {name}`, and `journalctl -u wisehosting-worker` there.");
        match told {
            Err(why) => {
                let summary = format!("What {name} makes of the name cannot be told: {why}.");
                return Finding::warning(Check::Resolver, summary).fix(see);
            }
            Ok(PrivateName { resolver: Some(why), .. }) => {
                let summary = format!("Names are not answered on {name}: {why}.");
                let fix = format!(
                    "The worker starts the process that answers names again within half a minute; if it stays so, something else on {name} may have port 53: `journalctl -u wisehosting-worker` there, and `log` in the folder of its names."
                );
                return Finding::problem(Check::Resolver, summary).fix(fix);
            }
            Ok(told) if told.address != Some(found.address) => {
                let answer =
                    told.address.map_or("that it does not exist".to_owned(), |other| other.to_string());
                let summary =
                    format!("On {name} the answer is another one: {answer}, not {}.", found.address);
                let fix = if *behind {
                    format!(
                        "The private network of {name} is an older one. That takes less than a second; if it stays so: {see}"
                    )
                } else {
                    see
                };
                return Finding::problem(Check::Resolver, summary).fix(fix);
            }
            Ok(_) if *behind => {
                let summary = format!("The newest private network is not in force yet on {name}.");
                return Finding::warning(Check::Resolver, summary)
                    .fix("That takes less than a second; if it stays so, look at the worker's log.");
            }
            Ok(_) => {}
        }
    }
    let names: Vec<&str> = evidence.workers.iter().map(|worker| worker.name.as_str()).collect();
    Finding::ok(Check::Resolver, format!("{host} has this address on {}.", names.join(", ")))
}

fn firewalls(evidence: &Evidence) -> Finding {
    let broken = evidence.workers.iter().find_map(|worker| {
        let why = worker.told.as_ref().ok()?.firewall.as_ref()?;
        Some((&worker.name, why))
    });
    match broken {
        Some((name, why)) => Finding::problem(
            Check::Firewall,
            format!("The firewall that leads connections to instances is not in force on {name}: {why}."),
        )
        .fix(format!(
            "The worker loads it again within half a minute. If it stays so, see that {name} has nftables and that nothing removes the table wisehosting_worker: `journalctl -u wisehosting-worker` there."
        )),
        None if evidence.workers.iter().any(|worker| worker.told.is_ok()) => {
            Finding::ok(Check::Firewall, "The firewall that leads connections to instances is in force.")
        }
        None => Finding::warning(Check::Firewall, "Whether the firewall is in force cannot be told: no worker answers.")
            .fix("`wh node ls` shows which workers are there."),
    }
}

#[cfg(test)]
mod tests {
    use protocol::report::InstanceState;

    use super::super::Level;
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 96, 0, 7);

    fn worker(name: &str) -> Worker {
        let told = PrivateName { address: Some(ADDRESS), ..PrivateName::default() };
        Worker { name: name.to_owned(), behind: false, told: Ok(told) }
    }

    fn target() -> Target {
        Target {
            node: "w1".to_owned(),
            state: InstanceState::Healthy,
            in_rotation: true,
            failure: None,
            reach: Ok(Duration::from_micros(1500)),
        }
    }

    fn fine() -> Evidence {
        Evidence {
            name: Name::of("api.shop.internal").expect("a name"),
            from: "office".to_owned(),
            app: Some(App { address: ADDRESS, allowed: true, stopped: false, serving: 1 }),
            targets: vec![target()],
            workers: vec![worker("w1"), worker("w2")],
        }
    }

    fn told(evidence: &Evidence) -> Vec<(Check, Level, String)> {
        let findings = diagnose(evidence).into_iter();
        let wrong = findings.filter(|finding| finding.level != Level::Ok);
        wrong
            .map(|finding| {
                let fix = finding.fix.expect("a remedy");
                (finding.check, finding.level, format!("{} {fix}", finding.summary))
            })
            .collect()
    }

    #[test]
    fn a_name_that_works_is_told_link_by_link() {
        assert_eq!(told(&fine()), []);
        let checks: Vec<Check> = diagnose(&fine()).iter().map(|finding| finding.check).collect();
        let links =
            [Check::Domain, Check::Access, Check::Target, Check::Probe, Check::Resolver, Check::Firewall];
        assert_eq!(checks, links);
    }

    #[test]
    fn each_broken_link_is_named_with_its_remedy() {
        let app = |app: App| Evidence { app: Some(app), ..fine() };
        let known = || fine().app.expect("an app");
        let on_w2 = |told: std::result::Result<PrivateName, String>| {
            let workers = vec![worker("w1"), Worker { told, ..worker("w2") }];
            Evidence { workers, ..fine() }
        };
        let answers = |address| PrivateName { address, ..PrivateName::default() };
        let why = || Some("it has ended".to_owned());
        let behind = Worker { behind: true, told: Ok(answers(None)), ..worker("w1") };
        for (evidence, check, level, words) in [
            (Evidence { app: None, ..fine() }, Check::Domain, Level::Problem, "APP.PROJECT.internal"),
            (
                Evidence { app: Some(App { allowed: false, ..known() }), workers: Vec::new(), ..fine() },
                Check::Access,
                Level::Problem,
                "wh network grant office shop/api",
            ),
            (app(App { stopped: true, serving: 0, ..known() }), Check::Target, Level::Problem, "wh start"),
            (Evidence { workers: Vec::new(), ..fine() }, Check::Resolver, Level::Warning, "wh deploy"),
            (
                on_w2(Ok(PrivateName { resolver: why(), ..answers(None) })),
                Check::Resolver,
                Level::Problem,
                "not answered on w2: it has ended",
            ),
            (on_w2(Ok(answers(None))), Check::Resolver, Level::Problem, "does not exist, not 100.96.0.7"),
            (on_w2(Err("no".to_owned())), Check::Resolver, Level::Warning, "wh node show w2"),
            (Evidence { workers: vec![behind], ..fine() }, Check::Resolver, Level::Problem, "an older one"),
            (
                on_w2(Ok(PrivateName { firewall: why(), ..answers(Some(ADDRESS)) })),
                Check::Firewall,
                Level::Problem,
                "not in force on w2: it has ended",
            ),
        ] {
            let told = told(&evidence);
            let found = told.iter().any(|one| one.0 == check && one.1 == level && one.2.contains(words));
            assert!(found && told.len() == 1, "{words}: {told:?}");
        }
    }

    #[test]
    fn names_of_the_private_network_are_told_from_all_others() {
        let name = Name::of("api.shop.internal").expect("a name");
        assert_eq!((name.app.as_str(), name.project.as_str()), ("api", "shop"));
        for (host, private) in [("a.b.c.internal", true), ("shop.internal", true), ("www.example.com", false)]
        {
            assert_eq!(Name::of(host).is_some(), private, "{host}");
        }
        assert_eq!(Name::of("notinternal"), None);
    }
}
