//! Domains over a real database, with a resolver that says what a test wants.

use daemon::reconcile::Reconciler as _;
use hickory_resolver::proto::op::ResponseCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::dns::config::Dns;
use crate::dns::testing::FakeResolver;
use crate::generations::{self, Consumer};
use crate::http::permission::MemberRole;
use crate::reconcile::domains::Domains;
use crate::routes;
use crate::testing::{Client, TestApp};

const SHOP: &str = "/api/v1/apps/shop/domains";
const WWW: &str = "www.shop.com";

struct World {
    test: TestApp,
    dns: FakeResolver,
    owner: Client,
}

impl World {
    async fn new(pool: PgPool) -> Self {
        let dns = FakeResolver::start().await;
        let resolvers = vec![dns.resolver()];
        let test = TestApp::with(pool, |config| config.dns = Dns { resolvers, private_names: false }).await;
        let owner = test.owner().await;
        let world = Self { test, dns, owner };
        world.app(&world.owner, "shop").await;
        world
    }

    /// An app whose release is live, so that it is routed.
    async fn app(&self, client: &Client, slug: &str) {
        let app = client.post("/api/v1/apps", json!({ "slug": slug })).await.expect(201);
        sqlx::query(
            "insert into deployments (id, app_id, number, kind, state, settings, variables, created_by)
             values (gen_random_uuid(), $1::uuid, 1, 'image', 'live', '{}', '', 'user:ada')",
        )
        .bind(app["id"].as_str().expect("id"))
        .execute(&self.test.app.db)
        .await
        .expect("deployment");
    }

    async fn add(&self, hostname: &str) -> Value {
        self.owner.post(SHOP, json!({ "hostname": hostname })).await.expect(201)
    }

    /// Writes the record that the domain asks for.
    fn prove(&self, domain: &Value) {
        let proof = &domain["records"]["proof"];
        self.dns.txt(proof["name"].as_str().expect("name"), &[proof["value"].as_str().expect("value")]);
    }

    async fn verified(&self, hostname: &str) -> Value {
        let domain = self.add(hostname).await;
        self.prove(&domain);
        let verified = self.owner.post(&format!("{SHOP}/{hostname}/verify"), json!({})).await.expect(200);
        assert_eq!(verified["state"], "verified", "{verified}");
        verified
    }

    /// Everything is due, as if `hours` had passed.
    async fn pass(&self, hours: i32) {
        sqlx::query(
            "update domains set next_check_at = now() - interval '1 second',
                    expires_at = expires_at - make_interval(hours => $1),
                    missing_since = missing_since - make_interval(hours => $1)",
        )
        .bind(hours)
        .execute(&self.test.app.db)
        .await
        .expect("time passes");
        Domains(self.test.app.clone()).pass().await.expect("pass");
    }

    async fn read(&self, hostname: &str) -> Value {
        self.owner.get(&format!("{SHOP}/{hostname}")).await.expect(200)
    }

    async fn generation(&self) -> i64 {
        let mut conn = self.test.app.db.acquire().await.expect("connection");
        generations::current(&mut conn, Consumer::Routes).await.expect("generation")
    }

    /// Hosts of the app in the route table.
    async fn hosts(&self, slug: &str) -> Vec<String> {
        let mut conn = self.test.app.db.acquire().await.expect("connection");
        let served = routes::store::served(&mut conn).await.expect("served");
        let app = served.into_iter().find(|app| app.slug == slug).expect("the app");
        let mut hosts: Vec<String> = app.sites.into_iter().map(|site| site.host).collect();
        hosts.sort();
        hosts
    }

