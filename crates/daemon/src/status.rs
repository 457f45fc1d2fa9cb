//! `/metrics` for Prometheus, the same in every process.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tokio_util::sync::CancellationToken;

const FOLD_EVERY: Duration = Duration::from_secs(5);

/// A gauge is set at least every minute. One that is not any more speaks of something that is gone, or of a replica that
/// no longer leads, and goes.
const GAUGE_LASTS: Duration = Duration::from_mins(3);

/// What there is once per app is counted in these, in seconds. The quantiles of other histograms are kept to a
/// ten-thousandth, for which each takes a hundred kilobytes and more.
const OF_APPS: (&str, &[f64]) = (
    "wisehosting_ingress_request_seconds",
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
);

/// Installs the recorder behind the `metrics` macros. Once per process; `None` when one is installed already.
pub fn install_metrics() -> Option<PrometheusHandle> {
    let (name, buckets) = OF_APPS;
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
        .ok()?
        .idle_timeout(MetricKindMask::GAUGE, Some(GAUGE_LASTS))
        .install_recorder()
        .ok()
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
            let text = metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default();
            async move { text }
        }),
    )
}
