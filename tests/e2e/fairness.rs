//! Nobody's jobs are held up by another's, and small ones not by large ones: who has its turn when, by the order in which real
//! jobs end; and that memory which is not there refuses a request, and breaks nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};
use sha2::Digest as _;
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Server, binary, look, until};

/// Bytes of a picture that takes a worker long: 24 megapixels, 72 MB as they are.
fn large() -> Vec<u8> {
    bmp(6000, 4000)
}

/// A picture as plain as can be, whose file is as large as its pixels.
fn bmp(width: u32, height: u32) -> Vec<u8> {
    let row = (3 * width).next_multiple_of(4);
    let pixels = row * height;
    let mut bytes = b"BM".to_vec();
    for number in [54 + pixels, 0, 54, 40, width, height, 1 | 24 << 16, 0, pixels, 2835, 2835, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.resize((54 + pixels) as usize, 0x77);
    bytes
}

fn section(name: &str, more: &str) -> String {
    let digest: String = sha2::Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[access.api_keys]]\nname = '{name}'\nsha256 = '{digest}'\nscopes = ['admin']\n{more}")
}

/// The body of a job that makes a thumbnail of `source`.
fn thumbnail(server: &Server, source: &str, to: &str, priority: &str) -> Value {
    json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url(to), "priority": priority,
            "args": { "width": 30, "height": 20, "format": "png" } })
}

