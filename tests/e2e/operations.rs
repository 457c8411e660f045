//! What the builtin operations make of real files: formats, conversion, animation, orientation, colours, text.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{AnimationDecoder as _, GenericImageView as _, ImageFormat, Rgba};
use imgserve_peers::samples;
use serde_json::{Value, json};

use crate::harness::{Server, look};

fn size(width: u32, height: u32) -> Value {
    json!({ "width": width, "height": height })
}

#[tokio::test]
async fn the_crop_is_0_2s() {
    let server = Server::start("");
    // Nine horizontal bands of 10 rows; a square crop of 30 loses 60 rows, a third of them off the top.
    let bands = image::RgbImage::from_fn(30, 90, |_, y| image::Rgb([(y / 10 * 25) as u8, 0, 0]));
    let mut png = Vec::new();
    bands.write_to(&mut std::io::Cursor::new(&mut png), ImageFormat::Png).unwrap();
    let source = server.write("bands.png", png);
    server.succeed("resize", &source, &server.file_url("out.png"), size(30, 30)).await;
    let out = image::load_from_memory(&server.read("out.png")).unwrap().to_rgb8();
    let reds: Vec<u8> = (0..3).map(|band| out.get_pixel(15, band * 10 + 5).0[0]).collect();
    assert_eq!(reds, [50, 75, 100], "the bands from row 20 to row 50");
}

#[tokio::test]
async fn every_readable_format_to_every_writable_one() {
    let server = Server::start("");
    let readable = [
        ("jpg", ImageFormat::Jpeg),
        ("png", ImageFormat::Png),
        ("gif", ImageFormat::Gif),
        ("webp", ImageFormat::WebP),
        ("bmp", ImageFormat::Bmp),
        ("tiff", ImageFormat::Tiff),
        ("ico", ImageFormat::Ico),
    ];
    for (from, source_format) in readable {
        let source = server.write(&format!("in.{from}"), samples::encoded(120, 80, source_format));
        for (to, format) in &readable {
            let name = format!("{from}.{to}");
            let args = json!({ "width": 60, "height": 40, "format": if *to == "jpg" { "jpeg" } else { to } });
            server.succeed("resize", &source, &server.file_url(&name), args).await;
            let bytes = server.read(&name);
            assert_eq!(look(&bytes), (60, 40, *format), "{from} to {to}");
            let wanted = image::DynamicImage::ImageRgb8(samples::picture(120, 80)).thumbnail_exact(60, 40);
            let error = mean_error(&bytes, &wanted.to_rgba8());
            assert!(error < 12.0, "{from} to {to}: mean error {error}");
        }
    }
}

/// What the `image` crate neither writes nor reads: written by one call, read by others.
#[tokio::test]
async fn avif_and_jpeg_xl_are_written_and_read_again() {
    let server = Server::start("");
    let source = server.write("in.png", samples::encoded(120, 80, ImageFormat::Png));
    let wanted = image::DynamicImage::ImageRgb8(samples::picture(120, 80)).thumbnail_exact(60, 40).to_rgba8();
    for (name, mark) in [("avif", &b"ftypavif"[..]), ("jxl", b"")] {
        let file = server.file_url(&format!("out.{name}"));
        let args = json!({ "width": 120, "height": 80, "format": name });
        server.succeed("resize", &source, &file, args).await;
        let bytes = server.read(&format!("out.{name}"));
        assert!(bytes[4..].starts_with(mark) && (name != "jxl" || bytes.starts_with(b"\xFF\x0A")), "{name}");
        for (to, format) in [
            ("jpg", ImageFormat::Jpeg),
            ("png", ImageFormat::Png),
            ("gif", ImageFormat::Gif),
            ("webp", ImageFormat::WebP),
        ] {
            let result = format!("{name}.{to}");
            let args = json!({ "width": 60, "height": 40, "format": if to == "jpg" { "jpeg" } else { to } });
            server.succeed("resize", &file, &server.file_url(&result), args).await;
            let bytes = server.read(&result);
            assert_eq!(look(&bytes), (60, 40, format), "{name} to {to}");
            let error = mean_error(&bytes, &wanted);
            assert!(error < 14.0, "{name} to {to}: mean error {error}");
        }
        // A format that is read and written stays.
        let again = server.file_url(&format!("again.{name}"));
        server.succeed("resize", &file, &again, size(30, 20)).await;
        assert_eq!(server.read(&format!("again.{name}"))[..2], bytes[..2], "{name}");
    }
}

