//! Certificates from a real ACME server, Pebble, whose checks reach the proxy on loopback.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::Utc;
use protocol::ids::JobId;
use protocol::job::{
    CertificateOrder, ChallengeKind, ChallengeRequest, ExternalAccount, Failure, Issued, Job, Outcome, Work,
};
use protocol::message::{FromControlPlane, JobCancel};
use protocol::spec::{AlpnChallenge, Certificate, HttpChallenge, ProxySpec};
use sha2::{Digest, Sha256};
use tokio::process::{Child, Command};

use crate::hub::{Agent, Hub};
use crate::support::{App, Folders, Proxy, free_port, route, soon};

mod authority;
mod limited;

use authority::Named;

/// What a new account is bound to, where the CA wants that: Pebble's own example.
const EAB_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// Where Pebble looks.
#[derive(Clone, Copy)]
struct Looks {
    http: SocketAddr,
    https: SocketAddr,
    /// In place of Pebble's own DNS server, for which every name is this host's.
    dns: Option<SocketAddr>,
    wants_binding: bool,
}

impl Looks {
    fn at(proxy: &Proxy) -> Self {
        Self { http: proxy.http, https: proxy.https, dns: None, wants_binding: false }
    }
}

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
    async fn start(folders: &Folders, looks: Looks, acme: SocketAddr) -> Self {
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
            "certificate": certificate, "privateKey": key, "httpPort": looks.http.port(), "tlsPort": looks.https.port(),
            "ocspResponderURL": "", "externalAccountBindingRequired": looks.wants_binding,
            "externalAccountMACKeys": { "kid-1": EAB_KEY },
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
            .args(["-dnsserver", &looks.dns.unwrap_or(dns).to_string()])
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
            root_pem: Some(self.root_pem.clone()),
            contact: Some("mailto:ops@example.com".to_owned()),
            account,
            ..CertificateOrder::new(host, self.directory.clone())
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
        let pebble = Pebble::start(&folders, Looks::at(&proxy), free_port()).await;
        Self { folders, app, hub, agent, proxy, pebble, generation: 0 }
    }

    async fn push(&mut self, host: &str, certificates: Vec<Certificate>, challenges: Vec<HttpChallenge>) {
        let routes = vec![route(host, self.app.address).into()];
        let certificates = certificates.into_iter().map(Into::into).collect();
        self.put(ProxySpec { routes, certificates, challenges, ..ProxySpec::default() }).await;
    }

    async fn put(&mut self, spec: ProxySpec) {
        self.generation += 1;
        self.agent.push(self.generation, spec).await;
        assert_eq!(self.agent.applied().await, self.generation);
    }

    /// Does what the control plane does with a challenge.
    async fn publish(&mut self, ordered: &str, challenge: ChallengeRequest, dns: Option<&Named>) {
        let host = challenge.host.unwrap_or_else(|| ordered.to_owned());
        let digest = Sha256::digest(&challenge.key_authorization);
        match challenge.kind {
            ChallengeKind::Http01 => {
                let (token, key_authorization) = (challenge.token, challenge.key_authorization);
                self.push(ordered, vec![], vec![HttpChallenge { host, token, key_authorization }]).await;
            }
            ChallengeKind::TlsAlpn01 => {
                let challenge = AlpnChallenge { host, digest: hex::encode(digest) };
                self.put(ProxySpec { alpn_challenges: vec![challenge], ..ProxySpec::default() }).await;
            }
            ChallengeKind::Dns01 => {
                let value = BASE64_URL_SAFE_NO_PAD.encode(digest);
                dns.expect("a name server").add(&format!("_acme-challenge.{host}"), &value).await;
            }
        }
    }

    /// Gives the proxy an order and plays the control plane until it ends.
    async fn order(&mut self, order: CertificateOrder) -> Outcome {
        self.order_with(order, None).await
    }

    async fn order_with(&mut self, order: CertificateOrder, dns: Option<&Named>) -> Outcome {
        let host = order.host.clone();
        let id = self.begin(order).await;
        self.carry_on(id, &host, dns).await
    }

    async fn begin(&self, order: CertificateOrder) -> JobId {
        let id = JobId::new();
        let work = Work::Certificate(Box::new(order));
        self.agent.say(FromControlPlane::JobStart(Job { id, work })).await;
        id
    }

    async fn carry_on(&mut self, id: JobId, host: &str, dns: Option<&Named>) -> Outcome {
        // More than one challenge where Pebble refused good nonces so often that the order began again.
        loop {
            let limit = Duration::from_mins(1);
            tokio::select! {
                published = tokio::time::timeout(limit, self.hub.challenges.recv()) => {
                    let (job, challenge, served) = published.expect("in time").expect("hub runs");
                    assert_eq!(job, id);
                    self.publish(host, challenge, dns).await;
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
        scene.pebble = Pebble::start(&scene.folders, Looks::at(&scene.proxy), acme).await;
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
async fn an_account_is_kept_though_its_order_fails() {
    let mut scene = Scene::start().await;
    scene.pebble.lead_astray("astray.test").await;
    scene.fail(scene.pebble.order("astray.test", None)).await;
    let kept = scene.hub.accounts.try_recv().expect("kept").credentials;
    let issued = scene.issue(scene.pebble.order("app.test", Some(kept))).await;
    assert!(issued.account.is_none(), "no new account");
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
async fn an_order_outlives_a_moment_without_the_control_plane() {
    let mut scene = Scene::start().await;
    let id = scene.begin(scene.pebble.order("app.test", None)).await;
    let (_, _, unserved) = scene.hub.challenges.recv().await.expect("hub runs");
    // Answered by 503.
    drop(unserved);
    let outcome = scene.carry_on(id, "app.test", None).await;
    assert!(matches!(outcome, Outcome::Issued(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_cancelled_order_ends_as_cancelled() {
    let mut scene = Scene::start().await;
    scene.begin(scene.pebble.order("app.test", None)).await;
    let (job, _challenge, _served) = scene.hub.challenges.recv().await.expect("hub runs");
    scene.agent.say(FromControlPlane::JobCancel(JobCancel { job_id: job })).await;
    assert!(matches!(scene.agent.outcome().await, Outcome::Cancelled));
}

/// The names of a certificate, as text somewhere in it.
fn names(issued: &Issued, name: &str) -> bool {
    let body: String = issued.chain_pem.lines().skip(1).take_while(|line| !line.starts_with('-')).collect();
    let der = base64::prelude::BASE64_STANDARD.decode(body).expect("PEM");
    der.windows(name.len()).any(|part| part == name.as_bytes())
}

#[tokio::test]
async fn the_ca_may_ask_another_proxy_than_the_one_that_orders() {
    let mut scene = Scene::start().await;
    let folders = Folders::new();
    folders.write_identity(&scene.hub.identity());
    let other = Proxy::start(&folders);
    let mut agent = scene.hub.connection().await;
    scene.pebble.stop().await;
    scene.pebble = Pebble::start(&scene.folders, Looks::at(&other), free_port()).await;
    let (id, work) = (JobId::new(), Work::Certificate(Box::new(scene.pebble.order("app.test", None))));
    scene.agent.say(FromControlPlane::JobStart(Job { id, work })).await;
    let mut generation = 0;
    let outcome = loop {
        tokio::select! {
            published = scene.hub.challenges.recv() => {
                let (_, challenge, served) = published.expect("hub runs");
                let (token, key_authorization) = (challenge.token, challenge.key_authorization);
                let challenges = vec![HttpChallenge { host: "app.test".to_owned(), token, key_authorization }];
                // The proxy that ordered does not have it.
                generation += 1;
                agent.push(generation, ProxySpec { challenges, ..ProxySpec::default() }).await;
                assert_eq!(agent.applied().await, generation);
                served.send(()).expect("the proxy waits");
            }
            outcome = scene.agent.outcome() => break outcome,
        }
    };
    assert!(matches!(outcome, Outcome::Issued(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_certificate_comes_by_tls_alpn_where_port_80_is_closed() {
    let mut scene = Scene::start().await;
    scene.pebble.stop().await;
    let looks = Looks { http: free_port(), ..Looks::at(&scene.proxy) };
    scene.pebble = Pebble::start(&scene.folders, looks, free_port()).await;
    let failure = scene.fail(scene.pebble.order("app.test", None)).await;
    assert_eq!(failure.code, "acme_connection", "{failure:?}");
    let order =
        CertificateOrder { challenge: ChallengeKind::TlsAlpn01, ..scene.pebble.order("app.test", None) };
    let issued = scene.issue(order).await;
    assert!(names(&issued, "app.test"));
}

#[tokio::test]
async fn a_wildcard_comes_by_dns_from_a_real_name_server() {
    let mut scene = Scene::start().await;
    let named = Named::start(scene.folders.path()).await;
    scene.pebble.stop().await;
    let looks = Looks { dns: Some(named.address), ..Looks::at(&scene.proxy) };
    scene.pebble = Pebble::start(&scene.folders, looks, free_port()).await;
    let order = CertificateOrder {
        challenge: ChallengeKind::Dns01,
        names: vec!["*.route.test".to_owned(), "route.test".to_owned()],
        ..scene.pebble.order("*.route.test", None)
    };
    let issued = match scene.order_with(order, Some(&named)).await {
        Outcome::Issued(issued) => issued,
        other => panic!("{other:?}"),
    };
    assert!(names(&issued, "*.route.test"));
    let certificate = Certificate {
        hosts: vec!["*.route.test".to_owned(), "route.test".to_owned()],
        chain_pem: issued.chain_pem,
        key_pem: issued.key_pem,
    };
    scene.push("any.route.test", vec![certificate], vec![]).await;
    let https = scene.proxy.https;
    let browser = client(&scene.pebble.issuer().await, Some(("any.route.test", https)));
    let answer =
        browser.get(format!("https://any.route.test:{}/", https.port())).send().await.expect("TLS holds");
    assert_eq!(answer.text().await.expect("body"), "hello");
}

#[tokio::test]
async fn a_deactivated_account_is_replaced() {
    let mut scene = Scene::start().await;
    let first = scene.issue(scene.pebble.order("app.test", None)).await;
    let account = first.account.expect("a new account");
    let builder =
        instant_acme::Account::builder_with_root(scene.folders.path().join("ca.pem")).expect("root");
    let credentials = serde_json::from_str(&account).expect("credentials");
    builder.from_credentials(credentials).await.expect("account").deactivate().await.expect("deactivated");
    let again = scene.issue(scene.pebble.order("app.test", Some(account.clone()))).await;
    assert!(again.account.is_some_and(|new| new != account));
}

#[tokio::test]
async fn a_renewal_says_what_it_replaces_and_goes_on_where_the_ca_does_not_know_it() {
    let mut scene = Scene::start().await;
    let first = scene.issue(scene.pebble.order("app.test", None)).await;
    let replaces = Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".to_owned());
    let order = CertificateOrder { replaces, ..scene.pebble.order("app.test", first.account) };
    let second = scene.issue(order).await;
    assert_ne!(first.chain_pem, second.chain_pem);
}

#[tokio::test]
async fn an_account_is_bound_to_one_at_the_cas_site_where_it_wants_that() {
    let mut scene = Scene::start().await;
    scene.pebble.stop().await;
    let looks = Looks { wants_binding: true, ..Looks::at(&scene.proxy) };
    scene.pebble = Pebble::start(&scene.folders, looks, free_port()).await;
    let failure = scene.fail(scene.pebble.order("app.test", None)).await;
    assert_eq!(failure.code, "acme_account", "{failure:?}");
    let binding = ExternalAccount { key_id: "kid-1".to_owned(), hmac_key: EAB_KEY.to_owned() };
    scene.issue(CertificateOrder { binding: Some(binding), ..scene.pebble.order("app.test", None) }).await;
}

#[tokio::test]
async fn a_ca_at_its_limit_is_left_alone_for_as_long_as_it_says() {
    let mut scene = Scene::start().await;
    let limited = limited::start(scene.folders.path(), scene.pebble.acme).await;
    let order =
        CertificateOrder { directory: limited.directory.clone(), ..scene.pebble.order("app.test", None) };
    let outcome = scene.order(order).await;
    let Outcome::Limited { failure, until } = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.code, "acme_rate_limited", "{failure:?}");
    assert!(failure.message.contains("too many certificates"), "{failure:?}");
    let pause = (until - Utc::now()).num_seconds();
    assert!((3500..=3600).contains(&pause), "{pause}");
}
