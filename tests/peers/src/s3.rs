//! A real S3 server (s3s-fs) on a temporary directory, which checks signatures; and what may go wrong with one: an answer instead of
//! its own, a body that is cut off, a request that it takes its time for.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The largest body that is taken, in bytes.
const MOST: usize = 64 << 20;

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// It is answered so: a status, a `Date` if it is to be another than now, and a body.
    Answer(u16, Option<&'static str>, &'static str),
    /// The body of its answer ends after so many bytes.
    Cut(usize),
    /// It is done when [`S3::release`] says so, whether its client still waits or not.
    Hold,
}

/// Something that was put: which object, with what it was said to be.
#[derive(Clone, Debug)]
pub struct PutObject {
    /// `BUCKET/KEY`.
    pub object: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A running server.
#[derive(Debug)]
pub struct S3 {
    /// `http://127.0.0.1:PORT`
    pub origin: String,
    files: TempDir,
    shared: Arc<Shared>,
}

struct Shared {
    service: S3Service,
    /// Of the next request with this method whose path and query hold this text.
    troubles: Mutex<Vec<(Method, String, Trouble)>>,
    puts: Mutex<Vec<PutObject>>,
    asked: Mutex<Vec<String>>,
    holding: watch::Sender<bool>,
    /// How many are held, or have gone on and are not done.
    held: AtomicUsize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("asked", &self.asked).finish_non_exhaustive()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl S3 {
    /// The access key that it knows: the one of Amazon's own examples.
    pub const KEY: &'static str = "AKIAIOSFODNN7EXAMPLE";
    /// Its secret.
    pub const SECRET: &'static str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    /// Starts one with these buckets.
    ///
    /// # Panics
    /// When no port or no directory can be had.
    pub async fn start(buckets: &[&str]) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        for bucket in buckets {
            std::fs::create_dir(files.path().join(bucket)).expect("a bucket");
        }
        let mut service = S3ServiceBuilder::new(FileSystem::new(files.path()).expect("a file system"));
        service.set_auth(SimpleAuth::from_single(Self::KEY, Self::SECRET));
        let shared = Arc::new(Shared {
            service: service.build(),
            troubles: Mutex::default(),
            puts: Mutex::default(),
            asked: Mutex::default(),
            holding: watch::channel(true).0,
            held: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { origin, files, shared }
    }

    /// A section `[stores.NAME]` that reaches a bucket of it.
    pub fn section(&self, name: &str, bucket: &str) -> String {
        format!(
            "[stores.{name}]\nkind = \"s3\"\nbucket = {bucket:?}\nendpoint = {:?}\naccess_key_id = {:?}\nsecret_access_key = {:?}\n",
            self.origin,
            Self::KEY,
            Self::SECRET
        )
    }

    /// Where an object is kept, by `BUCKET/KEY`.
    pub fn path(&self, object: &str) -> PathBuf {
        self.files.path().join(object)
    }

    /// Makes an object.
    ///
    /// # Panics
    /// When its file cannot be written.
    #[allow(clippy::disallowed_methods, reason = "a test waits for nothing else meanwhile")]
    pub fn put(&self, object: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(object);
        std::fs::create_dir_all(path.parent().expect("a bucket")).expect("a directory");
        std::fs::write(path, bytes).expect("an object");
    }

    /// An object's bytes.
    #[allow(clippy::disallowed_methods, reason = "a test waits for nothing else meanwhile")]
    pub fn object(&self, object: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path(object)).ok()
    }

    /// Whatever was put under this name whole, in order.
    pub fn puts(&self, object: &str) -> Vec<PutObject> {
        lock(&self.shared.puts).iter().filter(|put| put.object == object).cloned().collect()
    }

    /// What it was asked: method, path and query.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.shared.asked).clone()
    }

    /// What is left of uploads in parts.
    ///
    /// # Panics
    /// When its directory cannot be read.
    pub fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.files.path()).expect("its directory").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains("upload")).collect()
    }

    /// What goes wrong with the next request that has this method and this text in its path or query.
    pub fn trouble(&self, method: &str, text: &str, trouble: Trouble) {
        let method = method.parse().expect("a method");
        lock(&self.shared.troubles).push((method, text.to_owned(), trouble));
    }

    /// How many requests are held, or have gone on and are not done yet.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Lets those who are held go on, now and later.
    pub fn release(&self) {
        self.shared.holding.send_replace(false);
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asked = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    lock(&shared.asked).push(format!("{} {asked}", request.method()));
    let trouble = {
        let mut troubles = lock(&shared.troubles);
        let found = troubles
            .iter()
            .position(|(method, text, _)| method == request.method() && asked.contains(text.as_str()));
        found.map(|found| troubles.remove(found).2)
    };
    // Done whether or not its client waits for it.
    let done = tokio::spawn(async move {
        let held = usize::from(matches!(trouble, Some(Trouble::Hold)));
        shared.held.fetch_add(held, Ordering::SeqCst);
        let answer = shared.answer(request, trouble).await;
        shared.held.fetch_sub(held, Ordering::SeqCst);
        answer
    });
    done.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

impl Shared {
    async fn answer(&self, request: Request, trouble: Option<Trouble>) -> Response {
        let (parts, body) = request.into_parts();
        let Ok(body) = axum::body::to_bytes(body, MOST).await else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        match trouble {
            Some(Trouble::Answer(status, date, text)) => {
                let status = StatusCode::from_u16(status).expect("a status");
                let date = date.map(|date| [(header::DATE, date)]);
                return match date {
                    Some(date) => (status, date, text).into_response(),
                    None => (status, text).into_response(),
                };
            }
            Some(Trouble::Hold) => {
                let mut holding = self.holding.subscribe();
                drop(holding.wait_for(|holding| !holding).await);
            }
            Some(Trouble::Cut(_)) | None => {}
        }
        let put = (parts.method == Method::PUT && parts.uri.query().is_none()).then(|| PutObject {
            object: parts.uri.path().trim_start_matches('/').to_owned(),
            headers: parts.headers.clone(),
            bytes: body.clone(),
        });
        let request = s3s::HttpRequest::from_parts(parts, s3s::Body::from(body));
        let response = match self.service.call(request).await {
            Ok(response) => response.map(Body::new),
            Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
        if response.status().is_success() {
            lock(&self.puts).extend(put);
        }
        match trouble {
            Some(Trouble::Cut(length)) => {
                let (parts, body) = response.into_parts();
                let whole = axum::body::to_bytes(body, MOST).await.expect("its own answer");
                let first = Some(whole.slice(..length.min(whole.len())));
                Response::from_parts(parts, Body::new(CutOff { first, length: whole.len() as u64 }))
            }
            _ => response,
        }
    }
}

/// A body that ends before it is whole.
struct CutOff {
    first: Option<Bytes>,
    length: u64,
}

impl http_body::Body for CutOff {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(match self.first.take() {
            Some(first) => Ok(Frame::data(first)),
            None => Err(std::io::ErrorKind::ConnectionReset.into()),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
