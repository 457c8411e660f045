//! A real HTTP server: `GET /files/NAME` gives a file, `PUT /files/NAME` takes one, `GET /` shows an upload form whose
//! action (with a hidden field and a cookie that it insists on) takes one, `POST /plain` takes one without a form.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Multipart, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Html;
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Authority;

/// The form's file field.
const FIELD: &str = "picture";
const FORM: &str = r#"<!doctype html><title>Upload</title>
<form action="/search"><input name="q"></form>
<form action="/take" method="post" enctype="multipart/form-data">
<input type="hidden" name="token" value="t&amp;0"><input type="file" name="picture"><button>Send</button></form>"#;

/// What the server holds, and how it is asked for it.
#[derive(Debug, Default)]
struct Shelf {
    files: Mutex<HashMap<String, Vec<Bytes>>>,
    fetches: Mutex<HashMap<String, usize>>,
    /// What is said of files besides, in headers.
    said: Mutex<HashMap<String, HeaderMap>>,
    /// How often somebody was told that a file has not changed.
    unchanged: Mutex<HashMap<String, usize>>,
    heads: Mutex<HashMap<String, Vec<HeaderMap>>>,
    /// Whether GETs of files have to wait.
    holding: watch::Sender<bool>,
}

type Files = Arc<Shelf>;

/// A running HTTP or HTTPS server and what it holds.
#[derive(Clone, Debug)]
pub struct Web {
    /// Where it listens.
    pub address: SocketAddr,
    /// `http://127.0.0.1:PORT`, or `https://…`.
    pub origin: String,
    files: Files,
}

impl Web {
    /// Starts one, with TLS when an authority is given.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(tls: Option<&Authority>) -> Self {
        let files = Files::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = routes(Arc::clone(&files));
        match tls.map(Authority::acceptor) {
            None => {
                tokio::spawn(async move { axum::serve(listener, app).await });
            }
            Some(acceptor) => {
                tokio::spawn(async move { axum::serve(Tls { listener, acceptor }, app).await });
            }
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        Self { address, origin: format!("{scheme}://{address}"), files }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Bytes>>> {
        lock(&self.files.files)
    }

    /// How often a file was asked for.
    pub fn fetches(&self, name: &str) -> usize {
        lock(&self.files.fetches).get(name).copied().unwrap_or_default()
    }

    /// How often somebody who asked for a file was told that it has not changed.
    pub fn unchanged(&self, name: &str) -> usize {
        lock(&self.files.unchanged).get(name).copied().unwrap_or_default()
    }

    /// Says this of a file from now on, in headers. Who asks for it by its `ETag` or `Last-Modified` is told that it has not changed.
    ///
    /// # Panics
    /// For what cannot be a header.
    pub fn say(&self, name: &str, lines: &[(&'static str, &str)]) {
        let lines = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header")));
        lock(&self.files.said).insert(name.to_owned(), lines.collect());
    }

    /// Lets those who ask for files wait, or wait no longer.
    pub fn hold(&self, holding: bool) {
        self.files.holding.send_replace(holding);
    }

    /// Offers a file under `/files/NAME`.
    pub fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        self.lock().insert(name.to_owned(), vec![bytes.into()]);
    }

    /// Everything that was stored under this name, in order.
    pub fn versions(&self, name: &str) -> Vec<Bytes> {
        self.lock().get(name).cloned().unwrap_or_default()
    }

    /// The headers of everything that was put under this name, in order.
    pub fn heads(&self, name: &str) -> Vec<HeaderMap> {
        lock(&self.files.heads).get(name).cloned().unwrap_or_default()
    }

    /// The `dstURL` that uploads through the form; its field is `picture`.
    pub fn form(&self, name: &str) -> String {
        format!("{}/:{name}", self.origin)
    }

    /// The URL to GET from or PUT to.
    pub fn file(&self, name: &str) -> String {
        format!("{}/files/{name}", self.origin)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn routes(files: Files) -> Router {
    Router::new()
        .route("/", get(|| async { ([(header::SET_COOKIE, "session=s1; Path=/")], Html(FORM)) }))
        .route("/take", post(take))
        .route("/plain", post(plain))
        .route("/files/{name}", get(give).put(keep))
        .layer(DefaultBodyLimit::max(256 << 20))
        .with_state(files)
}

async fn give(
    State(files): State<Files>,
    Path(name): Path<String>,
    asked: HeaderMap,
) -> Result<(HeaderMap, Bytes), (StatusCode, HeaderMap)> {
    *lock(&files.fetches).entry(name.clone()).or_default() += 1;
    // The sender is held by the server itself.
    let _ = files.holding.subscribe().wait_for(|holding| !holding).await;
    let said = lock(&files.said).get(&name).cloned().unwrap_or_default();
    let is_known = |condition: HeaderName, validator: HeaderName| {
        asked.get(&condition).is_some_and(|known| said.get(&validator) == Some(known))
    };
    if is_known(header::IF_NONE_MATCH, header::ETAG)
        || (!asked.contains_key(header::IF_NONE_MATCH)
            && is_known(header::IF_MODIFIED_SINCE, header::LAST_MODIFIED))
    {
        *lock(&files.unchanged).entry(name).or_default() += 1;
        return Err((StatusCode::NOT_MODIFIED, said));
    }
    let found = lock(&files.files).get(&name).and_then(|all| all.last().cloned());
    found.map(|bytes| (said, bytes)).ok_or((StatusCode::NOT_FOUND, HeaderMap::new()))
}

async fn keep(
    State(files): State<Files>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    lock(&files.heads).entry(name.clone()).or_default().push(headers);
    store(&files, name, body);
    StatusCode::CREATED
}

fn store(files: &Files, name: String, body: Bytes) {
    lock(&files.files).entry(name).or_default().push(body);
}

async fn take(State(files): State<Files>, headers: HeaderMap, form: Multipart) -> StatusCode {
    let cookie = headers.get(header::COOKIE).is_some_and(|value| value == "session=s1");
    match received(form).await {
        Some((token, name, body)) if cookie && token.as_deref() == Some("t&0") => {
            store(&files, name, body);
            StatusCode::OK
        }
        _ => StatusCode::FORBIDDEN,
    }
}

async fn plain(State(files): State<Files>, form: Multipart) -> StatusCode {
    match received(form).await {
        Some((None, name, body)) => {
            store(&files, name, body);
            StatusCode::CREATED
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The token field if there is one, the file's name and its bytes.
async fn received(mut form: Multipart) -> Option<(Option<String>, String, Bytes)> {
    let (mut token, mut file) = (None, None);
    while let Ok(Some(field)) = form.next_field().await {
        match field.name().map(str::to_owned).as_deref() {
            Some("token") => token = field.text().await.ok(),
            Some(FIELD) => {
                let name = field.file_name()?.to_owned();
                file = Some((name, field.bytes().await.ok()?));
            }
            _ => {}
        }
    }
    file.map(|(name, body)| (token, name, body))
}

/// Connections that have shaken hands.
struct Tls {
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            // A client that does not trust us ends the handshake; the next one is welcome.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
