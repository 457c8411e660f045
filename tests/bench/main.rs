//! The main job measured: one 6 MP JPEG → 200×120 over HTTP, through the real binary.
//!
//! `cargo bench -p imgserve --bench jobs [-- FOLDER]`; with a folder, its first JPEG enlarged to 6 MP is the source, else
//! a synthetic picture. Prints time to reply, time to result, jobs/s with 8 clients, peak memory of server and workers,
//! and beside each time what one thread of the `image` crate needs for the same pixels at the same moment.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a step that fails ends the bench; peers and files are its own"
)]

#[path = "../e2e/harness/mod.rs"]
#[allow(dead_code, reason = "the bench uses a part of the tests' harness")]
mod harness;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{Server, memory_kib};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat};
use imgserve_peers::{Web, samples};
use serde_json::json;

const SOURCE: (u32, u32) = (3000, 2000);
const RESULT: (u32, u32) = (200, 120);
const SINGLE: usize = 41;
const CLIENTS: usize = 8;
const LOAD: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let source = source();
    let server = Arc::new(Server::start("[jobs]\nmax_finished = 100000"));
    let web = Web::start(None).await;
    println!(
        "source: JPEG {}x{}, {} KiB; result: JPEG {}x{}",
        SOURCE.0,
        SOURCE.1,
        source.len() >> 10,
        RESULT.0,
        RESULT.1
    );
    web.put("a.jpg", source.clone());
    job(&server, &web, 0).await;

    let (mut replies, mut results, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..SINGLE {
        let (reply, result) = job(&server, &web, number).await;
        replies.push(reply);
        results.push(result);
        alone.push(reference(&source));
    }
    println!("one job at a time, median of {SINGLE}:");
    println!("  time to reply   {:7.1} ms", median(&mut replies));
    println!("  time to result  {:7.1} ms", median(&mut results));
    let alone = median(&mut alone);
    println!("  `image` alone   {alone:7.1} ms  (decode, Lanczos3, encode; one thread, in between)");

    let (done, took) = load(&server, &web).await;
    let rate = done as f64 / took.as_secs_f64();
    println!(
        "{CLIENTS} clients for {:.0} s: {rate:.1} jobs/s ({:.2} x `image` on one thread)",
        took.as_secs_f64(),
        rate * alone / 1e3
    );
    println!("peak memory: server {} MiB", memory_kib(server.pid(), "VmHWM") >> 10);
    for worker in server.workers() {
        println!("             worker {} MiB", memory_kib(worker, "VmHWM") >> 10);
    }
}

fn source() -> Vec<u8> {
    // cargo passes flags such as --bench; a folder is the only word of ours.
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let Some(folder) = folder else { return samples::encoded(SOURCE.0, SOURCE.1, ImageFormat::Jpeg) };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).collect();
    files.sort();
    let jpeg =
        files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "jpg")).unwrap();
    let photo = image::open(jpeg).unwrap().resize_exact(SOURCE.0, SOURCE.1, FilterType::CatmullRom);
    let mut bytes = Vec::new();
    DynamicImage::ImageRgb8(photo.to_rgb8())
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 92))
        .unwrap();
    bytes
}

/// One job: times to reply and to result, in milliseconds.
async fn job(server: &Server, web: &Web, number: usize) -> (f64, f64) {
    let began = Instant::now();
    let size = json!({ "width": RESULT.0, "height": RESULT.1 });
    let id = server.submit("resize", &web.file("a.jpg"), &web.file(&format!("{number}.jpg")), size).await;
    let reply = began.elapsed();
    // The destination itself says when the result is there: placeholder first, result second.
    let name = format!("{number}.jpg");
    let wanted = web.versions(&name).len().div_ceil(2) * 2;
    while web.versions(&name).len() < wanted {
        assert!(began.elapsed() < Duration::from_secs(60), "job {id} has no result");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    (reply.as_secs_f64() * 1e3, began.elapsed().as_secs_f64() * 1e3)
}

/// What a home-made service would do: decode, resample, encode, one after the other in one thread.
fn reference(source: &[u8]) -> f64 {
    let began = Instant::now();
    let image = image::load_from_memory(source).unwrap();
    let small = image.resize_to_fill(RESULT.0, RESULT.1, FilterType::Lanczos3);
    let mut bytes = Vec::new();
    small.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 80)).unwrap();
    began.elapsed().as_secs_f64() * 1e3
}

async fn load(server: &Arc<Server>, web: &Web) -> (usize, Duration) {
    let began = Instant::now();
    let done = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (server, web, done) = (Arc::clone(server), web.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut number = 1000 * (client + 1) * 1000;
                while began.elapsed() < LOAD {
                    number += 1;
                    job(&server, &web, number).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    (done.load(Ordering::Relaxed), began.elapsed())
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
