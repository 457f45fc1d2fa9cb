//! Images that come, stay and go by the desired state.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::ids::AppId;
use protocol::message::FromAgent;
use protocol::report::ImageReport;
use protocol::spec::{ImageSource, ImageSpec, WorkerSpec};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::images::{Images, ImagesConfig};

use crate::support::{ControlPlane, MESH, on_a_host, state_dir};
use crate::{Offered, jobs_config, podman};

/// The images of a host, for as long as this lives.
pub(crate) struct Host {
    control_plane: ControlPlane,
    activator: daemon::reconcile::Activator,
    _spec: watch::Sender<Arc<WorkerSpec>>,
    _tasks: JoinSet<anyhow::Result<()>>,
}

impl Host {
    fn start(spec: WorkerSpec) -> Self {
        Self::with(ControlPlane::default(), spec)
    }

    pub(crate) fn with(control_plane: ControlPlane, spec: WorkerSpec) -> Self {
        let (spec, watched) = watch::channel(Arc::new(spec));
        let activator = daemon::reconcile::Activator::new();
        let config = ImagesConfig {
            state_dir: state_dir(),
            podman: podman(),
            jobs: jobs_config().folder,
            caches: caches(),
            registry_networks: Vec::new(),
        };
        let images = Images::new(config, control_plane.clone(), watched, activator.clone()).expect("images");
        let mut tasks = JoinSet::new();
        let (stop, wakes) = (CancellationToken::new(), activator.clone());
        tasks.spawn(async move {
            daemon::reconcile::drive(images, wakes, Duration::from_mins(1), Arc::default(), stop).await
        });
        Self { control_plane, activator, _spec: spec, _tasks: tasks }
    }

    pub(crate) async fn reported(&self, what: &str, pick: impl Fn(&ImageReport) -> bool) -> ImageReport {
        let found = |message: &FromAgent| match message {
            FromAgent::ImageReport(report) if pick(report) => Some(report.clone()),
            _ => None,
        };
        self.control_plane.wait(what, 60, |heard| heard.iter().rev().find_map(found)).await
    }
}

fn caches() -> PathBuf {
    state_dir().join("caches")
}

pub(crate) fn has(report: &ImageReport, id: &str) -> bool {
    report.images.iter().any(|image| image.id == id)
}

