//! `POST /v1/operations/{name}` and `GET /v1/operations/{name}/render`: operations called directly. What is understood of
//! the request, and how the result is told; all else is `job`'s.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use imgserve_base::fault::{Fault, FaultKind, one_line};
use imgserve_base::format::Format;
use imgserve_base::units::MIB;
use tokio::time::Instant;
use url::form_urlencoded;

use super::body::{self, BodyLimit, Unread};
use super::compat::{WARNING, header_value, unknown_arguments};
use super::kind::RequestKind;
use super::negotiate;
use super::path::Name;
use super::peer::Peer;
use super::problem::Problem;
use crate::access::{Caller, RESERVED};
use crate::job::{Answer, CacheUse, Call, Product, Render, Room, Sent, Service, Sourced, Was, flow};

/// How long the parts took (W3C, Server Timing).
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// What the cache has done (RFC 9211).
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// The most of a name that is told again, in bytes, and of ignored names.
const MAX_NAME: usize = 100;
const MAX_IGNORED: usize = 16;

/// Seconds for which what was rendered may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct RenderAge(pub(super) u64);

/// How many seconds a URL is good for, if it says when it expires.
fn left(texts: &[(String, String)]) -> Option<u64> {
    let (_, expires) = texts.iter().find(|(name, _)| name == "expires")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Some(expires.parse::<u64>().ok()?.saturating_sub(now))
}

/// `POST /v1/operations/{name}`
pub(super) async fn operate(
    State(service): State<Arc<Service>>,
    name: Name,
    Extension(limit): Extension<BodyLimit>,
    Extension(peer): Extension<Peer>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    if let Some(refusal) = body::refuse_encoded(request.headers()) {
        return refusal;
    }
    let work = async {
        let mut call = call(name, request.uri(), request.headers())?;
        call.flow = flow(&caller.client, peer.address());
        let sent = receive(&service, &mut call, request, limit).await?;
        Ok::<_, Problem>(product(service.operate(&call, sent).await?))
    };
    answered(peer.while_there(Box::pin(work)).await)
}

/// `GET /v1/operations/{name}/render`
pub(super) async fn render(
    State(service): State<Arc<Service>>,
    name: Name,
    Extension(RenderAge(seconds)): Extension<RenderAge>,
    Extension(peer): Extension<Peer>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let work = async {
        let mut call = call(name, &uri, &headers)?;
        call.flow = flow(&caller.client, peer.address());
        // Nothing is kept for longer than its URL is good for.
        let seconds = left(&call.texts).map_or(seconds, |left| left.min(seconds));
        call.texts.retain(|(name, _)| !RESERVED.contains(&name.as_str()));
        let (sources, texts) = call.texts.into_iter().partition(|(name, _)| name == "src");
        call.texts = texts;
        let source = Vec::into_iter(sources).next_back().map(|(_, url)| url).unwrap_or_default();
        let conditional = headers.contains_key(header::IF_NONE_MATCH);
        let anew = negotiate::wants_anew(&headers);
        let Caller { client, stores, .. } = caller.clone();
        let render = Render { call, source, client, stores, conditional, anew };
        let answer = service.render(render, |tag| negotiate::has(&headers, tag)).await?;
        Ok::<_, Problem>(rendered(answer, seconds, caller.has_key()))
    };
    answered(peer.while_there(work).await)
}

fn answered(answer: Option<Result<Response, Problem>>) -> Response {
    match answer {
        Some(answer) => answer.into_response(),
        // Who has only closed its sending side still reads it.
        None => {
            let detail = "the client has closed its side of the connection: what it asked for is not worked on any more";
            Problem::new(RequestKind::ClientGone, detail).into_response()
        }
    }
}

