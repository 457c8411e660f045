//! `POST /` as in imgserve 0.2: every reply has status 200 and one of three bodies; what else there is to say goes into
//! headers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use imgserve_base::fault::{Fault, FaultKind};
use serde_json::{Value, json};

use super::answer::answer;
use super::body::{self, BodyLimit};
use super::jobs::idempotency_key;
use super::peer::Peer;
use crate::access::Caller;
use crate::job::{Accepted, Api, Service, Submission, flow};

/// The accepted job's id, for `GET /v1/jobs/{id}`.
const JOB_ID: HeaderName = HeaderName::from_static("x-job-id");
/// `<kind>; <text>` of the fault.
const ERROR: HeaderName = HeaderName::from_static("x-imgserve-error");
/// What was odd about a request that was accepted all the same.
pub(super) const WARNING: HeaderName = HeaderName::from_static("x-imgserve-warning");
/// Longest text put into a header, in bytes.
const MAX_HEADER: usize = 1000;

pub(super) async fn post(
    State(service): State<Arc<Service>>,
    Extension(limit): Extension<BodyLimit>,
    Extension(caller): Extension<Caller>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let accepted = async {
        let idempotency_key =
            idempotency_key(&headers).map_err(|text| Fault::new(FaultKind::InvalidArgument, text))?;
        if let Some(by) = body::encoding(&headers) {
            return Err(Fault::new(FaultKind::NotJson, body::encoded(&by)));
        }
        let body = body::read(body, limit).await.map_err(|unread| unread.fault())?;
        let flow = flow(&caller.client, peer.address());
        let Caller { client, stores, .. } = caller;
        let submission =
            Submission { client, stores, flow, body, api: Api::Compat, idempotency_key, at_once: false };
        service.accept(submission).await
    };
    match accepted.await {
        Ok(accepted) => acceptance(&accepted),
        Err(fault) => refusal(&fault),
    }
}

/// 0.2 answered everything but a POST with its one line.
pub(super) async fn not_found() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "404 Not Found - imgserve 0.2\n")
}

fn acceptance(accepted: &Accepted) -> Response {
    let mut response = Json(json!({ "dstURL": accepted.destinations.first() })).into_response();
    let headers = response.headers_mut();
    headers.insert(JOB_ID, header_value(&accepted.id.to_string()));
    if !accepted.unknown_arguments.is_empty() {
        headers.insert(WARNING, unknown_arguments(&accepted.unknown_arguments));
    }
    response
}

/// What 0.2 said of a fault.
pub(super) fn told(fault: &Fault) -> Value {
    match answer(fault).code {
        None => json!({ "msg": "request parse error" }),
        Some(code) => json!({ "msg": "request invalid", "code": code }),
    }
}

/// The answer to a request that is refused.
pub(super) fn refusal(fault: &Fault) -> Response {
    let mut response = Json(told(fault)).into_response();
    response.headers_mut().insert(ERROR, header_value(&format!("{}; {}", fault.kind, fault.text)));
    if let Some(seconds) = answer(fault).retry_after_s {
        // 0.2 knows no other status for it.
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The warning that names arguments which nobody knows.
pub(super) fn unknown_arguments(names: &[String]) -> HeaderValue {
    header_value(&format!("unknown arguments ignored: {}", names.join(", ")))
}

/// A text as a header's value: one line of visible ASCII, everything else escaped.
pub(super) fn header_value(text: &str) -> HeaderValue {
    let mut value = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' '..='~' => value.push(character),
            other => value.extend(other.escape_default()),
        }
        if value.len() > MAX_HEADER {
            value.push_str("...");
            break;
        }
    }
    HeaderValue::from_str(&value).expect("printable ASCII is a valid header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_texts_are_one_line_of_ascii() {
        let value = header_value("größer\r\nX-Evil: 1 \"q\"");
        assert_eq!(value.to_str().unwrap(), "gr\\u{f6}\\u{df}er\\r\\nX-Evil: 1 \"q\"");
        assert!(header_value(&"x".repeat(9999)).len() < 1100);
    }
}
