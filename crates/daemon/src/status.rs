//! `/metrics` for Prometheus, the same in every process.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Installs the recorder behind the `metrics` macros. Once per process; `None` when one is installed already.
pub fn install_metrics() -> Option<PrometheusHandle> {
    PrometheusBuilder::new().install_recorder().ok()
}

/// Routes that every process serves: `/health` and `/healthz` (the process answers), `/metrics`.
pub fn router(metrics: Option<PrometheusHandle>) -> axum::Router {
    use axum::routing::get;
    let health = || async { axum::Json(serde_json::json!({ "status": "ok" })) };
    axum::Router::new().route("/health", get(health)).route("/healthz", get(health)).route(
        "/metrics",
        get(move || {
            let text = metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default();
            async move { text }
        }),
    )
}
