//! What is answered to connections for which there is no place: that there is none. A load balancer that asks how the server
//! is has its answer all the same.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::units::KIB;

use super::body::BodyLimit;
use super::pages;
use super::problem::Problem;
use super::visit::{self, Visits};
use crate::job::Service;

/// Connections without a place that are answered so at once, at most; further ones wait to be accepted.
pub(crate) const OVERFLOW: usize = 64;
/// How long such a connection may take for its request's headers.
pub(super) const OVERFLOW_TIME: Duration = Duration::from_secs(2);
/// How much of a body that nobody wants is read, so that its client sees the reply.
pub(super) const OVERFLOW_BODY: BodyLimit =
    BodyLimit { bytes: 64 * KIB as usize, time: OVERFLOW_TIME, rate: KIB as usize };

/// What is answered to connections beyond the limit.
pub(super) fn routes(service: Arc<Service>, visits: Visits) -> Router {
    Router::new()
        .route("/healthz", get(pages::healthz))
        .route("/readyz", get(pages::readyz))
        .fallback(too_many)
        .layer(from_fn_with_state(visits, visit::receive))
        .with_state(service)
}

async fn too_many() -> Response {
    let detail = "the server, or your address, has as many connections as it may ([server] max_connections, \
                  max_connections_per_address); try again";
    Problem::of(&Fault::new(FaultKind::Busy, detail)).into_response()
}
