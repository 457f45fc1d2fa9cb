//! What is served, and the way of one request through it: admitted, directed to a route, sent to an upstream, its
//! answer streamed back.

mod exchange;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::header::{CONNECTION, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use ipnet::IpNet;
use protocol::spec::ProxySpec;
use protocol::stream::StreamProblem;
use protocol::traffic::AppTraffic;
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Problem;
use crate::admission;
use crate::body::{RequestBody, ResponseBody, Upload};
use crate::headers;
use crate::limits::{Clients, Limits};
use crate::observe;
use crate::pages::{Page, wants_json};
use crate::server::{Connection, Scheme};
use crate::streams::{Desk, StreamEntry, StreamKey, StreamTable};
use crate::table::{RouteEntry, RouteTable, host_key};
use crate::tls::CertificateTable;
use crate::traffic::Recorder;
use crate::tunnel::Tunnel;
use crate::visit::Asked;
use exchange::Answered;
pub(crate) use exchange::Delivery;

const CHALLENGES: &str = "/.well-known/acme-challenge/";
/// How often closed and old upstream connections are looked for.
const UPKEEP: Duration = Duration::from_secs(15);

/// Settings of a gateway.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where redirects to HTTPS point.
    pub https_port: u16,
    /// How long an upstream may take to begin its answer, counted from the last piece of the request's body.
    pub upstream_timeout: Duration,
    pub limits: Limits,
    /// Networks whose connections begin with a header of the PROXY protocol.
    pub proxy_protocol: Vec<IpNet>,
    /// Requests are recorded for [`Gateway::traffic`].
    pub traffic: bool,
    /// `forward_auth` may name private addresses, as whoever writes the table runs this machine.
    pub asks_anywhere: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            https_port: 443,
            upstream_timeout: Duration::from_mins(1),
            limits: Limits::default(),
            proxy_protocol: Vec::new(),
            traffic: false,
            asks_anywhere: false,
        }
    }
}

/// Routes and certificates in force. They change together, between two requests.
#[derive(Debug)]
pub struct Gateway {
    live: ArcSwap<Live>,
    pub(crate) options: Options,
    pub(crate) clients: Arc<Clients>,
    /// Between the table of streams and those who listen for it.
    pub(crate) desk: Desk,
    traffic: Option<Recorder>,
    upstream_connections: TaskTracker,
    /// Second in which an upstream failure was logged last; one line a second tells enough.
    last_warning: AtomicU64,
    started: Instant,
}

/// A spec made ready for [`Gateway::swap`].
#[derive(Debug)]
pub struct Prepared {
    live: Live,
    /// What of the spec cannot be served.
    pub problems: Vec<Problem>,
}

impl Prepared {
    /// How many hosts have a route.
    pub fn hosts(&self) -> usize {
        self.live.routes.hosts()
    }
}

