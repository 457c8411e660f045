//! Two nodes beside one, with the work taken out: jobs of a plugin that sleeps, so that the processors are not the limit.
//!
//! `cargo bench -p imgserve --bench nodes [-- SECONDS]`: as many jobs as the workers can do in so many seconds (10) are posted, to
//! one node; to two in turn; and to one of two alone, of which the other one has to take its share. The plugin is one that
//! `tests/run` builds. The PostgreSQL server is the bench's own.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a step that fails ends the bench; servers and files are its own"
)]

#[path = "../e2e/harness/mod.rs"]
#[allow(dead_code, reason = "the bench uses a part of the tests' harness")]
mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{Server, plugin, section, until};
use image::ImageFormat;
use imgserve_peers::{Postgres, samples};
use serde_json::json;
use tempfile::TempDir;

const WORKERS: usize = 4;
/// How long a job keeps a worker.
const SLEEP: Duration = Duration::from_millis(100);
/// Who posts at once.
const CLIENTS: usize = 8;

#[tokio::main]
async fn main() {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10);
    let database = Postgres::start(true);
    println!("{WORKERS} workers a node, a job keeps one for {SLEEP:?}; jobs for {seconds} s");
    let one = rate(&database, (1, 1), seconds).await;
    for (what, posted_to) in [("posted to both", 2), ("posted to one of them", 1)] {
        let two = rate(&database, (2, posted_to), seconds).await;
        println!("  one node: {one:.1} jobs/s; two, {what}: {two:.1}, {:.2} x", two / one);
    }
}

/// Jobs a second of so many nodes, which are posted to so many of them.
async fn rate(database: &Postgres, (count, posted_to): (usize, usize), seconds: usize) -> f64 {
    let name = format!("nodes_{count}_{posted_to}");
    database.sql("postgres", &format!("CREATE DATABASE {name}"));
    let files = tempfile::tempdir().unwrap();
    let nodes: Vec<Server> =
        (0..count).map(|number| start(&number.to_string(), &database.url(&name), &files)).collect();
    for node in &nodes {
        let all = format!("imgserve_nodes {count}");
        until("it sees the others", async || metrics(node).await.lines().any(|line| line == all)).await;
    }
    let source = files.path().join("source.png");
    std::fs::write(&source, samples::encoded(32, 24, ImageFormat::Png)).unwrap();
    let nodes = Arc::new(nodes);
    let jobs = count * WORKERS * seconds * 1000 / SLEEP.as_millis() as usize;
    let (began, next) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..CLIENTS {
        let (nodes, next, files) = (Arc::clone(&nodes), Arc::clone(&next), files.path().to_owned());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= jobs {
                    return;
                }
                let url = |name: &str| format!("file://{}", files.join(name).display());
                let args = json!({ "mode": "sleep", "steps": SLEEP.as_millis() as u64 });
                let body = json!({ "operationType": "sleep", "srcURL": url("source.png"),
                    "dstURL": url(&format!("{number}.png")), "args": args });
                let (status, _, told) = nodes[number % posted_to].post_job(&body, &[]).await;
                assert_eq!(status, 202, "{told}");
            }
        });
    }
    let done = format!("imgserve_journal_jobs{{state=\"succeeded\"}} {jobs}");
    while !metrics(&nodes[0]).await.lines().any(|line| line == done) {
        assert!(began.elapsed() < Duration::from_secs(10 * seconds as u64 + 60), "the jobs do not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    jobs as f64 / began.elapsed().as_secs_f64()
}

fn start(name: &str, url: &str, files: &TempDir) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let (node, roots) = (directory.path().join("node"), files.path());
    let sleeps = section("sleep", &plugin("misbehave.so"), "");
    let config = format!(
        "[access]\nfile_roots = [{roots:?}]\nshared_files = true\n[workers]\ncount = {WORKERS}\n{sleeps}\
         [jobs]\njournal = {url:?}\nnode_file = {node:?}\nnode_name = {name:?}\n"
    );
    Server::start_in(directory, &config)
}

async fn metrics(node: &Server) -> String {
    let (_, metrics) = node.get("/metrics").await;
    metrics.as_str().unwrap_or_default().to_owned()
}
