//! Certificates from a real ACME server, Pebble, whose checks reach the proxy on loopback.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use protocol::ids::JobId;
use protocol::job::{CertificateOrder, Failure, Issued, Job, Outcome, Work};
use protocol::message::{FromControlPlane, JobCancel};
use protocol::spec::{Certificate, HttpChallenge, ProxySpec};
use tokio::process::{Child, Command};

use crate::hub::{Agent, Hub};
use crate::support::{App, Folders, Proxy, free_port, route, soon};

/// Pebble and its DNS server. Every name is this host's, unless told otherwise.
struct Pebble {
    directory: String,
    acme: SocketAddr,
    management: SocketAddr,
    dns_management: SocketAddr,
    root_pem: String,
    processes: [Child; 2],
}

impl Pebble {
    async fn start(folders: &Folders, http: SocketAddr, acme: SocketAddr) -> Self {
        let (management, dns, dns_management) = (free_port(), free_port(), free_port());
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("certificate");
        let file = |name: &str, text: &str| {
            let path = folders.path().join(name);
            std::fs::write(&path, text).expect("write");
            path
        };
        let certificate = file("ca.pem", &own.cert.pem());
        let key = file("ca.key", &own.signing_key.serialize_pem());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": acme.to_string(), "managementListenAddress": management.to_string(),
            "certificate": certificate, "privateKey": key, "httpPort": http.port(), "tlsPort": free_port().port(),
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        let config = file("pebble.json", &config.to_string());
        let dns_server = Command::new("pebble-challtestsrv")
            .args(["-dns01", &dns.to_string(), "-management", &dns_management.to_string()])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("pebble-challtestsrv is installed");
        let ca = Command::new("pebble")
            .arg("-config")
            .arg(config)
            .args(["-dnsserver", &dns.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "10")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("pebble is installed");
        let pebble = Self {
            directory: format!("https://{acme}/dir"),
            acme,
            management,
            dns_management,
            root_pem: own.cert.pem(),
            processes: [dns_server, ca],
        };
        soon("Pebble and its DNS server", async || {
            let dns = tokio::net::TcpStream::connect(pebble.dns_management).await;
            dns.is_ok() && pebble.client().get(&pebble.directory).send().await.is_ok()
        })
        .await;
        pebble
    }

    async fn stop(&mut self) {
        for process in &mut self.processes {
            process.kill().await.expect("it runs");
        }
    }

    fn client(&self) -> reqwest::Client {
        client(&self.root_pem, None)
    }

    /// Points `host` at an address where nothing listens.
    async fn lead_astray(&self, host: &str) {
        let body = serde_json::json!({ "host": format!("{host}."), "addresses": ["127.0.0.2"] }).to_string();
        let url = format!("http://{}/add-a", self.dns_management);
        let answer = self.client().post(url).body(body).send().await.expect("DNS management");
        assert!(answer.status().is_success());
    }

    /// The root under which this Pebble issues.
    async fn issuer(&self) -> String {
        let url = format!("https://{}/roots/0", self.management);
        self.client().get(url).send().await.expect("management").text().await.expect("PEM")
    }

    fn order(&self, host: &str, account: Option<String>) -> CertificateOrder {
        CertificateOrder {
            host: host.to_owned(),
            directory: self.directory.clone(),
            root_pem: Some(self.root_pem.clone()),
            contact: Some("mailto:ops@example.com".to_owned()),
            account,
        }
    }
}

fn client(root_pem: &str, at: Option<(&str, SocketAddr)>) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(root_pem.as_bytes()).expect("PEM");
    let mut builder = reqwest::Client::builder().timeout(Duration::from_secs(10)).add_root_certificate(root);
    if let Some((host, address)) = at {
        builder = builder.resolve(host, address);
    }
    builder.build().expect("client")
}

/// Everything together, with one app.
struct Scene {
    folders: Folders,
    app: App,
    hub: Hub,
    agent: Agent,
    proxy: Proxy,
    pebble: Pebble,
    generation: i64,
}

impl Scene {
    async fn start() -> Self {
        let (folders, app, mut hub) = (Folders::new(), App::start("hello").await, Hub::start().await);
        folders.write_identity(&hub.identity());
        let proxy = Proxy::start(&folders);
        let agent = hub.connection().await;
        let pebble = Pebble::start(&folders, proxy.http, free_port()).await;
        Self { folders, app, hub, agent, proxy, pebble, generation: 0 }
    }

