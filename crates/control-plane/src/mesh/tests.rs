//! From reports of agents to links and findings.

use chrono::{DateTime, TimeDelta, Utc};
use daemon::reconcile::Reconciler as _;
use protocol::identity::AgentKind;
use protocol::ids::NodeId;
use protocol::message::FromAgent;
use protocol::report::{MeshReport, PeerReport, Probes, RelayAbility};
use protocol::spec::MeshSpec;
use serde_json::json;
use sqlx::PgPool;

use super::findings::findings;
use super::links::links;
use super::{LinkState, Side, store};
use crate::generations::{self, Consumer};
use crate::hub::tests::{Link, Mesh, hello, nothing, public_key};
use crate::nodes::{self, Status};
use crate::plan;
use crate::reconcile::mesh_relays::MeshRelays;
use crate::testing::TestApp;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).expect("in range")
}

const WELL: Probes = Probes { sent: 90, lost: 0, silent: 0, rtt_us: Some(1500), mtu: Some(1420) };
const CUT: Probes = Probes { sent: 90, lost: 90, silent: 90, rtt_us: None, mtu: None };

fn peer(of: &str, probes: Probes) -> PeerReport {
    PeerReport {
        public_key: public_key(of),
        endpoint: "203.0.113.9:51821".parse().ok(),
        handshake_age_s: (probes != CUT).then_some(20),
        received_bytes: 1,
        sent_bytes: 2,
        probes: Some(probes),
        via: None,
        direct_s: None,
    }
}

fn report(name: &str, peers: Vec<PeerReport>) -> MeshReport {
    let public_key = Some(public_key(name));
    MeshReport { peers, at: Some(now()), public_key, mtu: Some(1420), ..MeshReport::default() }
}

/// A node that reports these of its peers.
fn side(name: &str, peers: Vec<PeerReport>) -> Side {
    Side {
        id: NodeId::new(),
        name: name.to_owned(),
        roles: Vec::new(),
        mesh_address: [10, 50, 0, 1].into(),
        public_key: public_key(name),
        endpoint: Some("198.51.100.1:51821".to_owned()),
        status: Status::Online,
        wireguard: None,
        reported_at: Some(now()),
        report: Some(report(name, peers)),
    }
}

fn pair(probes: Probes) -> [Side; 2] {
    [side("a", vec![peer("b", probes)]), side("b", vec![peer("a", probes)])]
}

fn told(sides: &[Side]) -> Vec<String> {
    let found = findings(sides, &links(sides, now()), now());
    found.into_iter().map(|finding| format!("{:?}: {}", finding.problem, finding.summary)).collect()
}

#[test]
fn a_mesh_that_works_has_no_findings() {
    let sides = pair(WELL);
    assert_eq!(told(&sides), [""; 0]);
    let links = links(&sides, now());
    assert_eq!((links.len(), links[0].rtt_ms, links[0].loss), (2, Some(1.5), Some(0.0)));
    assert!(links.iter().all(|link| link.state == LinkState::Direct));
}

#[test]
fn a_cut_is_told_once_with_its_likely_cause() {
    let mut sides = pair(CUT);
    assert_eq!(told(&sides), ["PortClosed: a and b do not reach each other: packets are lost on the way"]);
    for side in &mut sides {
        side.endpoint = None;
    }
    assert_eq!(
        told(&sides),
        ["NoEndpoint: a and b do not reach each other: neither has an endpoint that the other could dial"]
    );
}

#[test]
fn a_private_endpoint_is_told_when_others_see_the_node_elsewhere() {
    let [mut a, mut b] = pair(CUT);
    a.endpoint = Some("192.168.1.5:51821".to_owned());
    b.endpoint = None;
    let reports = |side: &mut Side, of: &str| {
        side.report.as_mut().expect("reports").peers.push(peer(of, WELL));
    };
    reports(&mut a, "cp");
    reports(&mut b, "cp");
    let cp = side("cp", vec![peer("a", WELL), peer("b", WELL)]);
    assert_eq!(
        told(&[a, b, cp]),
        [
            "PrivateEndpoint: a and b do not reach each other: the endpoint of a is a private address, and peers see it at 203.0.113.9:51821"
        ]
    );
}

