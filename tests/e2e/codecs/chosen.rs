//! Formats by plugin for clients that leave the choice to us: which the operator may name, and who gets them.

use image::ImageFormat;
use imgserve_peers::samples;

use super::guests::{guest, server};
use crate::direct::{Reply, operation};
use crate::guest::codec::{CodecGuest, file};
use crate::harness::{Server, codec_section, look, plugin, program};

#[tokio::test]
async fn a_client_that_names_it_gets_what_a_codec_writes() {
    let (server, _directory) = server("[codec]\nauto = [\"good\", \"webp\"]\n", "", &[guest("good")]);
    let png = samples::encoded(60, 40, ImageFormat::Png);
    let reply = async |query: &str, accept: &str| {
        let asked = operation(&server, &format!("resize?{query}&format=auto")).body(png.clone());
        Reply::to(asked.header("accept", accept)).await
    };
    let small = "width=6&height=4";
    let chosen = reply(small, "image/webp,image/x-good").await;
    assert_eq!((chosen.status, chosen.header("content-type")), (200, "image/x-good"));
    assert_eq!(chosen.body, file("good", 6, 4));
    for (query, accept, wanted) in [
        (small, "image/webp,image/*", ImageFormat::WebP),
        (small, "image/webp,image/x-good;q=0", ImageFormat::WebP),
        (small, "image/x-goods", ImageFormat::Png),
        // Nobody knows how long it would take, and no side of it is longer than 200 pixels.
        ("width=800&enlarge=always", "image/x-good,image/webp", ImageFormat::WebP),
        ("width=201&enlarge=always", "image/x-good", ImageFormat::Png),
        ("width=6&height=4&lossless=true", "image/x-good,image/webp", ImageFormat::WebP),
    ] {
        let other = reply(query, accept).await;
        assert_eq!((other.status, look(&other.body).2), (200, wanted), "{query} {accept}");
    }
    // After a reload by the new rules.
    let said = server.reload("[codec]\nauto = [\"good\"]").await;
    assert!(said.contains("not reloaded") && said.contains("codec.auto: \"good\" is none of jpeg"), "{said}");
}

#[test]
fn what_no_browser_is_given_cannot_be_chosen() {
    let directory = tempfile::tempdir().unwrap();
    let data = CodecGuest { media_type: Some("application/x-data"), ..guest("data") };
    let sections = codec_section("data", &data.write(directory.path(), "data"), "")
        + &codec_section("qoi", &plugin("qoi-codec.wasm"), "")
        + &codec_section("heic", &plugin("heic.wasm"), "");
    for (name, wanted) in [
        ("qoi", "codec.auto: qoi is not written with a loss, as its codec says: `format` alone asks for it"),
        ("heic", "codec.auto: heic is only read"),
        (
            "data",
            "codec.auto: data is application/x-data, which no client names among the images that it takes",
        ),
        ("god", "codec.auto: \"god\" is none of jpeg, png, gif, webp, avif, jxl, bmp, tiff, ico, "),
    ] {
        let text = format!("[codec]\nauto = [\"webp\", {name:?}]\n{sections}");
        let log = Server::refuses(&text);
        assert!(log.contains(wanted), "{wanted:?} is not in {log}");
        let config = directory.path().join("imgserve.toml");
        std::fs::write(&config, format!("[plugins]\ncache_dir = {:?}\n{text}", directory.path())).unwrap();
        let output = program().args(["operations", "--config"]).arg(&config).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && told.contains(wanted), "{told}");
    }
}