pub(crate) async fn run(words: &[&str]) -> String {
    let output = Command::new("podman").args(words).output().await.expect("podman");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "podman {words:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Builds as the worker does. The image's id; `None` when the build fails.
async fn build(tag: &str, text: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("temp dir");
    std::fs::write(folder.path().join("Containerfile"), text).expect("write");
    let name = format!("localhost/wisehosting/{tag}");
    let status = Command::new("podman")
        .args(["build", "--layers", "--label", "wisehosting.image=built", "--tag", &name])
        .arg(folder.path())
        .stdout(std::process::Stdio::null())
        .status()
        .await
        .expect("podman");
    if !status.success() {
        return None;
    }
    Some(podman().image(&name).await.expect("podman").expect("image").full_id())
}

pub(crate) async fn built(tag: &str, text: &str) -> String {
    build(tag, text).await.expect("built")
}

pub(crate) async fn is_there(name: &str) -> bool {
    podman().image(name).await.expect("podman").is_some()
}

#[test]
fn what_is_listed_goes_and_everything_else_stays() {
    on_a_host("images::what_is_listed_goes_and_everything_else_stays", async {
        let listed = built("hello:1", "FROM busybox\nRUN echo 1 > /one\n").await;
        let kept = built("hello:2", "FROM busybox\nRUN echo 2 > /two\n").await;
        let used = built("hello:3", "FROM busybox\nRUN echo 3 > /three\n").await;
        run(&["tag", &listed, "localhost/wisehosting/hello:4"]).await;
        let base = podman().image("busybox").await.expect("podman").expect("base").full_id();
        run(&["create", "--name", "using", "--volume", "data:/data", &used]).await;
        let remove_images = vec![listed.clone(), used.clone(), base.clone()];
        let (gone, alive) = (AppId::new(), AppId::new());
        for app in [gone, alive] {
            std::fs::create_dir_all(caches().join(app.to_string()).join("buildah-cache")).expect("folder");
        }
        let remove_caches = vec![gone];
        let host = Host::start(WorkerSpec { remove_images, remove_caches, ..WorkerSpec::default() });

        let report = host.reported("removal", |report| !has(report, &listed)).await;
        assert!(!is_there(&listed).await && is_there(&kept).await, "{report:?}");
        let exists = |app: AppId| caches().join(app.to_string()).exists();
        assert!(!exists(gone) && exists(alive));
        assert!(
            is_there("docker.io/library/busybox:latest").await,
            "what others are built on keeps its name"
        );
        let left: Vec<_> = report.problems.iter().map(|problem| problem.id.as_str()).collect();
        let mut expected = [used.as_str(), base.as_str()];
        expected.sort_unstable();
        assert_eq!(left, expected);

        run(&["rm", "using"]).await;
        host.activator.signal();
        host.reported("the other removal", |report| !has(report, &used)).await;
        assert_eq!(run(&["volume", "ls", "--quiet"]).await, "data", "volumes stay");
        assert!(is_there(&kept).await);
    });
}

#[test]
fn a_listed_image_is_fetched_and_is_not_taken_for_a_leaving_of_builds() {
    on_a_host("images::a_listed_image_is_fetched_and_is_not_taken_for_a_leaving_of_builds", async {
        let id = built("hello:1", "FROM busybox\nRUN echo 1 > /one\n").await;
        let key = protocol::identity::ApiKey::generate().signing_key();
        let ticket = protocol::job::ImageTicket { image_id: id.clone(), expires_at: i64::MAX }.seal(&key);
        let offered = Offered::of(&id, &key, &ticket).await;
        run(&["rmi", "--force", &id]).await;
        let listener = worker::serve::listen(MESH, 8090).expect("listen");
        let mut servers = JoinSet::new();
        servers.spawn(worker::serve::serve(listener, offered.router(), CancellationToken::new()));
        let source = ImageSource { node: protocol::ids::NodeId::new(), address: (MESH, 8090).into(), ticket };
        let absent = ImageSpec {
            id: format!("sha256:{}", "0".repeat(64)),
            reference: "localhost/wisehosting/gone:1".to_owned(),
            sources: vec![ImageSource { address: (MESH, 9).into(), ..source.clone() }],
        };
        let image = ImageSpec { id: id.clone(), reference: "hello:1".to_owned(), sources: vec![source] };
        let spec = WorkerSpec { images: vec![absent.clone(), image], ..WorkerSpec::default() };
        let host = Host::start(spec);

        // One that cannot be had is told and does not hold up the next.
        let report = host.reported("copy", |report| has(report, &id) && !report.problems.is_empty()).await;
        assert_eq!(report.problems[0].id, absent.id);
        let copy = report.images.iter().find(|image| image.id == id).expect("told");
        assert!(copy.ours && !copy.cache && copy.size_bytes > 0, "{copy:?}");
        let names = podman().image(&id).await.expect("podman").expect("image").repo_tags;
        assert!(names.len() == 1 && names[0].starts_with("localhost/wisehosting/received:"), "{names:?}");
    });
}

#[test]
fn what_a_failed_build_left_is_told_and_goes_when_it_is_listed() {
    on_a_host("images::what_a_failed_build_left_is_told_and_goes_when_it_is_listed", async {
        let kept = built("hello:1", "FROM busybox\nRUN echo 1 > /one\nRUN echo 2 > /two\n").await;
        let failing = "FROM busybox\nRUN dd if=/dev/zero of=/big bs=1024 count=64\nRUN exit 3\n";
        assert_eq!(build("hello:2", failing).await, None);
        let foreign = run(&["commit", &run(&["create", "busybox"]).await]).await;
        let before = run(&["images", "--all", "--quiet"]).await.lines().count();
        let telling = Host::start(WorkerSpec::default());
        let report = telling.reported("report", |_| true).await;
        let cache: Vec<_> = report.images.iter().filter(|image| image.cache).collect();
        assert!(cache.len() == 1 && (60_000..200_000).contains(&cache[0].frees_bytes), "{report:?}");
        assert_eq!(run(&["images", "--all", "--quiet"]).await.lines().count(), before);
        drop(telling);

        let remove_images = vec![cache[0].id.clone()];
        let host = Host::start(WorkerSpec { remove_images, ..WorkerSpec::default() });
        host.reported("no cache", |report| report.images.iter().all(|image| !image.cache)).await;
        let after = run(&["images", "--all", "--quiet"]).await.lines().count();
        assert_eq!(after, before - 1, "the step of the failed build alone");
        assert!(is_there(&kept).await && is_there(&foreign).await);
    });
}
