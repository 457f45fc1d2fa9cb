//! Two workers and their images, with agents on real sockets.

use daemon::reconcile::Reconciler;
use protocol::enrol::Joined;
use protocol::identity::AgentKind;
use protocol::ids::{AppId, NodeId};
use protocol::message::{FromAgent, FromControlPlane};
use protocol::registry::CopyReport;
use protocol::report::{HeldImage, ImageProblem, ImageReport};
use protocol::spec::{Spec, WorkerSpec};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::deployments::tests::{deploy, make_live};
use crate::hub::tests::{Link, Mesh, hello, nothing};
use crate::reconcile::dispatch_specs;
use crate::reconcile::images::Images;
use crate::releases::store::{NewRelease, create};
use crate::testing::Client;
use crate::variables;

pub(super) struct World {
    pub(super) mesh: Mesh,
    pub(super) owner: Client,
    pub(super) app: AppId,
    pub(super) one: Worker,
    pub(super) two: Worker,
}

pub(super) struct Worker {
    pub(super) id: NodeId,
    link: Link,
    /// What it tells next of its orders for registries.
    pub(super) copies: Vec<CopyReport>,
}

impl World {
    /// `keep_releases` is 2, and no cache is allowed.
    pub(super) async fn new(pool: PgPool) -> Self {
        let mesh = Mesh::with(pool, |config| {
            config.images.keep_releases = 2;
            config.images.cache_mb = 0;
        })
        .await;
        let owner = mesh.test.owner().await;
        let app = owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
        let app = serde_json::from_value(app["id"].clone()).expect("id");
        let one = Worker::join(&mesh, "w1").await;
        let two = Worker::join(&mesh, "w2").await;
        Self { mesh, owner, app, one, two }
    }

    /// A deployment that has served with the image, built on worker `one`.
    pub(super) async fn served(&self, image: &str) {
        let made = deploy(&self.owner).await;
        let control = &self.mesh.test.app;
        let variables = variables::seal(&control.vault, self.app, &variables::Values::new());
        let mut tx = control.db.begin().await.expect("transaction");
        let new = NewRelease {
            app_id: self.app,
            image_id: &id(image),
            image_reference: "localhost/wisehosting/hello:1",
            image_size_bytes: 10,
            image_node_id: Some(self.one.id),
            source: None,
            commit_id: Some("0123456789abcdef"),
            settings: &crate::apps::Settings { port: Some(8080), ..crate::apps::Settings::default() },
            variables: &variables,
            built_with: None,
        };
        let (release, _) = create(&mut tx, new).await.expect("release");
        sqlx::query("update deployments set release_id = $2 where id = $1")
            .bind(made["id"].as_str().expect("id").parse::<uuid::Uuid>().expect("uuid"))
            .bind(release)
            .execute(&mut *tx)
            .await
            .expect("release");
        tx.commit().await.expect("commit");
        make_live(&self.mesh.test, &made).await;
    }

    pub(super) async fn pass(&self) {
        Images(self.mesh.test.app.clone()).pass().await.expect("images");
    }

    pub(super) async fn sql(&self, text: &'static str) {
        sqlx::query(text).execute(&self.mesh.test.app.db).await.expect(text);
    }

    /// Nothing was needed for a day of what is not needed now.
    async fn a_day_later(&self) {
        self.pass().await;
        self.sql("update node_images set unneeded_since = unneeded_since - interval '1 day'").await;
        self.sql("update releases set created_at = created_at - interval '1 day'").await;
        self.pass().await;
    }

    pub(super) async fn kept(&self) -> Vec<bool> {
        let releases = self.owner.get("/api/v1/apps/hello/releases").await.expect(200);
        let items = releases["items"].as_array().expect("items");
        items.iter().map(|release| release["kept"].as_bool().expect("kept")).collect()
    }
}

impl Worker {
    async fn join(mesh: &Mesh, name: &str) -> Self {
        let joined: Joined = mesh.join(name, &["worker"]).await;
        let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
        link.settle(&nothing()).await;
        Self { id: joined.identity.node_id, link, copies: Vec::new() }
    }