#[test]
fn a_node_that_does_not_report_is_one_finding_and_not_one_per_peer() {
    let [a, mut b] = pair(CUT);
    b.reported_at = Some(now() - TimeDelta::minutes(5));
    let found = told(&[a.clone(), b.clone()]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("NoReport: the mesh agent of b has not reported since"), "{found:?}");
    (b.status, b.reported_at) = (Status::Joining, None);
    assert_eq!(told(&[a, b]), [""; 0], "it is not there yet");
}

#[test]
fn keys_clocks_losses_sizes_and_unanswered_probes_are_told() {
    let tell = |change: &dyn Fn(&mut MeshReport)| {
        let mut sides = pair(WELL);
        change(sides[0].report.as_mut().expect("reports"));
        told(&sides)
    };
    let probes = |report: &mut MeshReport, probes| report.peers[0].probes = Some(probes);
    for (found, expected) in [
        (tell(&|report| report.public_key = Some("other".to_owned())), "KeysDiffer: the tunnel of a uses"),
        (
            tell(&|report| report.at = Some(now() - TimeDelta::minutes(2))),
            "Clock: the clock of a is 120 s behind",
        ),
        (
            tell(&|report| report.at = Some(now() + TimeDelta::minutes(2))),
            "Clock: the clock of a is 120 s ahead",
        ),
        (tell(&|report| report.peers.clear()), "PeerMissing: the tunnel of a does not have b as a peer"),
        (
            tell(&|report| probes(report, Probes { lost: 9, ..WELL })),
            "Loss: 10 % of the packets from a to b and back are lost",
        ),
        (
            tell(&|report| probes(report, Probes { mtu: Some(1300), ..WELL })),
            "NarrowPath: packets of more than 1300 bytes do not get from a to b",
        ),
        (tell(&|report| probes(report, CUT)), "NoProbes: b answers no probes of a"),
    ] {
        assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:?}");
    }
    assert_eq!(tell(&|report| report.at = Some(now() - TimeDelta::seconds(20))), [""; 0]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_agents_report_is_a_matrix(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let nodes = [mesh.join("w1", &["worker"]).await, mesh.join("w2", &["worker"]).await];
    for (joined, (own, other)) in nodes.iter().zip([("w1", "w2"), ("w2", "w1")]) {
        let mut agent = mesh.dial(joined, AgentKind::Mesh, hello(Vec::new())).await;
        let told = MeshReport { at: Some(Utc::now()), ..report(own, vec![peer(other, WELL)]) };
        agent.say(&FromAgent::MeshReport(told)).await;
        agent.settle(&nothing()).await;
    }
    let owner = mesh.test.owner().await;
    let told = owner.get("/api/v1/mesh").await.expect(200);
    assert_eq!((&told["findings"], &told["links_left_out"]), (&json!([]), &json!(0)), "{told}");
    let names: Vec<&str> =
        told["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["name"].as_str()).collect();
    assert_eq!(names, ["w1", "w2"]);
    let link = &told["links"][0];
    assert_eq!((&link["from"], &link["to"], &link["state"]), (&json!("w1"), &json!("w2"), &json!("direct")));
    assert_eq!(
        (&link["rtt_ms"], &link["mtu"], &link["handshake_age_s"]),
        (&json!(1.5), &json!(1420), &json!(20))
    );
    assert_eq!(told["nodes"][0]["reaches"], 1);
    let of_one = owner.get("/api/v1/mesh?node=w2").await.expect(200);
    assert_eq!(of_one["links"].as_array().expect("links").len(), 2);
    let missing = owner.get("/api/v1/mesh?node=w9").await.expect(404);
    assert!(missing["hint"].is_string(), "{missing}");
}

/// Three nodes, of which two do not hear each other and the third reaches both.
struct Cut {
    mesh: Mesh,
    agents: Vec<Link>,
    reconciler: MeshRelays,
}

const NAMES: [&str; 3] = ["w1", "p", "w2"];

impl Cut {
    async fn new(pool: PgPool) -> Self {
        let mesh = Mesh::new(pool).await;
        let mut agents = Vec::new();
        for (name, role) in NAMES.into_iter().zip(["worker", "proxy", "worker"]) {
            let joined = mesh.join(name, &[role]).await;
            agents.push(mesh.dial(&joined, AgentKind::Mesh, hello(Vec::new())).await);
        }
        let reconciler = MeshRelays(mesh.test.app.clone());
        Self { mesh, agents, reconciler }
    }

    /// All report, w1 and w2 this of each other; then one pass.
    async fn pass(&mut self, of_each_other: impl Fn(&str) -> PeerReport) {
        for (agent, own) in self.agents.iter_mut().zip(NAMES) {
            let others = NAMES.into_iter().filter(|other| *other != own);
            let peers = others.map(|other| match (own, other) {
                ("w1", "w2") | ("w2", "w1") => of_each_other(other),
                _ => peer(other, WELL),
            });
            let relay = Some(RelayAbility::Relays);
            let addresses = vec!["192.168.7.5:51821".parse().expect("an address")];
            let told = MeshReport { at: Some(Utc::now()), relay, addresses, ..report(own, peers.collect()) };
            agent.say(&FromAgent::MeshReport(told)).await;
            agent.settle(&nothing()).await;
        }
        self.reconciler.pass().await.expect("a pass");
    }

    /// What the agents are to do now, in the order of their names.
    async fn specs(&self) -> Vec<MeshSpec> {
        let mut conn = self.mesh.test.app.db.acquire().await.expect("a connection");
        let all = nodes::store::all(&mut conn).await.expect("nodes");
        let ways = store::ways(&mut conn).await.expect("ways");
        let id = |name: &str| all.iter().find(|node| node.name == name).expect("a node").id;
        NAMES.into_iter().map(|name| plan::mesh::spec(id(name), &all, &ways)).collect()
    }

    async fn generation(&self) -> i64 {
        let mut conn = self.mesh.test.app.db.acquire().await.expect("a connection");
        generations::current(&mut conn, Consumer::Mesh).await.expect("a generation")
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_cut_pair_is_told_of_its_relay_and_of_the_direct_way_when_it_works_again(pool: PgPool) {
    let mut cut = Cut::new(pool).await;
    cut.pass(|other| peer(other, WELL)).await;
    let before = cut.generation().await;
    cut.pass(|other| peer(other, CUT)).await;
    assert!(cut.generation().await > before);
    let specs = cut.specs().await;
    let relayed = |from: usize, to: &str| specs[from].relayed.get(&public_key(to)).cloned();
    assert_eq!((relayed(0, "w2"), relayed(2, "w1")), (Some(public_key("p")), Some(public_key("p"))));
    assert_eq!((specs[1].relays.len(), specs[1].relayed.len(), specs[0].relays.len()), (1, 0, 0));
    let candidates: Vec<String> =
        specs[0].candidates[&public_key("w2")].iter().map(ToString::to_string).collect();
    assert_eq!(candidates, ["203.0.113.9:51821", "192.168.7.5:51821"]);

    let raised = cut.generation().await;
    let over_relay = |other: &str| PeerReport { via: Some(public_key("p")), ..peer(other, WELL) };
    cut.pass(over_relay).await;
    assert_eq!(cut.generation().await, raised, "nothing changed");
    let owner = cut.mesh.test.owner().await;
    let told = owner.get("/api/v1/mesh?node=w1").await.expect(200);
    let link =
        told["links"].as_array().expect("links").iter().find(|link| link["to"] == "w2").expect("a link");
    assert_eq!((&link["state"], &link["via"]), (&json!("relayed"), &json!("p")), "{told}");
    assert_eq!(
        (&told["findings"][0]["problem"], &told["findings"][0]["level"]),
        (&json!("relayed"), &json!("warning"))
    );

    cut.pass(|other| PeerReport { direct_s: Some(60), ..over_relay(other) }).await;
    let specs = cut.specs().await;
    assert!(specs.iter().all(|spec| spec.relayed.is_empty() && spec.relays.is_empty()), "{specs:?}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_relay_that_leaves_leaves_no_trace_in_what_others_are_told(pool: PgPool) {
    let mut cut = Cut::new(pool).await;
    cut.pass(|other| peer(other, CUT)).await;
    cut.mesh.test.owner().await.delete("/api/v1/nodes/p").await.expect(204);
    let mut conn = cut.mesh.test.app.db.acquire().await.expect("a connection");
    let all = nodes::store::all(&mut conn).await.expect("nodes");
    let ways = store::ways(&mut conn).await.expect("ways");
    for node in &all {
        let spec = plan::mesh::spec(node.id, &all, &ways);
        assert!(spec.relayed.is_empty(), "{spec:?}");
    }
    assert_eq!(ways.relayed.len(), 1, "until the next pass");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn another_size_of_the_mesh_reaches_all_agents_once(pool: PgPool) {
    let cidr = |text: &str| text.parse::<ipnet::Ipv4Net>().expect("a network");
    let test = TestApp::with(pool, |config| config.mesh.cidr = cidr("10.50.0.0/16")).await;
    let mut conn = test.app.db.acquire().await.expect("a connection");
    for (pool, changed) in [("10.50.0.0/24", true), ("10.50.0.0/24", false), ("10.50.0.0/16", true)] {
        assert_eq!(store::set_pool(&mut conn, cidr(pool)).await.expect("noted"), changed, "{pool}");
    }
    // A /16 with thousands of nodes: the lowest address that is free is found, wherever it is.
    sqlx::query(
        "insert into nodes (id, name, roles, origin, mesh_address, public_key)
         select gen_random_uuid(), 'n' || number, '{worker}', 'enrolled', inet '10.50.0.0' + number, 'k' || number
         from generate_series(2, 5000) as number where number <> 4711",
    )
    .execute(&mut *conn)
    .await
    .expect("nodes");
    assert_eq!(store::outside(&mut conn, cidr("10.50.0.0/16")).await.expect("names"), [""; 0]);
    assert_eq!(store::outside(&mut conn, cidr("10.50.0.0/24")).await.expect("names").len(), 4744);
    drop(conn);
    let owner = test.owner().await;
    for expected in ["10.50.18.103", "10.50.19.137"] {
        let token = owner.post("/api/v1/node-tokens", json!({ "roles": ["worker"] })).await.expect(201);
        let host = test.with_token(token["token"].as_str().expect("token"));
        let name = expected.replace('.', "-");
        let body =
            json!({ "name": name, "roles": ["worker"], "public_key": public_key(&name), "endpoint": null });
        let joined = host.post("/v1/nodes/enroll", body).await.expect(201);
        assert_eq!(joined["identity"]["mesh_address"], expected);
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_report_goes_with_its_node(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let w1 = mesh.join("w1", &["worker"]).await;
    let mut agent = mesh.dial(&w1, AgentKind::Mesh, hello(Vec::new())).await;
    agent.say(&FromAgent::MeshReport(report("w1", Vec::new()))).await;
    agent.settle(&nothing()).await;
    let owner = mesh.test.owner().await;
    owner.delete("/api/v1/nodes/w1").await.expect(204);
    let told = owner.get("/api/v1/mesh").await.expect(200);
    assert_eq!((&told["nodes"], &told["links"], &told["findings"]), (&json!([]), &json!([]), &json!([])));
}
