//! The other side of the jobs of a stored journal: sources, destinations that are unwell until they are told to be well, and
//! a receiver of webhooks.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Multipart, Path as Name, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Html;
use axum::routing::{get, post, put};
use image::ImageFormat;
use imgserve_peers::samples;

/// What stands in a stored journal for the peers' address and the server's directory.
const PLACES: [&str; 2] = ["{PEER}", "{FILES}"];

const FORM: &str = r#"<!doctype html><form action="/take" method="post" enctype="multipart/form-data">
<input type="file" name="picture"><button>Send</button></form>"#;

/// The peers; clones are the same ones.
#[derive(Clone)]
pub(crate) struct Peers {
    address: String,
    shelf: Arc<Shelf>,
}

#[derive(Default)]
struct Shelf {
    unwell: AtomicBool,
    /// Everything that was stored, by the path's end, in order.
    stored: Mutex<HashMap<String, Vec<Bytes>>>,
    told: AtomicUsize,
}

impl Peers {
    pub(crate) async fn start() -> Self {
        let shelf = Arc::new(Shelf::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = Router::new()
            .route("/src/{name}", get(source))
            .route("/form", get(|| async { Html(FORM) }))
            .route("/take", post(take))
            .route("/hook", post(hook))
            .route("/{how}/{name}", put(keep))
            .with_state(Arc::clone(&shelf));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shelf }
    }

    /// From now on destinations take a placeholder and then do as the first part of their path says.
    pub(crate) fn fall_ill(&self) {
        self.shelf.unwell.store(true, Ordering::Release);
    }

    /// From now on every destination takes everything.
    pub(crate) fn recover(&self) {
        self.shelf.unwell.store(false, Ordering::Release);
    }

    /// A picture of 64×48 pixels; a name that begins with `broken` has a header and little more.
    pub(crate) fn source(&self, name: &str) -> String {
        format!("http://{}/src/{name}", self.address)
    }

    /// A destination; `how` it behaves while the peers are unwell: `well`, `slow` and `stuck` (it answers never, from the
    /// result on or at once), `flaky` (503 from the result on), `closed` (403 from the result on).
    pub(crate) fn destination(&self, how: &str, name: &str) -> String {
        format!("http://{}/{how}/{name}", self.address)
    }

    pub(crate) fn form(&self, name: &str) -> String {
        format!("http://{}/form:{name}", self.address)
    }

    pub(crate) fn hook(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What was stored last at a destination.
    pub(crate) fn last(&self, name: &str) -> Option<Bytes> {
        self.shelf.stored.lock().unwrap().get(name).and_then(|all| all.last().cloned())
    }

    /// How many webhooks came.
    pub(crate) fn told(&self) -> usize {
        self.shelf.told.load(Ordering::Acquire)
    }

    /// A stored journal, with these peers and this directory.
    pub(crate) fn put_in(&self, text: &str, files: &Path) -> String {
        text.replace(PLACES[0], &self.address).replace(PLACES[1], files.to_str().unwrap())
    }

    /// The other way round.
    pub(crate) fn take_out(&self, text: &str, files: &Path) -> String {
        text.replace(&self.address, PLACES[0]).replace(files.to_str().unwrap(), PLACES[1])
    }
}

async fn source(Name(name): Name<String>) -> Vec<u8> {
    picture(&name)
}

/// A source of this name.
pub(crate) fn picture(name: &str) -> Vec<u8> {
    match name.rsplit('.').next() {
        Some("svg") => {
            br##"<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48"><rect width="40" height="30" fill="#c00"/></svg>"##
                .to_vec()
        }
        Some("jpg") => samples::encoded(64, 48, ImageFormat::Jpeg),
        _ if name.starts_with("broken") => samples::encoded(64, 48, ImageFormat::Png)[..200].to_vec(),
        _ => samples::encoded(64, 48, ImageFormat::Png),
    }
}

type Answer = (StatusCode, [(HeaderName, &'static str); 1]);

/// Later than any test looks.
const LATER: [(HeaderName, &str); 1] = [(header::RETRY_AFTER, "250")];

async fn keep(
    State(shelf): State<Arc<Shelf>>,
    Name((how, name)): Name<(String, String)>,
    body: Bytes,
) -> Answer {
    let unwell = shelf.unwell.load(Ordering::Acquire);
    let first = shelf.stored.lock().unwrap().get(&name).is_none_or(Vec::is_empty);
    match how.as_str() {
        "slow" if unwell && !first => std::future::pending().await,
        "stuck" if unwell => std::future::pending().await,
        "flaky" if unwell && !first => return (StatusCode::SERVICE_UNAVAILABLE, LATER),
        "closed" if unwell && !first => return (StatusCode::FORBIDDEN, LATER),
        _ => {}
    }
    shelf.stored.lock().unwrap().entry(name).or_default().push(body);
    (StatusCode::CREATED, LATER)
}

async fn take(State(shelf): State<Arc<Shelf>>, mut form: Multipart) -> StatusCode {
    while let Ok(Some(field)) = form.next_field().await {
        if let Some(name) = field.file_name().map(str::to_owned) {
            let body = field.bytes().await.unwrap();
            shelf.stored.lock().unwrap().entry(name).or_default().push(body);
        }
    }
    StatusCode::OK
}

async fn hook(State(shelf): State<Arc<Shelf>>, headers: HeaderMap, _body: Bytes) -> Answer {
    assert!(headers.contains_key("webhook-signature"), "unsigned");
    if shelf.unwell.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, LATER);
    }
    shelf.told.fetch_add(1, Ordering::AcqRel);
    (StatusCode::OK, LATER)
}
