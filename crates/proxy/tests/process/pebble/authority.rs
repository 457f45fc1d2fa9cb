//! BIND with the zone `test`, in which every name is this host's, and BIND's own program for changes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::support::{free_port, soon};

const SECRET: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

pub(super) struct Named {
    pub(super) address: SocketAddr,
    key: PathBuf,
    _process: Child,
}

impl Named {
    pub(super) async fn start(folder: &Path) -> Self {
        let (address, path) = (free_port(), folder.join("named"));
        std::fs::create_dir(&path).expect("folder");
        let (shown, port) = (path.display(), address.port());
        let key = format!("key \"wisehosting\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n");
        let config = format!(
            "options {{ directory \"{shown}\"; pid-file none; session-keyfile none; listen-on port {port} {{ 127.0.0.1; }};
               listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; }};
             controls {{ }};
             {key}
             zone \"test\" {{ type primary; file \"{shown}/zone\";
               update-policy {{ grant wisehosting zonesub TXT; }}; }};"
        );
        let zone =
            "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n* A 127.0.0.1\n";
        for (name, text) in [("named.conf", config.as_str()), ("zone", zone), ("key", key.as_str())] {
            std::fs::write(path.join(name), text).expect("write");
        }
        let process = Command::new("named")
            .args(["-f", "-c"])
            .arg(path.join("named.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("BIND is installed");
        soon("BIND", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
        Self { address, key: path.join("key"), _process: process }
    }

    /// Adds a TXT record.
    pub(super) async fn add(&self, name: &str, value: &str) {
        let script = format!(
            "server 127.0.0.1 {}\nupdate add {name}. 60 TXT \"{value}\"\nsend\n",
            self.address.port()
        );
        let mut nsupdate = Command::new("nsupdate")
            .arg("-k")
            .arg(&self.key)
            .stdin(Stdio::piped())
            .spawn()
            .expect("nsupdate is installed");
        let mut stdin = nsupdate.stdin.take().expect("a pipe");
        stdin.write_all(script.as_bytes()).await.expect("write");
        drop(stdin);
        assert!(nsupdate.wait().await.expect("ends").success(), "{script}");
    }
}
