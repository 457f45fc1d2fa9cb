//! `/metrics` for Prometheus, the same in every process.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tokio_util::sync::CancellationToken;

const FOLD_EVERY: Duration = Duration::from_secs(5);

/// A gauge is set at least every minute. One that is not any more speaks of something that is gone, or of a replica that
/// no longer leads, and goes.
const GAUGE_LASTS: Duration = Duration::from_mins(3);

/// Gives series of its own in Prometheus' text format.
type Source = Box<dyn Fn() -> String + Send + Sync>;

/// As the recorder, one list per process.
static SOURCES: Mutex<Vec<Source>> = Mutex::new(Vec::new());

/// Installs the recorder behind the `metrics` macros. Once per process; `None` when one is installed already.
pub fn install_metrics() -> Option<PrometheusHandle> {
    PrometheusBuilder::new().idle_timeout(MetricKindMask::GAUGE, Some(GAUGE_LASTS)).install_recorder().ok()
}

/// `/metrics` of this process ends with what `source` gives: what the recorder has no cheap place for, as series per app.
pub fn add_metrics(source: impl Fn() -> String + Send + Sync + 'static) {
    SOURCES.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(source));
}

fn exposition(metrics: Option<&PrometheusHandle>) -> String {
    let mut text = metrics.map(PrometheusHandle::render).unwrap_or_default();
    text.extend(SOURCES.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|source| source()));
    text
}

/// Folds what histograms have gathered, until `stop`: without it they grow until somebody asks for the metrics.
pub async fn fold_metrics(metrics: Option<PrometheusHandle>, stop: CancellationToken) -> anyhow::Result<()> {
    while stop.run_until_cancelled(tokio::time::sleep(FOLD_EVERY)).await.is_some() {
        metrics::gauge!("wisehosting_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
        if let Some(metrics) = &metrics {
            metrics.run_upkeep();
        }
    }
    Ok(())
}

/// Routes that every process serves: `/health` and `/healthz` (the process answers), `/metrics`.
pub fn router(metrics: Option<PrometheusHandle>) -> axum::Router {
    draining_router(metrics, CancellationToken::new())
}

/// The same of a process that goes on serving for a while after it was told to end: from then on `/health` answers 503
/// with `draining`, for load balancers.
pub fn draining_router(metrics: Option<PrometheusHandle>, draining: CancellationToken) -> axum::Router {
    use axum::http::StatusCode;
    use axum::routing::get;
    let health = move || {
        let (code, status) = if draining.is_cancelled() {
            (StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else {
            (StatusCode::OK, "ok")
        };
        async move { (code, axum::Json(serde_json::json!({ "status": status }))) }
    };
    axum::Router::new().route("/health", get(health.clone())).route("/healthz", get(health)).route(
        "/metrics",
        get(move || {
            let text = exposition(metrics.as_ref());
            async move { text }
        }),
    )
}
