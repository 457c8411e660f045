//! Many jobs at once: none lost, replies keep coming, memory stays bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::ImageFormat;
use imgserve_peers::{Web, samples};
use serde_json::json;

use crate::harness::{Server, is_placeholder, look, memory_kib};

#[tokio::test]
async fn five_hundred_jobs_at_once() {
    const JOBS: usize = 500;
    let (server, web) = (
        Arc::new(Server::start("[limits]\nmax_source_mb = 8\nsource_memory_mb = 8")),
        Web::start(None).await,
    );
    let source = samples::encoded(800, 600, ImageFormat::Jpeg);
    // Far more than fits the 8 MiB for waiting sources: most are fetched again when their turn comes.
    assert!(source.len() * JOBS > 50 << 20);
    web.put("a.jpg", source);
    let posts: Vec<_> = (0..JOBS)
        .map(|number| {
            let (server, from, to) =
                (Arc::clone(&server), web.file("a.jpg"), web.file(&format!("{number}.jpg")));
            tokio::spawn(async move {
                server.submit("resize", &from, &to, json!({ "width": 200, "height": 120 })).await
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    let mut jobs = Vec::new();
    for post in posts {
        jobs.push(post.await.unwrap());
        let began = Instant::now();
        assert_eq!(server.get("/healthz").await.0, 200);
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(5), "health took {slowest:?}");
    for (number, job) in jobs.iter().enumerate() {
        let record = server.ended(job).await;
        assert_eq!(record["state"], "succeeded", "{record}");
        let versions = web.versions(&format!("{number}.jpg"));
        assert_eq!(versions.len(), 2, "job {number}: placeholder, then result");
        assert_eq!(look(&versions[1]), (200, 120, ImageFormat::Jpeg));
        assert!(is_placeholder(&versions[0]) && !is_placeholder(&versions[1]));
    }
    let peak = memory_kib(server.pid(), "VmHWM") >> 10;
    assert!(peak < 160, "the server took {peak} MiB");
}

#[tokio::test]
async fn a_client_that_hangs_up_loses_nothing() {
    use tokio::io::AsyncWriteExt as _;
    let server = Server::start("");
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let body = json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url("out.png"),
                       "args": { "width": 20, "height": 10 } })
    .to_string();
    let mut stream =
        tokio::net::TcpStream::connect(server.origin.trim_start_matches("http://")).await.unwrap();
    let request = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    crate::harness::until("the result is there", async || {
        std::fs::read(server.files().join("out.png")).is_ok_and(|bytes| !is_placeholder(&bytes))
    })
    .await;
}
