//! Programs in containers of their own.

use protocol::exec::{FreshTicket, OpenFresh};

use super::*;
use crate::variables;

/// The app's release serves, and its worker is connected.
async fn go_live(world: &World, pool: &PgPool) {
    let app: AppId = sqlx::query_scalar("select id from apps").fetch_one(pool).await.expect("app");
    let values = [("GREETING".to_owned(), "hello".to_owned())].into();
    let sealed = variables::seal(&world.mesh.test.app.vault, app, &values);
    sqlx::query("update releases set variables = $1").bind(sealed).execute(pool).await.expect("variables");
    sqlx::query("update deployments set state = 'live', release_id = (select id from releases)")
        .execute(pool)
        .await
        .expect("live");
    sqlx::query(
        "insert into agents (node_id, kind, connected_to) select id, 'worker', gen_random_uuid() from nodes
         on conflict (node_id, kind) do update set connected_to = excluded.connected_to",
    )
    .execute(pool)
    .await
    .expect("connected");
}

/// Says what it was told to make, then ends with 5 at whatever comes.
async fn start_worker(world: &mut World) {
    let key = world.key.clone();
    let program = move |Path(session): Path<ExecId>, headers: HeaderMap, socket: WebSocketUpgrade| async move {
        let bearer = headers["authorization"].to_str().expect("text").trim_start_matches("Bearer ");
        assert!((FreshTicket { session }).is(bearer, &key, Utc::now().timestamp()));
        socket.on_upgrade(play)
    };
    world.serve(axum::Router::new().route("/v1/fresh/{session}", get(program))).await;
}

async fn play(mut socket: WebSocket) {
    let Some(Ok(Frame::Text(open))) = socket.recv().await else { panic!("no container") };
    let OpenFresh { container, .. } = serde_json::from_str(&open).expect("a container");
    let said = json!({
        "command": container.command, "once": container.once, "app": container.app,
        "release": container.release, "image": container.image.id, "env": container.env,
    });
    socket
        .send(Frame::Binary(frame(channel::STDOUT, said.to_string().as_bytes()).into()))
        .await
        .expect("sent");
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Frame::Binary(_)) {
            let _ = socket.send(Frame::Text(FromProgram::Exit { code: 5 }.to_json().into())).await;
        }
    }
}

fn migrate() -> Value {
    json!({ "command": ["migrate"], "fresh": true })
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_container_is_made_from_the_live_release_with_its_variables(pool: PgPool) {
    let mut world = World::new(pool.clone(), 6, |_| {}).await;
    go_live(&world, &pool).await;
    start_worker(&mut world).await;
    // No instance has to run.
    sqlx::query("delete from instances").execute(&pool).await.expect("stopped");
    let asked = world.ask(migrate()).await;
    assert_eq!(
        (&asked["instance"], &asked["release"], &asked["node"]),
        (&json!(null), &json!(1), &json!("w1"))
    );
    let bearer = World::bearer(&world.owner);
    let mut session = world.attach(&asked["id"], &[("authorization", &bearer)]).await.expect("attached");
    let made: Value = serde_json::from_slice(&session.data().await[1..]).expect("JSON");
    assert_eq!(
        made,
        json!({
            "command": ["migrate"], "once": true, "app": "hello", "release": 1, "image": "sha256:aa",
            "env": { "GREETING": "hello" },
        })
    );
    session.input(b"go").await;
    assert_eq!(session.last().await, FromProgram::Exit { code: 5 });
    let start = world.audit("exec.start").await.expect("written down");
    assert_eq!((&start["detail"]["fresh"], &start["detail"]["instance"]), (&json!(true), &json!(null)));
    assert_eq!(world.ended().await["detail"]["exit_code"], 5);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn containers_of_an_app_are_few_and_short_and_need_a_live_release(pool: PgPool) {
    let mut world = World::new(pool.clone(), 7, |config| {
        config.limits.run_sessions = 1;
        config.limits.run_total_s = 1;
    })
    .await;
    let path = "/api/v1/apps/hello/exec";
    let refused = world.owner.post(path, migrate()).await.expect(409);
    assert!(
        refused["code"] == "nothing_deployed" && refused["message"].to_string().contains("hello"),
        "{refused}"
    );
    go_live(&world, &pool).await;
    let both = json!({ "command": ["sh"], "fresh": true, "instance": world.instance });
    assert_eq!(world.owner.post(path, both).await.expect(422)["field"], "instance");
    start_worker(&mut world).await;
    let mut session = world.session(migrate()).await;
    let refused = world.owner.post(path, migrate()).await.expect(429);
    assert!(refused["hint"].to_string().contains("run_sessions"), "{refused}");
    // Instances have room.
    world.ask(sh()).await;
    let FromProgram::Failed { code, hint, .. } = session.last().await else { panic!("it ended") };
    assert!(code == "too_long" && hint.expect("a remedy").contains("run_total_s"), "{code}");

    // A deleted app has no sessions.
    let id: ExecId = serde_json::from_value(world.ask(migrate()).await["id"].clone()).expect("id");
    let caller = caller(&pool).await;
    assert!(store::beat(&pool, &caller, id).await.expect("beat"));
    sqlx::query("update apps set deleted_at = now()").execute(&pool).await.expect("deleted");
    assert!(!store::beat(&pool, &caller, id).await.expect("beat"));

    sqlx::query("update apps set deleted_at = null").execute(&pool).await.expect("undone");
    sqlx::query("update exec_sessions set ended_at = now()").execute(&pool).await.expect("over");
    sqlx::query("update agents set connected_to = null").execute(&pool).await.expect("offline");
    assert!(world.owner.post(path, migrate()).await.expect(503)["hint"].to_string().contains("wh node ls"));
}