    async fn told(&self) -> Vec<String> {
        let activity = self.owner.get("/api/v1/apps/shop/activity").await.expect(200);
        let items = activity["items"].as_array().expect("items");
        items.iter().rev().map(|event| event["text"].as_str().expect("text").to_owned()).collect()
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_domain_is_served_as_soon_as_its_record_is_seen(pool: PgPool) {
    let world = World::new(pool).await;
    let added = world.add(" WWW.Shop.com. ").await;
    assert_eq!((&added["hostname"], &added["state"]), (&json!(WWW), &json!("pending")));
    let proof = &added["records"]["proof"];
    assert_eq!((&proof["name"], &proof["type"]), (&json!("_wisehosting.www.shop.com"), &json!("TXT")));
    assert_eq!(proof["value"].as_str().expect("token").len(), 64);
    assert_eq!(added["records"]["address"][0]["value"], "shop.route.example.com");
    let before = world.generation().await;

    let verify = format!("{SHOP}/{WWW}/verify");
    let looked = world.owner.post(&verify, json!({})).await.expect(200);
    assert_eq!(looked["state"], "pending");
    assert!(looked["error"].as_str().expect("error").contains("NXDOMAIN"), "{looked}");
    world.dns.txt("_wisehosting.www.shop.com", &["v=spf1 -all"]);
    let looked = world.owner.post(&verify, json!({})).await.expect(200);
    assert!(looked["error"].as_str().expect("error").contains("v=spf1 -all"), "{looked}");
    assert_eq!((world.generation().await, world.hosts("shop").await.len()), (before, 1), "not yet");

    world.prove(&added);
    let looked = world.owner.post(&verify, json!({})).await.expect(200);
    assert_eq!((&looked["state"], &looked["error"]), (&json!("verified"), &json!(null)));
    assert_eq!(
        (world.generation().await, world.hosts("shop").await),
        (before + 1, vec!["shop.route.example.com".to_owned(), WWW.to_owned()])
    );
    world.owner.post(&verify, json!({})).await.expect(200);
    assert_eq!(world.generation().await, before + 1, "nothing changed");

    world.owner.delete(&format!("{SHOP}/{WWW}")).await;
    assert_eq!((world.generation().await, world.hosts("shop").await.len()), (before + 2, 1));
    world.owner.get(&format!("{SHOP}/{WWW}")).await.expect(404);
    assert_eq!(
        world.told().await[1..],
        [
            "Test added the domain www.shop.com",
            "The domain www.shop.com is verified and served",
            "Test removed the domain www.shop.com",
        ]
    );
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn records_are_looked_for_without_being_asked_and_what_never_comes_is_forgotten(pool: PgPool) {
    let world = World::new(pool).await;
    let (wanted, never) = (world.add(WWW).await, world.add("*.shop.com").await);
    assert_eq!(never["records"]["proof"]["name"], "_wisehosting.shop.com");
    world.prove(&wanted);
    world.pass(1).await;
    assert_eq!(world.read(WWW).await["state"], "verified");
    let pending = world.read("*.shop.com").await;
    let at = |field: &str| pending[field].as_str().expect("a time").to_owned();
    assert!(pending["error"].is_string() && at("next_check_at") > at("checked_at"), "{pending}");
    world.pass(24 * 7).await;
    world.owner.get(&format!("{SHOP}/*.shop.com")).await.expect(404);
    assert_eq!(world.read(WWW).await["state"], "verified");
    assert!(
        world.told().await.contains(&"The domain *.shop.com was never verified and is forgotten".to_owned())
    );
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_record_that_is_gone_is_told_at_once_and_after_a_week_the_name_is_not_served(pool: PgPool) {
    let world = World::new(pool).await;
    let domain = world.verified(WWW).await;
    let record = "_wisehosting.www.shop.com";
    world.dns.fail(record, ResponseCode::ServFail);
    world.pass(24 * 30).await;
    let unsure = world.read(WWW).await;
    assert_eq!((&unsure["state"], &unsure["missing_since"]), (&json!("verified"), &json!(null)));
    assert!(unsure["error"].as_str().expect("error").contains("SERVFAIL"), "{unsure}");

    world.dns.forget(record);
    world.pass(1).await;
    let missing = world.read(WWW).await;
    assert_eq!(missing["state"], "verified");
    assert!(missing["missing_since"].is_string() && missing["lapses_at"].is_string(), "{missing}");
    world.prove(&domain);
    world.pass(24 * 6).await;
    assert_eq!(world.read(WWW).await["missing_since"], json!(null));

    world.dns.forget(record);
    world.pass(1).await;
    assert_eq!(world.hosts("shop").await.len(), 2);
    world.pass(24 * 7).await;
    assert_eq!(world.read(WWW).await["state"], "lapsed");
    assert_eq!(world.hosts("shop").await.len(), 1);
    world.prove(&domain);
    world.pass(24).await;
    assert_eq!(world.read(WWW).await["state"], "verified");
    let told = world.told().await;
    let is = |text: &&String| ["missing", "back", "not served"].iter().any(|word| text.contains(word));
    assert_eq!(told.iter().filter(is).count(), 4, "{told:?}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_name_belongs_to_one_app_and_moves_without_a_pause(pool: PgPool) {
    let world = World::new(pool).await;
    world.app(&world.owner, "other").await;
    world.verified(WWW).await;
    let again = world.owner.post(SHOP, json!({ "hostname": WWW })).await.expect(409);
    assert_eq!((&again["code"], &again["field"]), (&json!("domain_taken"), &json!("hostname")));
    let others = "/api/v1/apps/other/domains";
    let taken = world.owner.post(others, json!({ "hostname": WWW })).await.expect(409);
    assert!(taken["message"].as_str().expect("message").contains("leads to the app shop"), "{taken}");
    assert!(taken["hint"].as_str().expect("hint").contains("wh domain move www.shop.com other --app shop"));

    let before = world.generation().await;
    let moved = world.owner.patch(&format!("{SHOP}/{WWW}"), json!({ "app": "other" })).await.expect(200);
    assert_eq!((&moved["app"], &moved["state"]), (&json!("other"), &json!("verified")));
    assert_eq!(moved["records"]["address"][0]["value"], "other.route.example.com");
    assert_eq!(world.generation().await, before + 1);
    assert_eq!((world.hosts("shop").await.len(), world.hosts("other").await.len()), (1, 2));
    world.owner.patch(&format!("{others}/{WWW}"), json!({ "app": "nobody" })).await.expect(404);

    world.owner.delete("/api/v1/apps/other?confirm=other").await.expect(200);
    let kept = world.owner.post(SHOP, json!({ "hostname": WWW })).await.expect(409);
    assert!(kept["message"].as_str().expect("message").contains("deleted app other"), "{kept}");
    assert_eq!(
        world.owner.get("/api/v1/tombstones").await.expect(200)["items"][0]["pieces"]["domains"],
        json!(1)
    );
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn between_organizations_the_dns_decides_and_nobody_is_named(pool: PgPool) {
    let world = World::new(pool).await;
    let first = world.verified(WWW).await;
    let stranger = world.test.member("stranger", MemberRole::Owner).await;
    world.app(&stranger, "theirs").await;
    let path = "/api/v1/apps/theirs/domains";
    stranger.get(&format!("{path}/{WWW}")).await.expect(404);
    sqlx::query("insert into certificates (host) values ($1)")
        .bind(WWW)
        .execute(&world.test.app.db)
        .await
        .expect("row");
    let claimed = stranger.post(path, json!({ "hostname": WWW })).await.expect(201);
    assert_eq!(claimed["state"], "pending");
    assert_eq!(claimed["certificate"]["state"], "none", "not even that there is one");
    let value = |domain: &Value| domain["records"]["proof"]["value"].as_str().expect("value").to_owned();
    let record = "_wisehosting.www.shop.com";
    let verify = format!("{path}/{WWW}/verify");

    world.dns.txt(record, &[&value(&first), &value(&claimed)]);
    let both = stranger.post(&verify, json!({})).await.expect(200);
    assert_eq!(both["state"], "pending");
    assert!(both["error"].as_str().expect("error").contains("in use already"), "{both}");
    assert!(!both.to_string().contains("shop.route") && !both.to_string().contains("acme"), "{both}");

    world.dns.txt(record, &[&value(&claimed)]);
    assert_eq!(stranger.post(&verify, json!({})).await.expect(200)["state"], "verified");
    assert_eq!((world.hosts("shop").await.len(), world.hosts("theirs").await.len()), (1, 2));
    let lost = world.read(WWW).await;
    assert_eq!(lost["state"], "lapsed");
    assert!(!lost.to_string().contains("theirs.") && !lost.to_string().contains("stranger"), "{lost}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_wildcard_that_serves_a_domain_is_told_once_the_domain_is_verified(pool: PgPool) {
    let world = World::new(pool).await;
    let db = world.test.app.db.clone();
    let certificate = async |host: &str, days: i32| {
        sqlx::query(
            "insert into certificates (host, state, chain_pem, issuer, not_after, names)
             values ($1, 'issued', 'CHAIN', 'Test CA', now() + $2 * interval '1 day', array[$1])",
        )
        .bind(host)
        .bind(days)
        .execute(&db)
        .await
        .expect("certificate");
    };
    certificate("*.shop.com", 60).await;
    certificate("*.route.example.com", 50).await;
    let claimed = world.add(WWW).await;
    assert_eq!(
        (&claimed["certificate"]["state"], &claimed["certificate"]["covered_by"]),
        (&json!("none"), &json!(null))
    );
    world.prove(&claimed);
    let verified = world.owner.post(&format!("{SHOP}/{WWW}/verify"), json!({})).await.expect(200);
    let shown = &verified["certificate"];
    assert_eq!((&shown["state"], &shown["covered_by"]), (&json!("issued"), &json!("*.shop.com")), "{shown}");
    assert_eq!((&shown["issuer"], &shown["not_after"].is_string()), (&json!("Test CA"), &true));
    for host in ["shop.com", "a.b.shop.com"] {
        assert_eq!(world.verified(host).await["certificate"]["covered_by"], json!(null), "{host}");
    }
    let app = world.owner.get("/api/v1/apps/shop").await.expect(200);
    assert_eq!(app["certificate"]["covered_by"], "*.route.example.com");

    sqlx::query("update certificates set not_after = now() - interval '1 day'")
        .execute(&db)
        .await
        .expect("ended");
    assert_eq!(world.read(WWW).await["certificate"]["covered_by"], json!(null));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn paths_lead_to_apps_of_the_same_project_and_change_what_is_served_at_once(pool: PgPool) {
    let world = World::new(pool).await;
    world.app(&world.owner, "backend").await;
    world.verified(WWW).await;
    let before = world.generation().await;
    let path = format!("{SHOP}/{WWW}/paths");
    let led = world.owner.post(&path, json!({ "path": "/api/", "app": "backend" })).await.expect(200);
    assert_eq!((&led["paths"][0]["path"], &led["paths"][0]["app"]), (&json!("/api"), &json!("backend")));
    let again = json!({ "path": "/api", "app": "backend", "strip_prefix": true });
    let led = world.owner.post(&path, again).await.expect(200);
    assert_eq!(
        (led["paths"].as_array().expect("paths").len(), &led["paths"][0]["strip_prefix"]),
        (1, &json!(true))
    );
    assert_eq!(world.generation().await, before + 2);
    for (body, field) in [
        (json!({ "path": "/", "app": "backend" }), "path"),
        (json!({ "path": "/x", "app": "nobody" }), "app"),
    ] {
        let refused = world.owner.post(&path, body).await;
        assert!([404, 422].contains(&refused.status.as_u16()), "{}", refused.body);
        assert_eq!(refused.body["field"], field);
    }
    let id = led["paths"][0]["id"].as_str().expect("id");
    assert_eq!(world.owner.delete(&format!("{path}/{id}")).await.status, 204);
    world.owner.delete(&format!("{path}/{id}")).await.expect(404);
    assert_eq!(world.read(WWW).await["paths"], json!([]));
    assert_eq!(world.generation().await, before + 3);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn names_that_no_app_may_have_are_refused_before_anybody_is_asked(pool: PgPool) {
    let world = World::new(pool).await;
    for hostname in
        ["cp.example.com", "x.route.example.com", "co.uk", "shop.test", "10.0.0.1", "a_b.shop.com"]
    {
        let refused = world.owner.post(SHOP, json!({ "hostname": hostname })).await.expect(422);
        assert_eq!(refused["field"], "hostname", "{refused}");
    }
    let viewer = world.test.member("acme", MemberRole::Viewer).await;
    viewer.get(SHOP).await.expect(200);
    viewer.post(SHOP, json!({ "hostname": WWW })).await.expect(403);
}
