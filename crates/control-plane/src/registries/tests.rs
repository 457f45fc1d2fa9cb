use protocol::identity::AgentKind;
use protocol::job::Work;
use protocol::registry::ImagePlace;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::deployments::tests::deploy;
use crate::http::permission::MemberRole;
use crate::hub::tests::{Mesh, hello, nothing};
use crate::testing::TestApp;

fn login(host: &str, password: &str) -> Value {
    json!({ "host": host, "username": "ann", "password": password })
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_login_is_stored_sealed_shown_without_its_password_and_forgotten(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/registries", login("Registry.example.com:5000", "first")).await.expect(200);
    let path = "/api/v1/registries";
    let stored = owner.post(path, login("registry.example.com:5000", "hunter2-hunter2")).await.expect(200);
    assert_eq!((&stored["host"], &stored["username"]), (&json!("registry.example.com:5000"), &json!("ann")));
    let listed = owner.get(path).await.expect(200);
    assert_eq!(listed["items"].as_array().expect("items").len(), 1, "{listed}");
    assert!(!listed.to_string().contains("hunter2"), "{listed}");
    let sealed: Vec<u8> =
        sqlx::query_scalar("select password from registries").fetch_one(&app.app.db).await.expect("row");
    assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
    let audited: Vec<Value> = sqlx::query_scalar("select to_jsonb(audit_events) from audit_events")
        .fetch_all(&app.app.db)
        .await
        .expect("audit");
    let audited = json!(audited).to_string();
    assert!(audited.contains("registry.login") && !audited.contains("hunter2"), "{audited}");

    owner.delete("/api/v1/registries/registry.example.com:5000").await;
    assert_eq!(owner.get(path).await.expect(200)["items"], json!([]));
    owner.delete("/api/v1/registries/registry.example.com:5000").await.expect(404);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn who_may_not_store_a_login_sees_which_there_are_in_the_own_organization_only(pool: PgPool) {
    let app = TestApp::new(pool).await;
    app.owner().await.post("/api/v1/registries", login("a.example.com", "x")).await.expect(200);
    let developer = app.member("acme", MemberRole::Developer).await;
    assert_eq!(developer.get("/api/v1/registries").await.expect(200)["items"][0]["host"], "a.example.com");
    developer.post("/api/v1/registries", login("b.example.com", "x")).await.expect(403);
    developer.delete("/api/v1/registries/a.example.com").await.expect(403);
    let other = app.member("other", MemberRole::Owner).await;
    assert_eq!(other.get("/api/v1/registries").await.expect(200)["items"], json!([]));
    other.delete("/api/v1/registries/a.example.com").await.expect(404);
    let refused = other.post("/api/v1/registries", login("https://a.example.com", "x")).await.expect(422);
    assert_eq!(refused["field"], "host");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_build_is_sent_with_the_logins_that_are_stored_by_then_and_its_row_has_none(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    link.settle(&nothing()).await;
    let (_, _, job) = mesh.queue_build("hello").await;
    let owner = mesh.test.owner().await;
    owner.post("/api/v1/registries", login("a.example.com", "hunter2-hunter2")).await.expect(200);
    let other = mesh.test.member("other", MemberRole::Owner).await;
    other.post("/api/v1/registries", login("b.example.com", "of another")).await.expect(200);
    crate::jobs::dispatch::claim_all(&mesh.test.app).await.expect("claim");
    crate::jobs::dispatch::to_connected(&mesh.test.app).await.expect("send");
    let sent = link.job().await;
    assert_eq!(sent.id, job);
    let Work::Build(build) = sent.work else { panic!("not a build") };
    let logins: Vec<_> =
        build.secrets.registries.iter().map(|login| (login.host.as_str(), login.password.as_str())).collect();
    assert_eq!(logins, [("a.example.com", "hunter2-hunter2")]);
    assert!(!format!("{build:?} {:?}", build.secrets).contains("hunter2"));
    assert_eq!(build.secrets.variables["GREETING"], "hi", "what the log must not show");
    assert_eq!(build.secrets.mounted, [""; 0]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_worker_is_told_the_login_for_an_image_that_an_instance_of_it_needs_and_for_no_other(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let (worker, other) = (mesh.join("w1", &["worker"]).await, mesh.join("w2", &["worker"]).await);
    let owner = mesh.test.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    deploy(&owner).await;
    let db = &mesh.test.app.db;
    sqlx::query(
        r#"with app as (select id from apps), release as (
               insert into releases (id, app_id, number, image_id, image_reference, source, settings, variables)
               select gen_random_uuid(), id, 1, 'sha256:aa', 'a.example.com/team/page:1',
                      '{"type": "image", "reference": "a.example.com/team/page:1"}', '{}', '' from app
               returning id, app_id)
           insert into instances (id, app_id, release_id, deployment_id, node_id, host_port)
           select gen_random_uuid(), release.app_id, release.id, deployments.id, $1, 20000 from release, deployments"#,
    )
    .bind(worker.identity.node_id.0)
    .execute(db)
    .await
    .expect("instance");
    let path = "/v1/images/sha256:aa/places";
    let told = async |joined| -> Vec<ImagePlace> {
        mesh.get_as(joined, AgentKind::Worker, path).await.json().await.expect("places")
    };
    let places = told(&worker).await;
    let reference = "a.example.com/team/page:1".to_owned();
    assert_eq!(places, [ImagePlace { reference, login: None }], "nobody is logged in");

    owner.post("/api/v1/registries", login("a.example.com", "hunter2-hunter2")).await.expect(200);
    owner.post("/api/v1/registries", login("b.example.com", "not for this")).await.expect(200);
    let stranger = mesh.test.member("other", MemberRole::Owner).await;
    stranger.post("/api/v1/registries", login("a.example.com", "of another")).await.expect(200);
    let places = told(&worker).await;
    let passwords: Vec<_> =
        places.iter().map(|place| place.login.as_ref().map(|l| l.password.as_str())).collect();
    assert_eq!(passwords, [Some("hunter2-hunter2")]);
    assert_eq!(told(&other).await, [], "no instance of it needs the image");
    sqlx::query("update instances set wanted = false").execute(db).await.expect("unwanted");
    assert_eq!(told(&worker).await, []);
}