/// Mean difference of the colour levels, 0 to 255.
fn mean_error(bytes: &[u8], wanted: &image::RgbaImage) -> f64 {
    let image = image::load_from_memory(bytes).unwrap().to_rgba8();
    let pairs = image.pixels().zip(wanted.pixels());
    let sum: u64 = pairs.map(|(a, b)| (0..3).map(|c| u64::from(a.0[c].abs_diff(b.0[c]))).sum::<u64>()).sum();
    sum as f64 / f64::from(wanted.width() * wanted.height() * 3)
}

#[tokio::test]
async fn an_animated_gif_stays_animated() {
    let server = Server::start("");
    let source = server.write("in.gif", samples::animation(80, 60, 5));
    server.succeed("resize", &source, &server.file_url("out.gif"), size(40, 30)).await;
    let bytes = server.read("out.gif");
    let decoder = image::codecs::gif::GifDecoder::new(std::io::Cursor::new(bytes)).unwrap();
    let frames = decoder.into_frames().collect_frames().unwrap();
    assert_eq!(frames.len(), 5);
    let red_from: Vec<u32> = frames
        .iter()
        .map(|frame| {
            assert_eq!(frame.delay().numer_denom_ms().0, 100);
            assert_eq!(frame.buffer().get_pixel(20, 2).0[3], 0, "the background must stay transparent");
            (0..40).find(|&x| frame.buffer().get_pixel(x, 15).0[3] > 0).unwrap()
        })
        .collect();
    assert!(red_from.is_sorted_by(|a, b| a < b), "the square moves right: {red_from:?}");
    server
        .succeed(
            "resize",
            &source,
            &server.file_url("still.jpg"),
            json!({"width": 40, "height": 30, "format": "jpeg"}),
        )
        .await;
    assert_eq!(look(&server.read("still.jpg")), (40, 30, ImageFormat::Jpeg));
}

#[tokio::test]
async fn exif_orientation_is_applied_and_metadata_is_gone() {
    let server = Server::start("");
    let picture = image::RgbImage::from_fn(80, 40, |x, _| {
        if x < 40 { image::Rgb([200, 0, 0]) } else { image::Rgb([0, 0, 200]) }
    });
    let mut jpeg = Vec::new();
    picture.write_to(&mut std::io::Cursor::new(&mut jpeg), ImageFormat::Jpeg).unwrap();
    // EXIF 2.3, 4.6.4: tag 0x0112, SHORT, 6 = rotate by 90 degrees clockwise to show.
    let exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    jpeg.splice(2..2, exif.iter().copied());
    let source = server.write("in.jpg", jpeg);
    let record = server
        .succeed(
            "resize",
            &source,
            &server.file_url("out.jpg"),
            json!({"width": 20, "height": 40, "fit": "inside"}),
        )
        .await;
    assert_eq!((&record["output"]["width"], &record["output"]["height"]), (&json!(20), &json!(40)));
    let bytes = server.read("out.jpg");
    let out = image::load_from_memory(&bytes).unwrap();
    let (top, bottom) = (out.get_pixel(10, 5), out.get_pixel(10, 35));
    assert!(top.0[0] > 150 && bottom.0[2] > 150, "red on top: {top:?} {bottom:?}");
    assert!(!bytes.windows(4).any(|window| window == b"Exif"));
}

#[tokio::test]
async fn transparency_is_kept_in_png_and_white_in_jpeg() {
    let server = Server::start("");
    let drawing =
        image::RgbaImage::from_fn(
            80,
            80,
            |x, _| if x < 40 { Rgba([255, 0, 0, 255]) } else { Rgba([0, 0, 0, 0]) },
        );
    let mut png = Vec::new();
    drawing.write_to(&mut std::io::Cursor::new(&mut png), ImageFormat::Png).unwrap();
    let source = server.write("in.png", png);
    server.succeed("resize", &source, &server.file_url("out.png"), size(20, 20)).await;
    let out = image::load_from_memory(&server.read("out.png")).unwrap().to_rgba8();
    assert_eq!((out.get_pixel(2, 10).0, out.get_pixel(18, 10).0[3]), ([255, 0, 0, 255], 0));
    let edge = out.get_pixel(10, 10).0;
    assert!(edge[3] == 0 || edge[0] > 240, "black bled into the edge: {edge:?}");
    server
        .succeed(
            "resize",
            &source,
            &server.file_url("out.jpg"),
            json!({"width": 20, "height": 20, "format": "jpeg"}),
        )
        .await;
    let out = image::load_from_memory(&server.read("out.jpg")).unwrap().to_rgb8();
    assert!(out.get_pixel(18, 10).0.iter().all(|&level| level > 245));
}

