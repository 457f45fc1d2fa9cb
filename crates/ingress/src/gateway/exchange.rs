//! One request on its way to an instance, and to another one when that does not answer.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use protocol::spec::RouteOptions;
use tracing::warn;

use super::Gateway;
use crate::body::{RequestBody, Upload};
use crate::pages::Page;
use crate::table::RouteEntry;
use crate::upstream::{Endpoint, InFlight, Sender};

/// How a route's requests are delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// Instances asked for one request.
    attempts: usize,
    /// The gateway's when absent.
    timeout: Option<Duration>,
    per_try: Option<Duration>,
    on_gateway_error: bool,
}

impl Delivery {
    pub(crate) fn new(options: &RouteOptions, report: &mut impl FnMut(String)) -> Self {
        let retry = options.retry;
        let mut seconds = |name: &str, value: Option<u32>| match value {
            Some(0) => {
                report(format!("has {name} of 0 seconds, in which nothing can answer"));
                None
            }
            value => value.map(|seconds| Duration::from_secs(seconds.into())),
        };
        Self {
            timeout: seconds("timeout_s", options.timeout_s),
            per_try: seconds("retry.per_try_timeout_s", retry.per_try_timeout_s),
            attempts: match retry.attempts {
                0 => {
                    report("has retry.attempts of 0, with the first being one".to_owned());
                    1
                }
                attempts => attempts.into(),
            },
            on_gateway_error: retry.on_gateway_error,
        }
    }

    /// Whether what an instance may have seen goes to another one.
    fn repeats(&self) -> bool {
        self.per_try.is_some() || self.on_gateway_error
    }
}

/// An upstream's answer and what it holds.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) sender: Sender,
    pub(super) in_flight: InFlight,
}

/// One request's way through the instances of its route.
struct Tries<'a> {
    route: &'a RouteEntry,
    /// Whoever tries takes it, and puts back what may be tried again.
    request: &'a mut Option<Request<RequestBody>>,
    upload: Option<&'a Upload>,
    wanted: Option<SocketAddr>,
    /// It may be carried out twice.
    replayable: bool,
    started: Instant,
    whole: Duration,
    failed: Vec<SocketAddr>,
    /// Over a connection that is open already, if there is one.
    pooled: bool,
    failure: Page,
    /// What an instance said that was not the last word.
    fallback: Option<Answered>,
}

/// What came of a request at one instance.
enum Outcome {
    Answered(Answered),
    /// The connection was gone: once more over a new one.
    Anew,
    /// To another instance.
    Elsewhere,
    /// The instance may have acted on it.
    Lost,
    /// It is the client's fault.
    Refused(Page),
}

impl<'a> Tries<'a> {
    fn next(&self) -> Option<&'a Arc<Endpoint>> {
        let left = self.failed.len() < self.route.delivery.attempts;
        left.then(|| self.route.upstreams.pick(&self.failed, self.wanted)).flatten()
    }

    /// `then`, if there is something to send once more.
    fn again(&mut self, request: Option<Request<RequestBody>>, then: Outcome) -> Outcome {
        *self.request = request;
        if self.request.is_some() { then } else { Outcome::Lost }
    }

    fn repeats(&self) -> bool {
        self.replayable && self.route.delivery.repeats()
    }

    /// Whether another one may do what `endpoint` does not.
    fn has_other(&self, endpoint: &Endpoint) -> bool {
        self.repeats()
            && self.failed.len() + 1 < self.route.delivery.attempts
            && self.route.upstreams.has_other(&self.failed, endpoint)
    }

    /// How long one instance may take, with `other` another one to ask.
    fn limit(&self, other: bool) -> Duration {
        if !self.repeats() {
            return self.whole;
        }
        let left = self.whole.saturating_sub(self.started.elapsed());
        self.route.delivery.per_try.filter(|_| other).map_or(left, |per_try| per_try.min(left))
    }
}

impl Gateway {
    /// Sends `request` until an upstream begins its answer. Sent again is what no upstream can have acted on, and what
    /// may be done twice if it went to a connection that was closed already, or if the route wants it. The request
    /// comes by reference, because moving it from call to call costs more than the calls.
    pub(super) async fn exchange(
        &self,
        route: &RouteEntry,
        request: &mut Option<Request<RequestBody>>,
        upload: Option<&Upload>,
        wanted: Option<SocketAddr>,
    ) -> Result<Answered, Page> {
        let idempotent = request.as_ref().is_some_and(|request| request.method().is_idempotent());
        let mut tries = Tries {
            route,
            request,
            upload,
            wanted,
            replayable: upload.is_none() && idempotent,
            started: Instant::now(),
            whole: route.delivery.timeout.unwrap_or(self.options.upstream_timeout),
            failed: Vec::new(),
            pooled: true,
            failure: Page::Unreachable,
            fallback: None,
        };
        while let Some(endpoint) = tries.next() {
            match self.attempt(&mut tries, endpoint).await {
                Outcome::Answered(answered) => return Ok(answered),
                Outcome::Anew => tries.pooled = false,
                Outcome::Elsewhere => {
                    tries.failed.push(endpoint.address());
                    tries.pooled = true;
                }
                Outcome::Lost => break,
                Outcome::Refused(page) => return Err(page),
            }
        }
        if route.upstreams.is_empty() {
            return Err(Page::without_instance(route.unavailable));
        }
        tries.fallback.ok_or(tries.failure)
    }

