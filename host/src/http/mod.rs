//! The HTTP JSON API; the only code that names hyper or axum, but for the web server that
//! `imgserve demo` brings along as a peer.
//!
//! # Layout
//! - this file: the listener's loop, limits of a connection, the routes
//! - `auth`: who may have which route; `overload`: how many connections there may be
//! - `compat`: `POST /` as in 0.2
//! - `v1`: jobs and operations; `jobs`, `events`: posting and following jobs; `direct`: operations called directly
//! - `answer`: the one function that maps a fault to HTTP's status and 0.2's code; `problem`: RFC 9457 problem documents;
//!   `kind`: their kinds, explained; `malformed`: requests that hyper itself refuses
//! - `path`, `body`, `negotiate`, `peer`: what a request's path names, its body, what its headers say, whether its client is
//!   still there
//! - `pages`: the front page, `/healthz`, `/readyz`; `metrics`: what Prometheus asks for

mod answer;
mod auth;
mod body;
mod compat;
mod direct;
mod events;
mod jobs;
mod kind;
mod malformed;
mod metrics;
mod negotiate;
mod overload;
mod pages;
mod path;
mod peer;
mod problem;
mod v1;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use imgserve_base::units::KIB;
use imgserve_config::Server;
use tokio::net::{TcpListener, TcpStream};
use tower::{Service as _, ServiceExt};

use self::body::BodyLimit;
use self::direct::RenderAge;
use self::events::LongAnswers;
use self::overload::{OVERFLOW_TIME, Place, Room};
use self::peer::Peer;
use crate::job::Service;

/// How long open connections may take to finish their requests when the server stops: nothing is done for them any more,
/// and SIGTERM takes this beside `[server] stop_timeout_s`.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// Pause after an accept that failed for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

fn routes(service: Arc<Service>, config: &Server) -> Router {
    let body = BodyLimit {
        bytes: config.max_body_kb * KIB as usize,
        time: Duration::from_secs(config.body_timeout_s),
    };
    Router::new()
        .route("/", get(pages::front).post(compat::post).fallback(compat::fallback))
        .route("/healthz", get(pages::healthz).fallback(compat::fallback))
        .route("/readyz", get(pages::readyz).fallback(compat::fallback))
        .route("/metrics", get(metrics::metrics).fallback(compat::fallback))
        .nest("/v1", v1::routes())
        .fallback(compat::fallback)
        .layer(from_fn_with_state(Arc::clone(&service), auth::guard))
        .layer(Extension(body))
        .layer(Extension(LongAnswers::new(config.max_connections)))
        .layer(Extension(RenderAge(config.render_max_age_s)))
        .with_state(service)
}

/// Serves the API on `listener` until `shutdown` resolves; then open requests may finish.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    config: &Server,
    shutdown: impl Future<Output = ()>,
) {
    let time = Duration::from_secs(config.header_timeout_s);
    let beyond = Served {
        app: overload::routes(Arc::clone(&service)),
        header_time: time.min(OVERFLOW_TIME),
        keep_alive: false,
    };
    let served = Served { app: routes(service, config), header_time: time, keep_alive: true };
    let room = Room::new(config.max_connections);
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let place = tokio::select! {
            place = room.place() => place,
            () = &mut shutdown => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let place = room.best(place);
                let served = if matches!(place, Place::Regular { .. }) { &served } else { &beyond };
                let connection = graceful.watch(connection(stream, served));
                tokio::spawn(async move {
                    // A client that hangs up or sends nonsense is its own affair.
                    let _ = connection.await;
                    drop(place);
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

/// How a connection is served.
struct Served {
    app: Router,
    /// For a request's headers, also when idle.
    header_time: Duration,
    /// Whether a further request may follow.
    keep_alive: bool,
}

fn connection(
    stream: TcpStream,
    served: &Served,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + use<> {
    // Replies are small and complete: waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let peer = Peer::new(stream);
    let connection = TokioIo::new(peer.clone());
    let app = served.app.clone();
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        let app = app.clone();
        request.extensions_mut().insert(peer.clone());
        async move { Ok::<_, Infallible>(respond(app, request.map(Body::new)).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Runs from the end of the last response as well, and so bounds idle connections too.
        .header_read_timeout(served.header_time)
        .keep_alive(served.keep_alive)
        // A client that has sent its request and closed its side is still to be served.
        .half_close(true)
        .max_headers(64)
        .max_buf_size(64 * KIB as usize);
    builder.serve_connection(connection, service)
}

async fn respond(mut app: Router, request: hyper::Request<Body>) -> hyper::Response<Body> {
    let Ok(ready) = <Router as ServiceExt<hyper::Request<Body>>>::ready(&mut app).await;
    let Ok(response) = ready.call(request).await;
    response
}
