//! One slow peer holds up nobody but itself: sources, destinations, forms, direct calls and webhooks that trickle or hang,
//! and clients that go away.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use image::ImageFormat;
use imgserve_peers::{Pace, Slow, Web, samples};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::harness::{Server, is_placeholder, plugin, section, until};

/// What nobody is to be kept waiting longer than, beside whatever is slow.
const SOON: Duration = Duration::from_millis(1500);
/// Two with each server.
const FEW: &str = "[transfer]\nmax_transfers = 8\n";

fn size() -> Value {
    json!({ "width": 30, "height": 20 })
}

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    origin
}

/// Posts many jobs, and goes on without waiting for replies.
fn post_many(
    server: &Arc<Server>,
    count: usize,
    job: impl Fn(usize) -> Value,
) -> Vec<tokio::task::AbortHandle> {
    let post = |number| {
        let (server, body) = (Arc::clone(server), job(number));
        tokio::spawn(async move { server.post_job(&body, &[]).await }).abort_handle()
    };
    (0..count).map(post).collect()
}

fn job(source: &str, destination: &str) -> Value {
    json!({ "operationType": "resize", "srcURL": source, "dstURL": destination, "args": size() })
}

/// Jobs of local files, and of another server both ways, are answered and done as if nothing were.
async fn all_others_are_done(server: &Server, what: &str) {
    let web = Web::start(None).await;
    web.put("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let local = server.write("local.png", samples::encoded(60, 40, ImageFormat::Png));
    for (source, destination) in [
        (local.clone(), server.file_url("local-out.png")),
        (web.file("a.png"), server.file_url("fetched.png")),
        (local, web.file("stored.png")),
    ] {
        let began = Instant::now();
        let story = server.succeed("resize", &source, &destination, size()).await;
        assert!(
            began.elapsed() < SOON,
            "{what}: {source} to {destination} took {:?}: {story}",
            began.elapsed()
        );
    }
}

async fn readyz(server: &Server, key: &str) -> u64 {
    server.get("/readyz").await.1[key].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_trickle_keep_nobody_else_waiting() {
    let png = samples::encoded(60, 40, ImageFormat::Png);
    for pace in [Pace::Body(0), Pace::Header, Pace::Silent] {
        let (server, slow) = (Arc::new(Server::start(FEW)), Slow::start(pace, png.clone()).await);
        let posts = post_many(&server, 40, |number| {
            job(&slow.file("a.png"), &server.file_url(&format!("{number}.png")))
        });
        until("they wait", async || readyz(&server, "transfers_waiting").await == 38).await;
        assert_eq!((slow.open(), readyz(&server, "transfers").await), (2, 2), "a quarter of the places");
        all_others_are_done(&server, &format!("{pace:?}")).await;
        assert_eq!(slow.most(), 2);
        posts.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ftp_server_that_says_nothing_keeps_nobody_else_waiting() {
    let (server, slow) = (Arc::new(Server::start(FEW)), Slow::start(Pace::Silent, "").await);
    let ftp = format!("ftp://{}/a.png", slow.address);
    let _posts = post_many(&server, 20, |number| job(&ftp, &server.file_url(&format!("{number}.png"))));
    until("they wait", async || readyz(&server, "transfers_waiting").await == 18).await;
    all_others_are_done(&server, "ftp").await;
    let local = server.write("b.png", samples::encoded(60, 40, ImageFormat::Png));
    let _more = post_many(&server, 20, |_| job(&local, &format!("ftp://{}/out.png", slow.address)));
    until("they wait too", async || readyz(&server, "transfers_waiting").await == 36).await;
    all_others_are_done(&server, "ftp both ways").await;
}

/// Placeholders, and the pages of forms.
#[tokio::test(flavor = "multi_thread")]
async fn destinations_that_take_no_placeholder_keep_nobody_else_waiting() {
    for (pace, form) in
        [(Pace::Taking, false), (Pace::Header, false), (Pace::Silent, true), (Pace::Body(0), true)]
    {
        let (server, slow) = (Arc::new(Server::start(FEW)), Slow::start(pace, "<form>".repeat(99)).await);
        let local = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
        let _posts = post_many(&server, 20, |number| {
            let to = if form {
                format!("{}/:{number}.png", slow.origin)
            } else {
                slow.file(&format!("{number}.png"))
            };
            let mut job = job(&local, &to);
            job["args"]["field_name"] = json!("picture");
            job
        });
        until("they wait", async || readyz(&server, "transfers_waiting").await == 18).await;
        all_others_are_done(&server, &format!("{pace:?}, form: {form}")).await;
        assert_eq!(slow.most(), 2);
    }
}

/// A server that takes the first file of each name, and never the second.
async fn takes_placeholders_only() -> String {
    let taken = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let put = axum::routing::put(move |Path(name): Path<String>| {
        let first = taken.lock().unwrap().insert(name);
        async move { if first { StatusCode::CREATED } else { std::future::pending().await } }
    });
    serve(Router::new().route("/{name}", put)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_that_take_no_result_keep_nobody_else_waiting() {
    const JOBS: usize = 170;
    let (server, origin) = (Arc::new(Server::start(FEW)), takes_placeholders_only().await);
    let local = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    for number in 0..JOBS {
        server.submit("resize", &local, &format!("{origin}/{number}.png"), size()).await;
    }
    // More than one client may have under way (half of four times as many as transfers) and waiting for their server (eight times
    // as many): those behind them are put off.
    const { assert!(JOBS > 2 * 8 * 9 + 2) };
    until("two are being stored", async || readyz(&server, "transfers").await == 2).await;
    until("as many wait as may", async || readyz(&server, "running").await >= 2 * 8 * 8).await;
    all_others_are_done(&server, "results").await;
    assert_eq!(readyz(&server, "transfers").await, 2);
    assert_eq!(readyz(&server, "workers_busy").await, 0, "they hold no worker");
}

/// A server of a picture, that it keeps to itself until it is told to go on.
async fn keeps_back(png: Vec<u8>) -> (String, Arc<AtomicBool>) {
    let go = Arc::new(AtomicBool::new(false));
    let going = Arc::clone(&go);
    let give = get(move || async move {
        match going.load(Ordering::SeqCst) {
            true => png,
            false => std::future::pending().await,
        }
    });
    (format!("{}/a.png", serve(Router::new().route("/a.png", give)).await), go)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_server_may_have_died_of_keeps_none_of_its_like_waiting_while_it_has_no_source() {
    let png = samples::encoded(900, 700, ImageFormat::Png);
    let mut server = Server::start("");
    let slow = Slow::start(Pace::Body(100 << 10), png.clone()).await;
    let (source, go) = keeps_back(png.clone()).await;
    assert!(png.len() > 200 << 10, "it is planned by its first bytes");
    let first = server.submit("resize", &slow.file("a.png"), &server.file_url("never.png"), size()).await;
    let mut body = job(&source, &server.file_url("out.png"));
    body["accept"] = json!("now");
    let second = server.post_job(&body, &[]).await.2["id"].as_str().unwrap().to_owned();
    for attempt in 1..=4 {
        for id in [&first, &second] {
            until("it is tried", async || {
                let story = server.get(&format!("/v1/jobs/{id}")).await.1;
                story["state"] == "running" && story["attempt"] == attempt
            })
            .await;
        }
        server.kill();
        server.restart();
    }
    until("the first one is fetched", async || slow.open() == 1).await;
    go.store(true, Ordering::SeqCst);
    // What it has hung on to so far is asked for again.
    server.kill();
    server.restart();
    let story = server.ended(&second).await;
    assert_eq!(story["state"], "succeeded", "{story}");
    assert_eq!(server.get(&format!("/v1/jobs/{first}")).await.1["state"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn trickling_sources_of_many_servers_for_one_client_without_a_key_keep_no_other_client_waiting() {
    let server = Server::start(FEW);
    let client =
        reqwest::Client::builder().no_proxy().local_address(IpAddr::from([127, 0, 0, 2])).build().unwrap();
    let mut slow = Vec::new();
    for number in 0..20 {
        let at = IpAddr::from([127, 0, 1, number]);
        slow.push(Slow::start_at(at, Pace::Body(0), samples::encoded(60, 40, ImageFormat::Png)).await);
        let mut body = job(&slow.last().unwrap().file("a.png"), &server.file_url(&format!("{number}.png")));
        body["accept"] = json!("now");
        let posted = client.post(format!("{}/v1/jobs", server.origin)).body(body.to_string()).send().await;
        assert_eq!(posted.unwrap().status(), 202);
    }
    until("they wait", async || readyz(&server, "transfers_waiting").await == 12).await;
    assert_eq!(readyz(&server, "transfers").await, 8);
    all_others_are_done(&server, "another client").await;
}

/// A server of a picture at this address of the machine.
async fn gives_at(address: [u8; 4], png: Vec<u8>) -> String {
    let listener = TcpListener::bind((IpAddr::from(address), 0)).await.unwrap();
    let url = format!("http://{}/a.png", listener.local_addr().unwrap());
    let app = Router::new().route("/a.png", get(move || async move { png }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn the_names_and_ports_of_a_machine_that_trickles_leave_places_to_other_machines() {
    let png = samples::encoded(60, 40, ImageFormat::Png);
    let server = Arc::new(Server::start(FEW));
    let slow = [Slow::start(Pace::Body(0), png.clone()).await, Slow::start(Pace::Body(0), png.clone()).await];
    let _posts = post_many(&server, 40, |number| {
        let (host, port) = (["localhost", "127.0.0.1"][number % 2], slow[number / 2 % 2].address.port());
        job(&format!("http://{host}:{port}/a.png"), &server.file_url(&format!("{number}.png")))
    });
    until("they wait", async || readyz(&server, "transfers_waiting").await == 36).await;
    assert_eq!(readyz(&server, "transfers").await, 4, "half of the client's places");
    let (began, other) = (Instant::now(), gives_at([127, 0, 0, 9], png).await);
    server.succeed("resize", &other, &server.file_url("other.png"), size()).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_calls_of_a_slow_source_keep_nobody_else_waiting() {
    let png = samples::encoded(60, 40, ImageFormat::Png);
    let (server, slow) = (Server::start(FEW), Slow::start(Pace::Body(100), png.clone()).await);
    let render = |source: &str, width: usize| {
        let url =
            format!("{}/v1/operations/resize/render?width={width}&height=10&src={source}", server.origin);
        tokio::spawn(async move { reqwest::get(url).await.unwrap().status() })
    };
    let waiting: Vec<_> = (1..21).map(|width| render(&slow.file("a.png"), width)).collect();
    until("they wait", async || readyz(&server, "transfers_waiting").await == 18).await;
    all_others_are_done(&server, "renders").await;
    let (local, began) = (server.write("b.png", &png), Instant::now());
    assert_eq!(render(&local, 7).await.unwrap(), 200);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    // Who hangs up holds nothing any more.
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    until("nothing is fetched", async || readyz(&server, "transfers").await == 0 && slow.open() == 0).await;
    assert_eq!(readyz(&server, "transfers_waiting").await, 0);
}

#[tokio::test]
async fn a_server_below_the_lowest_rate_is_left_and_counted() {
    let server = Server::start("[transfer]\nmin_rate_window_s = 1");
    let slow = Slow::start(Pace::Body(500), samples::encoded(60, 40, ImageFormat::Png)).await;
    let url =
        format!("{}/v1/operations/resize/render?width=3&height=2&src={}", server.origin, slow.file("a.png"));
    let began = Instant::now();
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.status(), 502);
    let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("too slow: "), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("[transfer] min_rate_bytes_s"), "{problem}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let metrics = server.get("/metrics").await.1;
    let metrics = metrics.as_str().unwrap();
    for line in ["imgserve_transfers_too_slow_total 1", "imgserve_transfers_waiting{kind=\"source\"} 0"] {
        assert!(metrics.lines().any(|told| told == line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn a_webhook_receiver_that_hangs_keeps_no_other_one_waiting() {
    let server = Arc::new(Server::start(
        "[webhooks]\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\ntimeout_s = 1",
    ));
    let hangs = Slow::start(Pace::Silent, "").await;
    let (told, mut hears) = mpsc::unbounded_channel();
    let hook = post(move || {
        told.send(()).unwrap();
        async { StatusCode::NO_CONTENT }
    });
    let answers = serve(Router::new().route("/hook", hook)).await;
    let local = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let post = async |hook: &str, number: usize| {
        let mut body = job(&local, &server.file_url(&format!("{number}.png")));
        body["notifyURL"] = json!(format!("{hook}/hook"));
        assert_eq!(server.post_job(&body, &[]).await.0, 202);
    };
    for number in 0..40 {
        post(&hangs.origin, number).await;
    }
    until("it is told", async || hangs.most() > 0).await;
    let began = Instant::now();
    post(&answers, 99).await;
    hears.recv().await.unwrap();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    // It is left after a second, and asked again.
    until("the time of one try is over", async || server.log().contains("[webhooks] timeout_s is 1 s")).await;
    assert_eq!(hangs.most(), 1, "a place for each");
}

/// Seconds of work from a few hundred bytes, just under what is refused by count.
fn endless() -> String {
    "<svg xmlns='http://www.w3.org/2000/svg' width='1000' height='1000'><filter id='b' x='-1' y='-1' width='3' \
     height='3'><feTurbulence baseFrequency='0.01' numOctaves='2'/><feGaussianBlur stdDeviation='90'/></filter>\
     <g filter='url(#b)'><rect width='750' height='750' fill='red'/></g></svg>"
        .to_owned()
}

/// The worker, its memory and its turn are free within about a second.
async fn is_free(server: &Server, what: &str) {
    let began = Instant::now();
    until("the worker is free", async || readyz(server, "workers_busy").await == 0).await;
    assert!(began.elapsed() < SOON, "{what}: the worker went on for {:?}", began.elapsed());
    assert_eq!(readyz(server, "memory_used_bytes").await, 0, "{what}");
    assert_eq!(readyz(server, "worker_restarts").await, 0, "{what}: nothing is wrong with it");
    let local = server.write("fine.png", samples::encoded(60, 40, ImageFormat::Png));
    server.succeed("resize", &local, &server.file_url("fine-out.png"), size()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_or_cancels_is_not_worked_for() {
    let misbehave = section("misbehave", &plugin("misbehave.wasm"), "time_limit_ms = 60000");
    let server = Arc::new(Server::start(&format!("[workers]\ncount = 1\n{misbehave}")));
    let png = samples::encoded(60, 40, ImageFormat::Png);
    let svg = server.write("endless.svg", endless());
    let (png_file, large) = (server.write("a.png", &png), json!({ "width": 1000, "height": 1000 }));
    let loops = json!({ "mode": "loop" });
    // Inside a library, and inside a plugin: neither asks whether it is to go on.
    for (operation, body, query) in
        [("rasterize", endless().into_bytes(), "width=1000&height=1000"), ("misbehave", png, "mode=loop")]
    {
        let request =
            reqwest::Client::new().post(format!("{}/v1/operations/{operation}?{query}", server.origin));
        let call = tokio::spawn(request.body(body).send());
        until("it is worked on", async || readyz(&server, "workers_busy").await == 1).await;
        call.abort();
        is_free(&server, &format!("a call of {operation} whose client hung up")).await;
    }
    for (operation, source, args) in [("rasterize", svg, large), ("misbehave", png_file, loops)] {
        let id = server.submit(operation, &source, &server.file_url("out.png"), args).await;
        until("it is worked on", async || {
            server.get(&format!("/v1/jobs/{id}")).await.1["stage"] == "working"
        })
        .await;
        let began = Instant::now();
        let (status, story) = server.delete(&format!("/v1/jobs/{id}")).await;
        assert_eq!((status, &story["state"]), (200, &json!("cancelled")), "{story}");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        is_free(&server, &format!("a job of {operation} that was deleted")).await;
        assert!(is_placeholder(&server.read("out.png")), "it says that there will be no result");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_source_trickles_lets_go_of_it_when_it_is_deleted() {
    let png = samples::encoded(1500, 1000, ImageFormat::Png);
    let (server, slow) = (Server::start(""), Slow::start(Pace::Body(40 << 10), png).await);
    let id = server.submit("resize", &slow.file("a.png"), &server.file_url("out.png"), size()).await;
    assert_eq!(slow.open(), 1);
    assert_eq!(server.delete(&format!("/v1/jobs/{id}")).await.0, 200);
    until("it is not fetched any more", async || slow.open() == 0).await;
    assert_eq!(readyz(&server, "transfers").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_its_destination_can_be_deleted() {
    let (server, origin) = (Server::start(FEW), takes_placeholders_only().await);
    let local = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let mut jobs = Vec::new();
    for number in 0..4 {
        jobs.push(server.submit("resize", &local, &format!("{origin}/{number}.png"), size()).await);
    }
    until("two wait", async || readyz(&server, "transfers_waiting").await == 2).await;
    let mut deleted = 0;
    for id in jobs {
        let path = format!("/v1/jobs/{id}");
        if server.get(&path).await.1["stage"] == "storing" {
            continue;
        }
        let began = Instant::now();
        let (status, story) = server.delete(&path).await;
        assert_eq!((status, &story["state"]), (200, &json!("cancelled")), "{story}");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        deleted += 1;
    }
    assert_eq!((deleted, readyz(&server, "jobs").await), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_failed_and_cannot_show_it_is_over_for_who_deletes_it() {
    let (server, origin) = (Server::start(""), takes_placeholders_only().await);
    let png = samples::encoded(60, 40, ImageFormat::Png);
    let broken = server.write("a.png", &png[..png.len() - 40]);
    let id = server.submit("resize", &broken, &format!("{origin}/a.png"), size()).await;
    let path = format!("/v1/jobs/{id}");
    until("it has failed", async || !server.get(&path).await.1["error"].is_null()).await;
    assert_eq!(server.get(&path).await.1["state"], "running", "its failure is being shown");
    let began = Instant::now();
    assert_eq!(server.delete(&path).await.0, 409);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(server.get(&path).await.1["state"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_attempt_has_left_goes_with_its_job() {
    let png = samples::encoded(900, 700, ImageFormat::Png);
    let (mut server, slow) = (Server::start(""), Slow::start(Pace::Body(100 << 10), png).await);
    let id = server.submit("resize", &slow.file("a.png"), &server.file_url("out.png"), size()).await;
    let path = format!("/v1/jobs/{id}");
    until("it is tried", async || server.get(&path).await.1["attempt"] == 1).await;
    server.kill();
    // As if it had been killed in the midst of storing its result.
    let left = server.files().join(format!(".out.png.{id}-0-1r.imgserve-part"));
    std::fs::write(&left, "half").unwrap();
    server.restart();
    until("it is tried again", async || server.get(&path).await.1["attempt"] == 2).await;
    assert_eq!(server.delete(&path).await.0, 200);
    until("nothing is left of it", async || !left.exists()).await;
    assert!(is_placeholder(&server.read("out.png")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_being_accepted_can_be_deleted() {
    let (server, slow) = (Arc::new(Server::start("")), Slow::start(Pace::Silent, "").await);
    let local = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let (posting, body) = (Arc::clone(&server), job(&local, &slow.file("out.png")));
    let post = tokio::spawn(async move { posting.post_job(&body, &[]).await });
    let mut found = Value::Null;
    until("it is there", async || {
        found = server.get("/v1/jobs?state=accepting").await.1["jobs"][0]["id"].clone();
        found.is_string()
    })
    .await;
    let (id, began) = (found.as_str().unwrap().to_owned(), Instant::now());
    let (status, story) = server.delete(&format!("/v1/jobs/{id}")).await;
    assert_eq!((status, &story["state"]), (200, &json!("cancelled")), "{story}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let (status, _, told) = post.await.unwrap();
    assert_eq!((status, &told["id"]), (202, &json!(id)), "{told}");
    assert_eq!(readyz(&server, "jobs").await, 0);
}

#[tokio::test]
async fn a_moments_trouble_of_another_server_refuses_no_job() {
    let png = samples::encoded(60, 40, ImageFormat::Png);
    let (asked, put) = (Arc::default(), Arc::default());
    let app = Router::new().route(
        "/a.png",
        get({
            let asked: Arc<std::sync::atomic::AtomicUsize> = Arc::clone(&asked);
            move || async move {
                match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                    0 => StatusCode::BAD_GATEWAY.into_response(),
                    1 => (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response(),
                    _ => png.into_response(),
                }
            }
        })
        .put({
            let put: Arc<std::sync::atomic::AtomicUsize> = Arc::clone(&put);
            move |_: HeaderMap| async move {
                match put.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                    0 => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::CREATED,
                }
            }
        }),
    );
    let (server, origin) = (Server::start(""), serve(app).await);
    let url = format!("{origin}/a.png");
    let story = server.succeed("resize", &url, &url, size()).await;
    assert_eq!(story["attempts"], json!([]), "{story}");
    // What is there for good is said at once, and what is not there for long soon.
    for (url, most) in [(format!("{origin}/none.png"), 500), ("http://127.0.0.1:1/a.png".to_owned(), 3000)] {
        let began = Instant::now();
        let reply = server.post("resize", &url, &server.file_url("x.png"), size()).await;
        assert_eq!(reply.body["code"], 201, "{reply:?}");
        assert!(began.elapsed() < Duration::from_millis(most), "{url}: {:?}", began.elapsed());
    }
}
