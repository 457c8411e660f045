//! `POST /` as in imgserve 0.2: every reply has status 200 and one of three bodies; what else there is to say goes into
//! headers. Here stands the one function that maps a fault to 0.2's code.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::BodyLimit;
use crate::fault::{Fault, FaultKind};
use crate::job::{Accepted, Service};

/// The accepted job's id, for `GET /v1/jobs/{id}`.
const JOB_ID: HeaderName = HeaderName::from_static("x-job-id");
/// `<kind>; <text>` of the fault.
const ERROR: HeaderName = HeaderName::from_static("x-imgserve-error");
/// What was odd about a request that was accepted all the same.
const WARNING: HeaderName = HeaderName::from_static("x-imgserve-warning");
/// Longest text put into a header, in bytes.
const MAX_HEADER: usize = 1000;

/// How many times as long as the longest body one may be that is read to its end, to be told that it is too long.
const DISCARDED: usize = 32;

/// Seconds after which a client that was told "busy" should try again, where the fault does not say.
const RETRY_AFTER: u64 = 5;

/// 0.2's code of a fault; none for one that 0.2 answered without a code.
pub(super) fn code(kind: FaultKind) -> Option<u16> {
    Some(match kind {
        FaultKind::NotJson => return None,
        FaultKind::WrongMembers => 101,
        FaultKind::UnknownOperation => 102,
        FaultKind::ArgsNotObject => 103,
        FaultKind::EmptySource => 104,
        FaultKind::EmptyDestination => 105,
        FaultKind::MissingArgument => 106,
        FaultKind::WrongType => 107,
        FaultKind::SourceExtension => 108,
        FaultKind::SourceScheme => 109,
        FaultKind::DestinationScheme => 110,
        FaultKind::MissingFieldName => 111,
        FaultKind::FieldNameType => 112,
        FaultKind::DestinationExtension => 113,
        FaultKind::InvalidArgument => 114,
        FaultKind::SourceUnavailable => 201,
        FaultKind::UnreadableSource => 202,
        FaultKind::SourceTooSmall => 203,
        FaultKind::InvalidSvg => 204,
        FaultKind::DestinationUnavailable => 205,
        FaultKind::LimitExceeded | FaultKind::PluginOutOfMemory | FaultKind::PluginTimedOut => 206,
        FaultKind::OperationFailed | FaultKind::PluginTrapped | FaultKind::PluginContract => 207,
        FaultKind::Busy | FaultKind::OperationSuspended => 301,
    })
}

pub(super) async fn post(
    State(service): State<Arc<Service>>,
    Extension(limit): Extension<BodyLimit>,
    body: Body,
) -> Response {
    let accepted = match read(body, limit).await {
        Ok(body) => service.accept(&body).await,
        Err(fault) => Err(fault),
    };
    match accepted {
        Ok(accepted) => acceptance(&accepted),
        Err(fault) => refusal(&fault),
    }
}

/// The whole body, if it comes in time and is not too long.
async fn read(body: Body, limit: BodyLimit) -> Result<Bytes, Fault> {
    match tokio::time::timeout(limit.time, whole(body, limit.bytes)).await {
        Ok(Ok(Some(body))) => Ok(body),
        Ok(Ok(None)) => {
            let text = format!("the body is too long ([server] max_body_kb = {})", limit.bytes >> 10);
            Err(Fault::new(FaultKind::NotJson, text))
        }
        Ok(Err(error)) => Err(Fault::new(FaultKind::NotJson, format!("the body cannot be read: {error}"))),
        Err(_) => {
            Err(Fault::new(FaultKind::NotJson, "the body did not come in time ([server] body_timeout_s)"))
        }
    }
}

/// The body, or none when it is longer than `most`. What is too much of it is read all the same, within reason, and thrown
/// away: a client that is still sending when the connection is closed never sees the reply.
async fn whole(mut body: Body, most: usize) -> Result<Option<Bytes>, axum::Error> {
    let (mut kept, mut length) = (Vec::new(), 0_usize);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length <= most {
            kept.extend_from_slice(&data);
        } else {
            kept = Vec::new();
        }
        if length > most.saturating_mul(DISCARDED) {
            break;
        }
    }
    Ok((length <= most).then(|| kept.into()))
}

/// 0.2 took a POST to any path, and answered everything else with its one line.
pub(super) async fn fallback(
    method: Method,
    state: State<Arc<Service>>,
    limit: Extension<BodyLimit>,
    body: Body,
) -> Response {
    if method == Method::POST {
        return post(state, limit, body).await;
    }
    (StatusCode::NOT_FOUND, "404 Not Found - imgserve 0.2\n").into_response()
}

fn acceptance(accepted: &Accepted) -> Response {
    let mut response = Json(json!({ "dstURL": accepted.destination })).into_response();
    let headers = response.headers_mut();
    headers.insert(JOB_ID, header_value(&accepted.id.to_string()));
    if !accepted.unknown_arguments.is_empty() {
        let text = format!("unknown arguments ignored: {}", accepted.unknown_arguments.join(", "));
        headers.insert(WARNING, header_value(&text));
    }
    response
}

fn refusal(fault: &Fault) -> Response {
    let body = match code(fault.kind) {
        None => json!({ "msg": "request parse error" }),
        Some(code) => json!({ "msg": "request invalid", "code": code }),
    };
    let mut response = Json(body).into_response();
    response.headers_mut().insert(ERROR, header_value(&format!("{}; {}", fault.kind, fault.text)));
    if code(fault.kind) == Some(301) {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(fault.retry_after_s.unwrap_or(RETRY_AFTER)));
    }
    response
}

/// A text as a header's value: one line of visible ASCII, everything else escaped.
fn header_value(text: &str) -> HeaderValue {
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
