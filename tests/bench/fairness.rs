//! How long one client's small job takes while others ask for much: alone; beside one large job per worker; beside 10, 100, …
//! large ones of another client that wait; beside twelve drawings at once that each keep a worker until its time limit.
//!
//! `cargo bench -p imgserve --bench fairness [-- MOST]` prints the middle of several small jobs for each, from the post to the
//! result, and how many times that of one large job per worker it is; MOST is the largest number that waits (10,000).
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

use harness::Server;
use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};
use sha2::Digest as _;

const WORKERS: usize = 2;
/// Small jobs for one figure, one after another.
const SMALL: usize = 15;
/// 24 megapixels, whose decoding keeps a worker for some tenths of a second.
const LARGE: (u32, u32) = (6000, 4000);
/// Drawings that a worker is kept by, and how many shapes each blurs: as many as are counted as just within the time limit.
const BOMBS: usize = 12;
const BLURS: usize = 200;

#[tokio::main]
async fn main() {
    let most = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000);
    let bench = Bench::start();
    let alone = bench.small().await;
    println!("{WORKERS} workers; a small job (640x480 → 64x48), middle of {SMALL}, slowest:");
    println!("{:<44} {}", "alone", told(&alone));
    let one_each = bench.beside(WORKERS, Large::Picture).await;
    println!("{:<44} {}", format!("beside {WORKERS} large ones ({}x{})", LARGE.0, LARGE.1), told(&one_each));
    let mut waiting = 10;
    while waiting <= most {
        let bench = Bench::start();
        let times = bench.beside(waiting, Large::Picture).await;
        let ratio = times.middle().div_duration_f64(one_each.middle());
        println!("{:<44} {}; {ratio:.2} x", format!("beside {waiting} large ones"), told(&times));
        waiting *= 10;
    }
    let bench = Bench::start();
    let times = bench.beside(BOMBS, Large::Bomb).await;
    let ratio = times.middle().div_duration_f64(alone.middle());
    println!("{:<44} {}; {ratio:.2} x alone", format!("beside {BOMBS} bombs"), told(&times));
}

#[derive(Clone, Copy)]
enum Large {
    Picture,
    Bomb,
}

struct Bench {
    server: Server,
    client: reqwest::Client,
    small: String,
    picture: String,
    bomb: String,
}

impl Bench {
    fn start() -> Self {
        let keys = [key("one"), key("many")].concat();
        let server = Server::start(&format!("{keys}[workers]\ncount = {WORKERS}"));
        let small = server.write("small.jpg", samples::encoded(640, 480, ImageFormat::Jpeg));
        let picture = server.write("large.png", samples::encoded(LARGE.0, LARGE.1, ImageFormat::Png));
        let bomb = server.write("bomb.svg", bomb());
        Self { server, client: harness::client(), small, picture, bomb }
    }

    /// Small jobs of one client, one after another.
    async fn small(&self) -> Times {
        let mut times = Vec::new();
        for number in 0..SMALL {
            let destination = self.server.file_url(&format!("small{number}.jpg"));
            let began = Instant::now();
            let size = json!({ "width": 64, "height": 48 });
            let job = self.post("one", "resize", &self.small, &destination, size).await;
            while self.state(&job).await != "succeeded" {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            times.push(began.elapsed());
        }
        times.sort_unstable();
        Times(times)
    }

    /// The same while so many large ones of another client are there.
    async fn beside(&self, count: usize, what: Large) -> Times {
        let mut last = String::new();
        for number in 0..count {
            last = self.large(what, number).await;
        }
        let times = self.small().await;
        assert_ne!(self.state(&last).await, "succeeded", "the large ones were done before the small ones");
        times
    }

    /// Posts a large job; its id.
    async fn large(&self, what: Large, number: usize) -> String {
        let destination = self.server.file_url(&format!("large{number}.png"));
        let (operation, source) = match what {
            Large::Picture => ("resize", &self.picture),
            Large::Bomb => ("rasterize", &self.bomb),
        };
        self.post("many", operation, source, &destination, json!({ "width": 300, "height": 200 })).await
    }
}

impl Bench {
    /// Posts a job with this key; its id.
    async fn post(&self, key: &str, operation: &str, source: &str, destination: &str, args: Value) -> String {
        let body =
            json!({ "operationType": operation, "srcURL": source, "dstURL": destination, "args": args });
        let bearer = format!("Bearer {key}");
        let (status, _, answer) = self.server.post_job(&body, &[("authorization", &bearer)]).await;
        assert_eq!(status, 202, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// What a job's state is.
    async fn state(&self, job: &str) -> String {
        let story = self.asked(&format!("/v1/jobs/{job}")).await;
        let story: Value = serde_json::from_str(&story).unwrap();
        assert!(!matches!(story["state"].as_str(), Some("failed" | "cancelled")), "{story}");
        story["state"].as_str().unwrap().to_owned()
    }

    async fn asked(&self, path: &str) -> String {
        let asked = self.client.get(format!("{}{path}", self.server.origin)).bearer_auth("one");
        asked.send().await.unwrap().text().await.unwrap()
    }
}

/// Times in rising order.
struct Times(Vec<Duration>);

impl Times {
    fn middle(&self) -> Duration {
        self.0[self.0.len() / 2]
    }
}

fn told(times: &Times) -> String {
    let ms = |time: &Duration| time.as_secs_f64() * 1e3;
    format!("{:7.1} ms, {:7.1} ms", ms(&times.middle()), ms(times.0.last().unwrap()))
}

fn key(name: &str) -> String {
    let digest: String = sha2::Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[access.api_keys]]\nname = '{name}'\nsha256 = '{digest}'\nscopes = ['admin']\n")
}

fn bomb() -> String {
    let square = "<rect width='300' height='300' filter='url(#f)'/>".repeat(BLURS);
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='300' height='300'>\
         <filter id='f'><feGaussianBlur stdDeviation='9'/></filter>{square}</svg>"
    )
}
