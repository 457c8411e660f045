//! What is answered to connections for which there is no place: that there is none. A load balancer that asks how the server
//! is has its answer all the same.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::units::KIB;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::answer;
use super::body::BodyLimit;
use super::malformed::whole;
use super::problem::Problem;
use super::room::UNDER_WAY;
use super::{compat, pages, routes};
use crate::job::Service;

/// Connections without a place that are answered so at once, at most, and as many that are turned away; further ones wait to be
/// accepted.
pub(crate) const OVERFLOW: usize = 64;
/// How long such a connection may take for its request's headers.
pub(super) const OVERFLOW_TIME: Duration = Duration::from_secs(2);
/// Nobody wants a body there: how long, and how fast at least, one is read and thrown away, so that its client sees the reply.
pub(super) const OVERFLOW_BODY: BodyLimit = BodyLimit { bytes: 0, time: OVERFLOW_TIME, rate: KIB as usize };

/// The most that is read of a request whose client is hung up on.
const MOST_READ: usize = 4 * KIB as usize;

/// What is answered to connections beyond the limit.
pub(super) fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route("/healthz", get(pages::healthz).fallback(too_many))
        .route("/readyz", get(pages::readyz).fallback(too_many))
        .fallback(too_many)
        .with_state(service)
}

async fn too_many(method: Method, uri: Uri) -> Response {
    match routes::is_as_of_old(&method, uri.path()) {
        true => compat::refusal(&busy()),
        false => Problem::of(&busy()).into_response(),
    }
}

fn busy() -> Fault {
    let detail = "the server, or your address, has as many connections as it may ([server] max_connections, \
                  max_connections_per_address); try again";
    Fault::new(FaultKind::Busy, detail)
}

/// Tells a client for whom there is not even such a place the same, if its request comes in a moment, and hangs up on it.
pub(super) async fn turn_away(stream: TcpStream, _turn: OwnedSemaphorePermit) {
    let _ = tokio::time::timeout(UNDER_WAY, stream.readable()).await;
    let mut request = [0; MOST_READ];
    // What has not been read when a connection is closed takes the answer with it.
    if let Ok((length @ 1.., _)) = recv(&stream, &mut request[..], RecvFlags::DONTWAIT) {
        let _ = send(&stream, &told(&request[..length]), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        let _ = shutdown(&stream, Shutdown::Write);
    }
}

/// The answer to a request of which these are the first bytes.
fn told(request: &[u8]) -> Vec<u8> {
    let fault = busy();
    let (media_type, body) = match is_as_of_old(request) {
        true => ("application/json", compat::told(&fault).to_string()),
        false => ("application/problem+json", Problem::of(&fault).body()),
    };
    let seconds = answer(&fault).retry_after_s.unwrap_or_default();
    whole(StatusCode::SERVICE_UNAVAILABLE, media_type, &format!("retry-after: {seconds}\r\n"), &body)
}

fn is_as_of_old(request: &[u8]) -> bool {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().and_then(|method| Method::from_bytes(method).ok());
    let uri = words.next().and_then(|target| Uri::try_from(target).ok());
    method.zip(uri).is_some_and(|(method, uri)| routes::is_as_of_old(&method, uri.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_turned_away_is_told_so_in_the_form_it_knows() {
        for (request, old) in [
            ("POST / HTTP/1.1\r\nhost: x\r\n\r\n{}", true),
            ("POST /any/path?x HTTP/1.0\r\n", true),
            ("POST http://x/any HTTP/1.1\r\n", true),
            ("POST /v1/jobs HTTP/1.1\r\n", false),
            ("POST http://x/v1/jobs HTTP/1.1\r\n", false),
            ("GET / HTTP/1.1\r\n", false),
            ("POS", false),
            ("\0\u{ff} \u{ff}", false),
        ] {
            let told = String::from_utf8(told(request.as_bytes())).unwrap();
            let (head, body) = told.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{told}");
            assert!(
                head.contains("\r\nretry-after: ") && head.contains("\r\nconnection: close\r\n"),
                "{told}"
            );
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            let as_of_old = serde_json::json!({ "msg": "request invalid", "code": 301 });
            assert_eq!(body == as_of_old, old, "{request}: {told}");
            assert_eq!(head.contains("problem+json"), !old, "{request}: {told}");
        }
    }
}
