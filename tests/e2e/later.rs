//! Jobs that are taken before anything is fetched for them: `"accept": "now"`, and `Prefer: respond-async`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use image::ImageFormat;
use imgserve_peers::{Web, samples};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Server, is_placeholder, look, until};

/// Nothing of another server is waited for.
const AT_ONCE: Duration = Duration::from_millis(1000);

/// A server of one picture, 60x40, that has trouble until it is well.
async fn ill() -> (String, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(false));
    let (asked, png) = (Arc::clone(&well), samples::encoded(60, 40, ImageFormat::Png));
    let give = get(move || async move {
        match asked.load(Ordering::SeqCst) {
            true => png.into_response(),
            false => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a.png", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/a.png", give)).await });
    (url, well)
}

fn job(source: &str, destination: &str) -> Value {
    json!({ "operationType": "resize", "srcURL": source, "dstURL": destination, "args": { "width": 30, "height": 20 },
            "accept": "now" })
}

#[tokio::test]
async fn a_job_is_taken_while_its_sources_server_has_trouble_and_done_when_that_is_over() {
    let (mut server, web) =
        (Server::start("[jobs]\nmax_retry_pause_s = 1\nmax_attempts = 99"), Web::start(None).await);
    let (source, well) = ill().await;
    let began = Instant::now();
    let (status, headers, told) = server
        .post_job(&job(&source, &web.file("{$basename}_{$width}.png")), &[("idempotency-key", "k")])
        .await;
    assert!(status == 202 && began.elapsed() < AT_ONCE, "{status} {told} after {:?}", began.elapsed());
    let id = told["id"].as_str().unwrap().to_owned();
    assert_eq!(headers["location"], format!("/v1/jobs/{id}"));
    assert_eq!(told["dstURL"], web.file("a_{$width}.png"), "what nobody knows yet is left as it was");
    let path = format!("/v1/jobs/{id}");
    let tried = async || server.get(&path).await.1["attempts"][0]["error"]["kind"] == "source-unavailable";
    until("it was tried", tried).await;
    let story = server.get(&path).await.1;
    assert_eq!((&story["output"]["width"], &story["args"]["width"]), (&Value::Null, &json!(30)), "{story}");
    // It is as durable as any.
    server.kill();
    server.restart();
    well.store(true, Ordering::SeqCst);
    let story = server.ended(&id).await;
    assert_eq!((&story["state"], &story["output"]["width"]), (&json!("succeeded"), &json!(30)), "{story}");
    assert_eq!(story["dstURL"], web.file("a_30.png"));
    let versions = web.versions("a_30.png");
    assert!(is_placeholder(&versions[0]) && !is_placeholder(versions.last().unwrap()), "{}", versions.len());
    let (_, headers, again) = server
        .post_job(&job(&source, &web.file("{$basename}_{$width}.png")), &[("idempotency-key", "k")])
        .await;
    assert_eq!((&headers["idempotent-replayed"], &again["id"]), (&"true".parse().unwrap(), &json!(id)));
}

#[tokio::test]
async fn the_header_does_as_well_and_who_wants_no_placeholder_gets_none() {
    let (server, web) = (Server::start(""), Web::start(None).await);
    let local = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let mut body = job(&local, &web.file("out.png"));
    body.as_object_mut().unwrap().remove("accept");
    body["placeholder"] = json!(false);
    for (headers, applied) in [(vec![("prefer", "respond-async")], Some("respond-async")), (Vec::new(), None)]
    {
        let before = web.versions("out.png").len();
        let (status, told_headers, told) = server.post_job(&body, &headers).await;
        assert_eq!(status, 202, "{told}");
        assert_eq!(told_headers.get("preference-applied").map(|value| value.to_str().unwrap()), applied);
        assert_eq!(server.ended(told["id"].as_str().unwrap()).await["state"], "succeeded");
        let versions = web.versions("out.png");
        assert_eq!(
            (versions.len() - before, look(versions.last().unwrap()).0),
            (1, 30),
            "a result, and nothing before it"
        );
    }
    // With a wait it is 200 and the story, all the same.
    let (status, _, story) = server.post_job(&body, &[("prefer", "respond-async, wait=30")]).await;
    assert_eq!((status, &story["state"]), (200, &json!("succeeded")), "{story}");
}

