//! The fleet's DNS: BIND on the public internet, which takes updates that are signed with one of its two keys.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use testbed::cluster::Cluster;
use testbed::host::{Host, INET};
use testbed::init::INSIDE;
use testbed::network::{self, INET_ADDRESS};
use testbed::report::until;
use testbed::service::Service;

use crate::bed::SOON;

/// The zone that it is the primary of.
pub(crate) const ZONE: &str = "front.test";
pub(crate) const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(INET_ADDRESS), 53);
/// The platform's key, for TXT records alone.
pub(crate) const KEY: (&str, &str) = ("wisehosting", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
/// The one of the person whom the zone belongs to.
const OWNER: (&str, &str) = ("owner", "b3duZXIwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY=");
const SERVICE: &str = "named";

pub(crate) struct Names<'a> {
    cluster: &'a Cluster,
    host: Host,
}

impl<'a> Names<'a> {
    /// Starts it with a zone that holds nothing yet.
    pub(crate) async fn start(cluster: &'a Cluster) -> Result<Self> {
        let host = cluster.host(INET)?;
        let folder = host.folder.join("etc/named");
        fs::create_dir(&folder)?;
        let inside = format!("{INSIDE}/etc/named");
        let key = |(name, secret): (&str, &str)| {
            format!("key \"{name}\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};\n")
        };
        let config = format!(
            "options {{ directory \"{inside}\"; pid-file none; session-keyfile none; lock-file none;
               listen-on {{ {INET_ADDRESS}; }}; listen-on-v6 {{ none; }};
               recursion no; dnssec-validation no; }};
             controls {{ }};
             {}{}
             zone \"{ZONE}\" {{ type primary; file \"zone\";
               update-policy {{ grant {} zonesub TXT; grant {} zonesub ANY; }}; }};",
            key(KEY),
            key(OWNER),
            KEY.0,
            OWNER.0
        );
        let zone = format!("$TTL 1\n@ SOA ns hostmaster 1 3600 600 86400 1\n@ NS ns\nns A {INET_ADDRESS}\n");
        for (name, text) in [("named.conf", config), ("zone", zone), ("owner.key", key(OWNER))] {
            fs::write(folder.join(name), text)?;
        }
        host.set_service(&Service::new(SERVICE, &["named", "-g", "-c", &format!("{inside}/named.conf")]))?;
        until("BIND", SOON, || async {
            network::connect(host.init()?, ADDRESS).await?;
            Ok(Some(()))
        })
        .await?;
        Ok(Self { cluster, host })
    }

    /// Lets a name lead to one address.
    pub(crate) fn lead(&self, name: &str, to: Ipv4Addr) -> Result<()> {
        self.update(&format!("update delete {name}. A\nupdate add {name}. 1 A {to}"))
    }

    pub(crate) fn add_txt(&self, name: &str, value: &str) -> Result<()> {
        self.update(&format!("update add {name}. 1 TXT \"{value}\""))
    }

    fn update(&self, lines: &str) -> Result<()> {
        fs::write(self.host.folder.join("tmp/update"), format!("server {INET_ADDRESS}\n{lines}\nsend\n"))?;
        let key = format!("{INSIDE}/etc/named/owner.key");
        self.run(&["nsupdate", "-k", &key, "/var/tmp/update"]).map(|_| ())
    }

    /// The TXT records of a name, one in a line.
    pub(crate) fn texts(&self, name: &str) -> Result<String> {
        self.run(&["dig", &format!("@{INET_ADDRESS}"), "+tcp", "+short", name, "TXT"])
    }

    /// What it said about updates, among others.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.host.log(SERVICE))?)
    }

    pub(crate) fn stop(&self) -> Result<()> {
        self.host.stop_process(SERVICE)
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        let output = self.cluster.exec(INET, words)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {said}", words.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }
}
