//! A deployment from its build to its drain, with agents on real sockets.

mod commands;
mod crashes;
mod isolation;
mod power;
mod preview;
mod private;
mod rolling;
mod streams;
mod together;
mod told;

use daemon::reconcile::Reconciler;
use protocol::identity::AgentKind;
use protocol::ids::{AppId, DeploymentId, InstanceId, JobId};
use protocol::job::{Built, Failure, Outcome, Stage};
use protocol::message::{Applied, FromAgent, FromControlPlane, JobDone};
use protocol::report::{InstanceReport, InstanceState, WorkerReport};
use protocol::spec::{ProxySpec, Spec, WorkerSpec};
use sqlx::PgPool;

use super::dispatch_specs;
use super::rollouts::Rollouts;
use crate::hub::tests::{Link, Mesh, hello, nothing};
use crate::{jobs, network};

struct World {
    mesh: Mesh,
    worker: Link,
    proxy: Link,
}

impl World {
    async fn new(pool: PgPool) -> Self {
        Self::saying(pool, &[]).await
    }

    /// With a worker that sends these headers.
    async fn saying(pool: PgPool, headers: &[(&'static str, &'static str)]) -> Self {
        let mesh = Mesh::new(pool).await;
        let worker = mesh.join("w1", &["worker"]).await;
        let worker = mesh.dial_saying(&worker, AgentKind::Worker, hello(Vec::new()), headers).await;
        let proxy = mesh.join("p1", &["proxy"]).await;
        let proxy = mesh.dial(&proxy, AgentKind::Proxy, hello(Vec::new())).await;
        let mut world = Self { mesh, worker, proxy };
        world.settle().await;
        world
    }

    /// All that the agents have said is stored.
    async fn settle(&mut self) {
        self.worker.settle(&nothing()).await;
        self.proxy.settle(&nothing()).await;
    }

    async fn pass(&self) {
        network::tests::told(&self.mesh.test.app).await;
        Rollouts(self.mesh.test.app.clone()).pass().await.expect("roll-outs");
    }

    async fn build(&mut self, job: JobId) {
        jobs::dispatch::claim_all(&self.mesh.test.app).await.expect("claim");
        let built = Built {
            image_id: format!("sha256:{job}"),
            reference: "hello:1".to_owned(),
            size_bytes: 1,
            exposed_ports: vec![3000, 8080],
            commit: None,
        };
        self.worker
            .settle(&FromAgent::JobDone(JobDone { job_id: job, outcome: Outcome::Built(built) }))
            .await;
    }

    async fn spec(&mut self) -> (i64, Spec) {
        dispatch_specs::all(&self.mesh.test.app).await.expect("specs");
        let versioned = self
            .worker
            .until(|message| match message {
                FromControlPlane::Spec(spec) => Some(spec),
                _ => None,
            })
            .await;
        (versioned.generation, versioned.spec)
    }

    async fn worker_spec(&mut self) -> WorkerSpec {
        let (generation, spec) = self.spec().await;
        let Spec::Worker(spec) = spec else { panic!("a worker's") };
        self.worker.say(&FromAgent::Applied(Applied { generation })).await;
        spec
    }

    async fn proxy_spec(&mut self) -> ProxySpec {
        let versioned = self
            .proxy
            .until(|message| match message {
                FromControlPlane::Spec(spec) => Some(spec),
                _ => None,
            })
            .await;
        self.proxy.say(&FromAgent::Applied(Applied { generation: versioned.generation })).await;
        let Spec::Proxy(spec) = versioned.spec else { panic!("a proxy's") };
        spec
    }

    async fn report(&mut self, instances: &[(InstanceId, InstanceState)]) {
        let report = |(id, state): &(InstanceId, InstanceState)| InstanceReport {
            id: *id,
            state: *state,
            started_at: None,
            restarts: 0,
            exit_code: None,
            out_of_memory: false,
            probe: None,
            failure: (*state == InstanceState::Failed).then(failure),
            over_disk: None,
        };
        let report = WorkerReport { instances: instances.iter().map(report).collect(), strays: Vec::new() };
        self.worker.say(&FromAgent::WorkerReport(report)).await;
        self.settle().await;
    }

