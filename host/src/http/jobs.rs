//! `/v1/jobs`: posting, looking, listing, cancelling, trying again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use imgserve_base::fault::{Fault, one_line};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::body::{self, BodyLimit, Unread};
use super::compat::{WARNING, unknown_arguments};
use super::kind::RequestKind;
use super::long::LongAnswers;
use super::path::{Name, job_id, unknown_job};
use super::peer::Peer;
use super::problem::Problem;
use crate::access::Caller;
use crate::job::{Accepted, Api, Filter, JobId, JobState, Service, Submission, Wish, flow};

/// Longest time in seconds that a client may ask us to wait for an outcome.
const MAX_WAIT_S: u64 = 300;
/// Jobs on a page of the list, where the client does not say.
const PAGE: usize = 50;
/// Most jobs on a page.
const MAX_PAGE: usize = 1000;
/// The parameters of the list's query.
pub(super) const PARAMETERS: [&str; 5] = ["state", "operation", "id", "limit", "before"];
/// Fewest and most digits of a part of an id.
const FEWEST_DIGITS: usize = 4;
const MOST_DIGITS: usize = 32;
/// The most of a name that is told again, in bytes.
const MAX_NAME: usize = 100;
/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 255;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The idempotency key of a request, if it has one (draft-ietf-httpapi-idempotency-key-header).
///
/// # Errors
/// A text, for one that cannot be a key.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("Idempotency-Key stands twice");
    }
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err("Idempotency-Key must be 1 to 255 printable ASCII characters"),
    }
}

pub(super) async fn submit(
    State(service): State<Arc<Service>>,
    Extension(limit): Extension<BodyLimit>,
    Extension(caller): Extension<Caller>,
    Extension(peer): Extension<Peer>,
    Extension(long): Extension<LongAnswers>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if let Some(refusal) = body::refuse_encoded(&headers) {
        return Ok(refusal);
    }
    let idempotency_key =
        idempotency_key(&headers).map_err(|text| Problem::new(RequestKind::BadHeader, text))?;
    let body = body::read(body, limit).await.map_err(Unread::problem)?;
    let (flow, at_once) = (flow(&caller.client, peer.address()), prefers_async(&headers));
    let wait = wait_of(&headers).map(|seconds| (seconds, flow.clone()));
    let Caller { client, stores, .. } = caller;
    let submission = Submission { client, stores, flow, body, api: Api::V1, idempotency_key, at_once };
    let accepted = service.accept(submission).await.map_err(|fault| Problem::of(&fault))?;
    // Where too many wait already the preference is not met, as RFC 7240 lets a server do.
    let wait = wait.and_then(|(seconds, flow)| Some((seconds, long.place(&flow)?)));
    let Some((seconds, _place)) = wait else {
        let mut response = told(&accepted, None);
        if at_once {
            response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
        }
        return Ok(response);
    };
    // The job is accepted, whatever becomes of the wait; who hangs up waits no more.
    let wait = service.outcome(accepted.id, Duration::from_secs(seconds));
    let outcome = peer.while_there(wait).await.and_then(Result::ok).flatten();
    Ok(waited(told(&accepted, outcome), seconds))
}

