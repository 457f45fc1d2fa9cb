use axum::http::Method;
use daemon::reconcile::Reconciler;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{AskedRule, check_egress, store};
use crate::app::AppState;
use crate::db::MIGRATIONS;
use crate::http::permission::MemberRole;
use crate::reconcile::network::Network;
use crate::testing::{Client, TestApp};

/// Two projects: `stock` and `db` are in shop, `desk` in office.
async fn world(pool: PgPool) -> (TestApp, Client) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    for slug in ["shop", "office"] {
        owner.post("/api/v1/projects", json!({ "slug": slug })).await.expect(201);
    }
    for (slug, project) in [("stock", "shop"), ("db", "shop"), ("desk", "office")] {
        owner.post("/api/v1/apps", json!({ "slug": slug, "project": project })).await.expect(201);
    }
    (app, owner)
}

fn path(project: &str, rest: &str) -> String {
    format!("/api/v1/projects/{project}/network{rest}")
}

fn names(network: &Value) -> Vec<&str> {
    network["apps"].as_array().expect("apps").iter().filter_map(|app| app["name"].as_str()).collect()
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_project_reaches_its_own_apps_and_what_it_was_granted(pool: PgPool) {
    let (app, owner) = world(pool).await;
    let shown = owner.get(&path("office", "")).await.expect(200);
    assert_eq!(names(&shown), ["desk.office.internal"]);
    assert!(shown["apps"][0]["address"].as_str().is_some_and(|address| address.starts_with("100.96.")));
    let grants = path("office", "/grants");
    let granted = owner.post(&grants, json!({ "app": "stock" })).await.expect(200);
    assert_eq!(names(&granted), ["desk.office.internal", "stock.shop.internal"]);
    owner.post(&grants, json!({ "project": "shop", "app": "stock" })).await.expect(200);
    let granted = owner.post(&grants, json!({ "project": "shop" })).await.expect(200);
    assert_eq!(names(&granted), ["desk.office.internal", "db.shop.internal", "stock.shop.internal"]);
    assert_eq!(granted["grants"].as_array().map(Vec::len), Some(2), "{granted}");
    let other = owner.get(&path("shop", "")).await.expect(200);
    assert_eq!(names(&other), ["db.shop.internal", "stock.shop.internal"], "a grant has one direction");
    assert_eq!(other["grants"][0]["from"], "office", "who may reach it is told");
    owner.delete(&format!("{grants}?project=shop")).await.expect(204);
    owner.delete(&format!("{grants}?project=shop")).await.expect(404);
    assert_eq!(names(&owner.get(&path("office", "")).await.expect(200)).len(), 2);
    let events = owner.get("/api/v1/audit").await.expect(200);
    let actions: Vec<_> =
        events["items"].as_array().expect("items").iter().map(|event| &event["action"]).take(3).collect();
    assert_eq!(actions, ["network.revoke", "network.grant", "network.grant"]);
    let pending: i64 = sqlx::query_scalar("select count(*) from network_changes")
        .fetch_one(&app.app.db)
        .await
        .expect("changes");
    assert_eq!(pending, 3, "what changed nothing is not told");
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn grants_that_mean_nothing_or_reach_another_organization_are_refused(pool: PgPool) {
    let (app, owner) = world(pool).await;
    let grants = path("office", "/grants");
    for (body, field) in [
        (json!({}), "project"),
        (json!({ "project": "office" }), "project"),
        (json!({ "app": "desk" }), "app"),
        (json!({ "project": "office", "app": "stock" }), "app"),
    ] {
        let refused = owner.post(&grants, body).await.expect(422);
        assert_eq!(refused["field"], field, "{refused}");
    }
    let unknown = owner.post(&grants, json!({ "project": "none" })).await.expect(404);
    assert!(unknown["hint"].as_str().is_some_and(|hint| hint.contains("wh project create")), "{unknown}");
    let other = app.member("other", MemberRole::Owner).await;
    other.post("/api/v1/projects", json!({ "slug": "theirs" })).await.expect(201);
    other.get(&path("shop", "")).await.expect(404);
    other.post(&path("theirs", "/grants"), json!({ "app": "stock" })).await.expect(404);
    owner.post(&grants, json!({ "project": "theirs" })).await.expect(404);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn egress_rules_are_checked_and_kept_in_one_form(pool: PgPool) {
    let (_app, owner) = world(pool).await;
    let egress = path("shop", "/egress");
    let put = async |body: Value| owner.send(Method::PUT, &egress, Some(body)).await;
    assert_eq!(owner.get(&path("shop", "")).await.expect(200)["egress"], json!(null));
    let rules = json!([{ "to": "203.0.113.9/24", "ports": [443, 25, 443] }, { "to": "2001:db8::/32" }]);
    let kept = put(json!({ "egress": rules })).await.expect(200);
    assert_eq!(
        kept["egress"],
        json!([{ "to": "203.0.113.0/24", "ports": [25, 443] }, { "to": "2001:db8::/32" }])
    );
    assert_eq!(put(json!({ "egress": [] })).await.expect(200)["egress"], json!([]));
    for bad in [json!([{ "to": "203.0.113.0/24", "ports": [0] }]), json!(vec![json!({ "to": "::/0" }); 101])]
    {
        assert_eq!(put(json!({ "egress": bad })).await.expect(422)["field"], "egress");
    }
    let refused = put(json!({ "egress": [{ "to": "::/0" }, { "to": "example.com" }] })).await.expect(422);
    assert_eq!((&refused["field"], &refused["code"]), (&json!("egress[1].to"), &json!("invalid")));
    assert_eq!(put(json!({ "egress": null })).await.expect(200)["egress"], json!(null));
}

#[test]
fn an_egress_rule_names_a_network_or_an_address_and_is_told_what_it_should() {
    let check = |to: &str| check_egress(vec![AskedRule { to: to.to_owned(), ports: Vec::new() }]);
    for (to, kept) in [
        ("10.1.2.3/8", "10.0.0.0/8"),
        (" 203.0.113.7 ", "203.0.113.7/32"),
        ("2001:db8::1", "2001:db8::1/128"),
    ] {
        assert_eq!(check(to).expect(to)[0].to.to_string(), kept);
    }
    for to in ["foo", "", "10.0.0.0/33", "203.0.113.7:443", "example.com/32"] {
        let told = format!("{:?}", check(to).expect_err(to));
        for words in [&format!("`{to}` is no network"), "egress[0].to", "203.0.113.7 or 10.0.0.0/8"] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
}

/// An instance of `app` on the node, which is in rotation.
async fn instance(pool: &PgPool, app: &str, node: uuid::Uuid, port: i32) {
    let (release, deployment) = (uuid::Uuid::now_v7(), uuid::Uuid::now_v7());
    sqlx::query(
        r#"with made as (
               insert into releases (id, app_id, number, image_id, image_reference, settings, variables)
               select $1, id, 1, 'sha256:aa', 'a', '{"port": 8080}', '' from apps where slug = $3 returning app_id
           ), deployed as (
               insert into deployments (id, app_id, number, kind, settings, variables, release_id, state, created_by)
               select $2, app_id, 1, 'image', '{}', '', $1, 'live', 'test' from made returning app_id
           )
           insert into instances (id, app_id, release_id, deployment_id, node_id, host_port, in_rotation, state)
           select $2, app_id, $1, $2, $4, $5, true, 'healthy' from deployed"#,
    )
    .bind(release)
    .bind(deployment)
    .bind(app)
    .bind(node)
    .bind(port)
    .execute(pool)
    .await
    .expect("an instance");
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn workers_are_told_of_the_projects_that_they_have_and_of_what_those_may_reach(pool: PgPool) {
    let (app, owner) = world(pool.clone()).await;
    let [one, two] = [1, 2].map(|_| uuid::Uuid::now_v7());
    for (node, name, address) in [(one, "w1", "10.50.0.11"), (two, "w2", "10.50.0.12")] {
        sqlx::query("insert into nodes (id, name, public_key, mesh_address, roles, origin) values ($1, $2, $2, $3::inet, '{worker}', 'enrolled')")
            .bind(node)
            .bind(name)
            .bind(address)
            .execute(&pool)
            .await
            .expect("a node");
    }
    instance(&pool, "stock", one, 20001).await;
    instance(&pool, "desk", two, 20002).await;
    let mut conn = app.app.db.acquire().await.expect("connection");
    let told = async |conn: &mut sqlx::PgConnection| {
        let (changes, nodes) = store::pending(conn).await.expect("changes");
        store::told(conn, &changes).await.expect("told");
        nodes.into_iter().map(|node| node.0).collect::<Vec<_>>()
    };
    told(&mut conn).await;
    let shop =
        store::project(&mut conn, owner_organization(&pool).await, "shop").await.expect("sql").expect("shop");
    store::changed(&mut conn, shop.id).await.expect("changed");
    assert_eq!(told(&mut conn).await, [one], "only where something may reach it");
    owner.post(&path("office", "/grants"), json!({ "app": "stock" })).await.expect(200);
    assert_eq!(told(&mut conn).await, [two], "the one that reaches more");
    store::changed(&mut conn, shop.id).await.expect("changed");
    assert_eq!(told(&mut conn).await, [one, two]);

    let viewers = store::viewers(&mut conn, protocol::ids::NodeId(two)).await.expect("viewers");
    let projects: Vec<_> = viewers.iter().map(|viewer| viewer.id).collect();
    let reached = store::reached(&mut conn, &projects).await.expect("reached");
    let serving = store::serving(&mut conn, reached.iter().map(|one| one.app_id)).await.expect("serving");
    let spec = crate::plan::network::spec(viewers, &reached, &serving);
    let services: Vec<_> =
        spec.projects[0].services.iter().map(|one| (one.name.as_str(), one.backends.len())).collect();
    assert_eq!((spec.projects.len(), services), (1, vec![("desk.office", 1), ("stock.shop", 1)]));
    let backend = &spec.projects[0].services[1].backends[0];
    assert_eq!((backend.address.to_string().as_str(), backend.port), ("10.50.0.11:20001", 8080));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn the_doctor_tells_who_may_reach_a_name_and_what_serves_it(pool: PgPool) {
    let (_app, owner) = world(pool).await;
    let examine = async |host: &str, from: Option<&str>| {
        let mut body = json!({ "host": host });
        body["from"] = json!(from);
        owner.post("/api/v1/doctor", body).await
    };
    let checks = |report: &Value| -> Vec<String> {
        let findings = report["findings"].as_array().expect("findings").iter();
        findings.map(|one| format!("{} {}", one["check"], one["level"]).replace('"', "")).collect()
    };
    let own = examine("stock.shop.internal", None).await.expect(200);
    assert_eq!(checks(&own), ["domain ok", "access ok", "target problem", "resolver warning"], "{own}");
    let other = examine("stock.shop.internal", Some("office")).await.expect(200);
    assert_eq!(checks(&other), ["domain ok", "access problem", "target problem"], "{other}");
    assert!(other["findings"][1]["fix"].as_str().is_some_and(|fix| fix.contains("grant office shop/stock")));
    owner.post(&path("office", "/grants"), json!({ "app": "stock" })).await.expect(200);
    let granted = examine("stock.shop.internal", Some("office")).await.expect(200);
    assert_eq!(checks(&granted)[1], "access ok", "{granted}");
    for (host, from) in [("desk.shop.internal", None), ("shop.internal", None), ("a.nowhere.internal", None)]
    {
        let unknown = examine(host, from).await.expect(200);
        assert_eq!(checks(&unknown), ["domain problem"], "{unknown}");
    }
    assert_eq!(examine("stock.shop.internal", Some("nowhere")).await.expect(404)["field"], "from");
    assert_eq!(examine("www.example.com", Some("shop")).await.expect(422)["field"], "from");
}

async fn owner_organization(pool: &PgPool) -> protocol::ids::OrganizationId {
    let id =
        sqlx::query_scalar("select organization_id from projects where slug = 'shop'").fetch_one(pool).await;
    protocol::ids::OrganizationId(id.expect("an organization"))
}

/// The workers concerned were told of all changes, and the rules are in force on them.
pub(crate) async fn told(app: &AppState) {
    Network(app.clone()).pass().await.expect("network");
    sqlx::query(
        "update agents set applied_generation = generation from generations
         where kind = 'worker' and consumer = 'worker:' || node_id",
    )
    .execute(&app.db)
    .await
    .expect("workers");
}
