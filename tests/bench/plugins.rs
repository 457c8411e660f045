//! What the sandbox costs and holds, through the real binary; the plugins are those that `tests/run` builds.
//!
//! `cargo bench -p imgserve --bench plugins [-- JOBS]` prints: the same job builtin and as wasm; how soon an endless loop is
//! stopped; a start with many plugins; JOBS jobs (default 10,000) over a good, a trapping and a looping plugin, and
//! memory after a tenth and after all of them.
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
use std::time::Instant;

use harness::{Server, memory_kib, plugin, section};
use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};

const CLIENTS: usize = 6;
const SINGLE: usize = 61;
const LOOP_LIMIT_MS: u64 = 200;
const MANY: usize = 20;

#[tokio::main]
async fn main() {
    let jobs = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000);
    same_job().await;
    endless_loop().await;
    many_plugins().await;
    alternating(jobs).await;
}

/// 6 MP JPEG to 200 x 120: the time in the worker, builtin and as wasm in turn.
async fn same_job() {
    let server = Server::start(&section("resize-wasm", &plugin("resize.wasm"), ""));
    let source = server.write("in.jpg", samples::encoded(3000, 2000, ImageFormat::Jpeg));
    let (mut builtin, mut wasm) = (Vec::new(), Vec::new());
    for round in 0..SINGLE {
        for (operation, times) in [("resize", &mut builtin), ("resize-wasm", &mut wasm)] {
            let out = server.file_url("out.jpg");
            let record =
                server.succeed(operation, &source, &out, json!({ "width": 200, "height": 120 })).await;
            if round > 0 {
                times.push(record["timings"]["work_ms"].as_f64().unwrap());
            }
        }
    }
    let (builtin, wasm) = (median(&mut builtin), median(&mut wasm));
    println!(
        "6 MP JPEG to 200x120, in the worker: builtin {builtin:.2} ms, wasm {wasm:.2} ms, {:+.2} ms",
        wasm - builtin
    );
}

/// How long after its limit an endless loop is over, by the job's own record.
async fn endless_loop() {
    let limit = format!("time_limit_ms = {LOOP_LIMIT_MS}");
    let plugins = "[workers]\ncount = 1\n[plugins]\nbreaker_failures = 0\n";
    let server = Server::start(&format!("{plugins}{}", section("bad", &plugin("misbehave.wasm"), &limit)));
    let source = server.write("in.png", samples::encoded(60, 40, ImageFormat::Png));
    let mut late = Vec::new();
    for _ in 0..31 {
        let began = Instant::now();
        let job = server.submit("bad", &source, &server.file_url("out.png"), json!({ "mode": "loop" })).await;
        let replied = began.elapsed();
        let record = server.ended(&job).await;
        assert_eq!(record["error"]["kind"], "plugin-timed-out", "{record}");
        // From the reply, so the failure's placeholder and the queue count as well: never less than the truth.
        late.push((began.elapsed() - replied).as_secs_f64() * 1e3 - LOOP_LIMIT_MS as f64);
    }
    let restarts = server.get("/readyz").await.1["worker_restarts"].clone();
    let worst = late.iter().copied().fold(0.0, f64::max);
    println!(
        "endless loop, limit {LOOP_LIMIT_MS} ms: failed {:.1} ms after it (worst {worst:.1}), worker restarts: {restarts}",
        median(&mut late)
    );
}

/// From the start of the process until `/readyz` answers, with plugins that were compiled before.
async fn many_plugins() {
    let plugins: String = (0..MANY)
        .map(|number| {
            let file = ["sepia", "smartcrop", "blurhash", "qoi", "watermark"][number % 5];
            section(&format!("plugin-{number}"), &plugin(&format!("{file}.wasm")), "")
        })
        .collect();
    let cache = tempfile::tempdir().unwrap();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..6 {
        for (text, times) in [(plugins.as_str(), &mut with), ("", &mut without)] {
            let text = format!("[plugins]\ncache_dir = '{}'\n{text}", cache.path().display());
            let began = Instant::now();
            let server = Server::start(&text);
            while server.get("/readyz").await.0 != 200 {}
            // The first start compiles.
            if round > 0 {
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let (with, without) = (median(&mut with), median(&mut without));
    println!(
        "ready after {with:.0} ms with {MANY} compiled plugins, {without:.0} ms with none: {:.1} ms a plugin",
        (with - without) / MANY as f64
    );
}

/// Jobs over a good, a trapping and a looping plugin in turn.
async fn alternating(jobs: usize) {
    let config = format!(
        "[jobs]\nmax_finished = 500\n[plugins]\nbreaker_failures = 0\n{}{}",
        section("good", &plugin("sepia.wasm"), ""),
        section("bad", &plugin("misbehave.wasm"), "time_limit_ms = 20")
    );
    let server = Arc::new(Server::start(&config));
    let source = Arc::new(server.write("in.png", samples::encoded(60, 40, ImageFormat::Png)));
    let began = Instant::now();
    run(&server, &source, 0, jobs / 10).await;
    let early = memory(&server);
    run(&server, &source, jobs / 10, jobs).await;
    let late = memory(&server);
    let restarts = server.get("/readyz").await.1["worker_restarts"].clone();
    println!(
        "{jobs} jobs, good, trapping and looping in turn: all as they should be, {:.0} s, worker restarts: {restarts}",
        began.elapsed().as_secs_f64()
    );
    let share = (late as f64 / early as f64 - 1.0) * 100.0;
    println!(
        "memory of server and workers: {early} KiB after {}, {late} KiB after {jobs}: {share:+.1} %",
        jobs / 10
    );
}

async fn run(server: &Arc<Server>, source: &Arc<String>, from: usize, to: usize) {
    let clients = (0..CLIENTS).map(|client| {
        let (server, source) = (Arc::clone(server), Arc::clone(source));
        tokio::spawn(async move {
            let out = server.file_url(&format!("{client}.png"));
            for number in (from..to).filter(|number| number % CLIENTS == client) {
                // Every client meets all three.
                let (operation, args, wanted) = match (number / CLIENTS) % 3 {
                    0 => ("good", json!({}), Value::Null),
                    1 => ("bad", json!({ "mode": "panic" }), json!("plugin-trapped")),
                    _ => ("bad", json!({ "mode": "loop" }), json!("plugin-timed-out")),
                };
                let job = server.submit(operation, &source, &out, args).await;
                let record = server.ended(&job).await;
                assert_eq!(record["error"]["kind"], wanted, "{record}");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

/// Resident memory of the server and its workers, in KiB.
fn memory(server: &Server) -> u64 {
    let workers: u64 = server.workers().into_iter().map(|pid| memory_kib(pid, "VmRSS")).sum();
    memory_kib(server.pid(), "VmRSS") + workers
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