/// What was in force before. Taking it apart takes milliseconds for thousands of routes, and may wait.
#[derive(Debug)]
#[must_use = "it is taken apart where it is dropped: hold it until that may take its time"]
pub struct Replaced(#[expect(dead_code, reason = "held to be dropped")] Arc<Live>);

#[derive(Debug, Default)]
struct Live {
    routes: RouteTable,
    certificates: CertificateTable,
    streams: StreamTable,
}

impl Gateway {
    /// A gateway without routes.
    pub fn new(options: Options) -> Arc<Self> {
        let routes = RouteTable::asking(options.asks_anywhere);
        Arc::new(Self {
            live: ArcSwap::from_pointee(Live { routes, ..Live::default() }),
            clients: Clients::new(options.limits.connections_per_client),
            desk: Desk::default(),
            traffic: options.traffic.then(Recorder::default),
            options,
            upstream_connections: TaskTracker::new(),
            last_warning: AtomicU64::new(0),
            started: Instant::now(),
        })
    }

    /// What `spec` would serve after what is served now. Takes milliseconds for thousands of routes.
    pub fn prepare(&self, spec: &ProxySpec) -> Prepared {
        let before = self.live.load_full();
        let (routes, mut problems) = before.routes.succeed(spec);
        let (certificates, more) = before.certificates.succeed(spec);
        problems.extend(more);
        let streams = before.streams.succeed(&spec.streams, self.traffic.as_ref(), &mut problems);
        Prepared { live: Live { routes, certificates, streams }, problems }
    }

    /// Puts `prepared` in force for every request that begins after this returns. Prepare and swap from one task at
    /// a time.
    pub fn swap(&self, prepared: Prepared) -> Replaced {
        let replaced = Replaced(self.live.swap(Arc::new(prepared.live)));
        self.desk.table_changed();
        replaced
    }

    /// Prepares and swaps; what cannot be served is left out and returned.
    pub fn apply(&self, spec: &ProxySpec) -> Vec<Problem> {
        let mut prepared = self.prepare(spec);
        let problems = std::mem::take(&mut prepared.problems);
        drop(self.swap(prepared));
        problems
    }

    /// The certificate for a name of a TLS handshake.
    pub fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.live.load().certificates.find(&host_key(name)?).cloned()
    }

    /// The stream of a port, as the table in force has it.
    pub(crate) fn stream(&self, key: StreamKey) -> Option<Arc<StreamEntry>> {
        self.live.load().streams.find(key)
    }

    /// The ports to listen on.
    pub(crate) fn stream_keys(&self) -> Vec<StreamKey> {
        self.live.load().streams.keys()
    }

    /// What of the table's streams cannot be listened on, now and whenever that changes.
    pub fn stream_problems(&self) -> watch::Receiver<Vec<StreamProblem>> {
        self.desk.problems()
    }

    /// What a CA is shown that checks `name`.
    pub(crate) fn challenge(&self, name: &str) -> Option<Arc<rustls::ServerConfig>> {
        self.live.load().certificates.challenge(name)
    }

    /// What of `spec`, which is in force, is served: the same table for another engine.
    pub fn servable(&self, spec: &ProxySpec) -> ProxySpec {
        self.live.load().routes.servable(spec)
    }

    /// Hosts with a route, and certificates, in force.
    pub fn counts(&self) -> (usize, usize) {
        let live = self.live.load();
        (live.routes.hosts(), live.certificates.len())
    }

    /// What was recorded since the last call, see [`Recorder::drain`]. Nothing unless [`Options::traffic`] is set.
    pub fn traffic(&self) -> Vec<AppTraffic> {
        self.traffic.as_ref().map(Recorder::drain).unwrap_or_default()
    }

    /// What all apps with a route served, for `/metrics`: in Prometheus' text format.
    pub fn metrics(&self) -> String {
        observe::exposition(self.live.load().routes.metrics())
    }

    /// Closes upstream connections that are no longer of use, until `stop`.
    pub async fn maintain(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(UPKEEP) => {}
                () = stop.cancelled() => break,
            }
            self.live.load().routes.endpoints().for_each(|endpoint| endpoint.sweep());
        }
        self.live.load().routes.endpoints().for_each(|endpoint| endpoint.close_idle());
    }

    pub(crate) async fn answer(
        &self,
        connection: Arc<Connection>,
        mut request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let route = match self.direct(&connection, &request) {
            Ok(route) => route,
            Err(response) => return *response,
        };
        let asked = Asked::new(&route.metrics, self.traffic.as_ref(), &connection, &request);
        if let Some(rules) = &route.rules
            && let Some(response) = Box::pin(rules.answer(connection.visitor(), &mut request)).await
        {
            return asked.answered_here(response);
        }
        self.forward(asked, route, connection, request).await
    }

    /// The route of a request, or the answer that it gets without one.
    fn direct<B>(
        &self,
        connection: &Connection,
        request: &Request<B>,
    ) -> Result<Arc<RouteEntry>, Box<Response<ResponseBody>>> {
        let page = |page: Page| Box::new(page.respond(wants_json(request.headers())));
        let live = self.live.load();
        let host = admission::host(request).map_err(|reason| refuse(request, reason))?;
        let path = request.uri().path();
        if let Some(token) = path.strip_prefix(CHALLENGES)
            && let Some(answer) = live.routes.challenge(&host, token)
        {
            return Err(Box::new(plain_text(answer)));
        }
        if let Some(name) = connection.server_name.as_deref()
            && name != host
            && !live.certificates.share(name, &host)
        {
            return Err(page(Page::Misdirected));
        }
        let route = live.routes.find(&host, path).ok_or_else(|| page(Page::UnknownHost))?;
        if route.https_only && connection.scheme == Scheme::Http {
            return Err(match live.certificates.find(&host) {
                Some(_) => Box::new(self.redirect(&host, request)),
                None => page(Page::CertificatePending),
            });
        }
        Ok(Arc::clone(route))
    }

    fn redirect<B>(&self, host: &str, request: &Request<B>) -> Response<ResponseBody> {
        let port = match self.options.https_port {
            443 => String::new(),
            port => format!(":{port}"),
        };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        match HeaderValue::try_from(format!("https://{host}{port}{path}")) {
            Ok(location) => {
                let mut response = Response::new(ResponseBody::empty());
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                response.headers_mut().insert(LOCATION, location);
                response
            }
            Err(_) => Page::BadRequest("The path cannot be part of an address.")
                .respond(wants_json(request.headers())),
        }
    }

    async fn forward(
        &self,
        mut asked: Asked,
        route: Arc<RouteEntry>,
        connection: Arc<Connection>,
        mut request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let (json, version) = (wants_json(request.headers()), request.version());
        let upgrade = admission::wants_upgrade(&request).then(|| hyper::upgrade::on(&mut request));
        headers::prepare_request(&mut request, &connection.origin, upgrade.is_some());
        let rules = route.rules.as_deref();
        let wishes = rules.map(|rules| rules.prepare(&mut request, connection.scheme)).unwrap_or_default();
        let max = rules.and_then(|rules| rules.max_body_bytes);
        let slowest = self.options.limits.upload_bytes_per_s;
        let upload = (!request.body().is_end_stream()).then(|| Arc::new(Upload::new(slowest).limited(max)));
        asked.uploads(upload.as_ref());
        let mut request = Some(request.map(|incoming| match &upload {
            Some(upload) => RequestBody::stream(incoming, Arc::clone(upload)),
            None => RequestBody::Empty,
        }));
        let answered = self.exchange(&route, &mut request, upload.as_deref(), wishes.instance).await;
        let instance = answered.as_ref().ok().map(|answered| answered.in_flight.0.address());
        let mut response = match answered {
            Ok(answered) if answered.response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                switch(answered, upgrade, &route, connection, asked, json)
            }
            Ok(Answered { mut response, sender, in_flight }) => {
                headers::prepare_response(response.headers_mut(), false);
                let exchange = asked.answered(response.status().as_u16(), instance);
                response.map(|incoming| ResponseBody::stream(incoming, sender, in_flight).counted(exchange))
            }
            Err(page) => {
                let ends = matches!(page, Page::BadRequest(_) | Page::RequestTimeout | Page::TooLarge);
                let response = asked.answered_here(page.respond(json));
                if ends { last(version, response) } else { response }
            }
        };
        if let Some((rules, instance)) = rules.zip(instance) {
            rules.change_answer(&mut response, wishes, instance);
        }
        *response.version_mut() = Version::HTTP_11;
        response
    }
}

