//! A control plane that answers as told and remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::body::Body;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{FromRequestParts as _, Request, State, WebSocketUpgrade};
use axum::http::{HeaderMap, Response};
use serde_json::Value;
use tokio::sync::oneshot;

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
    hangs: bool,
    /// The connection breaks in the middle of the answer.
    breaks: bool,
    /// The last words of a program behind a WebSocket.
    program: Option<String>,
}

pub(crate) fn json(status: u16, body: Value) -> Reply {
    Reply { status, ..bytes("application/json", body.to_string().into_bytes()) }
}

/// Any bytes.
pub(crate) fn bytes(kind: &'static str, body: Vec<u8>) -> Reply {
    Reply { status: 200, kind, body, hangs: false, breaks: false, program: None }
}

/// Events, after which the connection ends.
pub(crate) fn events(text: &str) -> Reply {
    bytes("text/event-stream", text.as_bytes().to_vec())
}

/// No answer at all.
pub(crate) fn hangs() -> Reply {
    Reply { hangs: true, ..bytes("", Vec::new()) }
}

/// An answer that does not arrive whole.
pub(crate) fn breaks() -> Reply {
    Reply { breaks: true, ..bytes("", Vec::new()) }
}

/// A program behind a WebSocket: complains, gives back what it is told, and says its last words when its input ends or
/// Ctrl-D comes.
pub(crate) fn program(last: Value) -> Reply {
    Reply { program: Some(last.to_string()), ..hangs() }
}

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method, path and query.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// Frames of a WebSocket.
type Frames = Vec<Vec<u8>>;

/// Answers by method and path; of several for one the last stays.
type Script = HashMap<String, VecDeque<Reply>>;

#[derive(Debug, Default)]
struct Memory {
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    frames: Mutex<Frames>,
}

pub(crate) struct Mock {
    pub(crate) url: String,
    memory: Arc<Memory>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mock {
    pub(crate) fn start(replies: Vec<(&str, Reply)>) -> Self {
        let memory = Arc::new(Memory::default());
        for (line, reply) in replies {
            memory.script.lock().expect("not poisoned").entry(line.to_owned()).or_default().push_back(reply);
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let (stop, stopped) = oneshot::channel::<()>();
        let app = axum::Router::new().fallback(answer).with_state(memory.clone());
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
                tokio::select! {
                    served = axum::serve(listener, app) => served.expect("serve"),
                    _ = stopped => {}
                }
            });
        });
        Self { url, memory, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.memory.asked.lock().expect("not poisoned").clone()
    }

    /// Method, path and query of all requests, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    /// What programs were told.
    pub(crate) fn frames(&self) -> Frames {
        self.memory.frames.lock().expect("not poisoned").clone()
    }

    /// The only request with this method and path.
    pub(crate) fn one(&self, wanted: &str) -> Asked {
        let mut found: Vec<_> =
            self.asked().into_iter().filter(|asked| asked.line.split('?').next() == Some(wanted)).collect();
        assert_eq!(found.len(), 1, "{wanted}: {:?}", self.lines());
        found.remove(0)
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().expect("runs once").join().expect("the mock did not panic");
    }
}

async fn answer(State(memory): State<Arc<Memory>>, request: Request) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.expect("a whole body").to_vec();
    let path = head.uri.path().strip_prefix("/api/v1").expect("the API's prefix").to_owned();
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let line = format!("{} {path}", head.method);
    memory.asked.lock().expect("not poisoned").push(Asked {
        line: format!("{line}{query}"),
        headers: head.headers.clone(),
        body,
    });
    let reply = {
        let mut script = memory.script.lock().expect("not poisoned");
        match script.get_mut(&line) {
            Some(replies) if replies.len() > 1 => replies.pop_front(),
            Some(replies) => replies.front().cloned(),
            None => None,
        }
    };
    let reply =
        reply.unwrap_or_else(|| json(404, serde_json::json!({ "code": "not_found", "message": line })));
    if let Some(last) = reply.program {
        let upgrade = WebSocketUpgrade::from_request_parts(&mut head, &memory).await.expect("a WebSocket");
        return upgrade.on_upgrade(move |socket| play(socket, memory, last));
    }
    if reply.hangs {
        std::future::pending::<()>().await;
    }
    if reply.breaks {
        let broken = futures_util::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("broken"))]);
        return Response::new(Body::from_stream(broken));
    }
    Response::builder()
        .status(reply.status)
        .header("content-type", reply.kind)
        .header("location", "/elsewhere")
        .body(Body::from(reply.body))
        .expect("a response")
}

async fn play(mut socket: WebSocket, memory: Arc<Memory>, last: String) {
    // Nothing reads any more when the client has what it wants.
    let _ = socket.send(Message::Binary([&[2][..], b"complaint\n"].concat().into())).await;
    while let Some(Ok(message)) = socket.recv().await {
        let frame = message.into_data().to_vec();
        memory.frames.lock().expect("not poisoned").push(frame.clone());
        if frame == [0] || frame == [0, 4] {
            break;
        }
        if frame[0] == 0 {
            let _ = socket.send(Message::Binary([&[1][..], &frame[1..]].concat().into())).await;
        }
    }
    let _ = socket.send(Message::Text(last.into())).await;
}
