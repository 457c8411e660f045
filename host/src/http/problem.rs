//! Errors on `/v1` as problem documents (RFC 9457): with a `kind`, a `type` that leads to its explanation, and 0.2's `code`
//! where there is one.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use imgserve_base::fault::{Fault, FaultKind};
use serde_json::json;

use super::answer::{Answer, answer};
use super::kind::{self, Kind, RequestKind};
use super::path::Name;

/// A problem document.
#[derive(Debug)]
pub(super) struct Problem {
    kind: Kind,
    status: StatusCode,
    title: &'static str,
    detail: String,
    code: Option<u16>,
    retry_after_s: Option<u64>,
}

impl Problem {
    /// One that is no fault of a job's or a call's.
    pub(super) fn new(kind: RequestKind, detail: impl Into<String>) -> Self {
        let (status, title) = kind.answer();
        Self { kind: kind.into(), status, title, detail: detail.into(), code: None, retry_after_s: None }
    }

    /// The problem that a fault is to a client.
    pub(super) fn of(fault: &Fault) -> Self {
        let Answer { status, code, title, retry_after_s } = answer(fault);
        Self { kind: Kind::Fault(fault.kind), status, title, detail: fault.text.clone(), code, retry_after_s }
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

impl Problem {
    /// The document.
    pub(super) fn body(&self) -> String {
        let mut body = json!({
            "type": self.kind.path(),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "kind": self.kind.as_str(),
        });
        if let Some(code) = self.code {
            body["code"] = json!(code);
        }
        body.to_string()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body()).into_response();
        if let Kind::Request(kind) = self.kind {
            response.extensions_mut().insert(kind);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// `GET /v1/problems`: all kinds, as the manual's page has them.
pub(super) async fn kinds() -> Response {
    let media_type = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
    (media_type, kind::page()).into_response()
}

/// `GET /v1/problems/{kind}`: what the `type` of a problem document leads to.
pub(super) async fn explain(name: Name) -> Result<String, Problem> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    Kind::parse(&name).map(Kind::explanation).ok_or_else(|| {
        let detail =
            format!("no kind of problem is called `{}`: {} lists them", name.escape_debug(), kind::PATH);
        Problem::new(RequestKind::UnknownPath, detail)
    })
}
