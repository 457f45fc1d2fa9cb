//! What lies on workers, over Postgres.

use protocol::identity::AgentKind;
use protocol::message::FromAgent;
use protocol::storage::{OtherContainer, StorageReport, Volume};
use serde_json::json;
use sqlx::PgPool;

use crate::http::permission::MemberRole;
use crate::hub::tests::{Mesh, hello, nothing};
use crate::placement::tests::{rolling, worker};
use crate::reconcile::rollouts::Rollouts;
use crate::testing::TestApp;
use daemon::reconcile::Reconciler;

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_a_worker_holds_is_what_it_told_last(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let owner = mesh.test.owner().await;
    let nothing_yet = owner.get("/api/v1/nodes/w1/storage").await.expect(200);
    assert_eq!((&nothing_yet["reported_at"], &nothing_yet["containers"]), (&json!(null), &json!([])));
    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    let other =
        OtherContainer { name: "postgres".to_owned(), state: "running".to_owned(), ..Default::default() };
    let volume = Volume { name: "data".to_owned(), size_bytes: 7, containers: 1 };
    let report = StorageReport {
        containers: vec![other; 300],
        container_count: 300,
        volumes: vec![volume],
        volume_count: 1,
        ..Default::default()
    };
    link.say(&FromAgent::StorageReport(report)).await;
    link.settle(&nothing()).await;
    let told = owner.get("/api/v1/nodes/w1/storage").await.expect(200);
    assert_eq!(told["containers"].as_array().expect("containers").len(), 200, "no more than is agreed");
    assert_eq!((&told["container_count"], &told["volumes"][0]["size_bytes"]), (&json!(300), &json!(7)));
    // Another agent of the host has no say in it.
    let mut other = mesh.dial(&joined, AgentKind::Mesh, hello(Vec::new())).await;
    other.say(&FromAgent::StorageReport(StorageReport::default())).await;
    other.settle(&nothing()).await;
    assert_eq!(owner.get("/api/v1/nodes/w1/storage").await.expect(200)["volume_count"], 1);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn instances_of_other_organizations_are_only_counted(pool: PgPool) {
    let app = TestApp::new(pool).await;
    worker(&app, "w1", 8, 8192).await;
    let owner = app.owner().await;
    let stranger = app.member("elsewhere", MemberRole::Viewer).await;
    rolling(&app, &owner, "hello", json!({ "replicas": 2 })).await;
    for _ in 0..3 {
        Rollouts(app.app.clone()).pass().await.expect("roll-outs");
    }
    let own = owner.get("/api/v1/nodes/w1/instances").await.expect(200);
    assert_eq!((own["items"].as_array().expect("items").len(), &own["others"]), (2, &json!(0)), "{own}");
    assert_eq!((&own["items"][0]["app"], &own["items"][0]["release"]), (&json!("hello"), &json!(1)));
    let theirs = stranger.get("/api/v1/nodes/w1/instances").await.expect(200);
    assert_eq!((&theirs["items"], &theirs["others"]), (&json!([]), &json!(2)));
    let node = owner.get("/api/v1/nodes/w1").await.expect(200);
    assert_eq!((&node["apps"], &node["instances"]), (&json!(1), &json!(2)));
}
