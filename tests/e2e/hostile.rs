//! Bad input: the right code or a clear failure, and a server that neither grows nor dies.

use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};

use crate::harness::{Server, is_placeholder, look, memory_kib};

const SIZE: (u32, u32) = (20, 10);

fn size() -> Value {
    json!({ "width": SIZE.0, "height": SIZE.1 })
}

/// A PNG that says it has this size and has no pixels (PNG, third edition, 11.2.1).
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut png = samples::encoded(1, 1, ImageFormat::Png);
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    png
}

/// PNG, third edition, annex D.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 },
        )
    })
}

#[tokio::test]
async fn refused_with_the_right_code() {
    let server = Server::start("");
    let cases: [(&str, Vec<u8>, u64); 7] = [
        ("zero.png", Vec::new(), 202),
        ("noise.jpg", (0..5000_u32).map(|i| ((i * 7919) >> 3) as u8).collect(), 202),
        ("text.gif", b"GIF89 is what this text begins like".to_vec(), 202),
        ("huge.png", png_header(10_000, 10_000), 206),
        ("absurd.png", png_header(0x7fff_ffff, 0x7fff_ffff), 206),
        ("empty.png", png_header(0, 0), 202),
        ("bomb.svg", billion_laughs(), 108),
    ];
    for (name, bytes, code) in cases {
        let source = server.write(name, bytes);
        let extension = name.split('.').next_back().unwrap();
        let destination = server.file_url(&format!("out.{extension}"));
        let reply = server.post("resize", &source, &destination, size()).await;
        assert_eq!(reply.body["code"], code, "{name}: {reply:?}");
    }
    let reply =
        server.post("rasterize", &server.file_url("bomb.svg"), &server.file_url("out.png"), size()).await;
    assert_eq!(reply.body["code"], 206, "{reply:?}");
    assert!(memory_kib(server.pid(), "VmHWM") < 120 << 10, "the server grew");
}

fn billion_laughs() -> Vec<u8> {
    let entities: String =
        (1..12).map(|i| format!("<!ENTITY e{i} '{}'>", format!("&e{};", i - 1).repeat(10))).collect();
    format!("<!DOCTYPE svg [<!ENTITY e0 'ha'>{entities}]><svg xmlns='http://www.w3.org/2000/svg'>&e11;</svg>")
        .into_bytes()
}

#[tokio::test]
async fn what_breaks_later_fails_clearly_and_shows_it() {
    let server = Server::start("");
    for (extension, format) in
        [("png", ImageFormat::Png), ("jpg", ImageFormat::Jpeg), ("gif", ImageFormat::Gif)]
    {
        let whole = samples::encoded(200, 100, format);
        let source = server.write(&format!("cut.{extension}"), &whole[..whole.len() * 3 / 4]);
        let name = format!("out.{extension}");
        let reply = server.post("resize", &source, &server.file_url(&name), size()).await;
        assert_eq!(reply.body, json!({ "dstURL": server.file_url(&name) }), "{extension}");
        let record = server.ended(reply.job()).await;
        assert_eq!(record["state"], "failed", "{record}");
        assert_eq!(record["error"]["kind"], "unreadable-source", "{record}");
        let left = server.read(&name);
        assert_eq!(look(&left), (SIZE.0, SIZE.1, format));
    }
    let wide = server.write("wide.png", &samples::encoded(400, 100, ImageFormat::Png)[..9000]);
    let args = json!({ "width": 300, "height": 60 });
    let job = server.submit("resize", &wide, &server.file_url("wide-out.png"), args).await;
    assert_eq!(server.ended(&job).await["state"], "failed");
    assert!(is_placeholder(&server.read("wide-out.png")));
}

#[tokio::test]
async fn a_mislabelled_image_is_known_by_its_content() {
    let server = Server::start("");
    let source = server.write("really-a-png.jpg", samples::encoded(60, 40, ImageFormat::Png));
    server.succeed("resize", &source, &server.file_url("out.jpg"), size()).await;
    assert_eq!(look(&server.read("out.jpg")), (20, 10, ImageFormat::Jpeg));
}

#[tokio::test]
async fn a_large_image_grows_no_server() {
    let server = Server::start("");
    let source = server.write("large.png", samples::encoded(5000, 4000, ImageFormat::Png));
    let before = memory_kib(server.pid(), "VmRSS");
    let args = json!({ "width": 500, "height": 400, "format": "jpeg" });
    server.succeed("resize", &source, &server.file_url("out.jpg"), args).await;
    // 20 MP are 60 MB of pixels; the source itself may be held while it waits.
    let file = std::fs::metadata(server.files().join("large.png")).unwrap().len() >> 10;
    let grown = memory_kib(server.pid(), "VmHWM").saturating_sub(before);
    assert!(grown < 3 * file + (8 << 10), "grew by {grown} KiB over a source of {file} KiB");
}

#[tokio::test]
async fn a_drawing_reaches_nothing() {
    let server = Server::start("");
    let secret = server.write("secret.png", samples::encoded(50, 50, ImageFormat::Png));
    let drawing = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' width='50' height='50'>\
         <style>@import url('{secret}');</style><image href='{secret}' width='50' height='50'/>\
         <image xlink:href='secret.png' width='50' height='50'/><use href='{secret}#x'/></svg>"
    );
    let source = server.write("nosy.svg", drawing);
    server
        .succeed("rasterize", &source, &server.file_url("out.png"), json!({ "width": 50, "height": 50 }))
        .await;
    let out = image::load_from_memory(&server.read("out.png")).unwrap().to_rgba8();
    assert!(out.pixels().all(|pixel| pixel.0[3] == 0), "something was drawn");
}
