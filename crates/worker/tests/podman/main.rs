//! The worker's parts with real Podman. Needs root, podman, runc and busybox-static.

mod exec;
mod files;
mod fresh;
mod images;
mod isolation;
mod leave;
mod private;
mod put_right;
mod registry;
mod support;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::ids::{AppId, ArchiveId, DeploymentId, InstanceId, JobId};
use protocol::job::{Build, BuildLimits, Failure, Job, Outcome, Preset, Source, Work};
use protocol::message::FromAgent;
use protocol::report::{InstanceReport, InstanceState};
use protocol::spec::{
    CrashGuard, ImageSpec, InstanceSpec, Isolation, Probe, ProbeCheck, Resources, WorkerSpec,
};
use support::{ControlPlane, MESH, SOCKET, archive, on_a_host, processes, state_dir};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::exec::Fresh;
use worker::guard::Guard;
use worker::instances::{Instances, InstancesConfig, Observer};
use worker::job::{BuildSettings, JobCommand, Jobs, JobsConfig};
use worker::means::{Means, UserNamespaces};
use worker::podman::Podman;
use worker::private::Network;
use worker::tickets::TicketKeys;

fn podman() -> Podman {
    Podman::new(SOCKET.as_ref()).expect("client")
}

fn jobs_config() -> JobsConfig {
    JobsConfig {
        folder: state_dir().join("jobs"),
        slots: 2,
        settings: BuildSettings {
            socket: SOCKET.into(),
            caches: Some(state_dir().join("caches")),
            memory_mb: 512,
            cpu_millis: 2000,
            timeout_s: 60,
            allow_file_urls: false,
            private_networks: Vec::new(),
        },
        program: PathBuf::from(env!("CARGO_BIN_EXE_wisehosting-worker")),
    }
}

fn build(source: Source) -> Job {
    let build = Build {
        deployment_id: DeploymentId::new(),
        app_id: AppId::new(),
        app: "hello".to_owned(),
        source,
        containerfile: Box::default(),
        no_cache: false,
        limits: BuildLimits { memory_mb: 128, cpu_millis: 1000, timeout_s: 60, source_bytes: 1_000_000 },
        tag: "wisehosting/hello:1".to_owned(),
        predefined: std::collections::BTreeMap::new(),
        secrets: Box::default(),
    };
    Job { id: JobId::new(), work: Work::Build(Box::new(build)) }
}

/// An agent's jobs, for as long as the set lives.
fn start_jobs(control_plane: &ControlPlane) -> (mpsc::Sender<JobCommand>, JoinSet<anyhow::Result<()>>) {
    let (commands, received) = mpsc::channel(8);
    let jobs = Jobs::new(jobs_config(), control_plane.clone()).expect("jobs");
    let mut tasks = JoinSet::new();
    tasks.spawn(jobs.run(received, CancellationToken::new()));
    (commands, tasks)
}

async fn outcome(control_plane: &ControlPlane, seconds: u64) -> Outcome {
    let done = |message: &FromAgent| match message {
        FromAgent::JobDone(done) => Some(done.outcome.clone()),
        _ => None,
    };
    control_plane.wait("outcome", seconds, |heard| heard.iter().find_map(done)).await
}

async fn said(control_plane: &ControlPlane, text: &str) {
    let has = |message: &FromAgent| matches!(message, FromAgent::JobLog(log) if log.lines.iter().any(|line| line.text == text));
    control_plane.wait(text, 30, |heard| heard.iter().any(has).then_some(())).await;
}

async fn built_from(files: &[(&str, &str)]) -> Outcome {
    let control_plane = ControlPlane::with_archive(archive(files));
    let (commands, _tasks) = start_jobs(&control_plane);
    let source = Source::Archive { archive_id: ArchiveId::new() };
    commands.send(JobCommand::Start(Box::new(build(source)))).await.expect("sent");
    let outcome = outcome(&control_plane, 60).await;
    forgotten().await;
    outcome
}

