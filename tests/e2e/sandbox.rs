//! Plugins that misbehave: each costs the one job that asked for it, which says whose fault it was, and nothing else. The
//! worker, other jobs and the server go on.
//!
//! # Layout
//! - this file: sandboxed plugins written with the sdk, which do it honestly
//! - `guests`: sandboxed plugins written by hand, which lie
//! - `languages`: plugins in JavaScript and Python
//! - `native`: shared libraries
//! - `survival`: what they leave behind
//! - `wasi`: what guests find of WASI
//! - `files`: what is refused before anything of it is called

mod files;
mod guests;
mod languages;
mod native;
mod survival;
mod wasi;

use image::ImageFormat;
use imgserve_peers::{Web, samples};
use serde_json::{Value, json};

use crate::harness::{Reply, Server, is_placeholder, memory_kib, plugin, section, until};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A server with one general worker, so that a job which harms it would be seen by the next one.
fn server(sections: &str) -> Server {
    Server::start(&format!("[workers]\ncount = 1\n[plugins]\nbreaker_failures = 0\n{sections}"))
}

fn picture(server: &Server) -> String {
    server.write("in.png", samples::encoded(60, 40, ImageFormat::Png))
}

/// Has a job fail, with a good one before and one behind it; gives its error's kind and text.
async fn fails(server: &Server, operation: &str, args: Value) -> (String, String) {
    let (source, web) = (picture(server), Web::start(None).await);
    let before = server.submit("resize", &source, &server.file_url("before.png"), size()).await;
    let bad = server.submit(operation, &source, &web.file("bad.png"), args.clone()).await;
    let after = server.submit("resize", &source, &server.file_url("after.png"), size()).await;
    for good in [before, after] {
        let record = server.ended(&good).await;
        assert_eq!(record["state"], "succeeded", "beside {operation} {args}: {record}");
    }
    let record = server.ended(&bad).await;
    assert_eq!(record["state"], "failed", "{operation} {args}: {record}");
    let [first, last] = &web.versions("bad.png")[..] else { panic!("one placeholder, then another: {args}") };
    assert!(is_placeholder(first) && is_placeholder(last) && first != last, "{operation} {args}");
    let text = |key: &str| record["error"][key].as_str().unwrap_or_default().to_owned();
    let blamed = text("kind").starts_with("plugin-");
    assert_eq!(text("operation"), if blamed { operation } else { "" }, "{operation} {args}: {record}");
    (text("kind"), text("text"))
}

fn size() -> Value {
    json!({ "width": 20, "height": 10 })
}

/// Has planning fail; the reply says so at once, and nothing is stored.
async fn refused(server: &Server, operation: &str, args: Value) -> (u64, String) {
    let source = picture(server);
    let Reply { headers, body, .. } =
        server.post(operation, &source, &server.file_url("refused.png"), args.clone()).await;
    let error = headers.get("x-imgserve-error").unwrap_or_else(|| panic!("accepted: {operation} {args}"));
    assert!(!server.files().join("refused.png").exists(), "{operation} {args} left something behind");
    (body["code"].as_u64().unwrap(), error.to_str().unwrap().to_owned())
}

/// The sandboxed plugin works, in the worker that was there from the beginning.
async fn unharmed(server: &Server, operation: &str) {
    let source = picture(server);
    server.succeed(operation, &source, &server.file_url("good.png"), json!({})).await;
    assert!(!is_placeholder(&server.read("good.png")));
    assert_eq!(server.restarts().await, 0, "a worker died");
}

/// Holds what a fault says against what it should, in which `PLUGIN` is name and version.
fn check(what: &str, (found_kind, found_text): (&str, &str), (kind, texts): (&str, &[&str]), name: &str) {
    assert_eq!(found_kind, kind, "{what}: {found_text}");
    for text in [name].iter().chain(texts) {
        assert!(found_text.contains(text), "{what}: {text:?} is not in {found_text:?}");
    }
}

