//! Third-party operations from the outside: registered, limited, reloaded, suspended.
//!
//! # Layout
//! - this file: one operation's life
//! - `pipelines`: several, one after the other
//! - `commands`: what the command line says of them

mod commands;
mod pipelines;

use std::path::Path;

use image::{ImageFormat, RgbImage};
use imgserve_peers::samples;
use serde_json::{Value, json};

use crate::guest::{FOREVER, Guest, RUN};
use crate::harness::{Reply, Server, is_placeholder, look, plugin, section, sha256, until};

fn png(width: u32, height: u32) -> Vec<u8> {
    samples::encoded(width, height, ImageFormat::Png)
}

fn error(reply: &Reply) -> (u64, &str) {
    (reply.body["code"].as_u64().unwrap_or_else(|| panic!("{reply:?}")), reply.header("x-imgserve-error"))
}

fn rgb(bytes: &[u8]) -> RgbImage {
    image::load_from_memory(bytes).unwrap().to_rgb8()
}

/// Whether red is at least green, and green at least blue, as brown tones have it.
fn is_brown(image: &RgbImage) -> bool {
    // A JPEG's colours are a few levels off.
    image.pixels().all(|pixel| pixel.0.is_sorted_by(|a, b| i32::from(*a) + 12 > i32::from(*b)))
        && image.pixels().any(|pixel| pixel.0[0] > pixel.0[2] + 20)
}

#[tokio::test]
async fn three_lines_register_a_plugin() {
    let path = plugin("sepia.wasm");
    let server = Server::start(&section("sepia", &path, ""));
    for (name, format) in [("png", ImageFormat::Png), ("jpg", ImageFormat::Jpeg)] {
        let source = server.write(&format!("in.{name}"), samples::encoded(120, 80, format));
        let out = format!("out.{name}");
        server.succeed("sepia", &source, &server.file_url(&out), json!({})).await;
        assert_eq!(look(&server.read(&out)), (120, 80, format));
        assert!(is_brown(&rgb(&server.read(&out))) && !is_brown(&samples::picture(120, 80)), "{name}");
    }
    let (status, shown) = server.get("/v1/operations/sepia").await;
    assert_eq!((status, &shown["kind"]), (200, &json!("wasm")));
    assert_eq!(shown["limits"], json!({ "memory_limit_mb": 512, "time_limit_ms": 5000 }));
    assert_eq!(shown["sha256"], json!(sha256(&path)));
    assert_eq!(shown["breaker"], json!({ "open": false, "failures": 0 }));
    assert_eq!(shown["plugin"]["name"], "sepia");
    let reply = server
        .post("sepia", &server.file_url("in.png"), &server.file_url("out.png"), json!({ "strength": 2 }))
        .await;
    let (code, text) = error(&reply);
    assert!(code == 114 && text.contains("argument `strength`: 2 is not from 0 to 1"), "{text}");
}

#[tokio::test]
async fn a_path_is_meant_from_the_configuration_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("operations")).unwrap();
    Guest::default().write(directory.path(), "operations/guest");
    let section = section("guest", Path::new("operations/guest.wasm"), "");
    let server = Server::start_in(directory, &format!("[access]\nfile_roots = [\"FILES\"]\n{section}"));
    let source = server.write("in.png", png(60, 40));
    server.succeed("guest", &source, &server.file_url("out.png"), json!({})).await;
    assert_eq!(rgb(&server.read("out.png")), samples::picture(60, 40));
}

