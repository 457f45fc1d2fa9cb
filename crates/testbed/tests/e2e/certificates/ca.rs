//! The fleet's CA: Pebble, which looks at the fleet's DNS, behind a counter that tests can close, at which orders can be
//! kept waiting, and which can refuse them as a CA at its limit does. Pebble has no limits.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use testbed::cluster::Cluster;
use testbed::host::{Host, INET};
use testbed::http::{Server, get};
use testbed::init::INSIDE;
use testbed::network::{self, INET_ADDRESS};
use testbed::report::until;
use testbed::service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::names;
use crate::bed::SOON;

const COUNTER: SocketAddr = SocketAddr::new(IpAddr::V4(INET_ADDRESS), 14100);
const PEBBLE: SocketAddr = SocketAddr::new(IpAddr::V4(INET_ADDRESS), 14101);
const MANAGEMENT: SocketAddr = SocketAddr::new(IpAddr::V4(INET_ADDRESS), 15101);
const SERVICE: &str = "fleet-ca";

pub(crate) struct Ca {
    host: Host,
    counter: Arc<Counter>,
    tls: TlsAcceptor,
    open: JoinSet<()>,
}

/// An order that waits at the counter. Dropping it lets it pass.
pub(crate) struct Order {
    /// The proxy that came with it.
    pub(crate) from: IpAddr,
    limit: oneshot::Sender<u32>,
}

impl Order {
    pub(crate) fn pass(self) {
        drop(self.limit);
    }

    /// Refuses it: the CA takes no other one for so many seconds.
    pub(crate) fn limit(self, seconds: u32) -> Result<()> {
        self.limit.send(seconds).ok().context("the proxy does not wait for the CA any more")
    }
}

impl Ca {
    /// Starts Pebble, whose certificates are valid for `seconds`. The counter is closed.
    pub(crate) fn start(cluster: &Cluster, seconds: u32) -> Result<Self> {
        let host = cluster.host(INET)?;
        let authority = fs::read_to_string(cluster.state().join("authority.pem"))?;
        let ca = Self {
            counter: Arc::new(Counter { pebble: server(&host, PEBBLE, authority), held: Mutex::default() }),
            tls: acceptor(&host.folder.join("etc"))?,
            open: JoinSet::new(),
            host,
        };
        ca.configure(seconds)?;
        let config = format!("{INSIDE}/etc/{SERVICE}.json");
        let words = ["pebble", "-config", &config, "-dnsserver", &names::ADDRESS.to_string()];
        let pebble = Service::new(SERVICE, &words);
        ca.host.set_service(&pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0"))?;
        Ok(ca)
    }

    fn configure(&self, seconds: u32) -> Result<()> {
        let etc = self.host.folder.join("etc");
        let config = json!({ "pebble": {
            "listenAddress": PEBBLE,
            "managementListenAddress": MANAGEMENT,
            "certificate": format!("{INSIDE}/etc/pebble.pem"),
            "privateKey": format!("{INSIDE}/etc/pebble.key"),
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": seconds,
        }});
        Ok(fs::write(etc.join(format!("{SERVICE}.json")), serde_json::to_vec_pretty(&config)?)?)
    }

    /// Starts Pebble anew, which knows nothing of its accounts then and has another root.
    pub(crate) fn forget_everything(&self, seconds: u32) -> Result<()> {
        self.stop()?;
        self.configure(seconds)?;
        self.host.start_process(SERVICE)
    }

    pub(crate) fn stop(&self) -> Result<()> {
        self.host.stop_process(SERVICE)
    }

    /// What control planes are given.
    pub(crate) fn directory() -> String {
        format!("https://{COUNTER}/dir")
    }

    /// Its root certificate, PEM, once it runs.
    pub(crate) async fn root(&self) -> Result<String> {
        let management = Server { address: MANAGEMENT, ..self.counter.pebble.clone() };
        until("the fleet's CA", SOON, || async {
            let answer = management.send(get(&INET_ADDRESS.to_string(), "/roots/0")?).await?;
            ensure!(answer.status == 200, "{}", answer.status);
            Ok(Some(answer.text()))
        })
        .await
    }

    pub(crate) async fn open(&mut self) -> Result<()> {
        let listener = network::listen(self.host.init()?, COUNTER).await?;
        self.open.spawn(accept(listener, self.tls.clone(), self.counter.clone()));
        Ok(())
    }

    /// From now on nothing listens there.
    pub(crate) async fn close(&mut self) {
        self.open.shutdown().await;
    }

    /// Orders for `name` wait at the counter from now on, until the receiver is dropped.
    pub(crate) fn hold(&self, name: &str) -> mpsc::Receiver<Order> {
        let (sender, receiver) = mpsc::channel(1);
        self.counter.held.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), sender);
        receiver
    }
}