/// Posts a job, with a key where there are some; its id.
async fn post(server: &Server, body: &Value, key: Option<&str>) -> String {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let (status, _, answer) = server.post_job(body, &headers).await;
    assert_eq!(status, 202, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

/// How many jobs have ended well, by the metrics.
async fn done(server: &Server, key: &str) -> u64 {
    let asked = reqwest::Client::new().get(format!("{}/metrics", server.origin)).bearer_auth(key);
    let text = asked.send().await.unwrap().text().await.unwrap();
    let line =
        text.lines().find(|line| line.starts_with("imgserve_jobs_total{operation=\"resize\",outcome=\"succ"));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
}

/// The story of a job that has ended.
async fn ended(server: &Server, job: &str, key: &str) -> Value {
    let began = Instant::now();
    loop {
        let asked = reqwest::Client::new().get(format!("{}/v1/jobs/{job}", server.origin)).bearer_auth(key);
        let text = asked.send().await.unwrap().text().await.unwrap();
        let story: Value = serde_json::from_str(&text).unwrap();
        match story["state"].as_str() {
            Some("succeeded") => return story,
            Some("failed" | "cancelled") => panic!("{story}"),
            _ => assert!(began.elapsed() < Duration::from_secs(60), "never: {story}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Posts so many jobs at once, all of one client.
async fn many(
    server: &Arc<Server>,
    count: usize,
    source: &str,
    priority: &'static str,
    key: Option<&'static str>,
) {
    let posts: Vec<_> = (0..count)
        .map(|number| {
            let (server, source) = (Arc::clone(server), source.to_owned());
            let body = thumbnail(&server, &source, &format!("{number}.png"), priority);
            tokio::spawn(async move { post(&server, &body, key).await })
        })
        .collect();
    for post in posts {
        post.await.unwrap();
    }
}

#[tokio::test]
async fn a_keys_only_job_does_not_wait_for_hundreds_of_another_key() {
    let config = format!("{}{}[workers]\ncount = 1", section("many", ""), section("one", ""));
    let server = Arc::new(Server::start(&config));
    let source = server.write("a.png", samples::encoded(900, 700, ImageFormat::Png));
    // Whatever it calls urgent.
    many(&server, 300, &source, "high", Some("many")).await;
    let before = done(&server, "one").await;
    let only = post(&server, &thumbnail(&server, &source, "only.png", "low"), Some("one")).await;
    ended(&server, &only, "one").await;
    let meanwhile = done(&server, "one").await - before;
    assert!(before < 200, "{before} of 300 were done before: they keep nobody waiting");
    assert!(meanwhile < 25, "{meanwhile} jobs of the other key went before its only one");
}

#[tokio::test]
async fn a_small_picture_does_not_wait_behind_large_ones_of_anybody() {
    let server =
        Arc::new(Server::start("[workers]\ncount = 2\n[limits]\nmax_source_mb = 80\nsource_memory_mb = 160"));
    let source = server.write("large.bmp", large());
    let small = samples::encoded(400, 300, ImageFormat::Jpeg);
    let small_url = server.write("small.jpg", &small);
    many(&server, 12, &source, "normal", None).await;

    // By the same client: what is small has a reserve, of memory and of workers, and priority does the rest.
    let before = done(&server, "").await;
    let job = post(&server, &thumbnail(&server, &small_url, "small.png", "high"), None).await;
    ended(&server, &job, "").await;
    for _ in 0..3 {
        let call = format!("{}/v1/operations/resize?width=30&height=20", server.origin);
        let answer = reqwest::Client::new().post(call).body(small.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(look(&answer.bytes().await.unwrap()), (30, 20, ImageFormat::Jpeg));
    }
    let meanwhile = done(&server, "").await - before - 1;
    assert!(before < 8, "{before} large ones were done before: they keep nobody waiting");
    // Each worker may have been at the end of one when it came.
    assert!(meanwhile <= 3, "{meanwhile} large ones went before four small ones");
}

#[tokio::test]
async fn what_is_announced_takes_no_memory_before_it_comes() {
    let server = Server::start("[limits]\nmax_source_mb = 8\nsource_memory_mb = 8");
    let address = server.origin.trim_start_matches("http://").to_owned();
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /v1/operations/resize?width=3&height=2 HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            7 << 20
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&[0; 5000]).await.unwrap();
        slow.push(stream);
    }
    let call = format!("{}/v1/operations/resize?width=30&height=20", server.origin);
    let began = Instant::now();
    let answer = reqwest::Client::new().post(call).body(bmp(1000, 700)).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    assert!(began.elapsed() < Duration::from_secs(4), "it waited for those that announce");
}

/// A program that is the one under test with no more than so many KiB of addresses, as a file in this directory.
fn limited(directory: &Path, kib: u64) -> PathBuf {
    let path = directory.join("imgserve-limited");
    let script = format!(
        "#!/bin/sh\nexport MALLOC_ARENA_MAX=2\nulimit -v {kib}\nexec '{}' \"$@\"\n",
        binary().display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn memory_that_is_not_there_refuses_requests_and_breaks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    // A program that is built for tests takes more of it itself than the one that people run.
    let own = std::fs::metadata(binary()).unwrap().len() / 1024;
    let program = limited(directory.path(), 300_000 + own);
    let config =
        "[access]\nallow_networks = [\"127.0.0.0/8\"]\nfile_roots = [\"FILES\"]\n[workers]\ncount = 2";
    let mut server = Server::start_program(program, directory, config);
    let source = bmp(3900, 2900);
    assert!(source.len() > 33_000_000);
    let url = server.write("large.bmp", &source);
    let calls: Vec<_> = (0..12)
        .map(|_| {
            let call = format!("{}/v1/operations/resize?width=30&height=20", server.origin);
            let sending = reqwest::Client::new().post(call).body(source.clone()).send();
            tokio::spawn(async move { sending.await.map(|answer| answer.status().as_u16()) })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap().unwrap());
    }
    assert!(answers.iter().all(|status| matches!(status, 200 | 503)), "{answers:?}");
    assert!(answers.contains(&200), "none of them was served: {answers:?}");

    let mut jobs = Vec::new();
    for number in 0..12 {
        let body = thumbnail(&server, &url, &format!("{number}.png"), "normal");
        let mut job = None;
        until("there is room for one more", async || {
            let (status, _, answer) = server.post_job(&body, &[]).await;
            assert!(matches!(status, 202 | 503), "{answer}");
            job = answer["id"].as_str().map(str::to_owned);
            job.is_some()
        })
        .await;
        jobs.extend(job);
    }
    assert_eq!(jobs.len(), 12);
    for job in jobs {
        ended(&server, &job, "").await;
    }
    until("all of it is given back", async || server.get("/readyz").await.1["running"] == 0).await;
    assert_eq!(server.restarts().await, 0, "{}", server.log());
    server.signal("TERM");
    assert!(server.wait_end().success());
}