/// What the path, the query and the headers ask for.
///
/// # Errors
/// That a parameter stands twice: nobody can tell which of the two is meant.
fn call(name: Name, uri: &Uri, headers: &HeaderMap) -> Result<Call, Problem> {
    let query = uri.query().unwrap_or_default();
    let parameters: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mut seen = HashSet::new();
    for (name, _) in &parameters {
        if !seen.insert(name.as_str()) {
            let detail = format!("`{}` stands twice in the query", one_line(name, MAX_NAME));
            return Err(Problem::new(RequestKind::BadQuery, detail));
        }
    }
    let (json, texts): (Vec<_>, Vec<_>) = parameters.into_iter().partition(|(name, _)| name == "args");
    Ok(Call {
        operation: name.map(|path| path.0).unwrap_or_default(),
        flow: String::new(),
        json: json.into_iter().map(|(_, json)| json).collect(),
        texts,
        ignored: Vec::new(),
        takes: Format::written().filter(|format| negotiate::takes(headers, format.media_type())).collect(),
    })
}

/// For how much longer a client may be waited for to send its body. For what it waits for itself, memory, it is not to blame.
struct Patience(Duration);

impl Patience {
    /// Waits for the client.
    async fn wait<T>(&mut self, coming: impl Future<Output = T>) -> Result<T, Problem> {
        let began = Instant::now();
        let come = tokio::time::timeout(self.0, coming).await.map_err(|_| Unread::Late.problem())?;
        self.0 = self.0.saturating_sub(began.elapsed());
        Ok(come)
    }
}

/// The image that comes as the body, or as a part of it.
async fn receive(
    service: &Service,
    call: &mut Call,
    request: Request,
    limit: BodyLimit,
) -> Result<Sent, Problem> {
    let mut patience = Patience(limit.time);
    let announced = request.body().size_hint().exact();
    let room = service.room(&call.flow, announced).await;
    let mut room = room.map_err(|fault| Problem::of_body(&fault))?;
    let media_type = text(request.headers(), header::CONTENT_TYPE);
    let is_form = media_type.as_deref().is_some_and(|name| essence(name) == "multipart/form-data");
    if is_form {
        let form = Form::read(service, request, (&mut room, &mut patience), limit.bytes).await?;
        call.json.splice(0..0, form.args);
        call.ignored = form.ignored;
        return Ok(Sent { held: room.hold(form.media_type), name: form.file_name });
    }
    let mut body = request.into_body();
    loop {
        let next = patience.wait(body::next(&mut body)).await?;
        let Some(bytes) = next.map_err(|error| body::broken(&error).problem())? else { break };
        match service.take(&mut room, bytes).await {
            Ok(true) => {}
            Ok(false) => return Err(too_large(room.limit())),
            Err(fault) => return Err(Problem::of_body(&fault)),
        }
    }
    Ok(Sent { held: room.hold(media_type), name: None })
}

/// A form (RFC 7578) with an image, whose bytes are in the room that there is for them, and perhaps arguments.
struct Form {
    file_name: Option<String>,
    media_type: Option<String>,
    args: Option<String>,
    /// The names of its other parts.
    ignored: Vec<String>,
}

impl Form {
    async fn read(
        service: &Service,
        mut request: Request,
        (room, patience): (&mut Room, &mut Patience),
        most_args: usize,
    ) -> Result<Self, Problem> {
        let limit = room.limit();
        DefaultBodyLimit::max(limit).apply(&mut request);
        let form = Multipart::from_request(request, &()).await;
        let mut form = form.map_err(|error| unreadable(&error.to_string()))?;
        let (mut image, mut args, mut ignored) = (None, None, Vec::new());
        loop {
            let next = patience.wait(form.next_field()).await?;
            let Some(field) = next.map_err(|error| broken(&error, limit))? else { break };
            match field.name().map(str::to_owned).as_deref() {
                Some("image") if image.is_some() => return Err(unreadable("the form has two parts `image`")),
                Some("args") if args.is_some() => return Err(unreadable("the form has two parts `args`")),
                Some("image") => {
                    let file_name = field.file_name().map(str::to_owned);
                    let media_type = field.content_type().map(str::to_owned);
                    bytes(service, field, (room, patience)).await?;
                    image = Some((file_name, media_type));
                }
                Some("args") => args = Some(arguments(field, patience, (most_args, limit)).await?),
                Some(other) if ignored.len() < MAX_IGNORED => ignored.push(one_line(other, MAX_NAME)),
                _ => {}
            }
        }
        let (file_name, media_type) = image.ok_or_else(|| unreadable("the form has no part `image`"))?;
        Ok(Self { file_name, media_type, args, ignored })
    }
}