/// Once done is acknowledged, the job's folder goes. Agents that start before that tell its outcome again.
async fn forgotten() {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !Jobs::<ControlPlane>::known(&jobs_config().folder).is_empty() {
        assert!(Instant::now() < deadline, "the job's folder is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn failed(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

const SLOW: &str = "FROM busybox\nRUN echo begun; sleep 4.321; echo ended\n";

async fn run_step_sleeps() {
    let deadline = Instant::now() + Duration::from_secs(30);
    while processes("sleep 4.321") == 0 {
        assert!(Instant::now() < deadline, "the build did not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn an_archive_becomes_an_image() {
    on_a_host("an_archive_becomes_an_image", async {
        let files = [("Containerfile", "FROM busybox\nCOPY page /page\nEXPOSE 8080\n"), ("page", "hello")];
        let Outcome::Built(built) = built_from(&files).await else { panic!("not built") };
        assert_eq!(built.exposed_ports, [8080]);
        let image = podman().image(&built.image_id).await.expect("podman").expect("image");
        assert_eq!((image.full_id(), image.size), (built.image_id, built.size_bytes));
    });
}

#[test]
fn a_failing_containerfile_shows_its_line() {
    on_a_host("a_failing_containerfile_shows_its_line", async {
        let text = "FROM busybox\n\n# comment\nRUN echo about to fail && exit 7\n";
        let failure = failed(built_from(&[("Containerfile", text)]).await);
        assert_eq!((failure.code.as_str(), failure.exit_code), ("containerfile_failed", Some(7)));
        assert!(failure.message.contains("line 4"), "{}", failure.message);
        assert!(failure.last_lines.iter().any(|line| line == "about to fail"), "{:?}", failure.last_lines);
        assert!(
            failure.last_lines.iter().any(|line| line.starts_with("STEP 2/3")),
            "{:?}",
            failure.last_lines
        );

        assert_eq!(failed(built_from(&[("readme", "nothing to build")]).await).code, "no_preset");
        let hungry = "FROM busybox\nRUN dd if=/dev/zero of=/dev/null bs=400M count=1\n";
        assert!(failed(built_from(&[("Containerfile", hungry)]).await).out_of_memory);
    });
}

#[test]
fn pages_without_a_containerfile_are_built_by_a_preset_that_is_told_at_once() {
    on_a_host("pages_without_a_containerfile_are_built_by_a_preset_that_is_told_at_once", async {
        let control_plane = ControlPlane::with_archive(archive(&[
            ("index.html", "<h1>"),
            (".env", "SECRET=1"),
            (".dockerignore", "drafts"),
            ("drafts", ""),
        ]));
        let (commands, _tasks) = start_jobs(&control_plane);
        let mut job = build(Source::Archive { archive_id: ArchiveId::new() });
        let Work::Build(work) = &mut job.work else { panic!("a build") };
        // The image that tests have has another tag than the preset's.
        work.containerfile
            .args
            .insert("SERVER_IMAGE".to_owned(), "docker.io/library/busybox:latest".to_owned());
        commands.send(JobCommand::Start(Box::new(job))).await.expect("sent");
        let recipe = |message: &FromAgent| match message {
            FromAgent::JobProgress(progress) => progress.recipe.clone(),
            _ => None,
        };
        let recipe = control_plane.wait("recipe", 60, |heard| heard.iter().find_map(recipe)).await;
        assert_eq!((recipe.preset, recipe.port), (Preset::Static, 8080));
        said(&control_plane, "  | COPY . /www").await;
        let Outcome::Built(built) = outcome(&control_plane, 60).await else { panic!("not built") };
        assert_eq!(built.exposed_ports, [8080]);
        let list = ["run", "--rm", "--network", "none", &built.image_id, "ls", "-A", "/www"];
        let list = std::process::Command::new("podman").args(list).output().expect("podman");
        assert_eq!(String::from_utf8_lossy(&list.stdout), "index.html\n", "{list:?}");
    });
}

/// Podman keys such folders by their id or path alone.
#[test]
fn what_builds_keep_is_kept_for_their_own_app_until_somebody_builds_without() {
    on_a_host("what_builds_keep_is_kept_for_their_own_app_until_somebody_builds_without", async {
        let apps = [AppId::new(), AppId::new()];
        // Each differs in its text, as a step that is known is not run again.
        let found = async |number: u32, app: AppId, no_cache: bool| {
            let text = format!(
                "FROM busybox\nRUN --mount=type=cache,id=shared,target=/c --mount=type=cache,target=/root/.npm \\\n  \
                 echo {number}: $(cat /c/* /root/.npm/*) && echo by id > /c/a && echo by path > /root/.npm/a\n"
            );
            let control_plane = ControlPlane::with_archive(archive(&[("Containerfile", &text)]));
            let (commands, _tasks) = start_jobs(&control_plane);
            let mut job = build(Source::Archive { archive_id: ArchiveId::new() });
            let Work::Build(work) = &mut job.work else { panic!("a build") };
            (work.app_id, work.no_cache) = (app, no_cache);
            commands.send(JobCommand::Start(Box::new(job))).await.expect("sent");
            let start = format!("{number}:");
            let line = |message: &FromAgent| match message {
                FromAgent::JobLog(log) => log
                    .lines
                    .iter()
                    .find(|line| line.text.starts_with(&start))
                    .map(|line| line.text[start.len()..].trim().to_owned()),
                _ => None,
            };
            let line = control_plane.wait(&start, 60, |heard| heard.iter().find_map(line)).await;
            assert!(matches!(outcome(&control_plane, 60).await, Outcome::Built(_)));
            forgotten().await;
            line
        };
        assert_eq!(found(1, apps[0], false).await, "");
        assert_eq!(found(2, apps[0], false).await, "by id by path");
        assert_eq!(found(3, apps[1], false).await, "", "of another app");
        assert_eq!(found(4, apps[0], true).await, "", "without");
        assert_eq!(found(5, apps[0], false).await, "by id by path");
    });
}

/// The server itself is not here; what it would be given is.
#[test]
fn the_rules_of_a_site_reach_its_server_as_they_are_meant() {
    on_a_host("the_rules_of_a_site_reach_its_server_as_they_are_meant", async {
        let control_plane = ControlPlane::with_archive(archive(&[
            ("page/index.html", "<h1>"),
            ("page/_redirects", "/old/* /new/:splat 301\n"),
            ("page/_headers", "/*\n  X-A: it's \"a\\b\" `id` (id); } #\n"),
        ]));
        let (commands, _tasks) = start_jobs(&control_plane);
        let mut job = build(Source::Archive { archive_id: ArchiveId::new() });
        let Work::Build(work) = &mut job.work else { panic!("a build") };
        work.containerfile.publish = Some("page".to_owned());
        let server = "docker.io/library/busybox:latest".to_owned();
        work.containerfile.args.insert("SERVER_IMAGE".to_owned(), server);
        commands.send(JobCommand::Start(Box::new(job))).await.expect("sent");
        let Outcome::Built(built) = outcome(&control_plane, 60).await else { panic!("not built") };
        let template = "/etc/nginx/templates/default.conf.template";
        let cat = ["run", "--rm", "--network", "none", &built.image_id, "cat", template, "/www/index.html"];
        let cat = std::process::Command::new("podman").args(cat).output().expect("podman");
        let text = String::from_utf8_lossy(&cat.stdout);
        for line in [
            "  listen ${PORT};",
            r#"  "~(?s)^/.*\z" "it's \"a\\b\" `id` (id); } #";"#,
            r#"  if ($request_uri ~ "^/old(?:[/\x5C]++(?<to_splat>[^?]*))?(?<to_>\?.*)?$") { return 301 "/new/${to_splat}${to_}"; }"#,
            "<h1>",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}{cat:?}");
        }
    });
}

#[test]
fn a_cancelled_build_is_over_within_a_second() {
    on_a_host("a_cancelled_build_is_over_within_a_second", async {
        let control_plane = ControlPlane::with_archive(archive(&[("Containerfile", SLOW)]));
        let (commands, _tasks) = start_jobs(&control_plane);
        let job = build(Source::Archive { archive_id: ArchiveId::new() });
        let id = job.id;
        commands.send(JobCommand::Start(Box::new(job))).await.expect("sent");
        said(&control_plane, "begun").await;
        run_step_sleeps().await;
        let began = Instant::now();
        commands.send(JobCommand::Cancel(id)).await.expect("sent");
        assert!(matches!(outcome(&control_plane, 5).await, Outcome::Cancelled));
        assert!(began.elapsed() < Duration::from_millis(1300), "{:?}", began.elapsed());
        assert_eq!(processes("sleep 4.321"), 0, "the RUN step goes on");
    });
}

#[test]
fn a_build_that_takes_too_long_is_ended_and_says_so() {
    on_a_host("a_build_that_takes_too_long_is_ended_and_says_so", async {
        let control_plane = ControlPlane::with_archive(archive(&[(
            "Containerfile",
            "FROM busybox\nRUN sleep 4.321; sleep 61.5\n",
        )]));
        let (commands, _tasks) = start_jobs(&control_plane);
        let mut job = build(Source::Archive { archive_id: ArchiveId::new() });
        let Work::Build(work) = &mut job.work else { panic!("a build") };
        work.limits.timeout_s = 5;
        commands.send(JobCommand::Start(Box::new(job))).await.expect("sent");
        run_step_sleeps().await;
        let failure = failed(outcome(&control_plane, 20).await);
        assert_eq!(failure.code, "timed_out");
        assert!(failure.message.contains("5 s") && failure.hint.is_some(), "{failure:?}");
        assert_eq!((processes("sleep 4.321"), processes("sleep 61.5")), (0, 0), "the RUN step goes on");
    });
}

#[test]
fn a_build_survives_the_death_of_its_agent() {
    on_a_host("a_build_survives_the_death_of_its_agent", async {
        let mut agent = tokio::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "agent_that_will_be_killed", "--ignored", "--nocapture"])
            .env("AGENT_TO_BE_KILLED", "1")
            .stdin(Stdio::null())
            .spawn()
            .expect("agent");
        run_step_sleeps().await;
        agent.kill().await.expect("killed");
        let control_plane = ControlPlane::default();
        let (_commands, _tasks) = start_jobs(&control_plane);
        assert!(matches!(outcome(&control_plane, 30).await, Outcome::Built(_)));
        said(&control_plane, "ended").await;
        // The first agent had nobody to acknowledge; the second one has it all, in order.
        let numbers = control_plane
            .wait("log", 1, |heard| {
                let lines = heard.iter().filter_map(|message| match message {
                    FromAgent::JobLog(log) => Some(log.lines.iter().map(|line| line.seq)),
                    _ => None,
                });
                Some(lines.flatten().collect::<Vec<_>>())
            })
            .await;
        assert_eq!(numbers, (1..=i64::try_from(numbers.len()).expect("few")).collect::<Vec<_>>());
    });
}

/// Not a test by itself: the agent of the test above.
#[test]
#[ignore = "the agent that another test starts and kills"]
fn agent_that_will_be_killed() {
    if std::env::var_os("AGENT_TO_BE_KILLED").is_none() {
        return;
    }
    on_a_host("agent_that_will_be_killed", async {
        let control_plane = support::Deaf(ControlPlane::with_archive(archive(&[("Containerfile", SLOW)])));
        let (commands, received) = mpsc::channel(8);
        let jobs = Jobs::new(jobs_config(), control_plane).expect("jobs");
        let job = build(Source::Archive { archive_id: ArchiveId::new() });
        commands.send(JobCommand::Start(Box::new(job))).await.expect("sent");
        jobs.run(received, CancellationToken::new()).await.expect("runs until it is killed");
    });
}

/// The instances of a host, for as long as the set lives.
async fn run_instances(
    control_plane: &ControlPlane,
    instances: Vec<InstanceSpec>,
) -> JoinSet<anyhow::Result<()>> {
    start_instances(control_plane, instances).await.0
}

/// Also what makes containers beside them.
async fn start_instances(
    control_plane: &ControlPlane,
    instances: Vec<InstanceSpec>,
) -> (JoinSet<anyhow::Result<()>>, Fresh) {
    start_all(control_plane, WorkerSpec { instances, ..WorkerSpec::default() }).await
}

async fn start_all(control_plane: &ControlPlane, spec: WorkerSpec) -> (JoinSet<anyhow::Result<()>>, Fresh) {
    let Started { tasks, fresh, .. } = start_with(control_plane, spec, UserNamespaces::default()).await;
    (tasks, fresh)
}

/// The reconciler of instances, and what stands beside it in the agent.
struct Started {
    tasks: JoinSet<anyhow::Result<()>>,
    fresh: Fresh,
    observer: Observer,
    /// Wakes it.
    activator: daemon::reconcile::Activator,
    means: Arc<Means>,
    spec: watch::Receiver<Arc<WorkerSpec>>,
}

async fn start_instances_with(
    control_plane: &ControlPlane,
    instances: Vec<InstanceSpec>,
    wish: UserNamespaces,
) -> Started {
    start_with(control_plane, WorkerSpec { instances, ..WorkerSpec::default() }, wish).await
}

async fn start_with(control_plane: &ControlPlane, spec: WorkerSpec, wish: UserNamespaces) -> Started {
    let state_dir = state_dir();
    std::fs::create_dir_all(&state_dir).expect("state");
    worker::job::prepare(&podman()).await.expect("network");
    let guard = Guard::new("wh0".to_owned(), "10.50.0.0/24".parse().expect("network"), Vec::new());
    let program = PathBuf::from(env!("CARGO_BIN_EXE_wisehosting-worker"));
    let network = Network::new(podman(), guard, state_dir.join("names"), program);
    network.take(1, &spec).await.expect("nftables");
    let (spec, watched) = watch::channel(Arc::new(spec));
    let means = Arc::new(Means::of_this_host(&podman(), wish).await);
    let config = InstancesConfig {
        state_dir,
        podman: podman(),
        network,
        means: means.clone(),
        registry_networks: Vec::new(),
    };
    let told = watched.clone();
    let (activator, stop) = (daemon::reconcile::Activator::new(), CancellationToken::new());
    let (reconciler, observer) =
        Instances::new(config, control_plane.clone(), watched, activator.clone()).expect("instances");
    let fresh = reconciler.fresh();
    let mut tasks = JoinSet::new();
    tasks.spawn(observer.clone().report(control_plane.clone(), Arc::new(Notify::new()), stop.clone()));
    tasks.spawn(worker::instances::watch_events(podman(), activator.clone(), stop.clone()));
    tasks.spawn(reconciler.outbox().run(control_plane.clone(), stop.clone()));
    let wake = activator.clone();
    tasks.spawn(async move {
        let _kept = spec;
        daemon::reconcile::drive(reconciler, activator, Duration::from_secs(30), Arc::default(), stop).await
    });
    Started { tasks, fresh, observer, activator: wake, means, spec: told }
}

async fn instance(port: u16, command: &str, probe: Probe) -> InstanceSpec {
    let image = podman().image("docker.io/library/busybox:latest").await.expect("podman").expect("image");
    InstanceSpec {
        id: InstanceId::new(),
        app_id: AppId::new(),
        app: "hello".to_owned(),
        project: "shop".to_owned(),
        release: 1,
        image: ImageSpec { id: image.full_id(), reference: "busybox".to_owned(), sources: Vec::new() },
        env: [("GREETING".to_owned(), "hello".to_owned())].into(),
        predefined: std::collections::BTreeMap::new(),
        command: Some(["sh", "-c", command].map(str::to_owned).to_vec()),
        port: 8080,
        published: (MESH, port).into(),
        udp: false,
        exclusive: false,
        probe,
        resources: Resources { memory_mb: 64, ..Resources::default() },
        isolation: Isolation::default(),
        crash_guard: CrashGuard::default(),
        stop_grace_s: 1,
        once: false,
    }
}

async fn reported(
    control_plane: &ControlPlane,
    id: InstanceId,
    what: &str,
    pick: impl Fn(&InstanceReport) -> bool,
) -> InstanceReport {
    let found = |message: &FromAgent| match message {
        FromAgent::WorkerReport(report) => {
            report.instances.iter().find(|instance| instance.id == id && pick(instance)).cloned()
        }
        _ => None,
    };
    control_plane.wait(what, 40, |heard| heard.iter().rev().find_map(found)).await
}

const SERVER: &str =
    "echo $GREETING on $PORT; mkdir /tmp/w; echo up > /tmp/w/up; exec httpd -f -p 8080 -h /tmp/w";

#[test]
fn instances_become_healthy_or_say_why_not() {
    on_a_host("instances_become_healthy_or_say_why_not", async {
        let short = Probe { start_within_s: 2, ..Probe::default() };
        let page =
            Probe { check: ProbeCheck::Http { path: "/up".to_owned(), status: None }, ..Probe::default() };
        let absent = Probe {
            check: ProbeCheck::Http { path: "/nope".to_owned(), status: None },
            start_within_s: 15,
            ..Probe::default()
        };
        let good = instance(20001, SERVER, page).await;
        let silent = instance(20002, "echo waiting; exec sleep 100", short).await;
        let ends = instance(20003, "echo goodbye; exit 3", Probe::default()).await;
        let wrong = instance(20004, SERVER, absent).await;
        let ids = [good.id, silent.id, ends.id, wrong.id];
        let control_plane = ControlPlane::default();
        let _tasks = run_instances(&control_plane, vec![good, silent, ends, wrong]).await;

        let healthy =
            reported(&control_plane, ids[0], "healthy", |i| i.state == InstanceState::Healthy).await;
        let evidence = healthy.probe.expect("evidence");
        assert_eq!(
            (evidence.target.as_str(), evidence.body.as_deref()),
            ("GET http://10.50.0.11:20001/up", Some("up\n"))
        );

        let failure_of = |id, what| {
            let control_plane = control_plane.clone();
            async move {
                let failed = reported(&control_plane, id, what, |i| i.state == InstanceState::Failed).await;
                failed.failure.expect("failure")
            }
        };
        let silent = failure_of(ids[1], "never listened").await;
        assert_eq!((silent.code.as_str(), silent.last_lines), ("never_listened", vec!["waiting".to_owned()]));
        assert!(silent.message.starts_with("nothing listens in the container"), "{}", silent.message);
        // A first packet may be lost while Podman sets up the port.
        let outcome = silent.probe.expect("evidence").outcome;
        assert!(["connection refused", "no answer within 1 s"].contains(&outcome.as_str()), "{outcome}");
        let ended = failure_of(ids[2], "exited").await;
        assert_eq!((ended.code.as_str(), ended.exit_code), ("exited", Some(3)));
        assert_eq!(ended.last_lines, ["goodbye"]);
        let wrong = failure_of(ids[3], "probe failed").await;
        assert_eq!(wrong.code, "probe_failed");
        assert!(wrong.probe.expect("evidence").outcome.starts_with("HTTP 404"));

        let logged = |message: &FromAgent| {
            matches!(message, FromAgent::InstanceLog(log)
            if log.instance_id == ids[0] && log.lines[0].seq == 1 && log.lines[0].text == "hello on 8080")
        };
        control_plane.wait("log line", 10, |heard| heard.iter().any(logged).then_some(())).await;
    });
}

#[test]
fn an_app_that_listens_elsewhere_is_told_where() {
    on_a_host("an_app_that_listens_elsewhere_is_told_where", async {
        let short = Probe { start_within_s: 6, ..Probe::default() };
        let all = vec![
            instance(20001, "exec httpd -f -p 3000 -h /tmp", short.clone()).await,
            instance(20002, "exec httpd -f -p 127.0.0.1:8080 -h /tmp", short.clone()).await,
            instance(20003, "exec httpd -f -p 127.0.0.1:3000 -h /tmp", short).await,
        ];
        let ids: Vec<InstanceId> = all.iter().map(|instance| instance.id).collect();
        let control_plane = ControlPlane::default();
        let _tasks = run_instances(&control_plane, all).await;
        let known = |report: &InstanceReport| {
            let outcome = report.probe.as_ref().map_or("", |probe| probe.outcome.as_str());
            report.state == InstanceState::Starting && outcome.ends_with("; the app listens on port 3000")
        };
        reported(&control_plane, ids[0], "where it listens, before it is given up", known).await;
        for (id, code, message) in [
            (ids[0], "wrong_port", "the app listens on port 3000, and is expected on 8080"),
            (ids[1], "local_only", "the app listens on port 8080 of 127.0.0.1 only"),
            (ids[2], "local_only", "the app listens on port 3000 of 127.0.0.1 only, and is expected on 8080"),
        ] {
            let failed = reported(&control_plane, id, code, |i| i.state == InstanceState::Failed).await;
            let failure = failed.failure.expect("failure");
            assert_eq!((failure.code.as_str(), failure.message.as_str()), (code, message));
        }
    });
}

#[test]
fn a_program_in_the_container_probes_it_or_nothing_does() {
    on_a_host("a_program_in_the_container_probes_it_or_nothing_does", async {
        let by = |check| Probe { check, start_within_s: 4, timeout_s: 1, ..Probe::default() };
        let program = |words: &[&str]| {
            by(ProbeCheck::Command { command: words.iter().map(|word| (*word).to_owned()).collect() })
        };
        let server = "echo ready > /tmp/ready; exec sleep 100";
        let all = vec![
            instance(20001, server, program(&["cat", "/tmp/ready"])).await,
            instance(20002, server, program(&["cat", "/tmp/nope"])).await,
            instance(20003, server, program(&["sleep", "1000"])).await,
            instance(20004, server, by(ProbeCheck::Off)).await,
        ];
        let ids: Vec<InstanceId> = all.iter().map(|instance| instance.id).collect();
        let control_plane = ControlPlane::default();
        let _tasks = run_instances(&control_plane, all).await;
        let seen = |at: usize, state| {
            let (control_plane, id) = (control_plane.clone(), ids[at]);
            async move {
                let report =
                    reported(&control_plane, id, "the probe's verdict", |one| one.state == state).await;
                report.probe.expect("evidence")
            }
        };
        let ready = seen(0, InstanceState::Healthy).await;
        assert_eq!((ready.target.as_str(), ready.body.as_deref()), ("cat /tmp/ready", Some("ready\n")));
        assert!(ready.outcome.starts_with("ended with 0 in "), "{}", ready.outcome);
        let absent = seen(1, InstanceState::Failed).await;
        assert!(absent.outcome.starts_with("ended with 1 in "), "{}", absent.outcome);
        assert_eq!(seen(2, InstanceState::Failed).await.outcome, "no answer within 1 s");
        assert!(seen(3, InstanceState::Healthy).await.outcome.starts_with("runs for "));
        assert_eq!(processes("sleep 1000"), 0, "what takes too long is killed");
    });
}

#[test]
fn a_command_runs_once_and_says_how_it_ended() {
    on_a_host("a_command_runs_once_and_says_how_it_ended", async {
        let once = |instance: InstanceSpec| InstanceSpec { once: true, ..instance };
        let good = once(instance(20001, "echo migrated", Probe::default()).await);
        let bad = once(instance(20002, "echo no such table; exit 3", Probe::default()).await);
        let (good_id, bad_id) = (good.id, bad.id);
        let control_plane = ControlPlane::default();
        let _tasks = run_instances(&control_plane, vec![good, bad]).await;
        let ended = reported(&control_plane, good_id, "its end", |i| i.state == InstanceState::Exited).await;
        assert_eq!((ended.exit_code, ended.restarts, ended.failure), (Some(0), 0, None));
        let failed =
            reported(&control_plane, bad_id, "its failure", |i| i.state == InstanceState::Failed).await;
        let failure = failed.failure.expect("failure");
        assert_eq!((failure.code.as_str(), failure.exit_code), ("command_failed", Some(3)));
        assert!(failure.last_lines.iter().any(|line| line.contains("no such table")), "{failure:?}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        let again = reported(&control_plane, good_id, "its end", |i| i.state == InstanceState::Exited).await;
        assert_eq!(again.restarts, 0, "it is not started again");
    });
}

#[test]
fn a_command_outlives_its_agent_and_is_not_run_twice() {
    on_a_host("a_command_outlives_its_agent_and_is_not_run_twice", async {
        let once = |instance: InstanceSpec| InstanceSpec { once: true, ..instance };
        let ends = once(instance(20001, "echo begun; sleep 3; echo finished", Probe::default()).await);
        let taken = once(instance(20002, "echo begun; sleep 1000", Probe::default()).await);
        let (ends_id, taken_id) = (ends.id, taken.id);
        let all = vec![ends, taken];
        let before = ControlPlane::default();
        let agent = run_instances(&before, all.clone()).await;
        for id in [ends_id, taken_id] {
            reported(&before, id, "its start", |one| one.state == InstanceState::Starting).await;
        }
        drop(agent);
        let label = [taken_id.to_string()];
        let containers = podman().containers("wisehosting.instance").await.expect("containers");
        let of_taken = containers.iter().find(|one| one.labels["wisehosting.instance"] == label[0]);
        podman().remove(&of_taken.expect("its container").id).await.expect("removed");
        tokio::time::sleep(Duration::from_secs(4)).await;

        let after = ControlPlane::default();
        let _agent = run_instances(&after, all).await;
        let ended = reported(&after, ends_id, "its end", |one| one.state == InstanceState::Exited).await;
        assert_eq!((ended.exit_code, ended.restarts, ended.failure), (Some(0), 0, None));
        let lost = reported(&after, taken_id, "its loss", |one| one.state == InstanceState::Failed).await;
        assert!(lost.failure.expect("failure").message.contains("interrupted"));
        tokio::time::sleep(Duration::from_secs(3)).await;
        let said = |text: &str| before.printed(ends_id, text) + after.printed(ends_id, text);
        assert_eq!((said("begun"), said("finished")), (1, 1));
        assert_eq!(processes("sleep 1000"), 0, "it was not run again");
    });
}

#[test]
fn a_healthy_instance_that_dies_is_started_again() {
    on_a_host("a_healthy_instance_that_dies_is_started_again", async {
        let wanted =
            instance(20001, "mkdir -p /tmp/w; httpd -p 8080 -h /tmp/w; sleep 2; exit 9", Probe::default())
                .await;
        let id = wanted.id;
        let control_plane = ControlPlane::default();
        let _tasks = run_instances(&control_plane, vec![wanted]).await;
        reported(&control_plane, id, "healthy", |i| i.state == InstanceState::Healthy).await;
        let exited = reported(&control_plane, id, "exited", |i| i.state == InstanceState::Exited).await;
        assert_eq!(exited.exit_code, Some(9));
        reported(&control_plane, id, "restarted", |i| i.state == InstanceState::Healthy && i.restarts == 1)
            .await;
    });
}

#[test]
fn containers_reach_neither_the_mesh_nor_the_host() {
    on_a_host("containers_reach_neither_the_mesh_nor_the_host", async {
        let listener = tokio::net::TcpListener::bind((MESH, 8081)).await.expect("bind");
        let mut accepts = JoinSet::new();
        accepts.spawn(async move { while listener.accept().await.is_ok() {} });
        let command = "for to in 10.50.0.11:8081 198.51.100.20:8081; do \
            nc -w 1 ${to%:*} ${to#*:} </dev/null && echo reached $to || echo refused $to; done; \
            mkdir /tmp/w; exec httpd -f -p 8080 -h /tmp/w";
        let wanted = instance(20001, command, Probe::default()).await;
        let id = wanted.id;
        let control_plane = ControlPlane::default();
        let _tasks = run_instances(&control_plane, vec![wanted]).await;
        reported(&control_plane, id, "healthy", |i| i.state == InstanceState::Healthy).await;
        let lines = control_plane
            .wait("attempts", 10, |heard| {
                let lines = heard.iter().filter_map(|message| match message {
                    FromAgent::InstanceLog(log) => Some(log.lines.iter().map(|line| line.text.clone())),
                    _ => None,
                });
                let lines: Vec<_> = lines.flatten().filter(|line| line.ends_with("8081")).collect();
                (lines.len() == 2).then_some(lines)
            })
            .await;
        assert_eq!(lines, ["refused 10.50.0.11:8081", "refused 198.51.100.20:8081"]);
    });
}

#[test]
fn an_image_goes_from_worker_to_worker_without_the_layers_that_are_there() {
    on_a_host("an_image_goes_from_worker_to_worker_without_the_layers_that_are_there", async {
        let Outcome::Built(built) =
            built_from(&[("Containerfile", "FROM busybox\nCOPY page /page\n"), ("page", "x")]).await
        else {
            panic!("not built")
        };
        let key = protocol::identity::ApiKey::generate().signing_key();
        let ticket =
            protocol::job::ImageTicket { image_id: built.image_id.clone(), expires_at: i64::MAX }.seal(&key);
        let offered = Offered::of(&built.image_id, &key, &ticket).await;
        // The sending worker is what it answered; the receiving one is the same host without the image.
        let removed =
            tokio::process::Command::new("podman").args(["rmi", "-f", &built.image_id]).output().await;
        assert!(removed.expect("podman").status.success());
        let listener = worker::serve::listen(MESH, 8090).expect("listen");
        let mut servers = JoinSet::new();
        servers.spawn(worker::serve::serve(listener, offered.router(), CancellationToken::new()));

        let mut wanted = instance(20001, SERVER, Probe::default()).await;
        let source = protocol::spec::ImageSource {
            node: protocol::ids::NodeId::new(),
            address: (MESH, 8090).into(),
            ticket,
        };
        wanted.image =
            ImageSpec { id: built.image_id.clone(), reference: built.reference, sources: vec![source] };
        let id = wanted.id;
        let control_plane = ControlPlane::default();
        let _tasks = run_instances(&control_plane, vec![wanted]).await;
        reported(&control_plane, id, "healthy", |i| i.state == InstanceState::Healthy).await;
        assert!(podman().image(&built.image_id).await.expect("podman").is_some());
        assert_eq!(*offered.asked.lock().expect("lock"), ["have=0"], "the base is here");
        assert!(offered.top.len() < offered.whole / 10, "{} of {}", offered.top.len(), offered.whole);
        let left = std::fs::read_dir(state_dir().join("handover")).expect("folder").count();
        assert_eq!(left, 0, "nothing is left of the way");
    });
}

/// What a worker answered for an image whose base the other side has.
#[derive(Clone)]
struct Offered {
    layers: String,
    top: bytes::Bytes,
    /// Bytes of the whole image.
    whole: usize,
    /// Queries for the image.
    asked: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Offered {
    async fn of(image: &str, key: &protocol::identity::SigningKey, ticket: &str) -> Self {
        let stop = CancellationToken::new();
        let listener = worker::serve::listen(MESH, 8091).expect("listen");
        let router = worker::serve::router(podman(), TicketKeys::new(key.clone()), axum::Router::new());
        let mut server = JoinSet::new();
        server.spawn(worker::serve::serve(listener, router, stop.clone()));
        let client = reqwest::Client::builder().no_proxy().build().expect("client");
        let get = async |path: &str| {
            let url = format!("http://{MESH}:8091/v1/images/{image}{path}");
            let answer = client.get(url).bearer_auth(ticket).send().await.expect("answer");
            answer.error_for_status().expect("success").bytes().await.expect("body")
        };
        let layers = String::from_utf8(get("/layers").await.to_vec()).expect("text");
        let offered =
            Self { layers, top: get("?have=0").await, whole: get("").await.len(), asked: Arc::default() };
        stop.cancel();
        offered
    }

    fn router(&self) -> axum::Router {
        let (list, offered) = (self.layers.clone(), self.clone());
        let image = async move |axum::extract::RawQuery(query): axum::extract::RawQuery| {
            offered.asked.lock().expect("lock").push(query.unwrap_or_default());
            offered.top.clone()
        };
        axum::Router::new()
            .route("/v1/images/{id}/layers", axum::routing::get(move || std::future::ready(list.clone())))
            .route("/v1/images/{id}", axum::routing::get(image))
    }
}