    async fn push(&mut self, host: &str, certificates: Vec<Certificate>, challenges: Vec<HttpChallenge>) {
        self.generation += 1;
        let routes = vec![route(host, self.app.address)];
        self.agent
            .push(self.generation, ProxySpec { routes, certificates, challenges, ..ProxySpec::default() })
            .await;
        assert_eq!(self.agent.applied().await, self.generation);
    }

    /// Gives the proxy an order and plays the control plane until it ends.
    async fn order(&mut self, order: CertificateOrder) -> Outcome {
        let (id, host) = (JobId::new(), order.host.clone());
        self.agent.say(FromControlPlane::JobStart(Job { id, work: Work::Certificate(order) })).await;
        // More than one challenge where Pebble refused good nonces so often that the order began again.
        loop {
            let limit = Duration::from_mins(1);
            tokio::select! {
                published = tokio::time::timeout(limit, self.hub.challenges.recv()) => {
                    let (job, challenge, served) = published.expect("in time").expect("hub runs");
                    assert_eq!(job, id);
                    let challenge = HttpChallenge {
                        host: host.clone(),
                        token: challenge.token,
                        key_authorization: challenge.key_authorization,
                    };
                    self.push(&host, vec![], vec![challenge]).await;
                    served.send(()).expect("the proxy waits");
                }
                outcome = self.agent.outcome() => return outcome,
            }
        }
    }

    async fn issue(&mut self, order: CertificateOrder) -> Issued {
        match self.order(order).await {
            Outcome::Issued(issued) => issued,
            other => panic!("{other:?}"),
        }
    }

    async fn fail(&mut self, order: CertificateOrder) -> Failure {
        match self.order(order).await {
            Outcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_certificate_is_issued_served_and_the_account_is_used_again() {
    let mut scene = Scene::start().await;
    let first = scene.issue(scene.pebble.order("app.test", None)).await;
    let account = first.account.clone().expect("a new account");
    let certificate = Certificate {
        hosts: vec!["app.test".to_owned()],
        chain_pem: first.chain_pem,
        key_pem: first.key_pem,
    };
    scene.push("app.test", vec![certificate], vec![]).await;
    let https = scene.proxy.https;
    let browser = client(&scene.pebble.issuer().await, Some(("app.test", https)));
    let answer = browser.get(format!("https://app.test:{}/", https.port())).send().await.expect("TLS holds");
    assert_eq!(answer.text().await.expect("body"), "hello");
    let second = scene.issue(scene.pebble.order("other.test", Some(account))).await;
    assert!(second.account.is_none(), "no new account");
    scene.proxy.stop().await;
    assert!(scene.folders.path().join("proxy/routes.json").exists());
}

#[tokio::test]
async fn an_account_that_the_ca_does_not_know_is_replaced() {
    let mut scene = Scene::start().await;
    let first = scene.issue(scene.pebble.order("app.test", None)).await;
    let account = first.account.expect("a new account");
    // The same address, but Pebble keeps nothing; then another address.
    for acme in [scene.pebble.acme, free_port()] {
        scene.pebble.stop().await;
        scene.pebble = Pebble::start(&scene.folders, scene.proxy.http, acme).await;
        let again = scene.issue(scene.pebble.order("app.test", Some(account.clone()))).await;
        assert!(again.account.is_some_and(|new| new != account));
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_fails_in_words() {
    let mut scene = Scene::start().await;
    scene.pebble.lead_astray("astray.test").await;
    let failure = scene.fail(scene.pebble.order("astray.test", None)).await;
    assert_eq!(failure.code, "acme_connection", "{failure:?}");
    assert!(failure.message.contains("astray.test"), "{failure:?}");
    assert!(failure.hint.expect("a hint").contains("port 80"));
}

#[tokio::test]
async fn a_ca_that_is_not_there_fails_in_words() {
    let mut scene = Scene::start().await;
    let mut order = scene.pebble.order("app.test", None);
    order.directory = format!("https://{}/dir", free_port());
    let failure = scene.fail(order).await;
    assert_eq!(failure.code, "acme_unreachable", "{failure:?}");
}

#[tokio::test]
async fn a_cancelled_order_ends_as_cancelled() {
    let mut scene = Scene::start().await;
    let id = JobId::new();
    let work = Work::Certificate(scene.pebble.order("app.test", None));
    scene.agent.say(FromControlPlane::JobStart(Job { id, work })).await;
    let (job, _challenge, _served) = scene.hub.challenges.recv().await.expect("hub runs");
    scene.agent.say(FromControlPlane::JobCancel(JobCancel { job_id: job })).await;
    assert!(matches!(scene.agent.outcome().await, Outcome::Cancelled));
}
