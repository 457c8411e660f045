//! `GET /metrics`, for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, header};

use crate::job::Service;
use crate::metrics::CONTENT_TYPE;

pub(super) async fn metrics(
    State(service): State<Arc<Service>>,
) -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], service.exposition().await)
}