/// The arguments: no longer than a request for a job may be, as they are read here and not in a worker.
async fn arguments(
    mut field: Field<'_>,
    patience: &mut Patience,
    (most, limit): (usize, usize),
) -> Result<String, Problem> {
    let mut text = Vec::new();
    while let Some(chunk) = chunk(&mut field, patience, limit).await? {
        if text.len() + chunk.len() > most {
            let detail = format!("the part `args` is too long ([server] max_body_kb = {})", most >> 10);
            return Err(Problem::of_body(&Fault::new(FaultKind::LimitExceeded, detail)));
        }
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text).map_err(|_| unreadable("the part `args` is not UTF-8"))
}

/// Takes in the image.
async fn bytes(
    service: &Service,
    mut field: Field<'_>,
    (room, patience): (&mut Room, &mut Patience),
) -> Result<(), Problem> {
    let limit = room.limit();
    while let Some(chunk) = chunk(&mut field, patience, limit).await? {
        if !service.take(room, chunk).await.map_err(|fault| Problem::of_body(&fault))? {
            return Err(too_large(limit));
        }
    }
    Ok(())
}

/// The next bytes of a part.
async fn chunk(
    field: &mut Field<'_>,
    patience: &mut Patience,
    limit: usize,
) -> Result<Option<Bytes>, Problem> {
    patience.wait(field.chunk()).await?.map_err(|error| broken(&error, limit))
}

fn broken(error: &MultipartError, limit: usize) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(limit),
        _ => match body::broken(error) {
            Unread::Slow(why) => Unread::Slow(why).problem(),
            _ => unreadable(&error.body_text()),
        },
    }
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is too long ([limits] max_source_mb = {})", limit / MIB as usize);
    Problem::of_body(&Fault::new(FaultKind::LimitExceeded, detail))
}

fn unreadable(why: &str) -> Problem {
    Problem::new(RequestKind::UnreadableBody, format!("the body cannot be read: {why}"))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The result itself.
fn product(product: Product) -> Response {
    let mut response = Response::new(Body::from(product.bytes));
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_str(&product.media_type);
    let unknown = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, media_type.unwrap_or(unknown));
    // What a plugin gives is what it says, whatever it looks like to a browser.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !product.unknown_arguments.is_empty() {
        headers.insert(WARNING, unknown_arguments(&product.unknown_arguments));
    }
    for warning in &product.warnings {
        headers.append(WARNING, header_value(warning));
    }
    let timings = &product.timings;
    // What was found took no work.
    let worked = |time| Some(time).filter(|_| product.cache_use != Some(CacheUse::Found));
    let parts = [
        ("fetch", timings.fetch),
        ("plan", worked(timings.plan)),
        ("queue", worked(timings.queue)),
        ("work", worked(timings.work)),
    ];
    if parts.iter().any(|(_, time)| time.is_some()) {
        headers.insert(SERVER_TIMING, server_timing(&parts));
    }
    tell_of_cache(headers, None, product.cache_use, false);
    response
}

/// Tells what the cache had for an answer, if there is one; of what it had, for how many seconds nobody has asked whether it is
/// still so.
fn tell_of_cache(
    headers: &mut HeaderMap,
    sourced: Option<Sourced>,
    cache_use: Option<CacheUse>,
    joined: bool,
) {
    if sourced.is_none() && cache_use.is_none() {
        return;
    }
    let was = sourced.map_or(Was::Known, |sourced| sourced.was);
    let is_made = matches!(cache_use, Some(CacheUse::Made | CacheUse::MadeOnly));
    let how = match (was, is_made) {
        (Was::Known, false) => "hit",
        (Was::Unchanged, false) => "fwd=stale; fwd-status=304",
        (Was::Again, false) => "fwd=stale; fwd-status=200; detail=result-kept",
        (Was::First, false) => "fwd=uri-miss; fwd-status=200; detail=result-kept",
        (Was::First, true) => "fwd=uri-miss",
        (_, true) => "fwd=miss",
    };
    let stored = if cache_use == Some(CacheUse::Made) { "; stored" } else { "" };
    let collapsed = if joined { "; collapsed" } else { "" };
    let status = HeaderValue::from_str(&format!("imgserve; {how}{stored}{collapsed}"));
    headers.insert(CACHE_STATUS, status.expect("words are a valid header value"));
    if !is_made {
        headers.insert(header::AGE, HeaderValue::from(sourced.map_or(0, |sourced| sourced.age_s)));
    }
}

