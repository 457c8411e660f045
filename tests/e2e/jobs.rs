//! `/v1/jobs`: what a job asks for, how it is followed, and what becomes of it when others have trouble.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post, put};
use image::ImageFormat;
use imgserve_peers::{Web, samples};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::harness::{Server, is_placeholder, look, program, until};

/// Serves `app` on loopback; gives its origin.
pub(crate) async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    origin
}

/// A server of one picture, 1500x1000, whose first half comes at once, and the rest when the gate is opened.
pub(crate) async fn gated() -> (String, Arc<Semaphore>) {
    let bytes = Arc::new(samples::encoded(1500, 1000, ImageFormat::Png));
    assert!(bytes.len() / 2 > 16 << 10, "planning looks at 16 KiB");
    let gate = Arc::new(Semaphore::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let opened = Arc::clone(&gate);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_in_halves(stream, Arc::clone(&bytes), Arc::clone(&opened)));
        }
    });
    (origin, gate)
}

async fn answer_in_halves(
    mut stream: TcpStream,
    bytes: Arc<Vec<u8>>,
    gate: Arc<Semaphore>,
) -> std::io::Result<()> {
    let _request = stream.read(&mut [0; 4096]).await?;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len());
    stream.write_all(head.as_bytes()).await?;
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    stream.write_all(first).await?;
    gate.acquire().await.unwrap().forget();
    stream.write_all(rest).await
}

#[tokio::test]
async fn a_job_is_posted_followed_and_found() {
    let server = Server::start("");
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let body = json!({
        "operationType": "resize",
        "srcURL": source,
        "dstURL": server.file_url("{$basename}-{$width}.webp"),
        "args": { "width": 30, "height": 20 },
        "output": { "format": "webp", "quality": 70 },
        "priority": "high",
    });
    let (status, headers, job) = server.post_job(&body, &[]).await;
    assert_eq!((status, &job["dstURL"]), (202, &json!(server.file_url("a-30.webp"))), "{job}");
    let id = job["id"].as_str().unwrap();
    assert_eq!(headers["location"], format!("/v1/jobs/{id}"));
    let story = server.ended(id).await;
    assert_eq!((&story["state"], &story["priority"]), (&json!("succeeded"), &json!("high")), "{story}");
    assert_eq!(look(&server.read("a-30.webp")), (30, 20, ImageFormat::WebP));
    let (_, page) = server.get("/v1/jobs?state=succeeded&operation=resize").await;
    assert_eq!(page["jobs"][0]["id"], id);
}

#[tokio::test]
async fn many_outputs_come_from_one_fetch() {
    let fetches = Arc::new(AtomicUsize::new(0));
    let (counted, png) = (Arc::clone(&fetches), samples::encoded(400, 300, ImageFormat::Png));
    let app = Router::new().route(
        "/a.png",
        get(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async move { png }
        }),
    );
    let (server, origin) = (Server::start(""), serve(app).await);
    let output = |width: u32, height: u32, file: &str, format: &str| {
        json!({ "operationType": "resize", "args": { "width": width, "height": height },
                "dstURL": server.file_url(file), "output": { "format": format } })
    };
    let mut outputs = vec![
        output(200, 150, "large.jpg", "jpeg"),
        output(40, 40, "small.webp", "webp"),
        output(100, 75, "medium.png", "png"),
    ];
    // One that cannot be: the source is smaller. It does not hurt the others.
    let body = json!({ "srcURL": format!("{origin}/a.png"), "outputs": outputs });
    let (status, _, job) = server.post_job(&body, &[]).await;
    assert_eq!((status, job["outputs"].as_array().unwrap().len()), (202, 3), "{job}");
    let story = server.ended(job["id"].as_str().unwrap()).await;
    assert_eq!(story["state"], "succeeded", "{story}");
    assert_eq!(look(&server.read("large.jpg")), (200, 150, ImageFormat::Jpeg));
    assert_eq!(look(&server.read("small.webp")), (40, 40, ImageFormat::WebP));
    assert_eq!(look(&server.read("medium.png")), (100, 75, ImageFormat::Png));
    assert_eq!(fetches.load(Ordering::Relaxed), 1);
    outputs.push(output(4000, 3000, "huge.png", "png"));
    outputs[3]["args"]["enlarge"] = json!("refuse");
    let (status, _, problem) =
        server.post_job(&json!({ "srcURL": format!("{origin}/a.png"), "outputs": outputs }), &[]).await;
    assert_eq!((status, &problem["kind"]), (422, &json!("source-too-small")), "{problem}");
}

