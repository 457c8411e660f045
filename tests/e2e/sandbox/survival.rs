//! What a plugin leaves behind, and what it leaves alone: its worker's memory, its server's files, the frames between them.

use serde_json::{Value, json};

use imgserve_peers::samples;

use crate::harness::{Server, plugin, section, signal, until};

/// A picture that compresses to nothing and decodes to 48 MB.
fn large() -> Vec<u8> {
    let picture = image::RgbImage::from_pixel(4000, 4000, image::Rgb([9, 99, 199]));
    let mut bytes = Vec::new();
    picture.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
    bytes
}

fn size(width: u32, height: u32) -> Value {
    json!({ "width": width, "height": height })
}

#[tokio::test]
async fn memory_that_a_guest_took_is_not_missing_to_the_next_job() {
    let bad = section("bad", &plugin("misbehave.wasm"), "memory_limit_mb = 160");
    let server = Server::start(&format!("[workers]\ncount = 1\nmemory_limit_mb = 160\n{bad}"));
    let source = server.write("large.png", large());
    let (small, out) =
        (server.write("s.png", samples::encoded(9, 9, image::ImageFormat::Png)), server.file_url("o.png"));
    let job = server.submit("bad", &small, &out, json!({ "mode": "grow" })).await;
    assert_eq!(server.ended(&job).await["error"]["kind"], "plugin-out-of-memory");
    server.succeed("resize", &source, &server.file_url("out.png"), size(40, 40)).await;
    assert_eq!(server.restarts().await, 0);
}

#[tokio::test]
async fn arguments_nested_without_end_cost_no_worker() {
    let server = Server::start("");
    let source = server.write("in.png", samples::encoded(60, 40, image::ImageFormat::Png));
    for depth in [50, 100, 120, 125, 5000] {
        let args =
            format!("{{\"width\": 9, \"height\": 9, \"x\": {}1{}}}", "[".repeat(depth), "]".repeat(depth));
        let out = server.file_url("out.png");
        let body = format!(
            "{{\"operationType\": \"resize\", \"srcURL\": \"{source}\", \"dstURL\": \"{out}\", \"args\": {args}}}"
        );
        let reply = server.post_body(body).await;
        match depth {
            50 => assert!(reply.body.get("dstURL").is_some(), "{reply:?}"),
            _ => assert_eq!(reply.body, json!({ "msg": "request parse error" }), "{depth}"),
        }
    }
    assert_eq!(server.restarts().await, 0);
}

#[tokio::test]
async fn a_compiled_plugin_that_is_gone_fails_its_own_jobs_alone() {
    let sections = format!("[workers]\ncount = 1\n{}", section("toned", &plugin("sepia.wasm"), ""));
    let server = Server::start(&sections);
    let source = server.write("in.png", samples::encoded(60, 40, image::ImageFormat::Png));
    let out = server.file_url("out.png");
    server.succeed("toned", &source, &out, json!({})).await;
    // The general one and the one for short tasks.
    let up = async |restarts: u64| {
        let (_, ready) = server.get("/readyz").await;
        ready["workers"] == 2 && ready["worker_restarts"].as_u64() >= Some(restarts)
    };
    until("both workers are up", async || up(0).await).await;
    std::fs::remove_dir_all(server.directory.path().join("cache")).unwrap();
    for worker in server.workers() {
        signal(worker, "KILL");
    }
    until("both workers are replaced", async || up(2).await).await;
    server.succeed("resize", &source, &out, size(9, 9)).await;
    let reply = server.post("toned", &source, &out, json!({})).await;
    assert_eq!(reply.body["code"], 207, "{reply:?}");
    assert!(reply.header("x-imgserve-error").contains("operation `toned`"), "{reply:?}");
    server.reload(&sections).await;
    server.succeed("toned", &source, &out, json!({})).await;
}
