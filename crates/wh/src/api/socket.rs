//! `WebSocket`s of the API, over the same TLS and with the same answers as everything else.

use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Method, StatusCode, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::{Client, REQUEST_TIMEOUT, http};
use crate::failure::{Exit, Failure, Result};

/// Bytes of one message.
const MESSAGE: usize = 256 * 1024;

pub(crate) type Socket = WebSocketStream<Upgraded>;

impl Client {
    /// Opens the WebSocket at `path`, made by [`super::path`].
    pub(crate) async fn socket(&self, path: &str) -> Result<Socket> {
        // HTTP/2 knows no upgrade.
        let only = |builder: reqwest::ClientBuilder| builder.http1_only();
        let client = Self {
            http: http(self.root_pem.as_deref(), REQUEST_TIMEOUT, REQUEST_TIMEOUT, only)?,
            ..self.clone()
        };
        let key = generate_key();
        let request = client
            .request(Method::GET, path)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let response = client.response(request).await?;
        let accepts = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(|value| value.as_bytes().to_vec());
        let agreed = accepts.is_some_and(|value| value == derive_accept_key(key.as_bytes()).into_bytes());
        if response.status() != StatusCode::SWITCHING_PROTOCOLS || !agreed {
            return Err(Failure::new(
                Exit::Error,
                "no_websocket",
                "something on the way lets no WebSocket pass",
            )
            .hint("a proxy in front of the control plane must pass `Upgrade: websocket` on"));
        }
        let stream = response.upgrade().await.map_err(|error| client.unreachable(&error))?;
        let limits = WebSocketConfig::default().max_message_size(Some(MESSAGE)).max_frame_size(Some(MESSAGE));
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(limits)).await)
    }
}
