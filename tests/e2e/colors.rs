//! Colours as a source means them: what is followed, and that the client is told what is not.

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use imgserve_peers::samples;
use serde_json::json;

use crate::harness::{Server, call, warning};

/// A JPEG with a segment put in front.
fn with_segment(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, content, &jpeg[2..]].concat()
}

fn jpeg(image: impl Into<DynamicImage>, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
    image.into().write_with_encoder(encoder).unwrap();
    bytes
}

#[tokio::test]
async fn a_profile_that_cannot_be_used_is_a_warning_on_the_result() {
    let server = Server::start("");
    let plain = samples::encoded(60, 40, ImageFormat::Jpeg);
    let broken = with_segment(&plain, 0xE2, b"ICC_PROFILE\0\x01\x01not a profile");
    let (status, headers, body) = call(&server, "resize?width=30&height=20", &broken).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert!(warning(&headers).contains("as if they were sRGB"), "{headers:?}");
    let (_, headers, same) = call(&server, "resize?width=30&height=20", &plain).await;
    assert_eq!(warning(&headers), "");
    // What has no profile takes the short way, which rounds less often.
    let pixels = |file: &[u8]| image::load_from_memory(file).unwrap().to_rgb8().into_raw();
    let apart: u32 = pixels(&same).iter().zip(pixels(&body)).map(|(a, b)| u32::from(a.abs_diff(b))).sum();
    assert!(apart < 30 * 20 * 3, "{apart} of {}", 30 * 20 * 3);

    let body = json!({ "operationType": "resize", "srcURL": server.write("broken.jpg", &broken),
        "dstURL": server.file_url("small.jpg"), "args": { "width": 30, "height": 20 } });
    let (_, _, job) = server.post_job(&body, &[]).await;
    let story = server.ended(job["id"].as_str().unwrap()).await;
    assert_eq!(story["state"], "succeeded", "{story}");
    let told = story["output"]["warnings"][0].as_str().unwrap();
    assert!(told.contains("the colour profile cannot be used"), "{story}");
}

#[tokio::test]
async fn linear_light_is_averaged_of_all_of_a_jpeg() {
    let board = jpeg(GrayImage::from_fn(192, 192, |x, y| Luma([255 * ((x + y) % 2) as u8])), 95);
    for profile in ["fast", "best"] {
        let server = Server::start(&format!("[codec]\nprofile = '{profile}'"));
        // At a half, a quarter, an eighth and between.
        for (side, (linear, wanted)) in [96, 70, 48, 24]
            .into_iter()
            .flat_map(|side| [("false", 128_u8), ("true", 188)].map(|l| (side, l)))
        {
            let path =
                format!("resize?width={side}&height={side}&filter=mitchell&format=png&linear={linear}");
            let (_, _, body) = call(&server, &path, &board).await;
            let gray = image::load_from_memory(&body).unwrap().to_luma8();
            let sum: u32 = gray.pixels().map(|pixel| u32::from(pixel[0])).sum();
            let mean = (sum / (side * side)) as u8;
            assert!(mean.abs_diff(wanted) <= 4, "{profile} {linear} {side}: {mean}");
        }
    }
}

/// A drawing of one picture.
fn drawing(picture: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
    let data = base64(picture);
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'>\
         <image width='{width}' height='{height}' href='data:image/jpeg;base64,{data}'/></svg>"
    )
    .into_bytes()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number =
            three.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        let digit = |at: usize| char::from(DIGITS[(number >> (18 - 6 * at) & 63) as usize]);
        (0..4).for_each(|at| text.push(if at <= three.len() { digit(at) } else { '=' }));
    }
    text
}

#[tokio::test]
async fn a_jpeg_inside_of_a_drawing_is_upright_and_of_its_own_colours() {
    let server = Server::start("");
    let shown = async |picture: &[u8], size: (u32, u32), (x, y): (u32, u32)| {
        let path = format!("rasterize?width={}&height={}", size.0, size.1);
        let (status, _, body) = call(&server, &path, &drawing(picture, size)).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        image::load_from_memory(&body).unwrap().to_rgb8().get_pixel(x, y).0
    };
    // Red above blue, to be turned by a quarter to the right: blue is left, red is right.
    let halves = RgbImage::from_fn(16, 16, |_, y| Rgb(if y < 8 { [255, 0, 0] } else { [0, 0, 255] }));
    let exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let turned = with_segment(&jpeg(halves, 95), 0xE1, exif);
    let [left, right] = [shown(&turned, (16, 16), (2, 8)).await, shown(&turned, (16, 16), (13, 8)).await];
    assert!(left[2] > 200 && left[0] < 60 && right[0] > 200 && right[2] < 60, "{left:?} {right:?}");
    // By Adobe's marker alone, what were luma and chroma of blue are red, green and blue.
    let blue = jpeg(RgbImage::from_pixel(16, 16, Rgb([0, 0, 255])), 95);
    let jfif = blue.windows(4).position(|four| four == b"JFIF").unwrap() - 4;
    let bare = [&blue[..jfif], &blue[jfif + 18..]].concat();
    let raw = shown(&with_segment(&bare, 0xEE, b"Adobe\0\x64\0\0\0\0\0"), (16, 16), (8, 8)).await;
    assert!(raw[0] < 40 && raw[1] > 240 && raw[2].abs_diff(107) < 10, "{raw:?}");
    // A profile that cannot be used is a warning here, too.
    let broken = with_segment(&blue, 0xE2, b"ICC_PROFILE\0\x01\x01not a profile");
    for (picture, warned) in [(&broken, true), (&blue, false)] {
        let (status, headers, _) =
            call(&server, "rasterize?width=16&height=16", &drawing(picture, (16, 16))).await;
        let told = warning(&headers).contains("a picture in the drawing: the colour profile cannot be used");
        assert_eq!((status, told), (200, warned), "{headers:?}");
    }
}
