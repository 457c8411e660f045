//! How many connections are served: `[server] max_connections`, and a few more beyond, which are only told so. A load
//! balancer that asks how the server is has its answer at once even then; further connections wait to be accepted.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::units::KIB;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::BodyLimit;
use super::problem::Problem;
use super::{auth, pages};
use crate::job::Service;

/// Connections beyond the limit that are answered all the same.
const OVERFLOW: usize = 64;
/// How long such a connection may take for its request's headers.
pub(super) const OVERFLOW_TIME: Duration = Duration::from_secs(2);
/// How much of a body that nobody wants is read, so that its client sees the reply.
const OVERFLOW_BODY: BodyLimit = BodyLimit { bytes: 64 * KIB as usize, time: OVERFLOW_TIME };

/// Room for connections.
#[derive(Debug)]
pub(super) struct Room {
    regular: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
}

/// A connection's place, free again when this is dropped.
#[derive(Debug)]
pub(super) enum Place {
    /// It is served.
    Regular { _permit: OwnedSemaphorePermit },
    /// It is answered with one of [`routes`] and closed.
    Overflow { _permit: OwnedSemaphorePermit },
}

impl Room {
    pub(super) fn new(max_connections: usize) -> Self {
        Self {
            regular: Arc::new(Semaphore::new(max_connections)),
            overflow: Arc::new(Semaphore::new(OVERFLOW)),
        }
    }

    /// Waits until there is a place for one more connection, of either kind.
    pub(super) async fn place(&self) -> Place {
        tokio::select! {
            biased;
            Ok(_permit) = Arc::clone(&self.regular).acquire_owned() => Place::Regular { _permit },
            Ok(_permit) = Arc::clone(&self.overflow).acquire_owned() => Place::Overflow { _permit },
            else => unreachable!("the semaphores are never closed"),
        }
    }

    /// The place for a connection that has just come: a regular one if one has become free since `place` was waited for.
    pub(super) fn best(&self, place: Place) -> Place {
        match (place, Arc::clone(&self.regular).try_acquire_owned()) {
            (Place::Overflow { .. }, Ok(_permit)) => Place::Regular { _permit },
            (place, _) => place,
        }
    }
}

/// What is answered to connections beyond the limit.
pub(super) fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route("/healthz", get(pages::healthz))
        .route("/readyz", get(pages::readyz))
        .fallback(too_many)
        .layer(Extension(OVERFLOW_BODY))
        .with_state(service)
}

async fn too_many(Extension(limit): Extension<BodyLimit>, request: Request<Body>) -> Response {
    auth::discard(request, limit).await;
    let detail = "the server has as many connections as it may ([server] max_connections); try again";
    Problem::of(&Fault::new(FaultKind::Busy, detail)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_regular(place: &Place) -> bool {
        matches!(place, Place::Regular { .. })
    }

    #[tokio::test]
    async fn beyond_the_limit_a_few_are_let_in_and_then_none() {
        let room = Room::new(2);
        let (first, second) = (room.place().await, room.place().await);
        assert!(is_regular(&first) && is_regular(&second));
        let mut beyond = Vec::new();
        for _ in 0..OVERFLOW {
            beyond.push(room.best(room.place().await));
        }
        assert!(!beyond.iter().any(is_regular));
        let wait = tokio::time::timeout(Duration::from_millis(20), room.place());
        assert!(wait.await.is_err(), "one too many is let in");
        drop(first);
        assert!(is_regular(&room.place().await));
    }

    #[tokio::test]
    async fn who_waited_beyond_the_limit_gets_what_has_become_free() {
        let room = Room::new(1);
        let regular = room.place().await;
        let waiting = room.place().await;
        assert!(!is_regular(&waiting));
        drop(regular);
        assert!(is_regular(&room.best(waiting)));
        assert_eq!(room.overflow.available_permits(), OVERFLOW, "the place beyond is given back");
        let _regular = room.place().await;
        assert_eq!(room.regular.available_permits(), 0);
    }
}
