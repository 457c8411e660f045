//! The HTTP JSON API; the only code that names hyper or axum, but for the web server that
//! `imgserve demo` brings along as a peer.
//!
//! # Layout
//! - this file: the listener's loop, limits of a connection
//! - `app`: what holds for every request; `host`, `visit`, `cors`: whom a request is for, which of a browser's are refused, which web pages may read answers
//! - `room`, `line`: places for connections and who has one, what a connection is doing; `overload`: who has none
//! - `routes`: every route with what it needs; `auth`: the guard of each; `query`: which parameters each takes
//! - `compat`: `POST /` as in 0.2
//! - `cache`: what is kept of results
//! - `v1`: jobs and operations; `jobs`, `events`, `long`: posting and following jobs, and who may wait for them; `direct`:
//!   operations called directly
//! - `answer`: the one function that maps a fault to HTTP's status and 0.2's code; `problem`: RFC 9457 problem documents;
//!   `kind`: their kinds, explained; `malformed`: requests that hyper itself refuses
//! - `path`, `arriving`, `body`, `negotiate`, `peer`: what a request's path names, its body on its way and as a whole, what
//!   its headers say, whether its client is still there
//! - `pages`: the front page, `/healthz`, `/readyz`; `metrics`: what Prometheus asks for

mod answer;
mod app;
mod arriving;
mod auth;
mod body;
mod cache;
mod compat;
mod cors;
mod direct;
mod events;
mod host;
mod jobs;
mod kind;
mod line;
mod long;
mod malformed;
mod metrics;
mod negotiate;
mod overload;
mod pages;
mod path;
mod peer;
mod problem;
mod query;
mod room;
mod routes;
mod v1;
mod visit;

use std::future::Future;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody as _};
use axum::http::Extensions;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use imgserve_base::units::KIB;
use imgserve_config::{Config, Server};
use rustix::event::EventfdFlags;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::app::App;
use self::auth::Guard;
use self::body::BodyLimit;
use self::cors::Origins;
use self::direct::RenderAge;
use self::host::KnownHosts;
use self::kind::RequestKind;
use self::line::{Line, Patience, Watched};
use self::long::LongAnswers;
pub(crate) use self::overload::OVERFLOW;
use self::overload::{OVERFLOW_BODY, OVERFLOW_TIME};
use self::peer::Peer;
use self::room::Room;
use self::visit::Visits;
use crate::job::Service;

/// How long open connections may take to finish their requests when the server stops: nothing is done for them any more,
/// and SIGTERM takes this beside `[server] stop_timeout_s`.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long nothing further is said of such.
const TOLD_AGAIN: Duration = Duration::from_secs(10);

fn app(service: Arc<Service>, config: &Server, body: BodyLimit, visits: &Visits) -> App {
    service.refusals(RequestKind::denials().map(RequestKind::as_str));
    let guard = Guard::of(&service, visits.clone());
    let router = routes::router(routes::table(), guard, Arc::clone(&service));
    let mut given = Extensions::new();
    given.insert(body);
    given.insert(LongAnswers::new(config.max_connections));
    given.insert(RenderAge(config.render_max_age_s));
    App::new(router, service, visits.clone(), given)
}

/// Serves the API on `listener` until `shutdown` resolves; then open requests may finish.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    config: &Config,
    shutdown: impl Future<Output = ()>,
) {
    let visits = visits(config, &listener).await;
    let beyond = Served::beyond(Arc::clone(&service), &visits, &config.server);
    let served = Served::whole(service, &visits, &config.server);
    let turned_away = Arc::new(Semaphore::new(beyond.room.places()));
    let graceful = GracefulShutdown::new();
    let (mut told, mut spare) = (None, spare());
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, client)) => {
                spare = spare.or_else(self::spare);
                let place = tokio::select! {
                    place = place(&served, &beyond, &turned_away, client.ip()) => place,
                    () = &mut shutdown => break,
                };
                let (place, served) = match place {
                    Ok(place) => place,
                    Err(turn) => {
                        tokio::spawn(overload::turn_away(stream, turn));
                        continue;
                    }
                };
                let connection = graceful.watch(connection(stream, served, &place.line));
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        // A client that hangs up or sends nonsense is its own affair.
                        _ = connection => {}
                        () = place.over() => {}
                    }
                });
            }
            // Whoever comes when there are no file descriptors is to be told so, by the one that is kept for it.
            Err(error) if wants_files(&error) && spare.take().is_some() => {}
            Err(error) => {
                tokio::select! {
                    () = unaccepted(&error, &served.room, &mut told) => {}
                    () = &mut shutdown => break,
                }
            }
        }
    }
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, graceful.shutdown()).await;
}

/// What there is to know of those who come from a browser.
async fn visits(config: &Config, listener: &TcpListener) -> Visits {
    let own = tokio::fs::read_to_string("/proc/sys/kernel/hostname").await.unwrap_or_default();
    Visits {
        hosts: KnownHosts::new(&config.server.allowed_hosts, &own),
        origins: Origins::new(&config.cors.origins),
        local: listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback()),
    }
}

