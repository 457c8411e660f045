//! Codecs that are plugins: what they read and write for every operation, and what they cost where they misbehave.
//!
//! # Layout
//! - this file: files of QOI and HEIC, through jobs, direct calls and reloads
//! - `guests`: codecs written by hand, which lie; `suspended`: one that keeps failing
//! - `chosen`: what a codec writes for clients that leave the format to us

mod chosen;
mod guests;
mod suspended;

use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};

use crate::harness::{Server, call, codec_section, look, plugin, program, sha256};

/// QOI: 3 × 2 pixels in one colour, as runs.
fn qoi() -> Vec<u8> {
    [b"qoif\0\0\0\x03\0\0\0\x02\x03\0".as_slice(), &[0xfe, 200, 100, 50, 0xc4], &[0; 7], &[1]].concat()
}

/// HEIC: 32 × 24 pixels, red from left to right, green from top to bottom, blue from right to left, as libheif with x265 writes it.
pub(crate) fn heic() -> Vec<u8> {
    let digits: Vec<u8> =
        include_str!("../../plugins/heic/tests/small.hex").bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn with_codecs() -> Server {
    let sections = codec_section("qoi", &plugin("qoi-codec.wasm"), "")
        + &codec_section("heic", &plugin("heic.wasm"), "");
    Server::start(&sections)
}

fn size(width: u32, height: u32) -> Value {
    json!({ "width": width, "height": height })
}

#[tokio::test]
async fn a_codec_reads_for_every_operation() {
    let server = with_codecs();
    let source = server.write("photo.heic", heic());
    let args = json!({ "width": 16, "format": "jpeg" });
    server.succeed("resize", &source, &server.file_url("thumb.jpg"), args).await;
    assert_eq!(look(&server.read("thumb.jpg")), (16, 12, ImageFormat::Jpeg));
    let thumb = image::load_from_memory(&server.read("thumb.jpg")).unwrap().to_rgb8();
    let (first, last) = (thumb.get_pixel(0, 0).0, thumb.get_pixel(15, 11).0);
    assert!(first[0] < 60 && first[1] < 60 && first[2] > 200, "{first:?}");
    assert!(last[0] > 200 && last[1] > 200 && last[2] < 60, "{last:?}");

    // By what it is, whatever it is called; by the destination's extension; in a chain.
    let (source, steps) =
        (server.write("photo", heic()), json!([{ "operationType": "resize", "args": size(8, 6) }]));
    let job = json!({ "operationType": "pipeline", "srcURL": source, "dstURL": server.file_url("small.webp"), "args": { "steps": steps } });
    let (status, _, body) = server.post_job(&job, &[]).await;
    assert_eq!(status, 202, "{body}");
    assert_eq!(server.ended(body["id"].as_str().unwrap()).await["state"], "succeeded");
    assert_eq!(look(&server.read("small.webp")), (8, 6, ImageFormat::WebP));

    // Directly.
    let (status, _, body) = call(&server, "resize?width=16&height=12", &heic()).await;
    assert_eq!((status, look(&body)), (200, (16, 12, ImageFormat::Png)), "where nothing else is asked for");
    let (status, _, body) = call(&server, "resize?width=3&height=2", &qoi()).await;
    assert_eq!((status, look(&body)), (200, (3, 2, ImageFormat::Png)));
    assert_eq!(image::load_from_memory(&body).unwrap().to_rgb8().get_pixel(2, 1).0, [200, 100, 50]);

    let (_, shown) = server.get("/v1/operations/resize").await;
    for extension in ["heic", "heif", "qoi", "jpg"] {
        assert!(shown["sources"].as_array().unwrap().contains(&json!(extension)), "{extension}: {shown}");
    }
}

#[tokio::test]
async fn a_codec_writes_results_and_placeholders() {
    let server = with_codecs();
    let source = server.write("in.png", samples::encoded(60, 40, ImageFormat::Png));
    let job = json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url("out.qoi"), "args": size(30, 20) });
    let (status, _, body) = server.post_job(&job, &[]).await;
    assert_eq!(status, 202, "{body}");
    let record = server.ended(body["id"].as_str().unwrap()).await;
    assert_eq!(record["state"], "succeeded", "{record}");
    assert!(server.read("out.qoi").starts_with(b"qoif\0\0\0\x1e\0\0\0\x14"));
    let (status, headers, body) =
        call(&server, "resize?width=30&height=20&format=qoi", &samples::encoded(60, 40, ImageFormat::Png))
            .await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "image/qoi"));
    assert_eq!(body, server.read("out.qoi"));
    // There and back, nothing is lost.
    let (_, _, back) = call(&server, "resize?width=30&height=20&format=png", &body).await;
    let (_, _, direct) =
        call(&server, "resize?width=30&height=20&format=png", &samples::encoded(60, 40, ImageFormat::Png))
            .await;
    assert_eq!(image::load_from_memory(&back).unwrap(), image::load_from_memory(&direct).unwrap());
    // Of HEIC nothing is written.
    let (status, _, body) = call(&server, "resize?width=3&height=2&format=heic", &qoi()).await;
    let text = String::from_utf8(body).unwrap();
    assert!(status == 400 && text.contains("none of") && text.contains("qoi"), "{status} {text}");
    // A failed job leaves its placeholder in the format that was asked for.
    let broken = server.write("broken.png", &samples::encoded(60, 40, ImageFormat::Png)[..200]);
    let args = json!({ "width": 30, "height": 20, "format": "qoi" });
    let job = server.submit("resize", &broken, &server.file_url("failed.qoi"), args).await;
    assert_eq!(server.ended(&job).await["state"], "failed");
    assert!(server.read("failed.qoi").starts_with(b"qoif\0\0\0\x1e\0\0\0\x14"));
}

