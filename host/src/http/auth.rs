//! Who may have which route: every row of the routes stands behind `guard` with the need that the row says, and no handler
//! sees a request that it has not let in.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use imgserve_base::job::Client;
use imgserve_config::Scope;

use super::kind::RequestKind;
use super::problem::Problem;
use super::query::Query;
use super::visit::Visits;
#[cfg(test)]
use super::{cors::Origins, host::KnownHosts};
use crate::access::{Caller, Denied, Keys};
use crate::job::Service;

/// What a request must bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: it tells no more than that the server lives.
    Nothing,
    /// Some API key, if there are any.
    Key,
    /// An API key of this scope, if there are any.
    Scope(Scope),
    /// An API key of the scope `operations`, or a signed URL.
    Render,
}

/// What the guard asks: who may come from a browser, and which keys are in force.
pub(super) struct Guard {
    visits: Visits,
    keys: Arc<dyn Fn() -> Arc<Keys> + Send + Sync>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

impl Guard {
    /// By the keys that this service has at the time.
    pub(super) fn of(service: &Arc<Service>, visits: Visits) -> Self {
        let service = Arc::clone(service);
        Self { visits, keys: Arc::new(move || service.keys()) }
    }

    /// By these keys.
    #[cfg(test)]
    pub(super) fn by(keys: Keys) -> Self {
        let keys = Arc::new(keys);
        let visits = Visits { hosts: KnownHosts::new(&[], ""), origins: Origins::new(&[]), local: false };
        Self { visits, keys: Arc::new(move || Arc::clone(&keys)) }
    }
}

/// Lets in whom the keys in force let in, if the query is what the route takes; handlers find out who it is by `Extension<Caller>`.
pub(super) async fn guard(
    State((guarded, need, query)): State<(Arc<Guard>, Need, Query)>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let keys = (guarded.keys)();
    let admitted = match admit(&keys, need, &request) {
        // Nothing says who it is: a browser may be sent by anyone.
        Ok(caller) if keys.are_none() && caller.client == Client::Anyone => {
            // What anybody may know is no secret to a page either.
            let reader = || guarded.visits.reader(&request).filter(|_| need != Need::Nothing);
            match guarded.visits.stranger(&request).or_else(reader) {
                None => Ok(caller),
                Some(stranger) => Err((stranger.to_string(), stranger.refusal())),
            }
        }
        Ok(caller) => Ok(caller),
        Err(denied) => Err((denied.to_string(), refusal(&denied))),
    };
    match admitted {
        Ok(caller) => match query.check(request.uri()) {
            Some(problem) => problem.into_response(),
            None => {
                request.extensions_mut().insert(caller);
                next.run(request).await
            }
        },
        Err((why, answer)) => {
            tracing::debug!(path = request.uri().path(), "refused: {why}");
            answer
        }
    }
}

fn admit(keys: &Keys, need: Need, request: &Request<Body>) -> Result<Caller, Denied> {
    let uri = request.uri();
    let bearer = bearer(request.headers());
    match need {
        Need::Nothing => Ok(Caller::nobody()),
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
    fn who_needs_nothing_may_nothing() {
        let keys = Keys::new(&imgserve_config::Config::parse("").unwrap().access);
        let request = Request::builder().body(Body::empty()).unwrap();
        let may = |need| admit(&keys, need, &request).unwrap().may(Scope::Admin);
        assert!(!may(Need::Nothing));
        assert!(may(Need::Key) && may(Need::Scope(Scope::Jobs)), "without keys everyone may do everything");
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
