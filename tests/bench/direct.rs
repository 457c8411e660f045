//! What the server costs around the work: `POST /v1/operations/resize` of a 6 MP JPEG to 200×120, 2 workers, through the
//! real binary.
//!
//! `cargo bench -p imgserve --bench direct [-- ROUNDS]` prints for each round, of one client alone and then of 8 at once:
//! jobs/s; what the workers' own time for decode, resize and encode (Server-Timing's `work`) allows; the ratio of the two.
//! The 8 clients are measured by the time that the workers took at that moment, and by what they take when one client is
//! alone: the latter counts against the server whatever it takes from its workers' processors. The clients take a part
//! of them too.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a step that fails ends the bench; the server is its own"
)]

#[path = "../e2e/harness/mod.rs"]
#[allow(dead_code, reason = "the bench uses a part of the tests' harness")]
mod harness;

use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::Server;
use image::ImageFormat;
use imgserve_peers::samples;

const WORKERS: usize = 2;
const CLIENTS: usize = 8;
const ROUND: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5);
    let server = Server::start(&format!("[workers]\ncount = {WORKERS}"));
    let source = Bytes::from(samples::encoded(3000, 2000, ImageFormat::Jpeg));
    let url = format!("{}/v1/operations/resize?width=200&height=120", server.origin);
    println!("source: JPEG 3000x2000, {} KiB; result: JPEG 200x120; {WORKERS} workers", source.len() >> 10);
    load(&url, &source, CLIENTS, ROUND / 5).await;
    let mut ratios = Vec::new();
    for number in 1..=rounds {
        let alone = load(&url, &source, 1, ROUND / 2).await;
        let many = load(&url, &source, CLIENTS, ROUND).await;
        let allowed = |work_ms: f64| WORKERS as f64 * 1e3 / work_ms;
        let (then, best) = (allowed(many.work_ms), allowed(alone.work_ms));
        println!(
            "round {number}: 1 client: work {:.2} ms, answer after {:.2} ms; {CLIENTS} clients: {:.1} jobs/s; work {:.2} ms \
             allows {then:.1}: {:.1} %; work {:.2} ms alone allows {best:.1}: {:.1} %",
            alone.work_ms,
            alone.answer_ms,
            many.rate,
            many.work_ms,
            many.rate / then * 100.0,
            alone.work_ms,
            many.rate / best * 100.0,
        );
        ratios.push((many.rate / then * 100.0, many.rate / best * 100.0));
    }
    let (mut then, mut best): (Vec<f64>, Vec<f64>) = ratios.into_iter().unzip();
    println!(
        "median: {:.1} % of what the workers' time at that moment allows, {:.1} % of what it allows uncontended",
        median(&mut then),
        median(&mut best)
    );
}

/// What a load was answered with: the workers' mean time, the clients' median one.
struct Load {
    rate: f64,
    work_ms: f64,
    answer_ms: f64,
}

async fn load(url: &str, source: &Bytes, clients: usize, time: Duration) -> Load {
    let began = Instant::now();
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let (url, source) = (url.to_owned(), source.clone());
            tokio::spawn(async move {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                let mut times = Vec::new();
                while began.elapsed() < time {
                    let asked = Instant::now();
                    let response = client.post(&url).body(source.clone()).send().await.unwrap();
                    assert_eq!(response.status(), 200);
                    let timing = response.headers()["server-timing"].to_str().unwrap().to_owned();
                    assert!(response.bytes().await.unwrap().starts_with(&[0xff, 0xd8]));
                    times.push((work_ms(&timing), asked.elapsed().as_secs_f64() * 1e3));
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.unwrap());
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    let (work, mut answer): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
    // The mean, for it is the sum of the workers' time that bounds the rate.
    let work_ms = work.iter().sum::<f64>() / work.len() as f64;
    Load { rate, work_ms, answer_ms: median(&mut answer) }
}

fn work_ms(server_timing: &str) -> f64 {
    let parts = server_timing.split(", ");
    let work = parts.filter_map(|part| part.strip_prefix("work;dur=")).next().unwrap();
    work.parse().unwrap()
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
