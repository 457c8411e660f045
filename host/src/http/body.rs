//! A request's body, read whole: within a size and a time. What is not read of it here is `arriving`'s.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use imgserve_base::fault::{Fault, FaultKind, Retry};

use super::arriving::TooSlow;
use super::kind::RequestKind;
use super::problem::Problem;
use crate::job::{Gathered, NoMemory};

/// What a request's body may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimit {
    pub(super) bytes: usize,
    pub(super) time: Duration,
    /// Bytes a second at least.
    pub(super) rate: usize,
}

/// What a body may be encoded by: nothing.
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity");

/// Why a body is not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is longer than this many bytes.
    TooLong(usize),
    /// It did not come in time.
    Late,
    /// It comes more slowly than it must.
    Slow(String),
    /// The client broke off.
    Broken(String),
    /// The system gives no memory for more of it.
    NoMemory,
}

impl Unread {
    /// As 0.2 has it: a request that cannot be parsed, unless it can be sent again.
    pub(super) fn fault(&self) -> Fault {
        let text = match self {
            Self::TooLong(bytes) => {
                format!("the body is too long ([server] max_body_kb = {})", bytes >> 10)
            }
            Self::Late => "the body did not come in time ([server] body_timeout_s)".to_owned(),
            Self::Slow(why) => why.clone(),
            Self::Broken(why) => format!("the body cannot be read: {why}"),
            Self::NoMemory => {
                let text = "the system gives no memory for the body ([server] max_body_kb)";
                return Fault::new(FaultKind::Busy, text).retried(Retry::Later);
            }
        };
        Fault::new(FaultKind::NotJson, text)
    }

    /// As HTTP has it.
    pub(super) fn problem(self) -> Problem {
        let fault = self.fault();
        let text = fault.text.clone();
        match self {
            Self::NoMemory => Problem::of(&fault),
            Self::TooLong(_) => Problem::of_body(&Fault::new(FaultKind::LimitExceeded, text)),
            Self::Late | Self::Slow(_) => Problem::new(RequestKind::BodyTooSlow, text),
            Self::Broken(_) => Problem::new(RequestKind::UnreadableBody, text),
        }
    }
}

/// By what a body is encoded that is to be read as it is, and the header that says so (RFC 9110, section 8.4; RFC 9112,
/// section 6.1).
pub(super) fn encoding(headers: &HeaderMap) -> Option<String> {
    let said = |name: &str, nothing: &str| {
        let lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
        let codings: Vec<String> = lines
            .flat_map(|line| {
                line.split(',').map(|coding| coding.trim().to_ascii_lowercase()).collect::<Vec<_>>()
            })
            .filter(|coding| !coding.is_empty() && coding != nothing)
            .collect();
        (!codings.is_empty()).then(|| format!("{name}: {}", codings.join(", ")))
    };
    said("Content-Encoding", "identity").or_else(|| said("Transfer-Encoding", "chunked"))
}

/// What is said of such a body.
pub(super) fn encoded(by: &str) -> String {
    format!("the body is encoded ({}): send it as it is", by.escape_debug())
}

/// The answer to such a body, with the encodings that there are (RFC 9110, section 12.5.3).
pub(super) fn refuse_encoded(headers: &HeaderMap) -> Option<Response> {
    let detail = encoded(&encoding(headers)?);
    let problem = Problem::new(RequestKind::EncodedBody, detail);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::ACCEPT_ENCODING, ENCODINGS);
    Some(response)
}

/// The whole body, if it comes in time and is not too long.
pub(super) async fn read(body: Body, limit: BodyLimit) -> Result<Bytes, Unread> {
    let whole = tokio::time::timeout(limit.time, whole(body, limit.bytes)).await;
    whole.unwrap_or(Err(Unread::Late))
}

/// Why a body broke off.
pub(super) fn broken(error: &(dyn std::error::Error + 'static)) -> Unread {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    match causes.find(|cause| cause.is::<TooSlow>()) {
        Some(slow) => Unread::Slow(slow.to_string()),
        None => Unread::Broken(error.to_string()),
    }
}

/// The body, of at most so many bytes: one that says beforehand that it has more is not begun to be read.
async fn whole(mut body: Body, most: usize) -> Result<Bytes, Unread> {
    // Whatever else it says of its length, memory is taken for what comes.
    if body.size_hint().exact().is_some_and(|announced| announced > most as u64) {
        return Err(Unread::TooLong(most));
    }
    let mut kept = Gathered::new(None);
    while let Some(data) = next(&mut body).await.map_err(|error| broken(&error))? {
        if kept.len() + data.len() > most {
            return Err(Unread::TooLong(most));
        }
        kept.add(data).map_err(|NoMemory| Unread::NoMemory)?;
    }
    Ok(kept.whole())
}

/// The next bytes of a body.
///
/// # Errors
/// When the client breaks off.
pub(super) async fn next(body: &mut Body) -> Result<Option<Bytes>, axum::Error> {
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        // What is no data is a trailer.
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use axum::body::HttpBody;

    use super::*;

    /// A body that says that it has more than any memory, and has three bytes.
    struct Boasting(bool);

    impl HttpBody for Boasting {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            let sent = std::mem::replace(&mut self.0, true);
            Poll::Ready((!sent).then(|| Ok(http_body::Frame::data(Bytes::from_static(b"abc")))))
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(1 << 62)
        }
    }

    #[tokio::test]
    async fn memory_is_taken_for_what_comes_and_not_for_what_is_announced() {
        assert_eq!(whole(Body::new(Boasting(false)), usize::MAX).await.unwrap(), "abc");
        let refused = whole(Body::new(Boasting(false)), 1 << 20).await.unwrap_err();
        assert!(matches!(refused, Unread::TooLong(_)), "{refused:?}");
        let refused = whole(Body::from("abcd"), 3).await.unwrap_err();
        assert!(matches!(refused, Unread::TooLong(3)), "{refused:?}");
    }

    #[test]
    fn want_of_memory_is_the_servers_trouble() {
        let fault = Unread::NoMemory.fault();
        assert_eq!((fault.kind, fault.retry), (FaultKind::Busy, Retry::Later));
        assert_eq!(Unread::NoMemory.problem().into_response().status(), 503);
    }

    #[test]
    fn a_body_is_encoded_unless_it_says_that_it_is_not() {
        let content = |line: &'static str| Some((header::CONTENT_ENCODING, HeaderValue::from_static(line)));
        let transfer = |line: &'static str| Some((header::TRANSFER_ENCODING, HeaderValue::from_static(line)));
        for (line, by) in [
            (None, None),
            (content(""), None),
            (content("identity"), None),
            (content("Identity ,identity"), None),
            (content("gzip"), Some("Content-Encoding: gzip")),
            (content("identity, BR"), Some("Content-Encoding: br")),
            (content("x"), Some("Content-Encoding: x")),
            (transfer("chunked"), None),
            (transfer("Gzip, chunked"), Some("Transfer-Encoding: gzip")),
        ] {
            let headers = HeaderMap::from_iter(line);
            assert_eq!(encoding(&headers).as_deref(), by, "{headers:?}");
            let refusal = refuse_encoded(&headers).map(|response| {
                (response.status().as_u16(), response.headers()[header::ACCEPT_ENCODING].clone())
            });
            assert_eq!(refusal, by.map(|_| (415, HeaderValue::from_static("identity"))), "{headers:?}");
        }
    }
}
