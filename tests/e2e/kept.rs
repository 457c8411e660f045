//! What a result's file keeps, as its request asks: each pixel, what the source says beside its pixels, the colours of its profile.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, RgbaImage};
use imgserve_peers::samples;
use serde_json::{Value, json};

use crate::grid::{references, tools};
use crate::harness::{Server, call, is_placeholder, look, warning};

/// A JPEG with a segment put in front.
fn with_segment(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, content, &jpeg[2..]].concat()
}

/// EXIF that says that the picture lies on its side, and whose it is.
fn exif() -> Vec<u8> {
    let entries = [
        &b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"[..],
        b"\x01\x1A\0\x05\0\0\0\x01\0\0\0\x4A",
        b"\x82\x98\0\x02\0\0\0\x0B\0\0\0\x52",
    ];
    [
        b"Exif\0\0MM\0*\0\0\0\x08\0\x03".as_slice(),
        &entries.concat(),
        &[0; 4],
        &[0; 24],
        b"\0\0\0\x48\0\0\0\x01",
        b"Annie 2026\0",
    ]
    .concat()
}

/// A profile of an exponent of 2.2 and the primary colours of Display P3.
fn wide_profile() -> Vec<u8> {
    // Eight bits are behind the point.
    p3_profile(b"curv\0\0\0\0\0\0\0\x01\x02\x33\0\0")
}

/// That of Display P3 itself, with sRGB's curve (ICC.1:2022, 10.18).
fn display_p3() -> Vec<u8> {
    let parameters = [2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.040_45];
    let fixed = parameters.map(|value: f64| ((value * 65_536.0).round() as u32).to_be_bytes()).concat();
    p3_profile(&[b"para\0\0\0\0\0\x03\0\0".as_slice(), &fixed].concat())
}

/// A profile of three such curves and the primary colours of Display P3.
fn p3_profile(curve: &[u8]) -> Vec<u8> {
    let xyz = |x: u32, y: u32, z: u32| {
        [b"XYZ \0\0\0\0".as_slice(), &x.to_be_bytes(), &y.to_be_bytes(), &z.to_be_bytes()].concat()
    };
    let curve = || curve.to_vec();
    let tags = [
        (b"wtpt", xyz(0xF6D6, 0x1_0000, 0xD32D)),
        (b"rXYZ", xyz(0x83DD, 0x3DBE, 0xFFFF_FFBB)),
        (b"gXYZ", xyz(0x4ABF, 0xB137, 0x0AB9)),
        (b"bXYZ", xyz(0x283B, 0x110B, 0xC8B9)),
        (b"rTRC", curve()),
        (b"gTRC", curve()),
        (b"bTRC", curve()),
    ];
    let (mut table, mut body) = (7_u32.to_be_bytes().to_vec(), Vec::new());
    for (name, data) in tags {
        table.extend(name);
        table.extend((132 + 12 * 7 + body.len() as u32).to_be_bytes());
        table.extend((data.len() as u32).to_be_bytes());
        body.extend(data);
    }
    let mut header = vec![0; 128];
    let length = (128 + table.len() + body.len()) as u32;
    header[..4].copy_from_slice(&length.to_be_bytes());
    header[8..12].copy_from_slice(&[2, 0x40, 0, 0]);
    header[12..24].copy_from_slice(b"mntrRGB XYZ ");
    header[36..40].copy_from_slice(b"acsp");
    // The light that connection is under.
    [(68, 0xF6D6_u32), (72, 0x1_0000), (76, 0xD32D)]
        .into_iter()
        .for_each(|(at, value)| header[at..at + 4].copy_from_slice(&value.to_be_bytes()));
    [header, table, body].concat()
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.into().write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// The profile and the EXIF of a file, by another reader.
fn beside(file: &[u8]) -> [Option<Vec<u8>>; 2] {
    fn told(mut decoder: impl image::ImageDecoder) -> [Option<Vec<u8>>; 2] {
        [decoder.icc_profile().unwrap(), decoder.exif_metadata().unwrap()]
    }
    let input = Cursor::new(file);
    match look(file).2 {
        ImageFormat::Jpeg => told(image::codecs::jpeg::JpegDecoder::new(input).unwrap()),
        ImageFormat::Png => told(image::codecs::png::PngDecoder::new(input).unwrap()),
        ImageFormat::WebP => told(image::codecs::webp::WebPDecoder::new(input).unwrap()),
        other => panic!("{other:?}"),
    }
}

/// Every colour, and every alpha over some of them.
fn colors() -> RgbaImage {
    RgbaImage::from_fn(64, 48, |x, y| {
        image::Rgba([(x * 4) as u8, (y * 5) as u8, (x * y) as u8, (255 - x * 3) as u8])
    })
}

#[tokio::test]
async fn without_loss_each_pixel_is_the_sources() {
    let server = Server::start("");
    let source = png(colors());
    let whole = async |path: &str| {
        let (status, headers, body) = call(&server, &format!("resize?{path}"), &source).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        (body, headers)
    };
    let (webp, _) = whole("format=webp&lossless=true&quality=1").await;
    assert!(image::load_from_memory(&webp).unwrap().to_rgba8() == colors());
    let (lossy, _) = whole("format=webp&lossless=false").await;
    assert!(image::load_from_memory(&lossy).unwrap().to_rgba8() != colors() && lossy != webp);
    // What no other program here reads, by way of ourselves.
    let (jxl, _) = whole("format=jxl&lossless=true").await;
    let (status, _, again) = call(&server, "resize?format=png", &jxl).await;
    assert_eq!(status, 200);
    assert!(image::load_from_memory(&again).unwrap().to_rgba8() == colors());
    for format in ["jpeg", "avif"] {
        let (status, _, body) =
            call(&server, &format!("resize?format={format}&lossless=true"), &source).await;
        let told: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &told["kind"]), (400, &json!("invalid-argument")), "{told}");
        assert!(told["detail"].as_str().unwrap().contains("give png or"), "{told}");
    }
    // A source's own format is known with its content.
    let (status, _, body) =
        call(&server, "resize?lossless=true", &samples::encoded(60, 40, ImageFormat::Jpeg)).await;
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&body));
}