#[tokio::test]
async fn a_file_that_its_codec_cannot_read_is_the_sources_fault() {
    let server = with_codecs();
    // Cut within its pixels, which shows when they are decoded; and within its boxes, which shows at once.
    let cut = server.write("cut.heic", &heic()[..heic().len() - 100]);
    let job = server
        .submit(
            "resize",
            &cut,
            &server.file_url("cut.jpg"),
            json!({ "width": 8, "height": 6, "format": "jpeg" }),
        )
        .await;
    let record = server.ended(&job).await;
    assert_eq!(
        (&record["error"]["kind"], &record["error"]["operation"]),
        (&json!("unreadable-source"), &Value::Null),
        "{record}"
    );
    let short = server.write("short.heic", &heic()[..100]);
    let reply = server
        .post(
            "resize",
            &short,
            &server.file_url("s.jpg"),
            json!({ "width": 8, "height": 6, "format": "jpeg" }),
        )
        .await;
    assert_eq!(reply.body["code"], 202, "{reply:?}");
    assert!(reply.header("x-imgserve-error").contains("heic"), "{reply:?}");
    let other = server.write("other.heic", b"neither HEIC nor anything else that is known");
    let reply = server
        .post(
            "resize",
            &other,
            &server.file_url("s.jpg"),
            json!({ "width": 8, "height": 6, "format": "jpeg" }),
        )
        .await;
    assert_eq!(reply.body["code"], 202, "{reply:?}");
    let (status, _, _) = call(&server, "resize?width=8&height=6", &heic()).await;
    assert_eq!(status, 200);
    assert_eq!(server.restarts().await, 0);
}

#[tokio::test]
async fn limits_are_the_codecs_own() {
    let more = "memory_limit_mb = 2\ntime_limit_ms = 20000";
    let server = Server::start(&codec_section("qoi", &plugin("qoi-codec.wasm"), more));
    // 1000 × 1000 pixels are 3 MB, which its header tells before one is decoded.
    let large = [b"qoif\0\0\x03\xe8\0\0\x03\xe8\x03\0".as_slice(), &[0; 8]].concat();
    let (status, _, body) = call(&server, "resize?width=3&height=2", &large).await;
    let text = String::from_utf8(body).unwrap();
    assert!(status >= 400 && text.contains("[codecs.qoi] memory_limit_mb = 2"), "{status} {text}");
    let (status, _, _) = call(&server, "resize?width=3&height=2", &qoi()).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_reload_takes_codecs_in_and_away() {
    let server = Server::start("");
    let answered = async || call(&server, "resize?width=8&height=6", &heic()).await;
    let (status, _, body) = answered().await;
    assert!(status == 422 || status == 400 || status == 415, "{status} {}", String::from_utf8_lossy(&body));
    let section = codec_section("heic", &plugin("heic.wasm"), "");
    assert!(server.reload(&section).await.contains("configuration reloaded"));
    let (status, headers, _) = answered().await;
    assert_eq!(status, 200);
    assert!(headers.contains_key("server-timing"));
    // One that cannot be loaded leaves everything as it was.
    let said = server.reload(&format!("{section}{}", codec_section("again", &plugin("heic.wasm"), ""))).await;
    assert!(said.contains("not reloaded, the old one stays: codec `heic`: the name or extension `heic` of its format `heic` is also that of `heic`, by codec `again`"), "{said}");
    assert_eq!(answered().await.0, 200);
    assert!(server.reload("").await.contains("configuration reloaded"));
    assert_eq!(answered().await.0, status_without(&server).await);
}

/// What is answered to what nobody reads.
async fn status_without(server: &Server) -> u16 {
    call(server, "resize?width=8&height=6", b"what nobody reads, at all").await.0
}

#[test]
fn codecs_are_listed_and_checked_on_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("imgserve.toml");
    let cache = format!("[plugins]\ncache_dir = {:?}\n", directory.path().join("cache"));
    let path = plugin("qoi-codec.wasm");
    let section = codec_section("qoi", &path, "memory_limit_mb = 64\ntime_limit_ms = 700");
    let told = |text: &str, words: &[&str]| {
        std::fs::write(&config, format!("{cache}{text}")).unwrap();
        let output = program().args(words).arg("--config").arg(&config).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, text) = told(&section, &["operations"]);
    let line = text.lines().find(|line| line.starts_with("qoi ")).unwrap_or_else(|| panic!("{text}"));
    let row: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        (code, &row[1..]),
        (Some(0), &["qoi-codec", env!("CARGO_PKG_VERSION"), "qoi", "qoi", "64", "MiB,", "700", "ms"][..])
    );
    let digest = "0".repeat(64);
    let (code, text) = told(&format!("{section}sha256 = \"{digest}\""), &["operations"]);
    assert!(code == Some(1) && text.contains("codec `qoi`: ") && text.contains(&sha256(&path)), "{text}");
    let native = section.replace("\"wasm\"", "\"native\"");
    let (code, text) = told(&native, &["operations"]);
    assert!(code == Some(64) && text.contains("codecs.qoi.kind: must be \"wasm\""), "{text}");
    let crossed = format!("[operations.x]\nkind = \"wasm\"\npath = {path:?}");
    let (code, text) = told(&crossed, &["operations"]);
    assert!(
        code == Some(1) && text.contains("operation `x`") && text.contains("its section is [codecs.NAME]"),
        "{text}"
    );
    let crossed = codec_section("x", &plugin("sepia.wasm"), "");
    let (code, text) = told(&crossed, &["operations"]);
    assert!(
        code == Some(1) && text.contains("codec `x`") && text.contains("its section is [operations.NAME]"),
        "{text}"
    );
}
