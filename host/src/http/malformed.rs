//! What hyper answers by itself to a request that it cannot read, put into the one form that errors have. It has no hook for
//! that: its answer, a head without a body, is known as it is written, and a problem document written instead.

use std::io::IoSlice;

use axum::http::StatusCode;

use super::kind::RequestKind;
use super::problem::Problem;

/// How hyper's own answer shows: ours to such requests always have a body.
const EMPTY: &str = "\r\ncontent-length: 0\r\n";

/// What is to be written instead of these bytes, if they are hyper's own answer.
pub(super) fn instead_of(slices: &[IoSlice<'_>]) -> Option<Vec<u8>> {
    let head = slices.iter().find(|slice| !slice.is_empty())?;
    let status = head.strip_prefix(b"HTTP/1.1 ").or_else(|| head.strip_prefix(b"HTTP/1.0 "))?.get(..3)?;
    let (kind, detail) = match status {
        b"400" => (RequestKind::MalformedRequest, "what was sent is no HTTP/1.1 request (RFC 9112)"),
        b"414" => (RequestKind::UrlTooLong, "the URL is longer than 64 KiB"),
        b"431" => {
            let detail = "there are more than 64 headers, or URL and headers together are longer than 64 KiB";
            (RequestKind::HeadersTooLarge, detail)
        }
        _ => return None,
    };
    let head = std::str::from_utf8(head).ok()?;
    let is_hypers = head.ends_with("\r\n\r\n") && head.to_ascii_lowercase().contains(EMPTY);
    let told = || Problem::new(kind, detail).body();
    is_hypers.then(|| whole(kind.answer().0, "application/problem+json", "", &told()))
}

/// A whole answer as it is written, after which the connection is closed; `more` are header lines.
pub(super) fn whole(status: StatusCode, media_type: &str, more: &str, body: &str) -> Vec<u8> {
    let (reason, length) = (status.canonical_reason().unwrap_or_default(), body.len());
    let status = status.as_u16();
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {media_type}\r\ncache-control: no-store\r\n{more}\
         connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_hyper_answers_by_itself_is_replaced() {
        let instead = |text: &str| {
            instead_of(&[IoSlice::new(text.as_bytes())]).map(|bytes| String::from_utf8(bytes).unwrap())
        };
        let told =
            instead("HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n").unwrap();
        assert!(told.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{told}");
        assert!(told.contains("\"kind\":\"headers-too-large\"") && told.contains("URL"), "{told}");
        for other in [
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\n{\"a\":1}",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-more: to come\r\n",
            "",
        ] {
            assert_eq!(instead(other), None, "{other}");
        }
    }
}