#[tokio::test]
async fn a_job_says_what_its_result_keeps_and_old_codes_stay() {
    let server = Server::start("");
    let source = server.write("a.png", png(colors()));
    let body = json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url("a.webp"),
                       "output": { "lossless": true, "metadata": "all", "colors": "source" } });
    let (status, _, told) = server.post_job(&body, &[]).await;
    assert_eq!(status, 202, "{told}");
    let story = server.ended(told["id"].as_str().unwrap()).await;
    let output = &story["output"];
    assert_eq!((&output["lossless"], &output["quality"]), (&json!(true), &Value::Null), "{story}");
    assert_eq!((&output["metadata"], &output["colors"]), (&json!("all"), &json!("source")), "{story}");
    assert!(image::load_from_memory(&server.read("a.webp")).unwrap().to_rgba8() == colors());
    let args = |more: Value| {
        let mut args = json!({ "width": 20, "height": 10, "format": "jpeg" });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    for (more, code) in [
        (json!({ "lossless": true }), 114),
        (json!({ "lossless": "yes" }), 107),
        (json!({ "metadata": "some" }), 114),
        (json!({ "colors": 1 }), 107),
    ] {
        let reply = server.post("resize", &source, &server.file_url("b.jpg"), args(more.clone())).await;
        assert_eq!(reply.body, json!({ "msg": "request invalid", "code": code }), "{more}: {reply:?}");
    }
}

