//! The HTTP server that the jobs fetch from, store to and notify. It outlives the server under test, and tells the ledger
//! of every body that it took.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::ledger::Ledger;
use crate::random::Random;

/// The peer, and what it offers.
#[derive(Clone)]
pub(crate) struct Peer {
    origin: String,
    inside: Arc<Inside>,
}

/// What becomes of a PUT.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Take,
    /// It is refused with this status, and `Retry-After` seconds if they are not 0.
    Refuse(u16, u32),
    /// It is taken, and its reply waits until [`Peer::release`].
    Hold,
}

struct Inside {
    /// What becomes of the next PUTs by name; all others are taken.
    plans: Mutex<HashMap<String, VecDeque<Step>>>,
    held: watch::Sender<bool>,
    /// Bodies posted by name.
    posted: Mutex<HashMap<String, Vec<Bytes>>>,
    ledger: Arc<Ledger>,
    offered: Mutex<HashMap<String, Bytes>>,
    random: Random,
    dawdles: AtomicBool,
    broken_off: AtomicU64,
}

impl Peer {
    pub(crate) async fn start(ledger: Arc<Ledger>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let inside = Arc::new(Inside {
            plans: Mutex::default(),
            held: watch::channel(true).0,
            posted: Mutex::default(),
            ledger,
            offered: Mutex::default(),
            random: Random::new(),
            dawdles: AtomicBool::new(false),
            broken_off: AtomicU64::new(0),
        });
        let routes = Router::new()
            .route("/{name}", get(give).put(take).post(note))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(Arc::clone(&inside));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { origin, inside }
    }

    pub(crate) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.origin)
    }

    pub(crate) fn offer(&self, name: &str, bytes: impl Into<Bytes>) {
        self.inside.offered.lock().unwrap().insert(name.to_owned(), bytes.into());
    }

    /// Has half of all transfers take a while, so that kills find some under way.
    pub(crate) fn dawdle(&self) {
        self.inside.dawdles.store(true, Ordering::Relaxed);
    }

    /// What is to become of the next PUTs of this name.
    pub(crate) fn plan(&self, name: &str, steps: &[Step]) {
        self.inside.plans.lock().unwrap().insert(name.to_owned(), steps.iter().copied().collect());
    }

    /// Answers what is held, now and later.
    pub(crate) fn release(&self) {
        self.inside.held.send_replace(false);
    }

    /// Bodies that were posted to this name.
    pub(crate) fn posted(&self, name: &str) -> Vec<Bytes> {
        self.inside.posted.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    /// PUTs whose body did not come to its end.
    pub(crate) fn broken_off(&self) -> u64 {
        self.inside.broken_off.load(Ordering::Relaxed)
    }
}

impl Inside {
    async fn take_time(&self) {
        if self.dawdles.load(Ordering::Relaxed) && self.random.percent(50) {
            tokio::time::sleep(Duration::from_millis(self.random.below(600))).await;
        }
    }
}

async fn give(State(inside): State<Arc<Inside>>, Path(name): Path<String>) -> Result<Bytes, StatusCode> {
    inside.take_time().await;
    inside.offered.lock().unwrap().get(&name).cloned().ok_or(StatusCode::NOT_FOUND)
}

async fn take(State(inside): State<Arc<Inside>>, Path(name): Path<String>, request: Request) -> Response {
    let Ok(body) = axum::body::to_bytes(request.into_body(), 64 << 20).await else {
        inside.broken_off.fetch_add(1, Ordering::Relaxed);
        return StatusCode::BAD_REQUEST.into_response();
    };
    let step = inside.plans.lock().unwrap().get_mut(&name).and_then(VecDeque::pop_front);
    match step {
        Some(Step::Refuse(status, 0)) => return StatusCode::from_u16(status).unwrap().into_response(),
        Some(Step::Refuse(status, after)) => {
            let after = [(header::RETRY_AFTER, after.to_string())];
            return (StatusCode::from_u16(status).unwrap(), after).into_response();
        }
        Some(Step::Hold) => {
            inside.ledger.stored(&name, &body);
            let _ = inside.held.subscribe().wait_for(|held| !*held).await;
        }
        Some(Step::Take) | None => {
            inside.ledger.stored(&name, &body);
            // The sender may be killed between the end of the body and the reply.
            inside.take_time().await;
        }
    }
    StatusCode::CREATED.into_response()
}

async fn note(State(inside): State<Arc<Inside>>, Path(name): Path<String>, body: Bytes) -> StatusCode {
    inside.posted.lock().unwrap().entry(name).or_default().push(body);
    StatusCode::NO_CONTENT
}