    async fn state(&self, deployment: DeploymentId) -> String {
        sqlx::query_scalar("select state from deployments where id = $1")
            .bind(deployment)
            .fetch_one(&self.mesh.test.app.db)
            .await
            .expect("state")
    }

    /// The instance that the worker is to run besides `others`.
    async fn new_instance(&mut self, others: &[InstanceId]) -> InstanceId {
        let spec = self.worker_spec().await;
        let new: Vec<_> =
            spec.instances.iter().map(|instance| instance.id).filter(|id| !others.contains(id)).collect();
        assert_eq!(new.len(), 1, "one new instance beside the others");
        new[0]
    }

    /// Builds, and starts the first instance.
    async fn start(&mut self, job: JobId, others: &[InstanceId]) -> InstanceId {
        self.build(job).await;
        self.pass().await;
        self.new_instance(others).await
    }

    /// An app with a live release, and a deployment that waits for its build.
    async fn redeploy(&mut self) -> Redeploy {
        let (app, first, job) = self.mesh.queue_build("hello").await;
        let (old, _) = self.deploy(first, job, &[]).await;
        let (second, job) = self.mesh.queue_next(app, 2).await;
        Redeploy { app, first, old, second, job }
    }

    /// Builds and rolls out until the proxy has the table. Returns its only instance.
    async fn deploy(
        &mut self,
        deployment: DeploymentId,
        job: JobId,
        others: &[InstanceId],
    ) -> (InstanceId, ProxySpec) {
        let new = self.start(job, others).await;
        let mut all: Vec<_> = others.iter().map(|id| (*id, InstanceState::Healthy)).collect();
        all.push((new, InstanceState::Starting));
        self.report(&all).await;
        self.pass().await;
        assert_eq!(self.state(deployment).await, "rolling-out");
        *all.last_mut().expect("the new one") = (new, InstanceState::Healthy);
        self.report(&all).await;
        self.pass().await;
        assert_eq!(self.state(deployment).await, "rolling-out", "the proxy has not applied the table");
        dispatch_specs::all(&self.mesh.test.app).await.expect("specs");
        let table = self.proxy_spec().await;
        self.settle().await;
        self.pass().await;
        assert_eq!(self.state(deployment).await, "live");
        (new, table)
    }
}

/// A live deployment, its instance, and the next one.
struct Redeploy {
    app: AppId,
    first: DeploymentId,
    old: InstanceId,
    second: DeploymentId,
    job: JobId,
}

