//! `GET /metrics`, for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, header};

use super::problem::Problem;
use crate::job::Service;
use crate::metrics::CONTENT_TYPE;

pub(super) async fn metrics(
    State(service): State<Arc<Service>>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let text = service.exposition().await.map_err(|fault| Problem::of(&fault))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
