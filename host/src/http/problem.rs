//! Errors on `/v1` as problem documents (RFC 9457), with the fault's `kind` and 0.2's `code` where there are such.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use imgserve_base::fault::{Fault, FaultKind};
use serde_json::json;

use super::answer::{Answer, answer};

/// A problem document.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    kind: Option<FaultKind>,
    code: Option<u16>,
    retry_after_s: Option<u64>,
}

impl Problem {
    /// One that is no fault of a job's or a call's.
    pub(super) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into(), kind: None, code: None, retry_after_s: None }
    }

    /// The problem that a fault is to a client.
    pub(super) fn of(fault: &Fault) -> Self {
        let Answer { status, code, title, retry_after_s } = answer(fault);
        Self { status, title, detail: fault.text.clone(), kind: Some(fault.kind), code, retry_after_s }
    }

    /// The same for a body that the client is sending: one over a limit is too large, as HTTP has it.
    pub(super) fn of_body(fault: &Fault) -> Self {
        let problem = Self::of(fault);
        match fault.kind {
            FaultKind::LimitExceeded => Self { status: StatusCode::PAYLOAD_TOO_LARGE, ..problem },
            _ => problem,
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::of(&fault)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(kind) = self.kind {
            body["kind"] = json!(kind);
        }
        if let Some(code) = self.code {
            body["code"] = json!(code);
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
