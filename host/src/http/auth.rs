//! Who may have which route: every request passes `guard` before any handler sees it, and what a route needs is said in
//! one place, [`Need::of`]. A route that is not named there needs a key.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Request, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use imgserve_config::Scope;

use super::body::{self, BodyLimit};
use super::kind::RequestKind;
use super::problem::Problem;
use crate::access::{Caller, Denied, Keys};
use crate::job::Service;

/// What a request must bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Nothing: it tells no more than that the server lives.
    Nothing,
    /// Some API key, if there are any.
    Key,
    /// An API key of this scope, if there are any.
    Scope(Scope),
    /// An API key of the scope `operations`, or a signed URL.
    Render,
}

impl Need {
    fn of(method: &Method, path: &str) -> Self {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let mut segments = path.split('/').skip(1);
        let place = [(); 5].map(|()| segments.next());
        match place {
            [Some("" | "healthz" | "readyz"), None, ..] if reads => Self::Nothing,
            // What an error means may be read by whoever is told it.
            [Some("v1"), Some("problems"), ..] if reads => Self::Nothing,
            [Some("metrics"), None, ..] => Self::Scope(Scope::Admin),
            [Some("v1"), Some("jobs"), ..] => Self::Scope(Scope::Jobs),
            [Some("v1"), Some("operations"), Some(_), Some("render"), None] if reads => Self::Render,
            [Some("v1"), Some("operations"), ..] if !reads => Self::Scope(Scope::Operations),
            // As in 0.2, which took a POST to any path.
            [first, ..] if first != Some("v1") && *method == Method::POST => Self::Scope(Scope::Jobs),
            _ => Self::Key,
        }
    }
}

/// Lets in whom the keys in force let in; handlers find out who it is by `Extension<Caller>`.
pub(super) async fn guard(
    State(service): State<Arc<Service>>,
    Extension(limit): Extension<BodyLimit>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    match admit(&service.keys(), &request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(denied) => {
            tracing::debug!(path = request.uri().path(), "refused: {denied}");
            discard(request, limit).await;
            service.denied(matches!(denied, Denied::NoKey | Denied::UnknownKey));
            refusal(&denied)
        }
    }
}

fn admit(keys: &Keys, request: &Request<Body>) -> Result<Caller, Denied> {
    let uri = request.uri();
    let bearer = bearer(request.headers());
    match Need::of(request.method(), uri.path()) {
        Need::Nothing => Ok(Caller::anyone()),
        Need::Key => keys.authenticate(bearer),
        Need::Scope(scope) => keys.authenticate(bearer)?.with(scope),
        Need::Render => {
            let path_and_query = uri.path_and_query().map_or("/", |whole| whole.as_str());
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
            keys.may_render(bearer, path_and_query, now)
        }
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Throws away the body of a request that is refused, within the limits of a body that is not: a client that is still
/// sending when the connection is closed never sees the reply.
pub(super) async fn discard(request: Request<Body>, limit: BodyLimit) {
    // Who asks before sending (RFC 9110, section 10.1.1) has not sent it, and will not.
    if !request.headers().contains_key(header::EXPECT) {
        let _ = tokio::time::timeout(limit.time, body::discard(request.into_body(), limit.bytes)).await;
    }
}

/// A problem document; which keys would do is said as in RFC 6750, section 3.
fn refusal(denied: &Denied) -> Response {
    let kind = match denied {
        Denied::NoKey => RequestKind::KeyNeeded,
        Denied::UnknownKey => RequestKind::UnknownKey,
        Denied::OutOfScope { .. } => RequestKind::KeyScope,
        Denied::Unsigned => RequestKind::UrlUnsigned,
        Denied::Expired { .. } => RequestKind::UrlExpired,
        Denied::Malformed(_) | Denied::UnknownUrlKey | Denied::WrongSignature => RequestKind::UrlSignature,
    };
    let challenge = match denied {
        Denied::NoKey => Some("Bearer realm=\"imgserve\"".to_owned()),
        Denied::UnknownKey => Some("Bearer realm=\"imgserve\", error=\"invalid_token\"".to_owned()),
        Denied::OutOfScope { scope, .. } => {
            let scope = scope.as_str();
            Some(format!("Bearer realm=\"imgserve\", error=\"insufficient_scope\", scope=\"{scope}\""))
        }
        _ => None,
    };
    let mut response = Problem::new(kind, denied.to_string()).into_response();
    if let Some(challenge) = challenge.and_then(|challenge| HeaderValue::try_from(challenge).ok()) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_needs_what_it_should() {
        use imgserve_config::Scope::{Admin, Jobs, Operations};
        for (request, need) in [
            ("GET /", Need::Nothing),
            ("HEAD /healthz", Need::Nothing),
            ("GET /readyz", Need::Nothing),
            ("POST /", Need::Scope(Jobs)),
            ("POST /anything/at/all", Need::Scope(Jobs)),
            ("POST //v1/jobs", Need::Scope(Jobs)),
            ("POST /healthz", Need::Scope(Jobs)),
            ("GET /metrics", Need::Scope(Admin)),
            ("POST /v1/jobs", Need::Scope(Jobs)),
            ("GET /v1/jobs", Need::Scope(Jobs)),
            ("GET /v1/jobs/x/events", Need::Scope(Jobs)),
            ("DELETE /v1/jobs/x", Need::Scope(Jobs)),
            ("GET /v1/problems/busy", Need::Nothing),
            ("POST /v1/problems", Need::Key),
            ("GET /v1/operations", Need::Key),
            ("GET /v1/operations/resize", Need::Key),
            ("POST /v1/operations/resize", Need::Scope(Operations)),
            ("GET /v1/operations/resize/render", Need::Render),
            ("HEAD /v1/operations/resize/render", Need::Render),
            ("POST /v1/operations/resize/render", Need::Scope(Operations)),
            ("GET /v1/operations/resize/render/x", Need::Key),
            ("GET /v1", Need::Key),
            ("POST /v1/x", Need::Key),
            ("GET /x", Need::Key),
            ("GET /healthz/x", Need::Key),
            ("PUT /", Need::Key),
        ] {
            let (method, path) = request.split_once(' ').unwrap();
            assert_eq!(Need::of(&method.parse().unwrap(), path), need, "{request}");
        }
    }

    #[test]
    fn a_bearers_token_is_found() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("Bearer ", Some("")),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(bearer(&headers), token, "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn refusals_say_which_key_would_do() {
        let response = refusal(&Denied::OutOfScope {
            client: imgserve_base::job::Client::parse("shop"),
            scope: Scope::Admin,
        });
        assert_eq!(response.status(), 403);
        let challenge = response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
        assert_eq!(challenge, "Bearer realm=\"imgserve\", error=\"insufficient_scope\", scope=\"admin\"");
        assert_eq!(refusal(&Denied::NoKey).status(), 401);
        assert!(refusal(&Denied::WrongSignature).headers().get(header::WWW_AUTHENTICATE).is_none());
    }
}
