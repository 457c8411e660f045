//! Which web pages may use the API from a browser (`[cors] origins`; the Fetch standard, "CORS protocol"): preflights are
//! answered here, before anyone is asked for a key, and every answer, errors too, says that the page may read it. Cookies and
//! the like are never let in with it: keys are sent by the page itself.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use imgserve_config::EVERY;

use super::routes;

/// What a page's script may send beside what needs no permission, and what of an answer it may read.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-none-match, last-event-id, prefer, traceparent",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "etag, idempotent-replayed, link, location, preference-applied, retry-after, server-timing, www-authenticate, \
     x-imgserve-error, x-imgserve-warning, x-job-id",
);
/// Seconds for which a browser may keep the answer to a preflight: a change of the configuration is seen after as long.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const PREFLIGHT: HeaderName = header::ACCESS_CONTROL_REQUEST_METHOD;

/// The origins of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Origins(Arc<[String]>);

impl Origins {
    pub(super) fn new(origins: &[String]) -> Self {
        Self(origins.into())
    }

    /// Whether pages of every origin may.
    pub(super) fn are_all(&self) -> bool {
        self.0.iter().any(|origin| origin == EVERY)
    }

    /// Whether pages of this origin may use the API.
    pub(super) fn allow(&self, origin: &str) -> bool {
        self.are_all() || self.0.iter().any(|allowed| allowed == origin)
    }

    /// What an answer says to who asked from `origin`; none where it says nothing.
    fn told(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        let origin = origin.filter(|origin| origin.to_str().is_ok_and(|origin| self.allow(origin)))?;
        Some(if self.are_all() { HeaderValue::from_static(EVERY) } else { origin.clone() })
    }

    /// The answer to a preflight of an origin that may.
    pub(super) fn preflight<B>(&self, request: &Request<B>) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS && request.headers().contains_key(PREFLIGHT);
        asks.then(|| self.told(origin(request.headers())))??;
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, routes::methods());
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(response)
    }

    /// Says in an answer who may read it.
    pub(super) fn tell(&self, asked: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        if !self.are_all() {
            // A cache must not give one origin what was said to another.
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        if let Some(told) = self.told(asked) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, told);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

/// The one origin that a request says it comes from.
pub(super) fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(header::ORIGIN).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "https://shop.example.org";

    fn origins(origins: &[&str]) -> Origins {
        Origins::new(&origins.iter().map(|&origin| origin.to_owned()).collect::<Vec<_>>())
    }

    fn told(allowed: &[&str], origin: &str) -> (Option<String>, bool) {
        let mut headers = HeaderMap::new();
        let asked = HeaderValue::from_str(origin).unwrap();
        origins(allowed).tell(Some(&asked), &mut headers);
        let value = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        (value.map(|value| value.to_str().unwrap().to_owned()), headers.contains_key(header::VARY))
    }

    #[test]
    fn an_answer_names_the_origin_that_may_read_it() {
        assert_eq!(told(&[SHOP, "http://localhost:3000"], SHOP), (Some(SHOP.to_owned()), true));
        for other in
            ["https://evil.example", "http://shop.example.org", "https://shop.example.org:8443", "null", ""]
        {
            assert_eq!(told(&[SHOP], other), (None, true), "{other}");
        }
        assert_eq!(told(&["*"], "https://any.example"), (Some("*".to_owned()), false));
        assert_eq!(told(&[], SHOP), (None, false));
    }

    #[test]
    fn a_preflight_is_answered_for_who_may_and_for_nobody_else() {
        let preflight = |method: &str, headers: &[(HeaderName, &str)]| {
            let request = headers.iter().fold(Request::builder().method(method), |request, (name, value)| {
                request.header(name, *value)
            });
            origins(&[SHOP]).preflight(&request.body(()).unwrap())
        };
        let asks = (PREFLIGHT, "POST");
        let answer = preflight("OPTIONS", &[asks.clone(), (header::ORIGIN, SHOP)]).unwrap();
        assert_eq!(answer.status(), 204);
        let allowed = answer.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        assert!(allowed.contains("authorization") && !allowed.contains('*'), "{allowed}");
        for (method, headers) in [
            ("OPTIONS", vec![(header::ORIGIN, SHOP)]),
            ("OPTIONS", vec![asks.clone()]),
            ("POST", vec![asks.clone(), (header::ORIGIN, SHOP)]),
            ("OPTIONS", vec![asks.clone(), (header::ORIGIN, "https://evil.example")]),
            ("OPTIONS", vec![asks, (header::ORIGIN, SHOP), (header::ORIGIN, SHOP)]),
        ] {
            assert!(preflight(method, &headers).is_none(), "{method} {headers:?}");
        }
    }
}