    /// Tells the images of ours that are there, and what stands in the way.
    pub(super) async fn holds(&mut self, images: &[&str], problems: &[(&str, &str)]) {
        let held = |image: &&str| HeldImage {
            id: id(image),
            ours: true,
            cache: image.starts_with("step"),
            made_at: chrono::Utc::now(),
            size_bytes: 10,
            frees_bytes: 7,
        };
        let problem =
            |(image, message): &(&str, &str)| ImageProblem { id: id(image), message: (*message).to_owned() };
        let report = ImageReport {
            images: images.iter().map(held).collect(),
            total_bytes: 100,
            problems: problems.iter().map(problem).collect(),
            copies: std::mem::take(&mut self.copies),
        };
        self.link.say(&FromAgent::ImageReport(report)).await;
        self.link.settle(&nothing()).await;
    }

    pub(super) async fn spec(&mut self, world: &Mesh) -> WorkerSpec {
        dispatch_specs::all(&world.test.app).await.expect("specs");
        let newest = self.link.say(&nothing()).await;
        let mut found = None;
        loop {
            match self.link.next().await.expect("open") {
                FromControlPlane::Spec(spec) => found = Some(spec.spec),
                FromControlPlane::Ack(ack) if ack.ids.contains(&newest) && found.is_some() => break,
                _ => {}
            }
        }
        let Some(Spec::Worker(spec)) = found else { panic!("a worker's") };
        spec
    }
}

pub(super) fn id(image: &str) -> String {
    format!("sha256:{image}")
}