fn failure() -> Failure {
    Failure {
        code: "never_listened".to_owned(),
        message: "Nothing listens on port 3000.".to_owned(),
        hint: None,
        stage: Stage::Probe,
        exit_code: None,
        out_of_memory: false,
        last_lines: vec!["the last line".to_owned()],
        probe: None,
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_redeploy_switches_after_health_and_stops_the_old_after_the_drain(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, first, job) = world.mesh.queue_build("hello").await;
    let (old, table) = world.deploy(first, job, &[]).await;
    assert_eq!(table.routes[0].hosts, ["hello.route.example.com"]);
    assert_eq!(table.routes[0].upstreams[0].instance, old);

    let (second, job) = world.mesh.queue_next(app, 2).await;
    let (new, table) = world.deploy(second, job, &[old]).await;
    let upstreams: Vec<_> = table.routes[0].upstreams.iter().map(|upstream| upstream.instance).collect();
    assert_eq!(upstreams, [new]);
    assert_eq!(world.state(first).await, "superseded");

    let db = world.mesh.test.app.db.clone();
    let wanted = || sqlx::query_scalar::<_, InstanceId>("select id from instances where wanted order by id");
    assert_eq!(wanted().fetch_all(&db).await.expect("ids"), [old, new], "the old one drains");
    sqlx::query("update instances set out_at = out_at - interval '11 s'")
        .execute(&db)
        .await
        .expect("time passes");
    world.pass().await;
    assert_eq!(wanted().fetch_all(&db).await.expect("ids"), [new]);
    let spec = world.worker_spec().await;
    assert_eq!(spec.instances.len(), 1);
    assert_eq!(spec.instances[0].port, 3000, "the lowest exposed port");
    assert_eq!(spec.instances[0].env["GREETING"], "hi");
    assert_eq!(spec.instances[0].predefined["WISEHOSTING_APP"], "hello");
    world.report(&[(new, InstanceState::Healthy)]).await;
    let rows: i64 = sqlx::query_scalar("select count(*) from instances").fetch_one(&db).await.expect("count");
    assert_eq!(rows, 1, "the row goes when the worker no longer reports the instance");
    let stages: Vec<String> = sqlx::query_scalar(
        "select distinct state from deployment_stages where deployment_id = $1 order by state",
    )
    .bind(second)
    .fetch_all(&db)
    .await
    .expect("stages");
    assert!(!stages.contains(&"running".to_owned()), "{stages:?}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_release_that_never_serves_leaves_the_old_one_alone(pool: PgPool) {
    let mut world = World::new(pool).await;
    let Redeploy { app, first, old, second, job } = world.redeploy().await;
    let new = world.start(job, &[old]).await;
    world.report(&[(old, InstanceState::Healthy), (new, InstanceState::Failed)]).await;
    world.pass().await;
    assert_eq!(world.state(second).await, "failed");
    assert_eq!(world.state(first).await, "live");
    let code: String = sqlx::query_scalar("select failure ->> 'code' from deployments where id = $1")
        .bind(second)
        .fetch_one(&world.mesh.test.app.db)
        .await
        .expect("code");
    assert_eq!(code, "never_listened");
    let spec = world.worker_spec().await;
    assert_eq!(spec.instances.iter().map(|instance| instance.id).collect::<Vec<_>>(), [old]);
    assert!(in_rotation(&world, app).await == [old]);
}

async fn in_rotation(world: &World, app: AppId) -> Vec<InstanceId> {
    sqlx::query_scalar("select id from instances where app_id = $1 and in_rotation")
        .bind(app)
        .fetch_all(&world.mesh.test.app.db)
        .await
        .expect("ids")
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_unhealthy_instance_leaves_the_table_and_returns(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (_, deployment, job) = world.mesh.queue_build("hello").await;
    let (instance, _) = world.deploy(deployment, job, &[]).await;
    for (state, upstreams) in [(InstanceState::Unhealthy, 0), (InstanceState::Healthy, 1)] {
        world.report(&[(instance, state)]).await;
        dispatch_specs::all(&world.mesh.test.app).await.expect("specs");
        let table = world.proxy_spec().await;
        assert_eq!(table.routes.len(), 1, "the route stays");
        assert_eq!(table.routes[0].upstreams.len(), upstreams);
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_cancelled_switch_leads_back_to_the_release_that_is_live(pool: PgPool) {
    let mut world = World::new(pool).await;
    let Redeploy { app, first, old, second, job } = world.redeploy().await;
    let new = world.start(job, &[old]).await;
    world.report(&[(old, InstanceState::Healthy), (new, InstanceState::Healthy)]).await;
    world.pass().await;
    assert_eq!(in_rotation(&world, app).await, [new], "switched, but the proxy has not applied it");
    let owner = world.mesh.test.owner().await;
    owner.post(&format!("/api/v1/deployments/{second}/cancel"), serde_json::json!({})).await.expect(202);
    world.pass().await;
    assert_eq!(in_rotation(&world, app).await, [old]);
    assert_eq!(world.state(first).await, "live");
}
