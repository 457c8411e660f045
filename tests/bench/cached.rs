//! What the server can answer of what it keeps: results of about 20 KB, hit again and again, through the real binary.
//!
//! `cargo bench -p imgserve --bench cached [-- ROUNDS]` prints for renders of a file, renders of a source over HTTP that is fresh,
//! renders that the client has already (304), and sources that are sent: what one client waits for, then hits/s of 16 clients at
//! once. The clients are in this process and take their part of the same processors: that is counted against the server. Every
//! answer must say that it was a hit.
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
use imgserve_peers::{Web, samples};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const CLIENTS: usize = 16;
const ROUND: Duration = Duration::from_secs(3);
/// The size of the results, in bytes, at least.
const RESULT: usize = 20_000;
/// A file is taken for one that lies still after so long.
const STILL: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5);
    let server = Server::start("[cache]\ndir = \"FILES-kept\"\n[workers]\ncount = 1");
    let web = Web::start(None).await;
    let source = samples::encoded(3000, 2000, ImageFormat::Jpeg);
    let file = server.write("a.jpg", &source);
    web.put("a.jpg", source.clone());
    web.say("a.jpg", &[("cache-control", "max-age=86400")]);
    let small = samples::encoded(600, 400, ImageFormat::Jpeg);
    tokio::time::sleep(STILL).await;
    let width = width(&server, &file).await;
    let get = |url: &str, more: &str| {
        let path = format!("/v1/operations/resize/render?width={width}&quality=95&src={url}");
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n").into_bytes()
    };
    let tag = Client::connect(&server).await.ask(&get(&file, "")).await.header("etag");
    let known = get(&file, &format!("if-none-match: {tag}\r\n"));
    let path = format!("/v1/operations/resize?width={width}&quality=95&enlarge=always");
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", small.len());
    let cases = [
        ("a file", get(&file, "")),
        ("fresh over HTTP", get(&web.file("a.jpg"), "")),
        ("known to the client", known),
        ("sent along", [head.as_bytes(), &small].concat()),
    ];
    println!("results of {RESULT} bytes at least, {width} pixels wide; 1 client, then {CLIENTS}");
    for (name, request) in &cases {
        // Made, read, at hand.
        for _ in 0..3 {
            Client::connect(&server).await.ask(request).await;
        }
        let (mut rates, mut halves) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let mut alone = load(&server, request, 1, ROUND / 3).await.1;
            let (rate, _) = load(&server, request, CLIENTS, ROUND).await;
            rates.push(rate);
            halves.push(at(&mut alone, 0.5));
        }
        let (low, high) = (at(&mut rates.clone(), 0.0), at(&mut rates.clone(), 1.0));
        println!(
            "{name:<20} {:8.0} hits/s ({low:.0} to {high:.0}); one client waits {:.3} ms (p50)",
            at(&mut rates, 0.5),
            at(&mut halves, 0.5)
        );
    }
}

/// The width at which the result is as large as it is to be.
async fn width(server: &Server, file: &str) -> u32 {
    let mut client = Client::connect(server).await;
    for width in (100..2000).step_by(50) {
        let path = format!("/v1/operations/resize/render?width={width}&quality=95&src={file}");
        let answer = client.ask(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await;
        if answer.body >= RESULT {
            return width;
        }
    }
    panic!("no result of {file} is so large");
}

/// Hits a second, and how long each took, in milliseconds.
async fn load(server: &Server, request: &[u8], clients: usize, time: Duration) -> (f64, Vec<f64>) {
    let began = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (mut client, request) = (Client::connect(server).await, request.to_vec());
        all.spawn(async move {
            let mut times = Vec::new();
            while began.elapsed() < time {
                let asked = Instant::now();
                let answer = client.ask(&request).await;
                times.push(asked.elapsed().as_secs_f64() * 1e3);
                assert!(answer.head.contains("cache-status: imgserve; hit\r\n"), "{}", answer.head);
            }
            times
        });
    }
    let times: Vec<f64> = all.join_all().await.into_iter().flatten().collect();
    (times.len() as f64 / began.elapsed().as_secs_f64(), times)
}

/// A connection, on which one request is asked after the other.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The head of an answer, and how long its body is.
struct Answer {
    head: String,
    body: usize,
}

impl Answer {
    fn header(&self, name: &str) -> String {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().to_owned()
    }
}

impl Client {
    async fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.origin.trim_start_matches("http://")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: vec![0; 64 << 10] }
    }

    async fn ask(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.unwrap();
        let mut have = 0;
        let head = loop {
            have += self.more(have).await;
            let end = self.buffer[..have].windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                break String::from_utf8_lossy(&self.buffer[..end + 2]).into_owned();
            }
        };
        assert!(head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.1 304"), "{head}");
        let mut answer = Answer { head, body: 0 };
        answer.body = answer.header("content-length").parse().unwrap_or(0);
        let mut left = (answer.head.len() + 2 + answer.body).saturating_sub(have);
        while left > 0 {
            left -= self.more(0).await.min(left);
        }
        answer
    }

    /// Reads what comes, behind so many bytes that are there.
    async fn more(&mut self, have: usize) -> usize {
        let read = self.stream.read(&mut self.buffer[have..]).await.unwrap();
        assert!(read > 0, "the server has closed the connection");
        read
    }
}

/// The value that this part of all are smaller than.
fn at(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part) as usize]
}