#[tokio::test]
async fn wrong_requests_are_told_which_member() {
    let server = Server::start("");
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let right = json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url("o.png"),
                        "args": { "width": 3, "height": 2 } });
    for (change, kind, named) in [
        (json!({ "dstUrl": 1 }), "wrong-members", "dstUrl"),
        (json!({ "srcURL": 1 }), "empty-source", "srcURL"),
        (json!({ "args": [] }), "args-not-object", "args"),
        (json!({ "operationType": "pipeline", "args": {} }), "missing-argument", "steps"),
        (json!({ "outputs": [] }), "wrong-members", "outputs"),
        (json!({ "priority": "urgent" }), "invalid-argument", "priority"),
        (json!({ "notifyURL": "ftp://x" }), "invalid-argument", "notifyURL"),
        (json!({ "notifyURL": "http://x" }), "invalid-argument", "[webhooks] secret"),
        (json!({ "output": { "fromat": 1 } }), "wrong-members", "output.fromat"),
        (json!({ "operationType": "x" }), "unknown-operation", "operationType"),
    ] {
        let mut body = right.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (status, headers, problem) = server.post_job(&body, &[]).await;
        assert!(status == 400 || status == 404, "{change}: {problem}");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(problem["kind"], kind, "{change}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{change}: {problem}");
    }
    let outputs = json!([{ "operationType": "resize", "dstURL": server.file_url("o.png"), "args": { "width": 3, "height": 2 } }]);
    let twice = json!({ "srcURL": source, "outputs": [outputs[0], outputs[0]] });
    let (status, _, problem) = server.post_job(&twice, &[]).await;
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("two outputs"), "{problem}");
}

#[tokio::test]
async fn a_client_that_prefers_to_wait_gets_the_outcome() {
    let (origin, gate) = gated().await;
    let server = Server::start("");
    let body = json!({ "operationType": "resize", "srcURL": format!("{origin}/a.png"),
                       "dstURL": server.file_url("o.png"), "args": { "width": 3, "height": 2 } });
    let (status, headers, job) = server.post_job(&body, &[("prefer", "wait=0")]).await;
    assert_eq!((status, headers["preference-applied"].to_str().unwrap()), (202, "wait=0"), "{job}");
    gate.add_permits(10);
    let (status, headers, story) = server.post_job(&body, &[("prefer", "wait=30")]).await;
    assert_eq!((status, headers["preference-applied"].to_str().unwrap()), (200, "wait=30"), "{story}");
    assert_eq!(story["state"], "succeeded");
}

#[tokio::test]
async fn a_key_posted_a_hundred_times_is_one_job() {
    let server = Arc::new(Server::start(""));
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let body = json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url("o.png"),
                       "args": { "width": 3, "height": 2 } });
    let posts = (0..100).map(|_| {
        let (server, body) = (Arc::clone(&server), body.clone());
        tokio::spawn(async move { server.post_job(&body, &[("idempotency-key", "k1")]).await })
    });
    let mut ids = Vec::new();
    for post in posts.collect::<Vec<_>>() {
        let (status, _, job) = post.await.unwrap();
        assert_eq!(status, 202, "{job}");
        ids.push(job["id"].as_str().unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    server.ended(&ids[0]).await;
    let (_, page) = server.get("/v1/jobs").await;
    assert_eq!(page["jobs"].as_array().unwrap().len(), 1);
    let mut other = body.clone();
    other["priority"] = json!("low");
    let (status, _, problem) = server.post_job(&other, &[("idempotency-key", "k1")]).await;
    assert_eq!((status, &problem["kind"]), (422, &json!("key-reused")));
    let (_, headers, _) = server.post_job(&body, &[("idempotency-key", "k1")]).await;
    assert_eq!(headers["idempotent-replayed"], "true");
}

#[tokio::test]
async fn the_list_has_pages() {
    let server = Server::start("");
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    for number in 0..5 {
        server
            .succeed(
                "resize",
                &source,
                &server.file_url(&format!("{number}.png")),
                json!({ "width": 3, "height": 2 }),
            )
            .await;
    }
    let (mut next, mut seen) = (json!("/v1/jobs?limit=2&state=succeeded"), Vec::new());
    while let Some(path) = next.as_str() {
        let (status, page) = server.get(path).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["jobs"].as_array().unwrap().iter().map(|job| job["dstURL"].clone()));
        next = page["next"].clone();
    }
    let newest_first: Vec<Value> =
        (0..5).rev().map(|number| json!(server.file_url(&format!("{number}.png")))).collect();
    assert_eq!(seen, newest_first);
    assert_eq!(server.get("/v1/jobs?limit=0").await.0, 400);
    // By a part of its id, as the lists of commands show it.
    let id = server.get("/v1/jobs?limit=3").await.1["jobs"][2]["id"].as_str().unwrap().to_owned();
    for part in [&id[id.len() - 8..], &id[id.len() - 13..], &id] {
        let (_, page) = server.get(&format!("/v1/jobs?id={part}")).await;
        let found = page["jobs"].as_array().unwrap();
        assert!(found.len() == 1 && found[0]["id"] == id.as_str(), "{part}: {page}");
    }
    let (_, page) = server.get(&format!("/v1/jobs?id={}&state=failed", &id[..8])).await;
    assert_eq!(page["jobs"], json!([]));
}

