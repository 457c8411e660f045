//! `GET /v1/jobs/{id}/events`: server-sent events (HTML Living Standard, section 9.2), one each time the job's story
//! changes, until it has ended. Who comes back after that, with the last event's id, is told that there are no more.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use imgserve_base::fault::{Fault, FaultKind};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::long::LongAnswers;
use super::path::{Name, job_id, unknown_job};
use super::peer::Peer;
use super::problem::Problem;
use crate::access::Caller;
use crate::job::{JobId, Known, Service, flow};

/// Shortest time between two events of progress.
const PACE: Duration = Duration::from_millis(100);
/// How often something is sent at least, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// After how many milliseconds a client comes back whose connection was lost.
const RETRY: &str = "retry: 2000\n\n";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) async fn events(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Extension(peer): Extension<Peer>,
    Extension(long): Extension<LongAnswers>,
    headers: HeaderMap,
    id: Name,
) -> Result<Response, Problem> {
    let id = job_id(id)?;
    // Watched before it is looked at, so that no change is missed.
    let changes = service.watch(id);
    let job = service.job(id, caller.sees_only()).await.map_err(|fault| Problem::of(&fault))?;
    let first = job.ok_or_else(unknown_job)?;
    let seen = headers.get(LAST_EVENT_ID).is_some_and(|last| last.as_bytes() == mark(&first.0).as_bytes());
    if seen && first.1 {
        // Nothing more will come: a browser's EventSource, which comes back after every end, stops at this.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let place = long.place(&flow(&caller.client, peer.address())).ok_or_else(|| {
        let text = "too many wait for jobs (half of [server] max_connections may, and of those one client as many as are left)";
        Problem::of(&Fault::new(FaultKind::Busy, text))
    })?;
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        follow(service, id, changes, (first, seen), sender).await;
        drop(place);
    });
    let mut response = Body::new(Stream { receiver, ended: false }).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Sends the story whenever it has changed, until the job has ended or the client is gone. A client that comes back and has
/// `seen` the first one is not sent it again.
async fn follow(
    service: Arc<Service>,
    id: JobId,
    mut changes: watch::Receiver<()>,
    ((mut story, mut ended), seen): ((Value, bool), bool),
    sender: mpsc::Sender<Bytes>,
) {
    let mut told = seen.then(|| story.clone());
    if sender.send(RETRY.into()).await.is_err() {
        return;
    }
    let mut known = Known::default();
    loop {
        let event = match &told {
            // Nobody was told of anything new: a comment keeps the connection.
            Some(before) if *before == story => ":\n\n".to_owned(),
            before => event(before.as_ref(), &story),
        };
        if sender.send(event.into()).await.is_err() || ended {
            return;
        }
        told = Some(story.clone());
        tokio::select! {
            () = sender.closed() => return,
            () = service.stopped() => return,
            _ = tokio::time::timeout(KEEP_ALIVE, changes.changed()) => {}
        }
        tokio::time::sleep(PACE).await;
        match service.job_again(id, None, &mut known).await {
            Ok(Some(now)) => (story, ended) = now,
            // It is forgotten, or the journal is gone.
            _ => return,
        }
    }
}

/// `state` when that has changed, else `progress`; the data is the whole story either way.
fn event(before: Option<&Value>, story: &Value) -> String {
    let changed = before.is_none_or(|before| before["state"] != story["state"]);
    let name = if changed { "state" } else { "progress" };
    format!("id: {}\nevent: {name}\ndata: {story}\n\n", mark(story))
}

/// An event's id: how far the job was. The same for the same story, whichever connection or server tells it.
fn mark(story: &Value) -> String {
    let (state, attempt) = (story["state"].as_str().unwrap_or_default(), &story["attempt"]);
    match &story["finished_at_ms"] {
        Value::Null => format!("{state}-{attempt}-{}", story["progress"]),
        finished => format!("{state}-{attempt}-{finished}"),
    }
}

/// What a channel brings, as a body.
struct Stream {
    receiver: mpsc::Receiver<Bytes>,
    ended: bool,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let next = self.receiver.poll_recv(context);
        if let Poll::Ready(None) = next {
            self.ended = true;
        }
        next.map(|event| event.map(|event| Ok(http_body::Frame::data(event))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_of_state_is_told_apart_from_progress() {
        let running = json!({ "state": "running", "attempt": 1, "progress": 0.1 });
        let further = json!({ "state": "running", "attempt": 1, "progress": 0.2 });
        assert!(event(None, &running).starts_with("id: running-1-0.1\nevent: state\ndata: {"));
        assert!(event(Some(&running), &further).starts_with("id: running-1-0.2\nevent: progress\n"));
        assert!(event(Some(&further), &json!({ "state": "succeeded" })).contains("\nevent: state\n"));
    }
}