/// The answer of which the client preferred that it wait.
fn waited(mut response: Response, seconds: u64) -> Response {
    if let Ok(applied) = HeaderValue::from_str(&format!("wait={seconds}")) {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    response
}

/// 202 with where to ask, or 200 with the outcome.
fn told(accepted: &Accepted, outcome: Option<Value>) -> Response {
    let path = format!("/v1/jobs/{}", accepted.id);
    let mut response = match outcome {
        Some(outcome) => (StatusCode::OK, Json(outcome)).into_response(),
        None => (StatusCode::ACCEPTED, Json(acknowledgement(accepted))).into_response(),
    };
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&path) {
        headers.insert(header::LOCATION, location);
    }
    if !accepted.unknown_arguments.is_empty() {
        headers.insert(WARNING, unknown_arguments(&accepted.unknown_arguments));
    }
    if accepted.replayed {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn acknowledgement(accepted: &Accepted) -> Value {
    let mut body = json!({ "id": accepted.id });
    match accepted.destinations.as_slice() {
        [only] => body["dstURL"] = json!(only),
        several => body["outputs"] = several.iter().map(|url| json!({ "dstURL": url })).collect(),
    }
    if !accepted.unknown_arguments.is_empty() {
        body["unknownArguments"] = json!(accepted.unknown_arguments);
    }
    body
}

/// What the client prefers.
fn preferences(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split([',', ';'])).map(str::trim)
}

/// Whether the client prefers not to wait for anything (RFC 7240, section 4.1).
fn prefers_async(headers: &HeaderMap) -> bool {
    preferences(headers).any(|preference| preference.eq_ignore_ascii_case("respond-async"))
}

/// How many seconds the client prefers to wait (RFC 7240, section 4.3).
fn wait_of(headers: &HeaderMap) -> Option<u64> {
    let mut preferences = preferences(headers);
    let wait = preferences.find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("wait")
            .then(|| value.trim().trim_matches('"').parse::<u64>().ok())?
    })?;
    Some(wait.min(MAX_WAIT_S))
}

pub(super) async fn job(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Extension(peer): Extension<Peer>,
    Extension(long): Extension<LongAnswers>,
    headers: HeaderMap,
    id: Name,
) -> Result<Response, Problem> {
    let id = job_id(id)?;
    let look = async || service.job(id, caller.sees_only()).await?.ok_or_else(unknown_job);
    let (story, ended) = look().await?;
    let place = || long.place(&flow(&caller.client, peer.address()));
    let wait = wait_of(&headers).and_then(|seconds| Some((seconds, place()?)));
    let Some((seconds, _place)) = wait else { return Ok(Json(story).into_response()) };
    if ended || seconds == 0 {
        return Ok(waited(Json(story).into_response(), seconds));
    }
    let wait = service.outcome(id, Duration::from_secs(seconds));
    let story = match peer.while_there(wait).await.transpose()?.flatten() {
        Some(story) => story,
        // As it is now, if it has not ended.
        None => look().await?.0,
    };
    Ok(waited(Json(story).into_response(), seconds))
}

pub(super) async fn cancel(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    id: Name,
) -> Result<Response, Problem> {
    let done = service.cancel(job_id(id)?, caller.sees_only()).await;
    answer(done, StatusCode::OK, "the job has ended, or its last result is being stored")
}

pub(super) async fn retry(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    id: Name,
) -> Result<Response, Problem> {
    let done = service.retry(job_id(id)?, caller.sees_only()).await;
    answer(done, StatusCode::ACCEPTED, "only a job that has failed or was cancelled is tried again")
}

fn answer(done: Result<Wish, Fault>, status: StatusCode, refusal: &str) -> Result<Response, Problem> {
    match done.map_err(|fault| Problem::of(&fault))? {
        Wish::Granted(story) => Ok((status, Json(story)).into_response()),
        Wish::Refused(story) => {
            let state = story["state"].as_str().unwrap_or_default();
            let detail = format!("the job is {state}: {refusal}");
            Err(Problem::new(RequestKind::WrongState, detail))
        }
        Wish::Unknown => Err(unknown_job()),
    }
}

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = parameters(uri.query().unwrap_or_default())?;
    let filter = Filter { client: caller.sees_only().cloned(), ..filter(&query)? };
    let limit = filter.limit;
    let jobs = service.jobs(filter).await.map_err(|fault| Problem::of(&fault))?;
    let last = jobs.last().and_then(|job| job["id"].as_str()).filter(|_| jobs.len() == limit);
    let next = last.map(|last| next_page(&query, last));
    let link = next.as_ref().and_then(|next| HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")).ok());
    let mut response = Json(json!({ "jobs": jobs, "next": next })).into_response();
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// The query's parameters. Of states there may be several, one after the other or in one; of all others one each, as
/// nobody can tell which of two is meant.
fn parameters(query: &str) -> Result<HashMap<String, String>, Problem> {
    let mut found: HashMap<String, String> = HashMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
        match found.get_mut(&name) {
            None => drop(found.insert(name, value)),
            Some(states) if name == "state" => {
                states.push(',');
                states.push_str(&value);
            }
            Some(_) => {
                return Err(bad_query(&format!("`{}` stands twice in the query", one_line(&name, MAX_NAME))));
            }
        }
    }
    Ok(found)
}