    async fn attempt(&self, tries: &mut Tries<'_>, endpoint: &Arc<Endpoint>) -> Outcome {
        let (route, upload) = (tries.route, tries.upload);
        let in_flight = endpoint.begin();
        let idle = if tries.pooled { endpoint.idle(tries.replayable) } else { None };
        let mut checkout = match idle {
            Some(checkout) => checkout,
            // Boxed, as what is hardly ever done would make every request's future larger.
            None => match Box::pin(endpoint.connect(&self.upstream_connections)).await {
                Ok(checkout) => checkout,
                Err(error) => {
                    endpoint.mark_down();
                    self.warn(route, endpoint, &error);
                    return Outcome::Elsewhere;
                }
            },
        };
        let other = tries.has_other(endpoint);
        let stale = tries.replayable && checkout.may_be_stale;
        let Some(request) = tries.request.take() else { return Outcome::Lost };
        let copy = (other || stale).then(|| copy_of(&request));
        let head = {
            let sending = pin!(checkout.sender.try_send_request(request));
            until_head(sending, upload, tries.limit(other)).await
        };
        match head {
            Some(Ok(response)) => {
                let at_fault = is_gateway_error(response.status());
                heard(route, endpoint, at_fault);
                let answered = Answered { response, sender: checkout.sender, in_flight };
                match copy {
                    Some(copy) if at_fault && other && route.delivery.on_gateway_error => {
                        tries.fallback = Some(answered);
                        tries.again(Some(copy), Outcome::Elsewhere)
                    }
                    _ => Outcome::Answered(answered),
                }
            }
            Some(Err(_)) if upload.is_some_and(Upload::exceeded) => Outcome::Refused(Page::TooLarge),
            Some(Err(_)) if upload.is_some_and(Upload::is_broken) => {
                Outcome::Refused(Page::BadRequest("Its body did not arrive whole."))
            }
            Some(Err(mut failed)) => match failed.take_message() {
                Some(unsent) if tries.pooled => tries.again(Some(unsent), Outcome::Anew),
                None if tries.pooled && stale => tries.again(copy, Outcome::Anew),
                unsent => {
                    self.warn(route, endpoint, failed.error());
                    tries.failure = Page::Unreachable;
                    tries.again(unsent.or(copy.filter(|_| other)), Outcome::Elsewhere)
                }
            },
            None if upload.is_some_and(Upload::waits_for_client) => Outcome::Refused(Page::RequestTimeout),
            None => {
                heard(route, endpoint, true);
                tries.failure = Page::Timeout;
                tries.again(copy.filter(|_| other), Outcome::Elsewhere)
            }
        }
    }

    /// Counts a failure of an upstream, and logs at most one a second.
    fn warn(&self, route: &RouteEntry, endpoint: &Endpoint, error: &dyn std::error::Error) {
        route.metrics.upstream_failed();
        heard(route, endpoint, true);
        let second = self.started.elapsed().as_secs() + 1;
        if self.last_warning.swap(second, Ordering::Relaxed) != second {
            warn!(app = route.metrics.app(), upstream = %endpoint.address(), %error, "upstream failed");
        }
    }
}

/// An upstream answered, well or not.
fn heard(route: &RouteEntry, endpoint: &Endpoint, at_fault: bool) {
    if route.upstreams.heard(endpoint, at_fault) {
        warn!(app = route.metrics.app(), upstream = %endpoint.address(), "upstream is left out for a while");
        metrics::counter!("wisehosting_ingress_ejections_total", "app" => route.metrics.app().to_owned())
            .increment(1);
    }
}

fn is_gateway_error(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// Waits for the head of an answer. Whenever the request's body moves, the time begins anew.
async fn until_head<F: Future>(
    mut sending: Pin<&mut F>,
    upload: Option<&Upload>,
    timeout: Duration,
) -> Option<F::Output> {
    let mut seen = 0;
    loop {
        if let Ok(answer) = tokio::time::timeout(timeout, sending.as_mut()).await {
            return Some(answer);
        }
        let steps = upload.map_or(0, Upload::steps);
        if steps == seen || upload.is_some_and(Upload::crawls) {
            return None;
        }
        seen = steps;
    }
}

fn copy_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}