#[tokio::test]
async fn what_has_not_stored_can_be_cancelled_and_tried_again() {
    let (origin, gate) = gated().await;
    let server = Server::start("");
    let body = json!({ "operationType": "resize", "srcURL": format!("{origin}/a.png"),
                       "dstURL": server.file_url("o.png"), "args": { "width": 30, "height": 20 } });
    let (_, _, job) = server.post_job(&body, &[]).await;
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    let (status, story) = server.delete(&path).await;
    assert_eq!((status, &story["state"]), (200, &json!("cancelled")), "{story}");
    assert!(is_placeholder(&server.read("o.png")));
    assert_eq!(server.delete(&path).await.0, 200, "cancelling twice is once");
    gate.add_permits(10);
    let (status, story) = server.post_to(&format!("{path}/retry")).await;
    assert_eq!((status, &story["state"]), (202, &json!("accepted")), "{story}");
    let story = server.ended(job["id"].as_str().unwrap()).await;
    assert_eq!(story["state"], "succeeded", "{story}");
    assert!(!is_placeholder(&server.read("o.png")));
    assert_eq!(server.delete(&path).await.0, 409, "what is stored stays");
    assert_eq!(server.post_to(&format!("{path}/retry")).await.0, 409);
}

#[tokio::test]
async fn events_tell_the_way_of_a_job() {
    let (origin, gate) = gated().await;
    let server = Server::start("");
    let body = json!({ "operationType": "resize", "srcURL": format!("{origin}/a.png"),
                       "dstURL": server.file_url("o.png"), "args": { "width": 3, "height": 2 } });
    let (_, _, job) = server.post_job(&body, &[]).await;
    let path = format!("/v1/jobs/{}/events", job["id"].as_str().unwrap());
    let mut response = reqwest::get(format!("{}{path}", server.origin)).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut told = String::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        told.push_str(std::str::from_utf8(&chunk).unwrap());
        gate.add_permits(1);
    }
    assert!(told.starts_with("retry: 2000\n\nid: ") && told.contains("\nevent: state\ndata: {"), "{told}");
    let last = told.trim().rsplit("data: ").next().unwrap();
    let story: Value = serde_json::from_str(last).unwrap();
    assert_eq!(story["state"], "succeeded", "{told}");
}

