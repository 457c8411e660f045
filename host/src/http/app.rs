//! What holds for every request, whatever its path: whom it must be for and what it may expect, what browsers are told of the
//! answer, which refusals are counted. It stands around the router and is no layer of it: each request would pay for copies of
//! all that is beneath a layer.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Extensions, Request};
use axum::response::{IntoResponse as _, Response};
use tower::{Service as _, ServiceExt};

use super::cors;
use super::kind::RequestKind;
use super::visit::Visits;
use crate::job::Service;

/// The API, or what is answered instead of it.
pub(super) struct App {
    router: Router,
    service: Arc<Service>,
    visits: Visits,
    given: Extensions,
}

impl App {
    /// What is `given` is there for every handler (`Extension`).
    pub(super) fn new(router: Router, service: Arc<Service>, visits: Visits, given: Extensions) -> Self {
        Self { router, service, visits, given }
    }

    /// The answer to a request.
    pub(super) async fn answer(&self, request: Request<Body>) -> Response {
        let origin = cors::origin(request.headers()).cloned();
        let mut response = match self.visits.meant(&request) {
            Err(problem) => problem.into_response(),
            Ok(authority) => match self.visits.origins.preflight(&request) {
                Some(answer) => answer,
                None => {
                    let mut request = request;
                    request.extensions_mut().extend(self.given.clone());
                    authority.map(|authority| request.extensions_mut().insert(authority));
                    self.route(request).await
                }
            },
        };
        self.visits.origins.tell(origin.as_ref(), response.headers_mut());
        if let Some(kind) = response.extensions().get::<RequestKind>() {
            self.service.refused(kind.as_str());
        }
        response
    }

    async fn route(&self, request: Request<Body>) -> Response {
        let mut router = self.router.clone();
        let Ok(ready) = <Router as ServiceExt<Request<Body>>>::ready(&mut router).await;
        let Ok(response) = ready.call(request).await;
        response
    }
}