#[tokio::test]
async fn of_metadata_as_much_is_kept_as_is_asked_for() {
    let server = Server::start("");
    let source = with_segment(&samples::encoded(60, 40, ImageFormat::Jpeg), 0xE1, &exif());
    for format in ["jpeg", "png", "webp"] {
        for (metadata, resolution, copyright) in
            [("strip", false, false), ("copyright", false, true), ("all", true, true)]
        {
            let path = format!("resize?width=20&format={format}&metadata={metadata}");
            let (status, headers, body) = call(&server, &path, &source).await;
            assert_eq!((status, warning(&headers)), (200, ""), "{path}");
            assert_eq!((look(&body).0, look(&body).1), (20, 30), "{path}: it is turned");
            let block = beside(&body)[1].clone().unwrap_or_default();
            let has = |text: &[u8]| block.windows(text.len()).any(|part| part == text);
            assert_eq!((has(b"Annie 2026"), has(b"\x01\x1A\0\x05")), (copyright, resolution), "{path}");
            // It would be turned once more.
            assert!(!has(b"\x01\x12\0\x03\0\0\0\x01\0\x06"), "{path}");
        }
    }
    for format in ["avif", "jxl"] {
        let (_, _, file) =
            call(&server, &format!("resize?width=20&format={format}&metadata=all"), &source).await;
        let (status, _, back) = call(&server, "resize?format=jpeg&metadata=copyright", &file).await;
        assert_eq!((status, look(&back)), (200, (20, 30, ImageFormat::Jpeg)), "{format}");
        assert!(beside(&back)[1].as_ref().unwrap().windows(10).any(|part| part == b"Annie 2026"), "{format}");
    }
    let (_, headers, _) = call(&server, "resize?width=20&format=gif&metadata=all", &source).await;
    assert!(warning(&headers).contains("a result in gif holds no metadata"), "{headers:?}");
}

#[tokio::test]
async fn a_profile_is_kept_with_its_pixels_where_the_format_holds_it() {
    let server = Server::start("");
    let red = RgbImage::from_pixel(32, 32, Rgb([220, 60, 40]));
    let mut plain = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut plain, 95);
    DynamicImage::from(red).write_with_encoder(encoder).unwrap();
    let source = with_segment(&plain, 0xE2, &[b"ICC_PROFILE\0\x01\x01".as_slice(), &wide_profile()].concat());
    let first = |file: &[u8]| image::load_from_memory(file).unwrap().to_rgb8().get_pixel(3, 3).0;
    let near = |a: [u8; 3], b: [u8; 3]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 6);
    let (_, _, converted) = call(&server, "resize?width=16&format=png", &source).await;
    assert!(first(&converted)[0] > 230 && beside(&converted)[0].is_none(), "{:?}", first(&converted));
    for format in ["jpeg", "png", "webp"] {
        let path = format!("resize?width=16&format={format}&quality=95&colors=source");
        let (status, headers, body) = call(&server, &path, &source).await;
        assert_eq!((status, warning(&headers)), (200, ""), "{path}");
        assert!(near(first(&body), [220, 60, 40]), "{path}: {:?}", first(&body));
        assert_eq!(beside(&body)[0], Some(wide_profile()), "{path}");
    }
    // AVIF and TIFF by way of ourselves: what they keep is what comes back.
    for format in ["avif", "tiff"] {
        let (_, _, file) =
            call(&server, &format!("resize?width=16&format={format}&quality=95&colors=source"), &source)
                .await;
        let (_, _, back) = call(&server, "resize?format=png&colors=source", &file).await;
        assert!(near(first(&back), [220, 60, 40]), "{format}: {:?}", first(&back));
        assert_eq!(beside(&back)[0], Some(wide_profile()), "{format}");
    }
    let (_, headers, gif) = call(&server, "resize?width=16&format=gif&colors=source", &source).await;
    assert!(warning(&headers).contains("a result in gif holds no such one"), "{headers:?}");
    assert!(near(first(&gif), first(&converted)), "{:?}", first(&gif));
    let jxl = "resize?width=16&format=jxl&quality=95&colors=source";
    let (_, headers, plain_jxl) = call(&server, jxl, &source).await;
    assert!(warning(&headers).contains("a result in jxl holds no such one"), "{headers:?}");
    let (_, _, back) = call(&server, "resize?format=png", &plain_jxl).await;
    assert!(near(first(&back), first(&converted)), "{:?}", first(&back));
    // Of one source in one go, each result has its own.
    let output = |name: &str, colors: &str| json!({ "operationType": "resize", "dstURL": server.file_url(name), "args": { "width": 16, "colors": colors } });
    let body = json!({ "srcURL": server.write("wide.jpg", &source),
                       "outputs": [output("srgb.png", "srgb"), output("source.png", "source")] });
    let (_, _, told) = server.post_job(&body, &[]).await;
    let story = server.ended(told["id"].as_str().unwrap()).await;
    assert_eq!(story["state"], "succeeded", "{story}");
    assert!(near(first(&server.read("srgb.png")), first(&converted)));
    assert!(near(first(&server.read("source.png")), [220, 60, 40]));
    assert_eq!(beside(&server.read("source.png"))[0], Some(wide_profile()));
}

