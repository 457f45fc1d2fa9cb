//! Streams of a live app: where they lead, and whether its instances are published for datagrams.

use protocol::report::InstanceState;
use protocol::stream::StreamProtocol;
use serde_json::json;
use sqlx::PgPool;

use super::World;
use crate::reconcile::dispatch_specs;

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn datagrams_go_to_instances_that_began_after_the_stream_was_added(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, first, job) = world.mesh.queue_build("hello").await;
    let (old, table) = world.deploy(first, job, &[]).await;
    assert!(table.streams.is_empty());
    let owner = world.mesh.test.owner().await;
    let path = "/api/v1/apps/hello/streams";
    for protocol in ["tcp", "udp"] {
        owner.post(path, json!({ "protocol": protocol, "port": 30000 })).await.expect(201);
    }
    dispatch_specs::all(&world.mesh.test.app).await.expect("specs");
    let table = world.proxy_spec().await;
    let led: Vec<_> = table
        .streams
        .iter()
        .map(|stream| (stream.protocol, stream.app.as_str(), stream.upstreams.len()))
        .collect();
    assert_eq!(led, [(StreamProtocol::Tcp, "hello", 1), (StreamProtocol::Udp, "hello", 0)]);
    let list = owner.get(path).await.expect(200);
    let warning = list["items"][1]["warning"].as_str().unwrap_or_default();
    assert!(warning.contains("1 of 1 instances") && list["items"][0]["warning"].is_null(), "{list}");
    let published = "select publishes_udp from instances order by id";
    let db = world.mesh.test.app.db.clone();
    let flags = || sqlx::query_scalar::<_, bool>(published).fetch_all(&db);
    assert_eq!(flags().await.expect("flags"), [false], "a container that runs is left as it is");

    let (second, job) = world.mesh.queue_next(app, 2).await;
    let (new, table) = world.deploy(second, job, &[old]).await;
    let all = table.streams.iter().map(|stream| stream.upstreams.len()).collect::<Vec<_>>();
    assert_eq!((all, table.streams[1].upstreams[0].instance), (vec![1, 1], new));
    assert_eq!(flags().await.expect("flags"), [false, true]);
    world.report(&[(old, InstanceState::Healthy), (new, InstanceState::Healthy)]).await;
    let list = owner.get(path).await.expect(200);
    assert!(list["items"][1]["warning"].is_null(), "{list}");
}