fn next_page(query: &HashMap<String, String>, last: &str) -> String {
    let kept = ["state", "operation", "id", "limit"];
    let kept = kept.iter().filter_map(|key| Some((*key, query.get(*key)?.as_str())));
    let pairs = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .append_pair("before", last)
        .finish();
    format!("/v1/jobs?{pairs}")
}

fn filter(query: &HashMap<String, String>) -> Result<Filter, Problem> {
    let state = |name: &str| {
        let all = JobState::ALL.map(JobState::as_str).join(", ");
        JobState::parse(name)
            .ok_or_else(|| bad_query(&format!("state `{}` is none of {all}", one_line(name, MAX_NAME))))
    };
    let names = query.get("state").into_iter().flat_map(|names| names.split(','));
    let states = names.filter(|name| !name.is_empty()).map(state).collect::<Result<_, _>>()?;
    let limit = query.get("limit").map_or(Ok(PAGE), |limit| {
        let limit = limit.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
        limit.ok_or_else(|| bad_query(&format!("limit must be 1 to {MAX_PAGE}")))
    })?;
    let before =
        query.get("before").map(|id| JobId::parse(id).ok_or_else(|| bad_query("before must be a job's id")));
    let (operation, before) = (query.get("operation").cloned(), before.transpose()?);
    let id = query.get("id").map(|part| part_of_id(part)).transpose()?;
    Ok(Filter { states, operation, client: None, id, before, limit })
}

/// The first or the last digits of an id, with or without its hyphens.
fn part_of_id(text: &str) -> Result<String, Problem> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let fits = (FEWEST_DIGITS..=MOST_DIGITS).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then_some(digits).ok_or_else(|| {
        bad_query(&format!("id must be the first or last {FEWEST_DIGITS} digits of a job's id, or more"))
    })
}

fn bad_query(text: &str) -> Problem {
    Problem::new(RequestKind::BadQuery, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preference_to_wait_is_found_and_bounded() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, HeaderValue::from_str(text).unwrap());
            wait_of(&headers)
        };
        assert_eq!(wait("wait=30"), Some(30));
        assert_eq!(wait("respond-async, WAIT=\"5\""), Some(5));
        assert_eq!(wait("wait=99999"), Some(MAX_WAIT_S));
        assert_eq!((wait("respond-async"), wait("wait=soon")), (None, None));
        for (text, wanted) in
            [("Respond-Async, wait=5", true), ("wait=5", false), ("respond-asynchronously", false)]
        {
            let headers = HeaderMap::from_iter([(PREFER, HeaderValue::from_static(text))]);
            assert_eq!(prefers_async(&headers), wanted, "{text}");
        }
    }

    #[test]
    fn a_query_is_checked_and_kept_for_the_next_page() {
        let query = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let asked = parameters("state=failed&limit=7&state=cancelled").unwrap();
        assert_eq!(asked, query(&[("state", "failed,cancelled"), ("limit", "7")]));
        assert!(parameters("limit=7&limit=7").is_err() && parameters("state=a&sate=b&sate=b").is_err());
        let filter = filter(&asked).unwrap();
        assert_eq!((filter.states.len(), filter.limit), (2, 7));
        let by_id = super::filter(&query(&[("id", "AB12-34")])).unwrap();
        assert_eq!(by_id.id.as_deref(), Some("AB1234"));
        assert_eq!(next_page(&asked, "x"), "/v1/jobs?state=failed%2Ccancelled&limit=7&before=x");
        for wrong in [("state", "lost"), ("limit", "0"), ("before", "x"), ("id", "123"), ("id", "12%5f")] {
            assert!(super::filter(&query(&[wrong])).is_err(), "{wrong:?}");
        }
    }
}
