//! Changes of the private network, which alone are new to most workers that are told of them.

use protocol::ids::NodeId;
use protocol::spec::TAKES_CHANGES;
use protocol::spec::private::{PrivateChange, TAKES_PRIVATE_CHANGES};

use super::*;
use crate::generations::{self, Consumer};
use crate::reconcile::network::Network;

impl World {
    /// The next thing that the worker is told, which is no whole state.
    async fn private_change(&mut self) -> PrivateChange {
        dispatch_specs::all(&self.mesh.test.app).await.expect("specs");
        let change = self.worker.until(|message| match message {
            FromControlPlane::SpecPrivate(change) => Some(*change),
            FromControlPlane::Spec(spec) => panic!("a whole state: {spec:?}"),
            _ => None,
        });
        change.await
    }

    async fn network(&self) {
        Network(self.mesh.test.app.clone()).pass().await.expect("network");
    }

    /// What is wanted after a pass of the roll-outs.
    async fn stay(&self) -> Vec<InstanceId> {
        Rollouts(self.mesh.test.app.clone()).pass().await.expect("roll-outs");
        self.wanted().await
    }

    /// Its old instance has left the table and drained, and the worker was told of nothing since.
    async fn replaced(pool: PgPool) -> (Self, InstanceId, InstanceId) {
        let mut world = Self::saying(pool, &[TAKES_CHANGES, TAKES_PRIVATE_CHANGES]).await;
        let Redeploy { old, job, .. } = world.redeploy().await;
        let new = world.start(job, &[old]).await;
        world.report(&[(old, InstanceState::Healthy), (new, InstanceState::Healthy)]).await;
        world.settle().await;
        Rollouts(world.mesh.test.app.clone()).pass().await.expect("roll-outs");
        dispatch_specs::all(&world.mesh.test.app).await.expect("specs");
        world.proxy_spec().await;
        world.settle().await;
        sqlx::query("update instances set out_at = out_at - interval '11 s'")
            .execute(&world.mesh.test.app.db)
            .await
            .expect("time passes");
        (world, old, new)
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_instance_ends_after_its_workers_said_that_they_know_it_left(pool: PgPool) {
    let (mut world, old, new) = Box::pin(World::replaced(pool)).await;
    assert_eq!(world.stay().await, [old, new], "nobody was told");
    world.network().await;
    assert_eq!(world.stay().await, [old, new], "the worker was not told");
    let change = world.private_change().await;
    let services = &change.projects[0].services;
    let backends: Vec<_> = services[0].backends.iter().map(|backend| backend.instance).collect();
    assert_eq!((services.len(), backends), (1, vec![new]), "{change:?}");
    assert_eq!(world.stay().await, [old, new], "the worker has not said that it knows");
    world.worker.say(&FromAgent::Applied(Applied { generation: change.generation })).await;
    world.settle().await;
    // What else is new to the worker keeps nobody.
    let db = world.mesh.test.app.db.clone();
    let node: NodeId =
        sqlx::query_scalar("select node_id from instances limit 1").fetch_one(&db).await.expect("node");
    let mut conn = db.acquire().await.expect("connection");
    generations::raise(&mut conn, Consumer::Worker(node)).await.expect("raised");
    assert_eq!(world.stay().await, [new]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_worker_is_told_of_the_network_alone_until_something_else_is_new_to_it(pool: PgPool) {
    let (mut world, old, new) = Box::pin(World::replaced(pool)).await;
    world.network().await;
    let first = world.private_change().await;
    // Nobody could see a difference; it is told so that the worker can say that it knows.
    let mut conn = world.mesh.test.app.db.acquire().await.expect("connection");
    let app: AppId = sqlx::query_scalar("select id from apps").fetch_one(&mut *conn).await.expect("app");
    network::store::app_changed(&mut conn, app).await.expect("changed");
    world.network().await;
    let second = world.private_change().await;
    assert_eq!((second.from, second.generation), (first.generation, first.generation + 1));
    assert_eq!((second.projects.len(), second.projects[0].services.len()), (1, 0), "{second:?}");
    network::store::app_changed(&mut conn, app).await.expect("changed");
    let node: NodeId = sqlx::query_scalar("select node_id from instances limit 1")
        .fetch_one(&mut *conn)
        .await
        .expect("node");
    generations::raise(&mut conn, Consumer::Worker(node)).await.expect("raised");
    world.network().await;
    let whole = world.worker_spec().await;
    let ids: Vec<_> = whole.instances.iter().map(|instance| instance.id).collect();
    assert_eq!(ids, [old, new]);
    assert_eq!(whole.private.expect("names").projects[0].services.len(), 1);
}