/// A place for a client that has come, and how it is served there. Where one who is waited for may have to go, and else where
/// there is none of either kind, it waits, and with it all who come later.
///
/// # Errors
/// A turn to be turned away, where those who come later could have a place.
async fn place<'a>(
    served: &'a Served,
    beyond: &'a Served,
    turned_away: &Arc<Semaphore>,
    client: IpAddr,
) -> Result<(room::Place, &'a Served), OwnedSemaphorePermit> {
    loop {
        let full = match served.room.place(client) {
            Ok(place) => return Ok((place, served)),
            Err(full) => full,
        };
        let soon = match full.soon {
            Some(soon) => Some(soon),
            None => match beyond.room.place(client) {
                Ok(place) => return Ok((place, beyond)),
                Err(full) => full.soon,
            },
        };
        if full.for_address && soon.is_none() {
            let turn = Arc::clone(turned_away).acquire_owned().await;
            return Err(turn.expect("turns are never closed"));
        }
        tokio::select! {
            () = served.room.freed() => {}
            () = beyond.room.freed() => {}
            () = at(soon) => {}
        }
    }
}

/// Resolves at this time, if there is one.
async fn at(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// A connection could not be accepted: mostly there are no file descriptors. Who is waited for gives one back; and there is a
/// pause, as the connection is still there to be accepted. Said once in a while.
async fn unaccepted(error: &std::io::Error, room: &Arc<Room>, told: &mut Option<Instant>) {
    if matches!(Errno::from_io_error(error), Some(Errno::CONNABORTED | Errno::INTR)) {
        // That one has gone by itself.
        return;
    }
    if wants_files(error) {
        room.make_room();
    }
    if told.is_none_or(|told| told.elapsed() > TOLD_AGAIN) {
        tracing::warn!("cannot accept connections at present: {error}");
        *told = Some(Instant::now());
    }
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

fn wants_files(error: &std::io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// A file descriptor to be given up when there is no other.
fn spare() -> Option<OwnedFd> {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC).ok()
}

/// How connections are served.
struct Served {
    app: Arc<App>,
    room: Arc<Room>,
    body: BodyLimit,
    /// Whether a further request may follow.
    keep_alive: bool,
}

impl Served {
    fn whole(service: Arc<Service>, visits: &Visits, config: &Server) -> Self {
        let body = BodyLimit {
            bytes: config.max_body_kb * KIB as usize,
            time: Duration::from_secs(config.body_timeout_s),
            rate: config.min_body_rate_kb_s * KIB as usize,
        };
        let patience = Patience {
            header: Duration::from_secs(config.header_timeout_s),
            idle: Duration::from_secs(config.keep_alive_idle_s),
        };
        let room = Room::new(config.max_connections, config.connections_per_address(), patience);
        Self { app: Arc::new(app(service, config, body, visits)), room, body, keep_alive: true }
    }

    fn beyond(service: Arc<Service>, visits: &Visits, config: &Server) -> Self {
        let time = Duration::from_secs(config.header_timeout_s).min(OVERFLOW_TIME);
        // A server that has few places has few beyond them: either is a file descriptor.
        let places = OVERFLOW.min(config.max_connections.max(4));
        let room = Room::new(places, places, Patience { header: time, idle: time });
        let app =
            App::new(overload::routes(Arc::clone(&service)), service, visits.clone(), Extensions::new());
        Self { app: Arc::new(app), room, body: OVERFLOW_BODY, keep_alive: false }
    }
}

fn connection(
    stream: TcpStream,
    served: &Served,
    line: &Arc<Line>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + use<> {
    // Replies are small and complete: waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let peer = Peer::new(stream, served.body.rate);
    line.of(peer.clone());
    let connection = TokioIo::new(Watched { stream: peer.clone(), line: Arc::clone(line) });
    let (app, limit, line) = (Arc::clone(&served.app), served.body, Arc::clone(line));
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        let (app, answering) = (Arc::clone(&app), line.request());
        request.extensions_mut().insert(peer.clone());
        async move {
            let answering = answering.ok_or(ErrorKind::ConnectionAborted)?;
            let response = match request.body().is_end_stream() {
                true => app.answer(request.map(Body::new)).await,
                false => answer_to_body(&app, request, limit).await,
            };
            Ok::<_, std::io::Error>(response.map(|body| answering.answer(body)))
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        // The room has times for both, shorter ones when it fills.
        .header_read_timeout(None)
        .keep_alive(served.keep_alive)
        // A client that has sent its request and closed its side is still to be served.
        .half_close(true)
        .max_headers(64)
        .max_buf_size(64 * KIB as usize);
    builder.serve_connection(connection, service)
}

/// Answers a request with a body; whatever of that is not wanted is read before the answer goes out.
async fn answer_to_body(
    app: &App,
    request: hyper::Request<Incoming>,
    limit: BodyLimit,
) -> hyper::Response<Body> {
    let (parts, body) = request.into_parts();
    let (body, unread) = arriving::arriving(body, &parts.headers, limit);
    let response = app.answer(hyper::Request::from_parts(parts, Body::new(body))).await;
    unread.read_on().await;
    response
}
