//! The HTTP JSON API; the only code that names hyper or axum, but for the web server that
//! `imgserve demo` brings along as a peer.
//!
//! # Layout
//! - this file: the listener's loop, limits of a connection, the routes
//! - `compat`: `POST /` as in 0.2, and the one function that maps a fault to 0.2's code
//! - `v1`: jobs and operations
//! - `problem`: RFC 9457 problem documents
//! - `pages`: the front page, `/healthz`, `/readyz`

mod compat;
mod pages;
mod problem;
mod v1;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::{Service as _, ServiceExt};

use crate::config::Server;
use crate::job::Service;

/// How long open connections may take to finish their requests when the server stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after an accept that failed for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a request may cost, for the handlers.
#[derive(Clone, Copy, Debug)]
struct BodyLimit {
    bytes: usize,
    time: Duration,
}

fn routes(service: Arc<Service>, body: BodyLimit) -> Router {
    Router::new()
        .route("/", get(pages::front).post(compat::post).fallback(compat::fallback))
        .route("/healthz", get(pages::healthz))
        .route("/readyz", get(pages::readyz))
        .nest("/v1", v1::routes())
        .fallback(compat::fallback)
        .layer(Extension(body))
        .with_state(service)
}

/// Serves the API on `listener` until `shutdown` resolves; then open requests may finish.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    config: &Server,
    shutdown: impl Future<Output = ()>,
) {
    let body =
        BodyLimit { bytes: config.max_body_kb << 10, time: Duration::from_secs(config.body_timeout_s) };
    let app = routes(service, body);
    let connections = Arc::new(Semaphore::new(config.max_connections));
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&connections).acquire_owned() => permit,
            () = &mut shutdown => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = graceful.watch(connection(stream, app.clone(), config));
                tokio::spawn(async move {
                    // A client that hangs up or sends nonsense is its own affair.
                    let _ = connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, graceful.shutdown()).await;
}

fn connection(
    stream: TcpStream,
    app: Router,
    config: &Server,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + use<> {
    // Replies are small and complete: waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let app = app.clone();
        async move { Ok::<_, Infallible>(respond(app, request.map(Body::new)).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Runs from the end of the last response as well, and so bounds idle connections too.
        .header_read_timeout(Duration::from_secs(config.header_timeout_s))
        .keep_alive(true)
        // A client that has sent its request and closed its side is still to be served.
        .half_close(true)
        .max_headers(64)
        .max_buf_size(64 << 10);
    builder.serve_connection(TokioIo::new(stream), service)
}

async fn respond(mut app: Router, request: hyper::Request<Body>) -> hyper::Response<Body> {
    let Ok(ready) = <Router as ServiceExt<hyper::Request<Body>>>::ready(&mut app).await;
    let Ok(response) = ready.call(request).await;
    response
}