#[tokio::test]
async fn another_servers_trouble_is_waited_out() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let (counted, results) = (Arc::clone(&refusals), Arc::new(Mutex::new(Vec::new())));
    let kept = Arc::clone(&results);
    let app = Router::new().route(
        "/o.png",
        put(move |body: Bytes| async move {
            // The placeholder is taken, the result not at once.
            let first = kept.lock().unwrap().is_empty();
            if !first && counted.fetch_add(1, Ordering::Relaxed) < 2 {
                return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]);
            }
            kept.lock().unwrap().push(body);
            (StatusCode::CREATED, [(header::RETRY_AFTER, "0")])
        }),
    );
    let (server, origin) = (Server::start("[jobs]\nmax_retry_pause_s = 1"), serve(app).await);
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let story = server
        .succeed("resize", &source, &format!("{origin}/o.png"), json!({ "width": 3, "height": 2 }))
        .await;
    assert_eq!((&story["attempt"], story["attempts"].as_array().unwrap().len()), (&json!(3), 2), "{story}");
    assert_eq!(story["attempts"][0]["error"]["retry"], "remote");
    assert_eq!(results.lock().unwrap().len(), 2);
    // 1 s each, as it was asked for.
    let took = story["finished_at_ms"].as_u64().unwrap() - story["accepted_at_ms"].as_u64().unwrap();
    assert!(took >= 2000, "{took} ms");
}

#[tokio::test]
async fn trouble_without_end_and_faults_of_the_image_end_a_job() {
    let puts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&puts);
    let app = Router::new().route(
        "/o.png",
        put(move |_: Bytes| async move {
            let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            if first { StatusCode::CREATED } else { StatusCode::INTERNAL_SERVER_ERROR }
        }),
    );
    let (server, origin) =
        (Server::start("[jobs]\nmax_retry_pause_s = 1\nmax_attempts = 2"), serve(app).await);
    let whole = samples::encoded(60, 40, ImageFormat::Png);
    let source = server.write("a.png", &whole);
    let args = json!({ "width": 3, "height": 2 });
    let job = server.submit("resize", &source, &format!("{origin}/o.png"), args.clone()).await;
    let story = server.ended(&job).await;
    assert_eq!((&story["state"], &story["attempt"]), (&json!("failed"), &json!(2)), "{story}");
    assert_eq!(story["error"]["kind"], "destination-unavailable");
    // Two results and the failure, beside the placeholder.
    assert_eq!(puts.load(Ordering::Relaxed), 4);

    let broken = server.write("b.png", &whole[..whole.len() / 2]);
    let args = json!({ "width": 30, "height": 20 });
    let job = server.submit("resize", &broken, &server.file_url("o.png"), args).await;
    let story = server.ended(&job).await;
    assert_eq!((&story["state"], &story["attempt"]), (&json!("failed"), &json!(1)), "{story}");
    assert!(is_placeholder(&server.read("o.png")));
}

#[tokio::test]
async fn webhooks_are_signed_and_come_until_they_are_taken() {
    type Received = Arc<Mutex<Vec<(HeaderMap, String)>>>;
    let received = Received::default();
    let kept = Arc::clone(&received);
    let app = Router::new().route(
        "/hook",
        post(move |headers: HeaderMap, body: String| async move {
            let mut kept = kept.lock().unwrap();
            kept.push((headers, body));
            if kept.len() == 1 { StatusCode::BAD_GATEWAY } else { StatusCode::NO_CONTENT }
        }),
    );
    // The secret of the specification's own example.
    let server = Server::start("[webhooks]\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"");
    let origin = serve(app).await;
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let body = json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url("o.png"),
                       "args": { "width": 3, "height": 2 }, "notifyURL": format!("{origin}/hook") });
    let (status, _, job) = server.post_job(&body, &[]).await;
    assert_eq!(status, 202, "{job}");
    until("the webhook is taken", async || received.lock().unwrap().len() == 2).await;
    let received = received.lock().unwrap().clone();
    assert_eq!(received[0].0["webhook-id"], received[1].0["webhook-id"], "one message, twice");
    for (headers, body) in &received {
        let text = |name: &str| headers[name].to_str().unwrap();
        let signed = format!("{}.{}.{body}", text("webhook-id"), text("webhook-timestamp"));
        assert_eq!(text("webhook-signature"), format!("v1,{}", signature(&signed)));
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["type"], &body["data"]["id"]), (&json!("job.succeeded"), &job["id"]), "{body}");
    }
}