#[tokio::test]
async fn what_no_other_server_can_mend_is_refused_at_once_and_the_rest_fails_in_its_story() {
    let server = Server::start("");
    let local = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let to = server.file_url("out.png");
    for (member, value, status) in [
        ("accept", json!("soon"), 400),
        ("placeholder", json!("no"), 400),
        ("operationType", json!("nothing"), 404),
        ("srcURL", json!("http://[/a.png"), 422),
        ("dstURL", json!("http://[/a.png"), 422),
        ("dstURL", json!(format!("file:///{}{{$width}}.png", "d/".repeat(65))), 422),
        ("args", json!({ "width": "30" }), 400),
    ] {
        let mut body = job(&local, &to);
        body[member] = value;
        let (told, _, problem) = server.post_job(&body, &[]).await;
        assert_eq!(told, status, "{member}: {problem}");
    }
    let mut body = job(&local, &to);
    body["args"] = json!({ "width": 3000, "height": 20, "enlarge": "refuse" });
    let (status, _, told) = server.post_job(&body, &[]).await;
    assert_eq!(status, 202, "{told}");
    let story = server.ended(told["id"].as_str().unwrap()).await;
    assert_eq!(
        (&story["state"], &story["error"]["kind"]),
        (&json!("failed"), &json!("source-too-small")),
        "{story}"
    );
    assert!(!server.files().join("out.png").exists(), "nobody knew how large its picture would have been");
}

/// Where a job stores, and what came there: the second time it has trouble, for so many seconds.
async fn troubled(seconds: u32) -> (String, Arc<Mutex<Vec<Bytes>>>) {
    let bodies = Arc::<Mutex<Vec<Bytes>>>::default();
    let came = Arc::clone(&bodies);
    let take = put(move |body: Bytes| async move {
        let mut came = came.lock().unwrap();
        came.push(body);
        match came.len() {
            2 => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, seconds.to_string())])
                .into_response(),
            _ => StatusCode::CREATED.into_response(),
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/out.png", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/out.png", take)).await });
    (url, bodies)
}

#[tokio::test]
async fn what_a_first_attempt_has_planned_is_known_whatever_becomes_of_the_job() {
    for (state, pause) in [("cancelled", 300), ("failed", 0)] {
        let mut server = Server::start("[jobs]\nmax_retry_pause_s = 300\nmax_attempts = 2");
        let ((source, well), (to, bodies)) = (ill().await, troubled(pause).await);
        well.store(true, Ordering::SeqCst);
        let (_, _, told) = server.post_job(&job(&source, &to), &[]).await;
        until("its result comes", async || bodies.lock().unwrap().len() == 2).await;
        // Nobody could plan it any more.
        well.store(false, Ordering::SeqCst);
        let path = format!("/v1/jobs/{}", told["id"].as_str().unwrap());
        until("it was refused", async || {
            server.get(&path).await.1["attempts"][0]["error"]["kind"] == "destination-unavailable"
        })
        .await;
        server.kill();
        server.restart();
        let story = server.get(&path).await.1;
        assert!(
            story["output"]["planned_memory_bytes"].is_u64() && story["output"]["width"] == 30,
            "{story}"
        );
        if state == "cancelled" {
            assert_eq!(server.delete(&path).await.1["state"], state);
        }
        until("it has ended", async || server.get(&path).await.1["state"] == state).await;
        until("the failure is shown", async || bodies.lock().unwrap().len() == 3).await;
        let bodies = bodies.lock().unwrap();
        assert!(
            is_placeholder(&bodies[0]) && is_placeholder(&bodies[2]) && bodies[0] != bodies[2],
            "{state}"
        );
    }
}

#[tokio::test]
async fn a_job_that_is_not_planned_can_be_cancelled() {
    let server = Server::start("[jobs]\nmax_retry_pause_s = 300");
    let (source, _well) = ill().await;
    let (_, _, told) = server.post_job(&job(&source, &server.file_url("out.png")), &[]).await;
    let (status, story) = server.delete(&format!("/v1/jobs/{}", told["id"].as_str().unwrap())).await;
    assert_eq!((status, &story["state"]), (200, &json!("cancelled")), "{story}");
    assert_eq!(server.get("/readyz").await.1["jobs"], 0);
}
