//! Animations of few bytes and many pixels: neither their size nor their number of frames is much, both together are.

use super::Bomb;

/// A GIF of `frames` frames of `frame` pixels on a canvas, with this disposal (GIF89a, section 23).
fn gif(canvas: (u16, u16), frames: usize, (left, width, height): (u16, u16, u16), disposal: u8) -> Vec<u8> {
    let mut file = b"GIF89a".to_vec();
    file.extend([canvas.0, canvas.1].map(u16::to_le_bytes).as_flattened());
    file.extend(b"\x80\x00\x00\x00\x00\x00\xff\xff\xff");
    let mut frame = vec![0x21, 0xf9, 4, disposal << 2, 10, 0, 0, 0, 0x2c];
    frame.extend([left, 0, width, height].map(u16::to_le_bytes).as_flattened());
    frame.extend(b"\x00\x02\x02\x44\x01\x00");
    file.extend(frame.repeat(frames));
    file.push(b';');
    file
}

/// A WebP of `frames` frames of one pixel on a canvas (RFC 9649, section 2.7).
fn webp((width, height): (u32, u32), frames: usize) -> Vec<u8> {
    let three = |number: u32| number.to_le_bytes()[..3].to_vec();
    let chunk = |name: &[u8; 4], data: &[u8]| {
        [name, &(data.len() as u32).to_le_bytes()[..], data, &[0][..data.len() % 2]].concat()
    };
    let mut pixel = Vec::new();
    image::codecs::webp::WebPEncoder::new_lossless(&mut pixel)
        .encode(&[255, 0, 0], 1, 1, image::ExtendedColorType::Rgb8)
        .unwrap();
    let canvas = [vec![2, 0, 0, 0], three(width - 1), three(height - 1)].concat();
    let head = [three(0), three(0), three(0), three(0), three(10), vec![0]].concat();
    let frame = chunk(b"ANMF", &[head, pixel[12..].to_vec()].concat());
    let body =
        [b"WEBP".to_vec(), chunk(b"VP8X", &canvas), chunk(b"ANIM", &[0; 6]), frame.repeat(frames)].concat();
    chunk(b"RIFF", &body)
}

/// All of them.
pub(super) fn all() -> Vec<Bomb> {
    let one = (0, 1, 1);
    let refused = Some("pixels in all its frames");
    let bomb = |name, bytes| Bomb { name, operation: "resize", bytes, refused };
    vec![
        bomb("gif of 1,000 one-pixel frames on 7000x7000", gif((7000, 7000), 1000, one, 1)),
        bomb("the same with disposal 3", gif((7000, 7000), 1000, one, 3)),
        bomb("gif of 2 frames on 7000x7000", gif((7000, 7000), 2, one, 1)),
        bomb("gif of 900 frames on 500x500", gif((500, 500), 900, one, 2)),
        bomb("gif of 60 frames of 65000x800 on 400x400", gif((400, 400), 60, (0, 65_000, 800), 1)),
        bomb("webp of 1,000 one-pixel frames on 7000x7000", webp((7000, 7000), 1000)),
        bomb("webp of 200 one-pixel frames on 1000x300", webp((1000, 300), 200)),
    ]
}

#[tokio::test]
async fn an_animation_counts_as_what_is_decoded_of_it() {
    use serde_json::json;

    use crate::harness::{Server, look};

    let server = Server::start("");
    // Of 40 frames only the first is wanted, which is within the limit.
    let many = gif((2000, 2000), 40, (0, 1, 1), 3);
    let source = server.write("many.gif", &many);
    let size = json!({ "width": 20, "height": 10, "format": "png" });
    server.succeed("resize", &source, &server.file_url("first.png"), size).await;
    assert_eq!(look(&server.read("first.png")), (20, 10, image::ImageFormat::Png));
    let size = json!({ "width": 20, "height": 10 });
    let reply = server.post("resize", &source, &server.file_url("all.gif"), size).await;
    assert_eq!(reply.body["code"], 206, "{reply:?}");
    // What is made of it counts as well: 900 frames, each of 300 × 300.
    let few = server.write("few.gif", gif((20, 20), 900, (0, 1, 1), 1));
    let enlarged = json!({ "width": 300, "height": 300, "enlarge": true });
    let reply = server.post("resize", &few, &server.file_url("large.gif"), enlarged).await;
    assert_eq!(reply.body["code"], 206, "{reply:?}");
    // Several large frames, the beginning of which does not show how many there are.
    let noise: Vec<u8> = (0..256 * 256).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut frames = Vec::new();
    {
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut frames);
        for _ in 0..3 {
            let picture = image::GrayImage::from_raw(256, 256, noise.clone()).unwrap();
            let picture = image::DynamicImage::from(picture).into_rgba8();
            encoder.encode_frame(image::Frame::new(picture)).unwrap();
        }
    }
    assert!(frames.len() > 50_000, "{}", frames.len());
    let limited = Server::start("[limits]\nmax_source_pixels = 150000");
    let source = limited.write("noise.gif", &frames);
    let size = json!({ "width": 20, "height": 20 });
    let reply = limited.post("resize", &source, &limited.file_url("out.gif"), size).await;
    assert_eq!(reply.body["code"], 206, "{reply:?}");
    assert!(!limited.files().join("out.gif").exists());
}
