//! A registry beside two workers.

use protocol::registry::{CopyAction, CopyOrder, CopyReport};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::images::tests::{World, id};

const REGISTRIES: &str = "/api/v1/registries";
const USE: &str = "/api/v1/registries/r.example.com/images";
const NAME: &str = "r.example.com/wisehosting/hello:v1";

/// The organization keeps its images in the registry from now on.
async fn choose(world: &World) {
    world.owner.post(USE, json!({})).await.expect(404);
    let login = json!({ "host": "r.example.com", "username": "ann", "password": "hunter2" });
    world.owner.post(REGISTRIES, login).await.expect(200);
    let chosen = world.owner.post(USE, json!({})).await.expect(200);
    assert_eq!(chosen["images_path"], "wisehosting");
}

fn order(action: CopyAction) -> CopyOrder {
    CopyOrder { image_id: id("aa"), reference: NAME.to_owned(), action }
}

fn report(action: CopyAction, problem: Option<&str>) -> Vec<CopyReport> {
    let CopyOrder { image_id, reference, action } = order(action);
    vec![CopyReport { image_id, reference, action, problem: problem.map(str::to_owned) }]
}

async fn shown(world: &World) -> Value {
    world.owner.get(REGISTRIES).await.expect(200)["items"][0].clone()
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_built_image_is_pushed_counts_as_a_copy_and_is_removed_when_nothing_needs_it(pool: PgPool) {
    let mut world = World::new(pool).await;
    choose(&world).await;
    world.served("aa").await;
    world.one.holds(&["aa"], &[]).await;
    world.pass().await;
    assert_eq!(world.one.spec(&world.mesh).await.copies, [order(CopyAction::Push)]);
    world.one.copies = report(CopyAction::Push, Some("no space there"));
    world.one.holds(&["aa"], &[]).await;
    world.pass().await;
    let told = shown(&world).await;
    assert_eq!((&told["images_kept"], &told["images_waiting"]), (&json!(0), &json!(1)), "{told}");
    assert_eq!(told["image_problems"], json!([format!("push {NAME}: no space there")]));

    world.one.copies = report(CopyAction::Push, None);
    world.one.holds(&["aa"], &[]).await;
    world.pass().await;
    let told = shown(&world).await;
    assert_eq!((&told["images_kept"], &told["images_waiting"]), (&json!(1), &json!(0)), "{told}");
    assert_eq!(told["image_problems"], json!([]));
    assert_eq!(world.one.spec(&world.mesh).await.copies, []);
    let holds: i64 = sqlx::query_scalar("select count(*) from image_orders")
        .fetch_one(&world.mesh.test.app.db)
        .await
        .expect("orders");
    assert_eq!(holds, 0, "one worker and the registry are two");
    world.one.holds(&[], &[]).await;
    world.sql("update releases set created_at = created_at - interval '1 day'").await;
    assert_eq!(world.kept().await, [true], "the registry has it");

    for image in ["bb", "cc"] {
        world.served(image).await;
    }
    world.pass().await;
    let removals = "select count(*) from registry_images where action = 'remove'";
    let removals: i64 =
        sqlx::query_scalar(removals).fetch_one(&world.mesh.test.app.db).await.expect("removals");
    assert_eq!(removals, 0, "not at once");
    world.sql("update registry_images set unneeded_since = unneeded_since - interval '1 day'").await;
    world.pass().await;
    assert_eq!(world.one.spec(&world.mesh).await.copies, [order(CopyAction::Remove)]);
    world.one.copies = report(CopyAction::Remove, None);
    world.one.holds(&[], &[]).await;
    assert_eq!(shown(&world).await["images_kept"], 0);
    let audit = world.owner.get("/api/v1/audit").await.expect(200);
    let events: Vec<&str> = audit["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|event| event["action"].as_str())
        .collect();
    for action in ["registry.use", "image.push", "image.unpush"] {
        assert_eq!(events.iter().filter(|event| **event == action).count(), 1, "{action}: {events:?}");
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_registry_that_is_given_up_keeps_what_it_has_and_its_login_can_go_then(pool: PgPool) {
    let mut world = World::new(pool).await;
    choose(&world).await;
    world.served("aa").await;
    world.one.holds(&["aa"], &[]).await;
    world.pass().await;
    world.one.copies = report(CopyAction::Push, None);
    world.one.holds(&["aa"], &[]).await;
    let path = "/api/v1/registries/r.example.com";
    let refused = world.owner.delete(path).await.expect(422);
    assert!(refused["hint"].as_str().expect("hint").contains("wh registry use --none"), "{refused}");
    world.owner.delete(USE).await.expect(204);
    world.served("bb").await;
    world.one.holds(&["aa", "bb"], &[]).await;
    world.pass().await;
    assert_eq!(world.one.spec(&world.mesh).await.copies, []);
    let told = shown(&world).await;
    assert_eq!((&told["images_path"], &told["images_kept"]), (&Value::Null, &json!(1)), "{told}");
    world.owner.delete(path).await.expect(204);
    let developer = world.mesh.test.member("acme", crate::http::permission::MemberRole::Developer).await;
    developer.post(USE, json!({})).await.expect(403);
}
