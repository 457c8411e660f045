//! The demo's web server: `GET /NAME` gives a file, `PUT /NAME` takes one, `GET /` shows an upload form, which takes one
//! too. Speaks to imgserve only, on the loopback interface.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Multipart, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use imgserve_base::format::Format;
use imgserve_base::units::MIB;
use tokio::net::TcpListener;

use super::shelf::Shelf;

/// The name of the form's file field.
pub(super) const FIELD: &str = "picture";
/// What the form's hidden field holds. An upload without it did not come from the form.
const TOKEN: &str = "only the form knows this";
/// Largest upload, in bytes.
const MAX_BODY: usize = 64 * MIB as usize;

/// Serves `shelf` on `listener` until the runtime ends.
pub(super) fn serve(listener: TcpListener, shelf: Shelf) {
    let app = Router::new()
        .route("/", get(page))
        .route("/upload", post(upload))
        .route("/{name}", get(give).put(take))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shelf);
    tokio::spawn(async move { axum::serve(listener, app).await });
}

async fn page() -> Html<String> {
    Html(format!(
        "<!doctype html><title>Send a picture</title>\n\
         <form action=\"/upload\" method=\"post\" enctype=\"multipart/form-data\">\n\
         <input type=\"hidden\" name=\"token\" value=\"{TOKEN}\">\n\
         <input type=\"file\" name=\"{FIELD}\"> <button>Send</button>\n\
         </form>\n"
    ))
}

async fn give(State(shelf): State<Shelf>, Path(name): Path<String>) -> Response {
    let format = name.rsplit_once('.').and_then(|(_, extension)| Format::from_extension(extension));
    let media_type = format.map_or("application/octet-stream", Format::media_type);
    match shelf.latest(&name) {
        Some(bytes) => ([(header::CONTENT_TYPE, media_type)], bytes).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn take(State(shelf): State<Shelf>, Path(name): Path<String>, body: Bytes) -> StatusCode {
    shelf.put(&name, body);
    StatusCode::CREATED
}

async fn upload(State(shelf): State<Shelf>, mut form: Multipart) -> StatusCode {
    let (mut token, mut file) = (None, None);
    while let Ok(Some(field)) = form.next_field().await {
        match field.name() {
            Some("token") => token = field.text().await.ok(),
            Some(FIELD) => {
                let name = field.file_name().map(str::to_owned);
                file = name.zip(field.bytes().await.ok());
            }
            _ => {}
        }
    }
    match file {
        Some((name, bytes)) if token.as_deref() == Some(TOKEN) => {
            shelf.put(&name, bytes);
            StatusCode::OK
        }
        _ => StatusCode::FORBIDDEN,
    }
}