#[tokio::test]
async fn quality_and_presets() {
    let preset = "[operations.thumbnail]\nkind = 'builtin'\nplugin = 'resize'\nargs = { width = 50, height = 50, format = 'jpeg', quality = 30 }";
    let server = Server::start(preset);
    let source = server.write("in.png", samples::encoded(200, 100, ImageFormat::Png));
    server.succeed("thumbnail", &source, &server.file_url("low.jpg"), json!({})).await;
    server.succeed("thumbnail", &source, &server.file_url("high.jpg"), json!({ "quality": 95 })).await;
    server.succeed("thumbnail", &source, &server.file_url("wide.jpg"), json!({ "width": 80 })).await;
    assert_eq!(look(&server.read("low.jpg")), (50, 50, ImageFormat::Jpeg));
    assert_eq!(look(&server.read("wide.jpg")), (80, 50, ImageFormat::Jpeg));
    assert!(server.read("high.jpg").len() > 2 * server.read("low.jpg").len());
}

#[tokio::test]
async fn a_drawing_is_drawn_with_its_text() {
    let server = Server::start("");
    let source = server.write("in.svg", samples::DRAWING);
    server.succeed("rasterize", &source, &server.file_url("out.png"), size(400, 100)).await;
    let out = image::load_from_memory(&server.read("out.png")).unwrap().to_rgba8();
    assert_eq!(out.dimensions(), (400, 100));
    assert_eq!(out.get_pixel(0, 0).0[3], 0, "the background is transparent");
    assert_eq!(out.get_pixel(100, 50).0, [255, 204, 0, 255], "the circle, stretched");
    let text = out.view(160, 30, 200, 40);
    let white = text.pixels().filter(|(_, _, pixel)| pixel.0 == [255, 255, 255, 255]).count();
    assert!(white > 300, "hardly any letters: {white} white pixels");
}

#[tokio::test]
async fn a_drawing_is_drawn_whatever_it_is_written_in_and_as_large_as_it_is() {
    let server = Server::start("");
    let drawing = "<?xml version='1.0' encoding='UTF-16'?><svg><title>é</title><rect width='50' height='20' \
         style='fill:#f00;fill:color(nonsense 1 0 0)'/></svg>";
    let wide: Vec<u8> = drawing.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut compressed = GzEncoder::new(Vec::new(), Compression::default());
    compressed.write_all(&wide).unwrap();
    let long =
        drawing.replace("UTF-16", "UTF-8").replace("<svg>", &format!("<!--{}--><svg>", "x".repeat(2 << 20)));
    for (name, bytes) in
        [("wide.svg", wide), ("small.svgz", compressed.finish().unwrap()), ("long.svg", long.into_bytes())]
    {
        let source = server.write(name, bytes);
        let args = json!({ "width": 100, "height": 100, "fit": "inside" });
        server.succeed("rasterize", &source, &server.file_url("drawn.png"), args).await;
        let out = image::load_from_memory(&server.read("drawn.png")).unwrap().to_rgba8();
        assert_eq!((out.dimensions(), out.get_pixel(98, 38).0), ((100, 40), [255, 0, 0, 255]), "{name}");
    }
}

#[tokio::test]
async fn an_unknown_argument_is_ignored_and_told() {
    let server = Server::start("");
    let source = server.write("in.png", samples::encoded(60, 40, ImageFormat::Png));
    let args = json!({ "width": 20, "height": 10, "widht": 30 });
    let reply = server.post("resize", &source, &server.file_url("out.png"), args).await;
    assert!(reply.header("x-imgserve-warning").contains("widht"), "{reply:?}");
    assert_eq!(server.ended(reply.job()).await["state"], "succeeded");
}