fn refuse<B>(request: &Request<B>, reason: &'static str) -> Box<Response<ResponseBody>> {
    Box::new(last(request.version(), Page::BadRequest(reason).respond(wants_json(request.headers()))))
}

/// Who sends one bad request, or half of one, may have sent more, read by other rules: over HTTP/1 the connection ends.
fn last(version: Version, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    if version != Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The upstream left HTTP: so does the client, if it asked to.
fn switch(
    answered: Answered,
    client: Option<OnUpgrade>,
    route: &RouteEntry,
    connection: Arc<Connection>,
    asked: Asked,
    json: bool,
) -> Response<ResponseBody> {
    let Answered { mut response, in_flight, .. } = answered;
    let Some(client) = client else {
        return asked.answered_here(Page::Unreachable.respond(json));
    };
    let exchange = asked.answered(101, Some(in_flight.0.address()));
    let upstream = hyper::upgrade::on(&mut response);
    let drain = connection.drain.clone();
    let tunnel =
        Tunnel { client, upstream, metrics: Arc::clone(&route.metrics), held: (in_flight, connection) };
    drain.spawn_tunnel(tunnel);
    headers::prepare_response(response.headers_mut(), true);
    response.map(|_| ResponseBody::empty().counted(exchange))
}

fn plain_text(text: &str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(text.to_owned()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
