//! As much of a control plane as a proxy needs to be sent its routes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use protocol::envelope::{MessageId, Receiver, Sender};
use protocol::identity::{ApiKey, NodeIdentity};
use protocol::ids::NodeId;
use protocol::message::{FromAgent, FromControlPlane, LastTable};
use protocol::spec::{Generation, ProxySpec, Spec, TAKES_CHANGES, Versioned};
use serde_json::json;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocket};

pub(crate) struct Hub {
    listener: TcpListener,
    key: ApiKey,
}

/// A proxy that has signed in.
pub(crate) struct Proxy {
    socket: WebSocket<TcpStream>,
    sender: Sender,
    receiver: Receiver,
    /// Absent for one that wants every table whole.
    tables: Option<LastTable>,
}

/// A request's first line and headers, in lower case.
struct Head(String);

impl Hub {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0")?, key: ApiKey::generate() })
    }

    /// What a host of this control plane has.
    pub(crate) fn identity(&self) -> Result<NodeIdentity> {
        Ok(NodeIdentity {
            node_id: NodeId::new(),
            name: "p1".to_owned(),
            mesh_address: [127, 0, 0, 1].into(),
            api_key: self.key.clone(),
            control_planes: vec![format!("http://{}", self.listener.local_addr()?)],
        })
    }

    /// Signs a proxy in, and waits for its WebSocket.
    pub(crate) fn connection(&self) -> Result<Proxy> {
        loop {
            let (mut stream, _) = self.listener.accept()?;
            let head = Head::read(&stream)?;
            let Some(key) = head.value("sec-websocket-key") else {
                let body = json!({ "token": "token", "expires_at": "2100-01-01T00:00:00Z" }).to_string();
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                )?;
                continue;
            };
            write!(
                stream,
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {}\r\n\r\n",
                derive_accept_key(key.as_bytes())
            )?;
            stream.set_nodelay(true)?;
            let (name, value) = TAKES_CHANGES;
            let key = self.key.signing_key();
            return Ok(Proxy {
                socket: WebSocket::from_raw_socket(stream, Role::Server, None),
                sender: Sender::new(key.clone()),
                receiver: Receiver::new(key),
                tables: (head.value(name) == Some(value)).then(LastTable::default),
            });
        }
    }
}

impl Head {
    fn read(stream: &TcpStream) -> Result<Self> {
        // One byte at a time: what follows is somebody else's.
        let mut reader = BufReader::with_capacity(1, stream);
        let (mut head, mut line) = (String::new(), String::new());
        while reader.read_line(&mut line)? > 2 {
            head.push_str(&line);
            line.clear();
        }
        let head = Self(head);
        let length = head.value("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
        Ok(head)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let lines = self.0.lines().filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }
}

impl Proxy {
    /// A message with this table, as the control plane would send it.
    pub(crate) fn message(&mut self, generation: Generation, spec: ProxySpec) -> String {
        let message = FromControlPlane::Spec(Versioned { generation, spec: Spec::Proxy(spec) });
        let message = match &mut self.tables {
            Some(tables) => tables.shorten(message),
            None => message,
        };
        self.sender.seal(message.kind(), &MessageId::random(), message.payload(), now_ms())
    }

    /// Returns when its last byte has left.
    pub(crate) fn send(&mut self, message: String) -> Result<()> {
        Ok(self.socket.send(Message::text(message))?)
    }

    /// Waits until the proxy has `generation` in force and on disk.
    pub(crate) fn applied(&mut self, generation: Generation) -> Result<()> {
        loop {
            match self.socket.read().context("the proxy hung up")? {
                Message::Text(text) => {
                    let envelope = self.receiver.open(&text, now_ms())?;
                    if let Ok(FromAgent::Applied(applied)) = FromAgent::parse(&envelope) {
                        ensure!(applied.generation <= generation, "it has a later one");
                        if applied.generation == generation {
                            return Ok(());
                        }
                    }
                }
                // tungstenite answers pings with the next thing that it sends.
                _ => self.socket.flush()?,
            }
        }
    }
}

fn now_ms() -> i64 {
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}

/// Where `wisehosting-proxy run` finds everything.
pub(crate) struct Configuration<'a> {
    pub(crate) folder: &'a std::path::Path,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) mesh: SocketAddr,
}

impl Configuration<'_> {
    /// Writes it, and the identity of a host of `hub`.
    pub(crate) fn write(&self, hub: &Hub) -> Result<std::path::PathBuf> {
        let Self { folder, http, https, mesh } = self;
        let root = folder.display();
        std::fs::create_dir_all(folder.join("node"))?;
        std::fs::write(folder.join("node/identity.json"), serde_json::to_vec(&hub.identity()?)?)?;
        let path = folder.join("proxy.toml");
        let port = mesh.port();
        std::fs::write(
            &path,
            format!(
                "node_dir = '{root}/node'\nstate_dir = '{root}/state'\nhttp = '{http}'\nhttps = '{https}'\nmesh_port = {port}\ndrain_s = 0\n"
            ),
        )?;
        Ok(path)
    }
}
