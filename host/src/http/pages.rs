//! The front page, and what a load balancer asks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::job::{Overview, Service};

/// `GET /`: what this is and how to go on.
pub(super) async fn front() -> String {
    format!(
        "imgserve {}\n\n\
         POST /                     {{\"operationType\": …, \"srcURL\": …, \"dstURL\": …, \"args\": {{…}}}}\n\
         GET  /v1/jobs/{{id}}         a job's state; its id is in the reply's X-Job-Id header\n\
         GET  /v1/operations        what operationType may name, with the schema of its args\n\
         POST /v1/operations/{{name}} an image, and its arguments in the query; answers with the result\n\
         GET  /healthz, /readyz     whether the process lives, whether it takes jobs\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// `GET /healthz`: the process lives and answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when it takes jobs, 503 when it does not, with numbers either way.
pub(super) async fn readyz(State(service): State<Arc<Service>>) -> (StatusCode, Json<Overview>) {
    let overview = service.overview();
    let ready = overview.accepting && overview.workers > 0;
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(overview))
}