#[tokio::test]
async fn display_p3_stays_that_in_a_jpeg_xl_as_others_see_it() {
    let Some(tools) = tools() else {
        println!("not done: target/tools/pictures is not there; `tests/run` installs it from PyPI");
        return;
    };
    let server = Server::start("");
    let mut plain = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut plain, 95);
    let smooth = RgbImage::from_fn(48, 32, |x, y| Rgb([220, 60 + 2 * y as u8, 40 + 3 * x as u8]));
    DynamicImage::from(smooth).write_with_encoder(encoder).unwrap();
    let source = with_segment(&plain, 0xE2, &[b"ICC_PROFILE\0\x01\x01".as_slice(), &display_p3()].concat());
    let made = async |name: &str, query: &str| {
        let (status, headers, body) = call(&server, &format!("resize?{query}"), &source).await;
        assert_eq!((status, warning(&headers)), (200, ""), "{query}");
        std::fs::write(server.directory.path().join(name), &body).unwrap();
        body
    };
    made("p3.png", "format=png&colors=source").await;
    made("srgb.png", "format=png").await;
    let error = |two: &str| {
        let place = server.directory.path().to_str().unwrap();
        let told = references(&tools, ["compare", place], format!("{two}\n"));
        serde_json::from_str::<Value>(&told[0]).unwrap()["error"].as_f64().unwrap()
    };
    for (name, query) in [
        ("lossy.jxl", "format=jxl&quality=95&colors=source"),
        ("lossless.jxl", "format=jxl&lossless=true&colors=source"),
        ("both.jxl", "format=jxl&quality=95&colors=source&metadata=all"),
    ] {
        let file = made(name, query).await;
        // To libjxl its values are what they were in Display P3 …
        assert!(error(&format!("p3.png {name}")) < 2.0 && error(&format!("srgb.png {name}")) > 2.0, "{name}");
        // … and to its authors' other decoder they look like what was in Display P3.
        let (_, _, shown) = call(&server, "resize?format=png", &file).await;
        std::fs::write(server.directory.path().join("shown.png"), shown).unwrap();
        assert!(error("srgb.png shown.png") < 2.0 && error("p3.png shown.png") > 2.0, "{name}");
    }
}

#[tokio::test]
async fn what_failed_is_said_in_the_format_of_the_result() {
    let server = Server::start("");
    let whole = png(colors());
    let source = server.write("cut.png", &whole[..whole.len() / 2]);
    for (name, format) in
        [("a.tiff", ImageFormat::Tiff), ("a.bmp", ImageFormat::Bmp), ("a.ico", ImageFormat::Ico)]
    {
        let body = json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url(name),
                           "args": { "width": 200, "height": 150, "enlarge": true } });
        let (status, _, told) = server.post_job(&body, &[]).await;
        assert_eq!(status, 202, "{told}");
        let story = server.ended(told["id"].as_str().unwrap()).await;
        assert_eq!(story["state"], "failed", "{story}");
        assert_eq!(look(&server.read(name)), (200, 150, format), "{name}");
        assert!(is_placeholder(&server.read(name)), "{name}");
    }
    let large = json!({ "operationType": "resize", "srcURL": server.write("l.png", samples::encoded(600, 400, ImageFormat::Png)),
                        "dstURL": server.file_url("l.ico") });
    let (status, _, told) = server.post_job(&large, &[]).await;
    assert_eq!(status, 400, "{told}");
    assert!(told["detail"].as_str().unwrap().contains("at most 256 pixels"), "{told}");
}