fn server(from: &Host, address: SocketAddr, authority: String) -> Server {
    Server { from: from.clone(), address, roots: Some(authority) }
}

/// With the certificate of the test bed's other CA, which is for the same address.
fn acceptor(etc: &Path) -> Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_file(etc.join("pebble.pem"))?;
    let key = PrivateKeyDer::from_pem_file(etc.join("pebble.key"))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, counter: Arc<Counter>) {
    let mut open = JoinSet::new();
    while let Ok((stream, from)) = listener.accept().await {
        while open.try_join_next().is_some() {}
        open.spawn(serve(stream, from.ip(), tls.clone(), counter.clone()));
    }
}

async fn serve(stream: TcpStream, from: IpAddr, tls: TlsAcceptor, counter: Arc<Counter>) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(|request| {
        let counter = counter.clone();
        async move { Ok::<_, Infallible>(counter.answer(from, request).await) }
    });
    // A client may hang up at any time.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

struct Counter {
    pebble: Server,
    held: Mutex<HashMap<String, mpsc::Sender<Order>>>,
}

impl Counter {
    async fn answer(&self, from: IpAddr, request: http::Request<Incoming>) -> Response<Full<Bytes>> {
        let is_order = request.uri().path() == "/order-plz";
        self.forward(from, is_order, request).await.unwrap_or_else(|error| {
            let mut response = Response::new(Full::from(format!("{error:#}")));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        })
    }

    async fn forward(
        &self,
        from: IpAddr,
        is_order: bool,
        request: http::Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        if is_order && let Some(seconds) = self.limit(from, &body).await {
            return limited(seconds);
        }
        // Pebble makes its URLs of the host that it was asked as.
        let answer = self.pebble.send(http::Request::from_parts(parts, Full::new(body))).await?;
        let mut response = Response::new(Full::new(answer.body));
        *response.status_mut() = StatusCode::from_u16(answer.status)?;
        *response.headers_mut() = answer.headers;
        response.headers_mut().remove("transfer-encoding");
        Ok(response)
    }

    /// Keeps a held order waiting. Seconds, if it is to be refused.
    async fn limit(&self, from: IpAddr, order: &[u8]) -> Option<u32> {
        let names = names_of(order)?;
        let held = names
            .iter()
            .find_map(|name| self.held.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())?;
        let (limit, refused) = oneshot::channel();
        held.send(Order { from, limit }).await.ok()?;
        refused.await.ok()
    }
}

/// The names that an order (RFC 8555 section 7.4) is for.
fn names_of(order: &[u8]) -> Option<Vec<String>> {
    let signed: Value = serde_json::from_slice(order).ok()?;
    let payload = BASE64_URL_SAFE_NO_PAD.decode(signed["payload"].as_str()?).ok()?;
    let order: Value = serde_json::from_slice(&payload).ok()?;
    let names = order["identifiers"].as_array()?.iter().filter_map(|one| one["value"].as_str());
    Some(names.map(str::to_owned).collect())
}

fn limited(seconds: u32) -> Result<Response<Full<Bytes>>> {
    let problem = json!({
        "type": "urn:ietf:params:acme:error:rateLimited", "status": 429,
        "detail": format!("too many certificates already issued; retry after {seconds} s"),
    });
    let response = Response::builder().status(StatusCode::TOO_MANY_REQUESTS);
    let response = response.header("retry-after", seconds).header("content-type", "application/problem+json");
    Ok(response.body(Full::from(problem.to_string()))?)
}
