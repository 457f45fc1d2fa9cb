//! HTTP/2 frame by frame, for clients that no library would be.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field that enters no table, name and value as they stand.
pub(crate) fn field(name: &str, value: &[u8]) -> Vec<u8> {
    [&[0][..], &string(name.as_bytes()), &string(value)].concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    // HPACK's integer with a prefix of 7 bits (RFC 7541 section 5.1).
    let mut out = Vec::new();
    if bytes.len() < 127 {
        out.push(u8::try_from(bytes.len()).expect("short"));
    } else {
        out.push(127);
        let mut rest = bytes.len() - 127;
        while rest >= 128 {
            out.push(u8::try_from(rest % 128).expect("7 bits") | 128);
            rest /= 128;
        }
        out.push(u8::try_from(rest).expect("7 bits"));
    }
    out.extend_from_slice(bytes);
    out
}

/// `GET /` of `host` as a header block.
pub(crate) fn get(host: &str) -> Vec<u8> {
    [&[0x82, 0x87, 0x84][..], &field(":authority", host.as_bytes())].concat()
}

/// A connection on which everything that comes is kept.
pub(crate) struct Wire {
    out: WriteHalf<TlsStream<TcpStream>>,
    seen: Arc<Mutex<Seen>>,
    _reading: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    frames: Vec<Frame>,
    closed: bool,
}

impl Wire {
    /// Says hello with `settings` (pairs of identifier and value), and reads all the time.
    pub(crate) async fn open(stream: TlsStream<TcpStream>, settings: &[(u16, u32)]) -> Self {
        let (mut incoming, mut out) = tokio::io::split(stream);
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        out.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()).await.expect("preface");
        out.flush().await.expect("flush");
        let seen = Arc::<Mutex<Seen>>::default();
        let keeping = Arc::clone(&seen);
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            let mut head = [0; 9];
            while incoming.read_exact(&mut head).await.is_ok() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut payload = vec![0; length as usize];
                if incoming.read_exact(&mut payload).await.is_err() {
                    break;
                }
                let frame = Frame { kind: head[3], payload };
                keeping.lock().expect("lock").frames.push(frame);
            }
            keeping.lock().expect("lock").closed = true;
        });
        Self { out, seen, _reading: reading }
    }

    /// Whether it could be sent.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.out.write_all(bytes).await.is_ok() && self.out.flush().await.is_ok()
    }

    /// How many frames of a kind came.
    pub(crate) fn count(&self, kind: u8) -> usize {
        self.seen.lock().expect("lock").frames.iter().filter(|frame| frame.kind == kind).count()
    }

    pub(crate) fn closed(&self) -> bool {
        self.seen.lock().expect("lock").closed
    }

    /// The first frame that fits, within 5 s.
    pub(crate) async fn wait<T>(&self, fits: impl Fn(&Frame) -> Option<T>) -> Option<T> {
        for _ in 0..500 {
            let (found, closed) = {
                let seen = self.seen.lock().expect("lock");
                (seen.frames.iter().find_map(&fits), seen.closed)
            };
            if found.is_some() || closed {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    /// The reason with which the server ended the connection, within 5 s.
    pub(crate) async fn goaway(&self) -> Option<u32> {
        self.wait(|frame| {
            let code = frame.payload.get(4..8)?;
            (frame.kind == GOAWAY).then(|| u32::from_be_bytes([code[0], code[1], code[2], code[3]]))
        })
        .await
    }

    /// Whether the server closed it within `limit`.
    pub(crate) async fn ends(&self, limit: Duration) -> bool {
        let waiting = async {
            while !self.closed() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(limit, waiting).await.is_ok()
    }
}
