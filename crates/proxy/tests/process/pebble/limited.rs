//! A CA in front of Pebble that takes no orders for an hour.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub(super) struct Limited {
    pub(super) directory: String,
    _server: JoinSet<()>,
}

#[derive(Clone)]
struct Behind {
    pebble: SocketAddr,
    client: reqwest::Client,
}

/// With the certificate of the Pebble in `folder`.
pub(super) async fn start(folder: &Path, pebble: SocketAddr) -> Limited {
    let root = std::fs::read(folder.join("ca.pem")).expect("certificate");
    let certificate = CertificateDer::from_pem_slice(&root).expect("PEM");
    let key = PrivateKeyDer::from_pem_file(folder.join("ca.key")).expect("key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("they fit")));
    let root = reqwest::Certificate::from_pem(&root).expect("PEM");
    // HTTP/2 would name the host that is connected to, not the one that was asked for.
    let client = reqwest::Client::builder().http1_only().add_root_certificate(root).build().expect("client");
    let router = Router::new().fallback(forward).with_state(Behind { pebble, client });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let directory = format!("https://{}/dir", listener.local_addr().expect("address"));
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
            open.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Limited { directory, _server: server }
}

async fn forward(State(behind): State<Behind>, request: Request) -> Response {
    if request.uri().path() == "/order-plz" {
        let problem = serde_json::json!({
            "type": "urn:ietf:params:acme:error:rateLimited", "status": 429,
            "detail": "too many certificates already issued for \"app.test\"",
        });
        let headers = [(RETRY_AFTER, "3600"), (CONTENT_TYPE, "application/problem+json")];
        return (StatusCode::TOO_MANY_REQUESTS, headers, problem.to_string()).into_response();
    }
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = to_bytes(body, 1 << 20).await.expect("body");
    // Pebble makes its URLs of the host that it was asked as.
    let answer = behind
        .client
        .request(parts.method, format!("https://{}{path}", behind.pebble))
        .headers(parts.headers)
        .body(body)
        .send()
        .await
        .expect("Pebble answers");
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = Response::new(Body::from(answer.bytes().await.expect("body")));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