async fn node(world: &World, name: &str) -> Value {
    world.owner.get(&format!("/api/v1/nodes/{name}")).await.expect(200)["images"].clone()
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_kept_image_is_copied_to_another_worker_once(pool: PgPool) {
    let mut world = World::new(pool).await;
    world.served("aa").await;
    world.one.holds(&["aa"], &[]).await;
    world.pass().await;
    let spec = world.two.spec(&world.mesh).await;
    assert_eq!((spec.images.len(), spec.images[0].id.as_str()), (1, "sha256:aa"));
    let sources: Vec<_> = spec.images[0].sources.iter().map(|source| source.node).collect();
    assert_eq!(sources, [world.one.id]);
    assert_eq!(spec.images[0].reference, "localhost/wisehosting/hello:1");
    world.two.holds(&[], &[("aa", "no space")]).await;
    let images = node(&world, "w2").await;
    assert_eq!(
        (&images["copies_waiting"], images["problems"].as_array().map(Vec::len)),
        (&json!(1), Some(1))
    );
    assert!(images["problems"][0].as_str().expect("text").ends_with("no space"), "{images}");

    world.two.holds(&["aa"], &[]).await;
    world.pass().await;
    assert_eq!(world.two.spec(&world.mesh).await.images, []);
    let raised = |world: &World| {
        let consumer = format!("worker:{}", world.two.id);
        let db = world.mesh.test.app.db.clone();
        async move {
            let query =
                sqlx::query_scalar::<_, i64>("select generation from generations where consumer = $1");
            query.bind(consumer).fetch_one(&db).await.expect("generation")
        }
    };
    let before = raised(&world).await;
    world.pass().await;
    assert_eq!(raised(&world).await, before, "nothing changes while nothing happens");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_image_of_a_release_too_old_goes_and_a_rollback_to_it_is_refused(pool: PgPool) {
    let mut world = World::new(pool).await;
    for image in ["aa", "bb", "cc"] {
        world.served(image).await;
    }
    assert_eq!(world.kept().await, [true, true, false]);
    world.one.holds(&["aa", "bb", "cc"], &[]).await;
    world.two.holds(&["aa", "bb", "cc"], &[]).await;
    world.pass().await;
    assert_eq!(node(&world, "w1").await["reclaimable_bytes"], 7);
    assert_eq!(world.one.spec(&world.mesh).await.remove_images, [] as [&str; 0], "not at once");
    world.a_day_later().await;
    assert_eq!(world.one.spec(&world.mesh).await.remove_images, ["sha256:aa"]);
    assert_eq!(world.two.spec(&world.mesh).await.remove_images, ["sha256:aa"]);

    world.one.holds(&["bb", "cc"], &[]).await;
    world.two.holds(&["aa", "bb", "cc"], &[("aa", "a container uses it")]).await;
    world.pass().await;
    assert_eq!(world.one.spec(&world.mesh).await.remove_images, [] as [&str; 0]);
    let audit = world.owner.get("/api/v1/audit").await.expect(200);
    let removed: Vec<_> =
        audit["items"].as_array().expect("items").iter().filter(|e| e["action"] == "image.remove").collect();
    assert_eq!((removed.len(), &removed[0]["actor"]), (1, &json!("node:w1")), "{audit}");
    assert_eq!(removed[0]["detail"]["releases"], json!(["hello v1"]));
    assert!(node(&world, "w2").await["problems"][0].as_str().expect("text").contains("a container uses it"));

    let refused = world.owner.post("/api/v1/apps/hello/rollback", json!({ "release": 1 })).await.expect(409);
    assert_eq!((&refused["code"], &refused["field"]), (&json!("release_not_kept"), &json!("release")));
    let hint = refused["hint"].as_str().expect("hint");
    assert!(hint.contains("0123456789ab") && hint.contains("keep_releases"), "{hint}");
    world.owner.post("/api/v1/apps/hello/rollback", json!({ "release": 2 })).await.expect(202);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_image_with_an_instance_or_a_deployment_under_way_is_never_removed(pool: PgPool) {
    let mut world = World::new(pool).await;
    for image in ["aa", "bb", "cc"] {
        world.served(image).await;
    }
    world.one.holds(&["aa", "bb", "cc", "unknown"], &[]).await;
    world
        .sql(
            "insert into instances (id, app_id, release_id, deployment_id, node_id, host_port)
         select gen_random_uuid(), releases.app_id, releases.id, deployments.id, image_node_id, 20000
         from releases join deployments on release_id = releases.id where releases.number = 1",
        )
        .await;
    world.a_day_later().await;
    let removed = world.one.spec(&world.mesh).await.remove_images;
    assert_eq!(removed, ["sha256:unknown"], "built by us, and of no release");
    assert_eq!(world.kept().await, [true, true, true]);

    world.sql("update instances set wanted = false, state = 'healthy'").await;
    assert_eq!(world.kept().await, [true, true, true]);
    world.sql("update instances set state = 'stopped'").await;
    world.a_day_later().await;
    assert_eq!(world.one.spec(&world.mesh).await.remove_images, ["sha256:aa", "sha256:unknown"]);
    deploy(&world.owner).await;
    world.pass().await;
    assert_eq!(world.one.spec(&world.mesh).await.remove_images, ["sha256:unknown"]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_release_whose_image_is_nowhere_is_not_kept(pool: PgPool) {
    let mut world = World::new(pool).await;
    world.served("aa").await;
    world.served("bb").await;
    assert_eq!(world.kept().await, [true, true], "its worker has not told yet");
    world.one.holds(&["bb"], &[]).await;
    world.sql("update releases set created_at = created_at - interval '1 day'").await;
    assert_eq!(world.kept().await, [true, false]);
    world.two.holds(&["aa"], &[]).await;
    assert_eq!(world.kept().await, [true, true]);
    world.sql("update nodes set removed_at = now() where name = 'w2'").await;
    assert_eq!(world.kept().await, [true, false]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_builds_left_beyond_the_limit_goes_by_the_list_too(pool: PgPool) {
    let mut world = World::new(pool).await;
    world.served("aa").await;
    world.one.holds(&["aa", "step1", "step2"], &[]).await;
    let images = node(&world, "w1").await;
    assert_eq!((&images["count"], &images["cache_bytes"]), (&json!(1), &json!(14)), "{images}");
    world.a_day_later().await;
    assert_eq!(world.one.spec(&world.mesh).await.remove_images, ["sha256:step1", "sha256:step2"]);
    world.one.holds(&["aa"], &[]).await;
    world.pass().await;
    assert_eq!(world.one.spec(&world.mesh).await.remove_images, [] as [&str; 0]);
    let audit = world.owner.get("/api/v1/audit").await.expect(200).to_string();
    assert!(!audit.contains("image.remove"), "of no release, so nobody misses it: {audit}");
}
