//! What Traefik does about certificates: orders those that are left to it, and keeps somebody else's to their names.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::spec::{Certificate, ProxySpec};
use rustls::crypto::aws_lc_rs;
use rustls::{AlertDescription, ClientConfig, ClientConnection, RootCertStore};
use tempfile::TempDir;

use crate::bed::{App, Bed, free_port};
use crate::{none, route};

const SOON: Duration = Duration::from_mins(1);

/// A CA that believes everybody.
struct Pebble {
    address: SocketAddr,
    process: Child,
    folder: TempDir,
}

impl Pebble {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
            .expect("a certificate");
        std::fs::write(path("ca.pem"), own.cert.pem()).expect("write");
        std::fs::write(path("ca.key"), own.signing_key.serialize_pem()).expect("write");
        let (address, management) = (free_port(), free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": address, "managementListenAddress": management,
            "certificate": path("ca.pem"), "privateKey": path("ca.key"),
            "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        std::fs::write(path("pebble.json"), config.to_string()).expect("write");
        let process = Command::new("pebble")
            .arg("-config")
            .arg(path("pebble.json"))
            .envs([
                ("PEBBLE_VA_NOSLEEP", "1"),
                ("PEBBLE_VA_ALWAYS_VALID", "1"),
                ("PEBBLE_WFE_NONCEREJECT", "0"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Pebble is installed");
        let pebble = Self { address, process, folder };
        let until = Instant::now() + SOON;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "Pebble does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        pebble
    }

    /// A resolver `le` that orders here.
    fn resolver(&self) -> Vec<String> {
        let of = |key: &str, value: String| format!("--certificatesResolvers.le.acme.{key}={value}");
        vec![
            of("caServer", format!("https://localhost:{}/dir", self.address.port())),
            of("caCertificates", self.folder.path().join("ca.pem").display().to_string()),
            of("storage", self.storage().display().to_string()),
            of("email", "ops@example.com".to_owned()),
            of("tlsChallenge", "true".to_owned()),
        ]
    }

    fn storage(&self) -> std::path::PathBuf {
        self.folder.path().join("acme.json")
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The names of each certificate that Traefik has stored.
fn stored(storage: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read(storage).unwrap_or_default();
    let all: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let certificates = all["le"]["Certificates"].as_array().cloned().unwrap_or_default();
    let names = |certificate: &serde_json::Value| {
        let domain = &certificate["domain"];
        let others = domain["sans"].as_array().cloned().unwrap_or_default();
        let all = std::iter::once(&domain["main"]).chain(&others);
        all.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let mut stored: Vec<Vec<String>> = certificates.iter().map(names).collect();
    stored.sort();
    stored
}

#[test]
fn a_resolver_of_traefiks_own_orders_one_certificate_for_each_of_its_names_and_no_other() {
    let (app, pebble) = (App::start("a"), Pebble::start());
    let hosts = ["shop.route.test", "www.example.test"];
    let mut left = route("left", &hosts, "/", &[app.address], none());
    let mut ours = route("ours", &["ours.test"], "/", &[app.address], none());
    (left.https_only, ours.https_only) = (true, true);
    let resolvers = hosts.map(|host| (host.to_owned(), "le".to_owned())).into();
    let spec = ProxySpec { routes: vec![left.into(), ours.into()], resolvers, ..ProxySpec::default() };
    let bed = Bed::with(&spec, free_port(), &pebble.resolver());
    let until = Instant::now() + SOON;
    let wanted = hosts.map(|host| vec![host.to_owned()]);
    while stored(&pebble.storage()) != wanted {
        assert!(Instant::now() < until, "{:?}: {}", stored(&pebble.storage()), bed.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How Traefik takes a client that trusts nobody.
fn handshake(address: SocketAddr, host: &str) -> rustls::Error {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = host.to_owned().try_into().expect("a name");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = TcpStream::connect(address).expect("Traefik listens");
    stream.set_read_timeout(Some(SOON)).expect("a limit");
    let error = connection.complete_io(&mut stream).expect_err("nobody is trusted");
    *error.into_inner().expect("of TLS").downcast().expect("of rustls")
}

#[test]
fn a_wildcard_of_others_is_not_shown_for_a_host_without_a_certificate_of_its_own() {
    let app = App::start("a");
    let wildcard = rcgen::generate_simple_self_signed(["*.zone.test".to_owned()]).expect("a certificate");
    let certificate = Certificate {
        hosts: vec!["theirs.zone.test".to_owned()],
        chain_pem: wildcard.cert.pem(),
        key_pem: wildcard.signing_key.serialize_pem(),
    };
    let hosts = ["theirs.zone.test", "new.zone.test"];
    let mut routes = hosts.map(|host| route(host, &[host], "/", &[app.address], none()));
    for route in &mut routes {
        route.https_only = true;
    }
    let spec = ProxySpec {
        routes: routes.iter().cloned().map(Arc::new).collect(),
        certificates: vec![certificate.into()],
        refused: vec!["new.zone.test".to_owned()],
        ..ProxySpec::default()
    };
    let bed = Bed::with(&spec, free_port(), &[]);
    let shown = handshake(bed.secure, "theirs.zone.test");
    assert!(matches!(shown, rustls::Error::InvalidCertificate(_)), "a certificate is shown: {shown:?}");
    let refused = handshake(bed.secure, "new.zone.test");
    assert_eq!(refused, rustls::Error::AlertReceived(AlertDescription::ProtocolVersion), "{}", bed.log());
    assert_eq!(bed.get("new.zone.test", "/", &[]).status, 301, "HTTP is led to HTTPS, as ever");
}