/// Durations in milliseconds.
fn server_timing(parts: &[(&str, Option<Duration>)]) -> HeaderValue {
    let mut text = String::new();
    for (name, duration) in parts {
        let Some(duration) = duration else { continue };
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}{name};dur={:.3}", duration.as_secs_f64() * 1e3);
    }
    HeaderValue::from_str(&text).expect("names and numbers are a valid header value")
}

/// The result or that the client has it, and how long it may be kept.
fn rendered(answer: Answer, seconds: u64, private: bool) -> Response {
    let cache_use = answer.product.as_ref().and_then(|product| product.cache_use);
    let mut response = match answer.product {
        Some(result) => product(result),
        None => StatusCode::NOT_MODIFIED.into_response(),
    };
    let headers = response.headers_mut();
    tell_of_cache(headers, answer.sourced, cache_use, answer.joined);
    let entity_tag = HeaderValue::from_str(&format!("\"{}\"", answer.entity_tag));
    headers.insert(header::ETAG, entity_tag.expect("hexadecimal digits are a valid header value"));
    // A shared cache would give to others what only this client's key lets it have (RFC 9111, section 3.5).
    let whose = if private { "private" } else { "public" };
    let age = HeaderValue::from_str(&format!("{whose}, max-age={seconds}"));
    headers.insert(header::CACHE_CONTROL, age.expect("a number is a valid header value"));
    if answer.negotiated {
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cache_had_is_told_as_in_rfc_9211() {
        let told = |was: Option<Was>, kept: Option<CacheUse>, joined: bool| {
            let mut headers = HeaderMap::new();
            let sourced = was.map(|was| Sourced { was, age_s: 7 });
            tell_of_cache(&mut headers, sourced, kept, joined);
            let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            (text(CACHE_STATUS).unwrap_or_default(), text(header::AGE).unwrap_or_default())
        };
        for (was, kept, joined, status, age) in [
            (None, None, false, "", ""),
            (None, Some(CacheUse::Found), false, "imgserve; hit", "0"),
            (None, Some(CacheUse::Made), false, "imgserve; fwd=miss; stored", ""),
            (Some(Was::Known), Some(CacheUse::Found), false, "imgserve; hit", "7"),
            (Some(Was::Known), None, false, "imgserve; hit", "7"),
            (Some(Was::Unchanged), Some(CacheUse::Found), false, "imgserve; fwd=stale; fwd-status=304", "7"),
            (
                Some(Was::Again),
                Some(CacheUse::Found),
                false,
                "imgserve; fwd=stale; fwd-status=200; detail=result-kept",
                "7",
            ),
            (Some(Was::First), Some(CacheUse::Made), true, "imgserve; fwd=uri-miss; stored; collapsed", ""),
            (Some(Was::Again), Some(CacheUse::MadeOnly), false, "imgserve; fwd=miss", ""),
        ] {
            assert_eq!(told(was, kept, joined), (status.to_owned(), age.to_owned()), "{was:?} {kept:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_to_blame_for_its_own_time_alone() {
        let mut patience = Patience(Duration::from_secs(10));
        for _ in 0..3 {
            assert!(patience.wait(tokio::time::sleep(Duration::from_secs(3))).await.is_ok());
            // The server takes its time.
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let late = patience.wait(tokio::time::sleep(Duration::from_secs(3))).await.unwrap_err();
        assert_eq!(late.into_response().status(), 408);
    }
}
