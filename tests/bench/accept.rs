//! What the journal costs an acceptance: jobs accepted per second by 64 clients, beside what one `fsync` after another of
//! this disk allows at the same moment, and with how many syncs of the journal; and how long replies take at a pace that leaves
//! the machine time.
//!
//! `cargo bench -p imgserve --bench accept [-- MS] [postgres]`: with a number of milliseconds, every sync takes so much longer (a
//! small library that a C compiler makes, preloaded into this program and into the server): a disk as most servers have. With
//! `postgres` the journal is a database of a PostgreSQL server of its own, and not a file.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a step that fails ends the bench; peers and files are its own"
)]

#[path = "../e2e/harness/mod.rs"]
#[allow(dead_code, reason = "the bench uses a part of the tests' harness")]
mod harness;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::Server;
use image::ImageFormat;
use imgserve_peers::{Postgres, Web, samples};
use serde_json::json;

const CLIENTS: usize = 64;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(5);
const SYNCS: usize = 100;
/// How often a job is posted where the time to its reply is measured.
const PACE: Duration = Duration::from_millis(5);
/// How many are.
const PACED: usize = 2000;

/// What is preloaded: `fsync` and `fdatasync` that begin with a pause.
const SLOW: &str = r#"#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
static int slow(const char *name, int fd) {
    usleep(1000 * atoi(getenv("SYNC_MS")));
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
"#;

fn main() {
    let pause = std::env::args().skip(1).find(|argument| argument.parse::<u32>().is_ok());
    match pause.filter(|_| std::env::var_os("SYNC_MS").is_none()) {
        Some(ms) => again_with_a_slow_disk(&ms),
        None => tokio::runtime::Runtime::new().unwrap().block_on(measure()),
    }
}

/// Runs this program once more, with the library in it.
fn again_with_a_slow_disk(ms: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (source, library) = (directory.path().join("slow.c"), directory.path().join("slow.so"));
    std::fs::write(&source, SLOW).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(built.unwrap().success(), "a C compiler is needed: apt-get install gcc");
    println!("every sync takes {ms} ms longer");
    let mut again = Command::new(std::env::current_exe().unwrap());
    let status = again.env("SYNC_MS", ms).env("LD_PRELOAD", &library).status().unwrap();
    assert!(status.success());
}

/// A server whose journal is a file, or in a database.
fn start(database: Option<&Postgres>) -> Server {
    let Some(database) = database else { return Server::start("") };
    let directory = tempfile::tempdir().unwrap();
    let (journal, node) = (database.url("postgres"), directory.path().join("node"));
    let access = "[access]\nallow_networks = [\"127.0.0.0/8\"]\nfile_roots = [\"FILES\"]";
    Server::start_in(directory, &format!("{access}\n[jobs]\njournal = {journal:?}\nnode_file = {node:?}\n"))
}

async fn measure() {
    let database = || std::env::args().any(|argument| argument == "postgres").then(|| Postgres::start(true));
    let first = database();
    let server = Arc::new(start(first.as_ref()));
    let web = Web::start(None).await;
    web.put("a.png", samples::encoded(32, 24, ImageFormat::Png));
    let request = Arc::new(json!({ "operationType": "resize", "srcURL": web.file("a.png"),
        "args": { "width": 16, "height": 12 } }));
    round(&server, &web, &request, ROUND / 5).await;
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let before = commits(&server).await;
        let single = syncs(server.directory.path());
        let (accepted, took) = round(&server, &web, &request, ROUND).await;
        let rate = accepted as f64 / took.as_secs_f64();
        let commits = commits(&server).await - before;
        println!(
            "{CLIENTS} clients: {rate:.0} accepted jobs/s; one fsync after another: {single:.0}/s; {:.2} x; {:.0} syncing \
             commits/s, {:.1} accepted jobs each",
            rate / single,
            commits / took.as_secs_f64(),
            accepted as f64 / commits
        );
        ratios.push(rate / single);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median: {:.2} x the rate of single fsyncs", ratios[ROUNDS / 2]);
    // One that has nothing else to do: what is left of the rounds is another journal's.
    drop((server, first));
    let second = database();
    let server = Arc::new(start(second.as_ref()));
    let mut replies = paced(&server, &web, &request).await;
    replies.sort_unstable();
    let ms = |part: usize| replies[PACED * part / 100].as_secs_f64() * 1000.0;
    println!(
        "{} posts/s: a reply takes {:.1} ms (median), {:.1} ms (p99)",
        Duration::from_secs(1).div_duration_f64(PACE),
        ms(50),
        ms(99)
    );
}

/// Posts one job after the other at an even pace, whether replies come or not; gives how long each took.
async fn paced(server: &Arc<Server>, web: &Web, request: &Arc<serde_json::Value>) -> Vec<Duration> {
    let mut pace = tokio::time::interval(PACE);
    let mut posts = Vec::new();
    for number in 0..PACED {
        pace.tick().await;
        let (server, mut body) = (Arc::clone(server), (**request).clone());
        body["dstURL"] = json!(web.file(&format!("{}.png", number % CLIENTS)));
        posts.push(tokio::spawn(async move {
            let began = Instant::now();
            let reply = server.post_body(body.to_string()).await;
            assert!(reply.body.get("dstURL").is_some(), "{reply:?}");
            began.elapsed()
        }));
    }
    let mut replies = Vec::new();
    for post in posts {
        replies.push(post.await.unwrap());
    }
    replies
}

/// Posts from all clients at once for a while; gives how many were accepted, and the time.
async fn round(
    server: &Arc<Server>,
    web: &Web,
    request: &Arc<serde_json::Value>,
    time: Duration,
) -> (usize, Duration) {
    let (count, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let clients = (0..CLIENTS).map(|client| {
        let (server, request, count) = (Arc::clone(server), Arc::clone(request), Arc::clone(&count));
        let destination = web.file(&format!("{client}.png"));
        tokio::spawn(async move {
            let mut body = (*request).clone();
            body["dstURL"] = json!(destination);
            while began.elapsed() < time {
                let reply = server.post_body(body.to_string()).await;
                assert!(reply.body.get("dstURL").is_some(), "{reply:?}");
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    (count.load(Ordering::Relaxed), began.elapsed())
}

/// How many `fsync`s of an appended record this disk does in a second, one after another.
fn syncs(directory: &Path) -> f64 {
    let mut file = std::fs::File::create(directory.join("syncs")).unwrap();
    let began = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_all().unwrap();
    }
    SYNCS as f64 / began.elapsed().as_secs_f64()
}

/// Commits of the journal so far.
async fn commits(server: &Server) -> f64 {
    let (_, metrics) = server.get("/metrics").await;
    let text = metrics.as_str().unwrap().to_owned();
    let line = text.lines().find(|line| line.starts_with("imgserve_journal_commit_seconds_count"));
    line.and_then(|line| line.split(' ').next_back()).and_then(|count| count.parse().ok()).unwrap()
}