/// HMAC-SHA256 in base64, with the secret of the test.
fn signature(text: &str) -> String {
    use base64::Engine as _;
    use hmac::Mac as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let secret = base64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&secret).unwrap();
    mac.update(text.as_bytes());
    base64.encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn a_killed_server_goes_on_where_it_was() {
    let web = Web::start(None).await;
    let (origin, gate) = gated().await;
    let mut server = Server::start("");
    let args = json!({ "width": 300, "height": 200 });
    let mut jobs = Vec::new();
    for number in 0..5 {
        let destination = if number % 2 == 0 {
            web.file(&format!("{number}.png"))
        } else {
            server.file_url(&format!("{number}.png"))
        };
        jobs.push(
            server.submit("resize", &format!("{origin}/{number}.png"), &destination, args.clone()).await,
        );
    }
    server.kill();
    // What a store that was killed leaves behind.
    let left = format!(".1.png.{}-0-1r.imgserve-part", jobs[1]);
    server.write(&left, "half a file");
    server.restart();
    gate.add_permits(100);
    for job in &jobs {
        assert_eq!(server.ended(job).await["state"], "succeeded");
    }
    for number in [1, 3] {
        assert_eq!(look(&server.read(&format!("{number}.png"))), (300, 200, ImageFormat::Png));
    }
    for number in [0, 2, 4] {
        let versions = web.versions(&format!("{number}.png"));
        assert_eq!(versions.len(), 2, "a placeholder and one result");
        assert!(is_placeholder(&versions[0]) && !is_placeholder(&versions[1]));
    }
    assert!(!server.files().join(left).exists(), "half a file is left");
    assert!(server.log().contains("going on with what was left unfinished"));
}

#[tokio::test]
async fn sigterm_stops_at_once_and_the_next_start_goes_on() {
    let (origin, gate) = gated().await;
    let mut server = Server::start("");
    let destination = server.file_url("o.png");
    let job = server
        .submit("resize", &format!("{origin}/a.png"), &destination, json!({ "width": 30, "height": 20 }))
        .await;
    let began = std::time::Instant::now();
    server.signal("TERM");
    assert!(server.wait_end().success());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    server.restart();
    gate.add_permits(10);
    let story = server.ended(&job).await;
    assert_eq!((&story["state"], &story["attempt"]), (&json!("succeeded"), &json!(1)), "{story}");
}

#[tokio::test]
async fn a_second_server_does_not_get_the_journal() {
    let server = Server::start("[server]\nstart_wait_s = 0");
    let directory = server.directory.path();
    let mut second = program();
    second
        .args(["start", "--foreground", "-host", "127.0.0.1", "-port", "0", "-pid"])
        .arg(directory.join("other"));
    second.arg("--config").arg(directory.join("imgserve.toml"));
    let output = second.arg("-journal").arg(directory.join("journal.db")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("another imgserve uses the journal"), "{said}");
}

#[tokio::test]
async fn a_key_with_too_many_jobs_is_told_so_and_others_are_not() {
    use sha2::Digest as _;
    let digest = |key: &str| -> String {
        sha2::Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let section = |name: &str| {
        format!(
            "[[access.api_keys]]\nname = \"{name}\"\nsha256 = \"{}\"\nscopes = [\"admin\"]\n",
            digest(name)
        )
    };
    let (origin, gate) = gated().await;
    let server =
        Server::start(&format!("{}{}[limits]\nmax_queue_per_key = 1", section("one"), section("two")));
    let body = json!({ "operationType": "resize", "srcURL": format!("{origin}/a.png"),
                       "dstURL": server.file_url("{$width}.png"), "args": { "width": 30, "height": 20 } });
    let post = async |key: &str| server.post_job(&body, &[("authorization", &format!("Bearer {key}"))]).await;
    assert_eq!(post("one").await.0, 202);
    let (status, headers, problem) = post("one").await;
    assert_eq!((status, &problem["kind"]), (429, &json!("client-busy")), "{problem}");
    assert!(headers["retry-after"].to_str().unwrap().parse::<u32>().is_ok());
    assert_eq!(post("two").await.0, 202, "another key has its own share");
    let metrics = reqwest::Client::new().get(format!("{}/metrics", server.origin)).bearer_auth("one");
    let text = metrics.send().await.unwrap().text().await.unwrap();
    for line in [
        "imgserve_jobs_accepted_total 2",
        "imgserve_refusals_total{kind=\"client-busy\"} 1",
        "imgserve_jobs_total{operation=\"resize\",outcome=\"succeeded\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
    }
    gate.add_permits(10);
}
