//! What `/metrics` says of the tables.

use daemon::reconcile::Reconciler;
use metrics_exporter_prometheus::PrometheusBuilder;
use protocol::identity::AgentKind;
use protocol::message::FromAgent;
use protocol::report::{MeshReport, PeerReport};
use sqlx::PgPool;

use super::Census;
use crate::hub::tests::{Mesh, hello, nothing};

/// One pass, and what a scrape would get after it.
async fn scrape(mesh: &Mesh) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let scope = metrics::set_default_local_recorder(&recorder);
    Census(mesh.test.app.clone()).pass().await.expect("pass");
    drop(scope);
    recorder.handle().render()
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn nodes_agents_and_silent_tunnels_are_seen_by_name(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let w1 = mesh.join("w1", &["worker"]).await;
    let mut agent = mesh.dial(&w1, AgentKind::Mesh, hello(Vec::new())).await;
    let peer = |age| PeerReport {
        public_key: "k".to_owned(),
        endpoint: None,
        handshake_age_s: age,
        received_bytes: 0,
        sent_bytes: 0,
        probes: None,
        via: None,
        direct_s: None,
    };
    let relayed = PeerReport { via: Some("r".to_owned()), ..peer(None) };
    let peers = vec![peer(Some(20)), peer(Some(600)), peer(None), relayed];
    let report = MeshReport { peers, ..MeshReport::default() };
    agent.say(&FromAgent::MeshReport(report)).await;
    agent.settle(&nothing()).await;
    let text = scrape(&mesh).await;
    has(&text, r#"wisehosting_node_online{node="w1"} 1"#);
    has(&text, r#"wisehosting_agent_connected{node="w1",agent="mesh"} 1"#);
    has(&text, r#"wisehosting_agents_connected{agent="mesh"} 1"#);
    has(&text, r#"wisehosting_mesh_peers{node="w1"} 4"#);
    has(&text, r#"wisehosting_mesh_peers_silent{node="w1"} 2"#);
    has(&text, r#"wisehosting_mesh_peers_relayed{node="w1"} 1"#);

    sqlx::query("update agents set connected_to = null").execute(&mesh.test.app.db).await.expect("gone");
    sqlx::query("update nodes set status = 'offline'").execute(&mesh.test.app.db).await.expect("offline");
    let text = scrape(&mesh).await;
    has(&text, r#"wisehosting_node_online{node="w1"} 0"#);
    has(&text, r#"wisehosting_agent_connected{node="w1",agent="mesh"} 0"#);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn deployments_are_counted_by_their_end_and_certificates_of_routed_hosts_by_theirs(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let w1 = mesh.join("w1", &["worker"]).await;
    let mut worker = mesh.dial(&w1, AgentKind::Worker, hello(Vec::new())).await;
    worker.settle(&nothing()).await;
    let (app, deployment, _) = mesh.queue_build("hello").await;
    let text = scrape(&mesh).await;
    has(&text, r#"wisehosting_deployments_last_hour{outcome="failed"} 0"#);
    assert!(!text.contains("wisehosting_certificate_not_after_seconds"), "nothing is routed yet");

    let db = &mesh.test.app.db;
    sqlx::query("update deployments set state = 'failed', finished_at = now() where id = $1")
        .bind(deployment)
        .execute(db)
        .await
        .expect("fails");
    let host: String = sqlx::query_scalar(
        "insert into certificates (host, state, not_after, failures)
         select apps.slug || '.' || suffix, 'issued', to_timestamp(1900000000), 2
         from apps join zones on zones.id = zone_id returning host",
    )
    .fetch_one(db)
    .await
    .expect("certificate");
    sqlx::query("insert into certificates (host, not_after) values ('left.behind', now())")
        .execute(db)
        .await
        .expect("of an app that is gone");
    sqlx::query(
        "with release as (
             insert into releases (id, app_id, number, image_id, image_reference, settings, variables)
             values (gen_random_uuid(), $1, 1, 'sha256:1', 'hello:1', '{}', '') returning id
         )
         insert into instances (id, app_id, release_id, deployment_id, node_id, host_port, state, in_rotation)
         select gen_random_uuid(), $1, release.id, $2, nodes.id, 20000, 'healthy', true from release, nodes
         where nodes.name = 'w1'",
    )
    .bind(app)
    .bind(deployment)
    .execute(db)
    .await
    .expect("instance");
    let text = scrape(&mesh).await;
    has(&text, r#"wisehosting_deployments_last_hour{outcome="failed"} 1"#);
    has(&text, r#"wisehosting_deployments_last_hour{outcome="live"} 0"#);
    has(&text, r#"wisehosting_instances{state="healthy"} 1"#);
    has(&text, &format!(r#"wisehosting_certificate_not_after_seconds{{host="{host}"}} 1900000000"#));
    has(&text, &format!(r#"wisehosting_certificate_failures{{host="{host}"}} 2"#));
    assert!(!text.contains("left.behind"), "an unused certificate may end: {text}");
}
