//! The way from the control plane to a worker: a WebSocket over the mesh, opened with a ticket.

use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use futures_util::SinkExt;
use protocol::exec::{ExecTicket, FreshTicket, MAX_FRAME, MAX_OPEN_FRESH, Open};
use protocol::identity::SigningKey;
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::store::Attached;
use super::{Place, fresh};
use crate::app::App;
use crate::nodes;

/// Time for the worker to answer.
const DIAL: Duration = Duration::from_secs(10);
/// Seconds that a ticket is good for.
const TICKET_S: i64 = 60;

/// Opens the session at its worker and says what to run.
pub(super) async fn dial(app: &App, session: &Attached) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let sealed = session.signing_key.as_deref().context("the node has no API key: join it again")?;
    let key = nodes::signing::open(&app.vault, session.node, sealed)?;
    let Call { path, ticket, open } = call(app, session, &key).await?;
    let address = session.address;
    let mut request = format!("ws://{address}{path}").into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {ticket}").parse()?);
    let limits = WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
    let dialled = timeout(DIAL, async {
        let stream = TcpStream::connect(address).await?;
        app.breakers.record(session.node, true);
        // A key that is typed goes at once.
        stream.set_nodelay(true)?;
        let (mut socket, _) =
            tokio_tungstenite::client_async_with_config(request, stream, Some(limits)).await?;
        socket.send(Message::text(open)).await?;
        anyhow::Ok(socket)
    });
    let dialled = dialled.await.context("the worker did not answer in time").flatten();
    let no_connection =
        dialled.as_ref().is_err_and(|error| error.is::<std::io::Error>() || error.is::<Elapsed>());
    if no_connection {
        app.breakers.record(session.node, false);
    }
    dialled
}

/// What a worker is called with.
struct Call {
    path: String,
    ticket: String,
    /// The first frame.
    open: String,
}

async fn call(app: &App, session: &Attached, key: &SigningKey) -> anyhow::Result<Call> {
    let until = Utc::now().timestamp() + TICKET_S;
    match session.place {
        Place::Instance(instance) => {
            let ticket = ExecTicket { session: session.id, instance };
            let open = Open { command: session.command.clone(), terminal: session.terminal };
            let open = serde_json::to_string(&open)?;
            Ok(Call { path: ticket.path(), ticket: ticket.seal(until, key), open })
        }
        Place::Fresh(release) => {
            let ticket = FreshTicket { session: session.id };
            let open = serde_json::to_string(&fresh::open(app, session, release).await?)?;
            anyhow::ensure!(open.len() <= MAX_OPEN_FRESH, "the app's variables are too long for a worker");
            Ok(Call { path: ticket.path(), ticket: ticket.seal(until, key), open })
        }
    }
}