#[tokio::test]
async fn a_job_of_a_sandboxed_plugin_fails_alone() {
    let limits = "time_limit_ms = 1500\nmemory_limit_mb = 128";
    let server = server(&section("misbehave", &plugin("misbehave.wasm"), limits));
    until("both workers are up", async || server.get("/readyz").await.1["workers"] == 2).await;
    let workers = server.workers();
    let name = format!("plugin misbehave {VERSION} ");
    for (mode, kind, texts) in [
        ("panic", "plugin-trapped", &["panicked at tests/misbehave/src/lib.rs:", ": as asked"][..]),
        ("abort", "plugin-trapped", &["trapped (wasm trap: wasm `unreachable` instruction executed)"]),
        ("recurse", "plugin-trapped", &["trapped (wasm trap: call stack exhausted)"]),
        ("loop", "plugin-timed-out", &["not done after 1500 ms (time_limit_ms)"]),
        ("grow", "plugin-out-of-memory", &["ran out of memory (memory_limit_mb = 128)"]),
        ("lying-plan", "plugin-contract", &["planned 60x40 rgba8 and gave 61x40 rgba8"]),
        ("wrong-format", "plugin-contract", &["planned 60x40 rgba8 and gave 60x40 gray8"]),
    ] {
        let (found_kind, text) = fails(&server, "misbehave", json!({ "mode": mode })).await;
        check(mode, (&found_kind, &text), (kind, texts), &name);
        unharmed(&server, "misbehave").await;
    }
    assert_eq!(server.workers(), workers, "other processes than before");
}

#[tokio::test]
async fn a_plan_of_a_sandboxed_plugin_is_refused_at_once() {
    let limits = "time_limit_ms = 1500\nmemory_limit_mb = 128";
    let server = server(&section("misbehave", &plugin("misbehave.wasm"), limits));
    let name = format!("misbehave {VERSION} ");
    for (mode, code, texts) in [
        ("panic", 207, &["plugin-trapped; plugin", "tests/misbehave/src/lib.rs:", ": as asked"][..]),
        ("abort", 207, &["plugin-trapped; plugin", "unreachable"]),
        ("recurse", 207, &["plugin-trapped; plugin", "call stack exhausted"]),
        ("loop", 206, &["plugin-timed-out; plugin", "not done after 1500 ms (time_limit_ms)"]),
        ("grow", 206, &["plugin-out-of-memory; plugin", "memory_limit_mb = 128"]),
        ("huge-plan", 206, &["limit-exceeded; ", "4294836225 pixels", "[limits] max_output_pixels"]),
    ] {
        let (found, text) = refused(&server, "misbehave", json!({ "mode": mode, "where": "plan" })).await;
        check(mode, (&found.to_string(), &text), (&code.to_string(), texts), &name);
        unharmed(&server, "misbehave").await;
    }
}

/// No line of the log may look like one that the plugin made up, whatever the plugin's text held.
fn no_line_is_faked(server: &Server) -> usize {
    let log = server.log();
    let told = log.lines().filter(|line| line.contains("faked"));
    for line in told.clone() {
        assert!(line.contains("misbehave") && !line.starts_with("2026-01-01"), "{line:?}");
        assert!(!line.contains(['\x1b', '\r', '\u{85}']), "{line:?}");
        assert!(line.len() < 3000, "{} bytes in one line", line.len());
    }
    told.count()
}

#[tokio::test]
async fn a_plugin_that_talks_too_much_is_cut_off() {
    let server = server(&section("misbehave", &plugin("misbehave.wasm"), ""));
    let source = picture(&server);
    let chatter = json!({ "mode": "chatter" });
    server.succeed("misbehave", &source, &server.file_url("out.png"), chatter).await;
    until("its last line is in the log", async || server.log().contains("dropped")).await;
    let told = no_line_is_faked(&server);
    assert!((50..=100).contains(&told), "{told} lines");
    assert!(memory_kib(server.pid(), "VmHWM") < 120 << 10, "the server grew");
    unharmed(&server, "misbehave").await;
}

#[tokio::test]
async fn a_refusal_is_one_line_and_not_longer_than_can_be_read() {
    let server = server(&section("misbehave", &plugin("misbehave.wasm"), ""));
    let (code, text) = refused(&server, "misbehave", json!({ "mode": "refuse", "where": "plan" })).await;
    check("plan", (&code.to_string(), &text), ("207", &["operation-failed; misbehave"]), VERSION);
    let (kind, text) = fails(&server, "misbehave", json!({ "mode": "refuse" })).await;
    check("run", (&kind, &text), ("operation-failed", &["one"]), &format!("misbehave {VERSION}: "));
    assert!(no_line_is_faked(&server) > 0 && !text.contains(char::is_control));
    assert!(text.len() < 5000, "{} bytes are kept of a text", text.len());
    assert!(memory_kib(server.pid(), "VmHWM") < 120 << 10, "the server grew");
    unharmed(&server, "misbehave").await;
}
