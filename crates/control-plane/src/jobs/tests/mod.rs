//! Who gets which job.

mod queue;

use std::collections::{HashMap, HashSet};

use protocol::identity::AgentKind;
use protocol::ids::DeploymentId;
use sqlx::{PgConnection, PgPool};

use super::store::{self, Claimed};
use crate::hub::tests::{Mesh, hello, nothing};

pub(super) async fn connected(mesh: &Mesh, name: &str) -> crate::hub::tests::Link {
    let joined = mesh.join(name, &["worker"]).await;
    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    link.settle(&nothing()).await;
    link
}

/// One claim after a look of its own.
async fn claim(conn: &mut PgConnection) -> Option<Claimed> {
    store::claim(conn, &mut store::Free::of(AgentKind::Worker)).await.expect("claim")
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn fifty_claimers_give_each_job_to_one_worker_and_fill_no_slot_twice(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let _links = [connected(&mesh, "w1").await, connected(&mesh, "w2").await];
    for index in 0..10 {
        mesh.queue_build(&format!("app{index}")).await;
    }
    let claims = (0..50).map(|_| async {
        let mut tx = mesh.test.app.db.begin().await.expect("transaction");
        let claimed = claim(&mut tx).await;
        tx.commit().await.expect("commit");
        claimed
    });
    let claimed: Vec<_> = futures_util::future::join_all(claims).await.into_iter().flatten().collect();
    let jobs: HashSet<_> = claimed.iter().map(|claimed| claimed.id).collect();
    assert_eq!(jobs.len(), claimed.len(), "no job twice");
    let mut per_node = HashMap::new();
    for claimed in &claimed {
        *per_node.entry(claimed.node_name.clone()).or_insert(0) += 1;
    }
    // Two slots each.
    assert_eq!(per_node, HashMap::from([("w1".to_owned(), 2), ("w2".to_owned(), 2)]));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn fifty_schedulers_assign_each_of_many_jobs_once(pool: PgPool) {
    const JOBS: usize = 20;
    let mesh = Mesh::new(pool).await;
    let _links = [connected(&mesh, "w1").await, connected(&mesh, "w2").await];
    sqlx::query("update agents set build_slots = 15").execute(&mesh.test.app.db).await.expect("slots");
    for index in 0..JOBS {
        mesh.queue_build(&format!("app{index}")).await;
    }
    // Each does what a control plane does when it is woken: it claims until there is nothing to claim.
    let schedulers = (0..50).map(|_| async {
        let mut claimed = Vec::new();
        let mut free = store::Free::of(AgentKind::Worker);
        loop {
            let mut tx = mesh.test.app.db.begin().await.expect("transaction");
            let Some(one) = store::claim(&mut tx, &mut free).await.expect("claim") else { break };
            tx.commit().await.expect("commit");
            claimed.push((one.id, one.node));
        }
        claimed
    });
    let claimed = futures_util::future::join_all(schedulers).await.concat();
    let jobs: HashSet<_> = claimed.iter().map(|(job, _)| job).collect();
    assert_eq!((claimed.len(), jobs.len()), (JOBS, JOBS), "each job, and none twice");
    let stored: Vec<(protocol::ids::JobId, protocol::ids::NodeId)> =
        sqlx::query_as("select id, node_id from jobs where state = 'running'")
            .fetch_all(&mesh.test.app.db)
            .await
            .expect("jobs");
    assert_eq!(stored.into_iter().collect::<HashSet<_>>(), claimed.into_iter().collect());
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_app_builds_one_deployment_at_a_time_oldest_first(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let _link = connected(&mesh, "w1").await;
    let (app, _, first) = mesh.queue_build("hello").await;
    mesh.queue_next(app, 2).await;
    let mut conn = mesh.test.app.db.acquire().await.expect("connection");
    let claimed = claim(&mut conn).await.expect("one");
    assert_eq!(claimed.id, first);
    assert!(claim(&mut conn).await.is_none());
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_next_build_of_an_app_goes_to_the_worker_of_the_last_unless_that_is_full(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let _links = [connected(&mesh, "w1").await, connected(&mesh, "w2").await];
    let db = &mesh.test.app.db;
    let claim_one = async || {
        let mut tx = db.begin().await.expect("transaction");
        let claimed = claim(&mut tx).await.expect("a job");
        tx.commit().await.expect("commit");
        (claimed.id, claimed.node_name)
    };
    let over = async |deployment: DeploymentId| {
        for text in [
            "update jobs set state = 'failed', finished_at = now() where deployment_id = $1",
            "update deployments set state = 'failed', finished_at = now() where id = $1",
        ] {
            sqlx::query(text).bind(deployment).execute(db).await.expect("over");
        }
    };
    mesh.queue_build("busy").await;
    assert_eq!(claim_one().await.1, "w1");
    let (app, first, _) = mesh.queue_build("hello").await;
    assert_eq!(claim_one().await.1, "w2", "the emptier one");
    over(first).await;
    mesh.queue_build("other").await;
    assert_eq!(claim_one().await.1, "w2");
    mesh.queue_build("another").await;
    assert_eq!(claim_one().await.1, "w1");

    let (second, job) = mesh.queue_next(app, 2).await;
    assert_eq!(claim_one().await, (job, "w2".to_owned()), "that of the last build");
    over(second).await;
    let slots = "update agents set build_slots = $1 from nodes where nodes.id = node_id and name = $2";
    sqlx::query(slots).bind(20).bind("w1").execute(db).await.expect("slots");
    let (third, _) = mesh.queue_next(app, 3).await;
    assert_eq!(claim_one().await.1, "w2", "though w1 has more room");
    over(third).await;
    sqlx::query(slots).bind(1).bind("w2").execute(db).await.expect("slots");
    mesh.queue_next(app, 4).await;
    assert_eq!(claim_one().await.1, "w1", "it is full, and nobody waits for it");
}