#[tokio::test]
async fn settings_defaults_and_limits_reach_the_plugin() {
    let more = "max_output_pixels = 500
config = { width = 30, height = 10, level = 77 }
args = { mode = \"config\" }";
    let server = Server::start(&section("gray", &plugin("misbehave.wasm"), more));
    let source = server.write("in.png", png(60, 40));
    server.succeed("gray", &source, &server.file_url("out.png"), json!({})).await;
    let out = rgb(&server.read("out.png"));
    assert_eq!((out.dimensions(), out.get_pixel(3, 3).0), ((30, 10), [77; 3]));
    // A request's argument goes over the default: 60x40 pixels are more than the section allows.
    let reply = server.post("gray", &source, &server.file_url("out.png"), json!({ "mode": "good" })).await;
    let (code, text) = error(&reply);
    assert!(
        code == 206 && text.contains("2400 pixels, more than [operations.gray] max_output_pixels = 500"),
        "{text}"
    );
    let (_, shown) = server.get("/v1/operations/gray").await;
    assert_eq!(shown["limits"]["max_output_pixels"], 500);
    assert_eq!(shown["defaults"], json!({ "mode": "config" }));
}

#[tokio::test]
async fn random_numbers_are_the_same_for_the_same_work() {
    let server = Server::start(&section("misbehave", &plugin("misbehave.wasm"), ""));
    let (one, other) = (server.write("one.png", png(64, 64)), server.write("other.png", png(64, 64)));
    for (source, out) in [(&one, "1.png"), (&one, "2.png"), (&other, "3.png")] {
        server.succeed("misbehave", source, &server.file_url(out), json!({ "mode": "random" })).await;
    }
    let [first, again, another] = ["1.png", "2.png", "3.png"]
        .map(|name| image::load_from_memory(&server.read(name)).unwrap().to_rgba8());
    assert_eq!(first, again);
    let same = first.iter().zip(another.iter()).filter(|(a, b)| a == b).count();
    assert!(same < first.len() / 50, "{same} of {} samples are the same", first.len());
    let mean = first.iter().map(|&sample| f64::from(sample)).sum::<f64>() / first.len() as f64;
    assert!((120.0..135.0).contains(&mean), "the mean of random bytes is {mean}");
}

#[tokio::test]
async fn an_operation_that_keeps_failing_is_suspended_and_tried_again() {
    let plugins = "[plugins]\nbreaker_failures = 3\nbreaker_pause_s = 2\n";
    let server = Server::start(&format!("{plugins}{}", section("misbehave", &plugin("misbehave.wasm"), "")));
    let source = server.write("in.png", png(60, 40));
    let out = server.file_url("out.png");
    let panic = json!({ "mode": "panic" });
    let breaker = async || server.get("/v1/operations/misbehave").await.1["breaker"].clone();
    for failures in 1..=3 {
        let job = server.submit("misbehave", &source, &out, panic.clone()).await;
        assert_eq!(server.ended(&job).await["error"]["kind"], "plugin-trapped");
        assert_eq!(breaker().await["failures"], failures);
    }
    // What is left of the pause, in whole seconds.
    let left = async || breaker().await["retry_after_s"].as_u64();
    assert!(breaker().await["open"] == true && left().await.is_some_and(|left| left <= 2));
    let reply = server.post("misbehave", &source, &out, json!({})).await;
    let (code, text) = error(&reply);
    assert!(code == 301 && text.starts_with("operation-suspended; the plugin of `misbehave`"), "{text}");
    assert!(reply.status == 503 && ["1", "2"].contains(&reply.header("retry-after")), "{reply:?}");
    server
        .succeed("resize", &source, &server.file_url("small.png"), json!({ "width": 9, "height": 9 }))
        .await;
    let chain = json!({ "steps": [{ "operationType": "misbehave" }] });
    assert_eq!(error(&server.post("pipeline", &source, &out, chain).await).0, 301, "not around it either");

    // One job tries it, and its failure doubles the pause.
    until("the pause is over", async || breaker().await["open"] == false).await;
    let job = server.submit("misbehave", &source, &out, panic).await;
    assert_eq!(server.ended(&job).await["state"], "failed");
    assert!(left().await.is_some_and(|left| (3..=4).contains(&left)));
    assert_eq!(server.post("misbehave", &source, &out, json!({})).await.status, 503);
    until("the pause is over", async || breaker().await["open"] == false).await;
    // Tried by a chain that has it twice, which is one try.
    let twice = json!({ "steps": [{ "operationType": "misbehave" }, { "operationType": "misbehave" }] });
    server.succeed("pipeline", &source, &out, twice).await;
    assert_eq!(breaker().await, json!({ "open": false, "failures": 0 }));
    server.succeed("misbehave", &source, &out, json!({})).await;
}

/// A guest of this version that gives its pixels with the first one's red set to `mark`.
fn marked(version: &'static str, mark: u8) -> Guest {
    let run = format!("(i32.store8 (i32.load offset=60 (local.get $in)) (i32.const {mark})) {RUN}");
    Guest { version, run, ..Guest::default() }
}

async fn version(server: &Server) -> Value {
    server.get("/v1/operations/guest").await.1["plugin"]["version"].clone()
}

#[tokio::test]
async fn a_plugin_is_replaced_while_jobs_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = marked("1.0.0", 10).write(directory.path(), "guest");
    let section = section("guest", &path, "");
    let server = Server::start(&section);
    let source = server.write("in.png", png(60, 40));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let load = async |name: &str| {
        let mut done = 0;
        let mut marks = Vec::new();
        while !stop.load(std::sync::atomic::Ordering::Relaxed) || done < 5 {
            server.succeed("guest", &source, &server.file_url(name), json!({})).await;
            marks.push(rgb(&server.read(name)).get_pixel(0, 0).0[0]);
            done += 1;
        }
        marks
    };
    let replace = async {
        assert_eq!(version(&server).await, "1.0.0");
        marked("2.0.0", 20).write(directory.path(), "guest");
        // The file alone changes nothing.
        server.succeed("guest", &source, &server.file_url("still.png"), json!({})).await;
        assert_eq!(rgb(&server.read("still.png")).get_pixel(0, 0).0[0], 10);
        let said = server.reload(&section).await;
        assert!(said.contains("INFO configuration reloaded"), "{said}");
        assert_eq!(version(&server).await, "2.0.0");
        server.succeed("guest", &source, &server.file_url("new.png"), json!({})).await;
        assert_eq!(rgb(&server.read("new.png")).get_pixel(0, 0).0[0], 20);

        // What cannot be loaded leaves everything as it was.
        for (bad, why) in [
            (b"garbage".to_vec(), "not a valid WebAssembly file"),
            (Guest { describe: FOREVER.to_owned(), ..Guest::default() }.module(), "time_limit_ms"),
        ] {
            std::fs::write(&path, bad).unwrap();
            let said = server.reload(&format!("{section}time_limit_ms = 300\n")).await;
            for text in ["ERROR", "not reloaded, the old one stays: operation `guest`: ", why] {
                assert!(said.contains(text), "{text:?} is not in {said:?}");
            }
            assert_eq!(version(&server).await, "2.0.0");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (first, second, ()) = tokio::join!(load("a.png"), load("b.png"), replace);
    for marks in [first, second] {
        assert!(marks.is_sorted() && marks.iter().all(|mark| [10, 20].contains(mark)), "{marks:?}");
        assert_eq!(marks.last(), Some(&20));
    }
    assert_eq!(server.restarts().await, 0);
    until("the old workers are gone", async || server.workers().len() == ready(&server).await).await;
}

async fn ready(server: &Server) -> usize {
    let general = std::thread::available_parallelism().unwrap().get();
    let alive = server.get("/readyz").await.1["workers"].as_u64().unwrap() as usize;
    if alive == general + 1 { alive } else { usize::MAX }
}

#[tokio::test]
async fn a_job_in_flight_ends_on_the_version_that_it_began_with() {
    let with_level = |level: u8| {
        let more = format!("time_limit_ms = 50000\nconfig = {{ width = 9, height = 9, level = {level} }}");
        format!("[workers]\ncount = 1\n{}", section("misbehave", &plugin("misbehave.wasm"), &more))
    };
    let server = Server::start(&with_level(1));
    let source = server.write("in.png", png(60, 40));
    let work = |steps: u32| json!({ "mode": "progress", "steps": steps });
    let job = server.submit("misbehave", &source, &server.file_url("old.png"), work(1500)).await;
    let progress = async || server.get(&format!("/v1/jobs/{job}")).await.1["progress"].as_f64().unwrap();
    until("it tells that it gets on", async || progress().await > 0.0).await;
    let before = progress().await;
    let said = server.reload(&with_level(2)).await;
    assert!(said.contains("INFO configuration reloaded"), "{said}");
    let (_, record) = server.get(&format!("/v1/jobs/{job}")).await;
    assert_eq!(record["state"], "running", "too short to show anything");
    server.succeed("misbehave", &source, &server.file_url("new.png"), work(1)).await;
    until("it gets on", async || progress().await > before).await;
    let record = server.ended(&job).await;
    assert_eq!((&record["state"], &record["progress"]), (&json!("succeeded"), &json!(1.0)));
    assert_eq!(rgb(&server.read("old.png")).get_pixel(5, 5).0, [1; 3]);
    assert_eq!(rgb(&server.read("new.png")).get_pixel(5, 5).0, [2; 3]);
    until("its worker is gone", async || server.workers().len() == 2).await;
    assert_eq!(server.restarts().await, 0);
}

#[tokio::test]
async fn compiled_once_and_again_when_damaged() {
    let cache = tempfile::tempdir().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = Guest::default().write(directory.path(), "guest");
    let cache_dir = cache.path().join("cache");
    let config = format!("[plugins]\ncache_dir = {cache_dir:?}\n{}", section("guest", &path, ""));
    let start = async |compiles: bool| {
        let server = Server::start(&config);
        assert_eq!(server.log().contains("compiling its plugin"), compiles, "{}", server.log());
        let source = server.write("in.png", png(60, 40));
        server.succeed("guest", &source, &server.file_url("out.png"), json!({})).await;
        assert!(!is_placeholder(&server.read("out.png")));
    };
    start(true).await;
    start(false).await;
    let files = std::fs::read_dir(&cache_dir).unwrap().flatten().map(|entry| entry.path());
    let compiled = files.into_iter().find(|path| path.extension().is_some_and(|e| e == "cwasm")).unwrap();
    assert!(compiled.file_name().unwrap().to_str().unwrap().starts_with(&sha256(&path)));
    let mut bytes = std::fs::read(&compiled).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::remove_file(&compiled).unwrap();
    std::fs::write(&compiled, bytes).unwrap();
    start(true).await;
    start(false).await;
    // Compiled code is trusted: not where others can write.
    std::fs::set_permissions(&cache_dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let log = Server::refuses(&config);
    assert!(log.contains("others can write to it") && log.contains("cache_dir"), "{log}");
}
