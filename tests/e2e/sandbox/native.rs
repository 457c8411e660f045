//! Shared libraries: trusted, and still a mistake in one of them costs one job; at worst with its worker.

use serde_json::json;

use super::{VERSION, check, fails, no_line_is_faked, picture, refused, server, unharmed};
use crate::harness::{Server, plugin, section, until};

#[tokio::test]
async fn a_native_plugin_that_panics_harms_nobody() {
    let server = server(&section("misbehave", &plugin("misbehave.so"), ""));
    until("both workers are up", async || server.get("/readyz").await.1["workers"] == 2).await;
    let workers = server.workers();
    let name = format!("plugin misbehave {VERSION} ");
    let (kind, text) = fails(&server, "misbehave", json!({ "mode": "panic" })).await;
    check("run", (&kind, &text), ("plugin-trapped", &["panicked: as asked"]), &name);
    let (code, text) = refused(&server, "misbehave", json!({ "mode": "panic", "where": "plan" })).await;
    check("plan", (&code.to_string(), &text), ("207", &["plugin-trapped; ", "panicked: as asked"]), &name);
    for (mode, wanted) in [("lying-plan", "gave 61x40 rgba8"), ("wrong-format", "gave 60x40 gray8")] {
        let (kind, text) = fails(&server, "misbehave", json!({ "mode": mode })).await;
        check(mode, (&kind, &text), ("plugin-contract", &[wanted]), &name);
    }
    let (kind, text) = fails(&server, "misbehave", json!({ "mode": "refuse" })).await;
    check("refuse", (&kind, &text), ("operation-failed", &["one"]), &format!("misbehave {VERSION}: "));
    assert!(no_line_is_faked(&server) > 0 && !text.contains(char::is_control));
    assert!(text.len() < 5000, "{} bytes are kept of a text", text.len());
    unharmed(&server, "misbehave").await;
    assert_eq!(server.workers(), workers, "other processes than before");
}

#[tokio::test]
async fn a_native_plugin_that_ends_its_worker_fails_one_job() {
    let limits = "time_limit_ms = 1500";
    let server = server(&section("misbehave", &plugin("misbehave.so"), limits));
    let mut restarts = 0;
    // A worker that dies may do so by chance: its job is tried three times. One that is ended for its time is not.
    for (mode, kind, texts, workers) in [
        ("abort", "plugin-trapped", &["SIGABRT"][..], 3),
        ("recurse", "plugin-trapped", &["stack overflow"], 3),
        ("loop", "plugin-timed-out", &["not done after 1500 ms (time_limit_ms)"], 1),
    ] {
        let (found_kind, text) = fails(&server, "misbehave", json!({ "mode": mode })).await;
        check(mode, (&found_kind, &text), (kind, texts), "the plugin of `misbehave` ended its worker");
        let source = picture(&server);
        server.succeed("misbehave", &source, &server.file_url("good.png"), json!({})).await;
        restarts += workers;
        assert_eq!(server.restarts().await, restarts, "{mode}");
    }
    let (code, text) = refused(&server, "misbehave", json!({ "mode": "abort", "where": "plan" })).await;
    check("plan", (&code.to_string(), &text), ("207", &["plugin-trapped; "]), "`misbehave`");
    let (code, text) = refused(&server, "misbehave", json!({ "mode": "loop", "where": "plan" })).await;
    check("plan", (&code.to_string(), &text), ("206", &["plugin-timed-out; ", "1500 ms"]), "`misbehave`");
    until("all workers are back", async || server.get("/readyz").await.1["workers"] == 2).await;
}

#[tokio::test]
async fn a_native_plugin_that_eats_memory_fails_one_job() {
    let section = section("misbehave", &plugin("misbehave.so"), "");
    let server = Server::start(&format!("[workers]\ncount = 1\nmemory_limit_mb = 200\n{section}"));
    let source = picture(&server);
    let bad =
        server.submit("misbehave", &source, &server.file_url("bad.png"), json!({ "mode": "grow" })).await;
    let record = server.ended(&bad).await;
    assert_eq!(record["error"]["kind"], "limit-exceeded", "{record}");
    assert_eq!(record["error"]["operation"], "misbehave", "{record}");
    let text = record["error"]["text"].as_str().unwrap();
    assert!(text.contains("[workers] memory_limit_mb = 200"), "{text}");
    server.succeed("misbehave", &source, &server.file_url("good.png"), json!({})).await;
    assert_eq!(server.restarts().await, 1);
}
