//! What `qoi` reads, and how it refuses what is none or only part of a file.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use imgserve_sdk::serde_json::json;
use imgserve_sdk::testing::{self, TestHost};
use imgserve_sdk::{Error, ErrorKind, Image, Input, Operation, Output, PixelFormat, Plan, SourceHeader};
use qoi::Qoi;

/// 4 × 3 pixels: a run, then each of the other five kinds of chunk.
const PIXELS: [u8; 48] = [
    0, 0, 0, 255, 1, 1, 0, 255, 10, 20, 14, 255, 200, 3, 77, 255, //
    200, 3, 77, 9, 200, 3, 77, 9, 200, 3, 77, 9, 0, 0, 0, 255, //
    1, 1, 0, 255, 5, 5, 5, 255, 5, 5, 5, 255, 0, 0, 0, 0,
];
const CHUNKS: [u8; 38] = [
    0xc0, 0x7e, 0xfe, 10, 20, 14, 0xfe, 200, 3, 77, 0xff, 200, 3, 77, 9, 0xc1, 0xff, 0, 0, 0, 255, 61, 0xa4,
    0x89, 0xc0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
];

fn file(width: u32, height: u32, channels: u8, chunks: &[u8]) -> Vec<u8> {
    let mut bytes = b"qoif".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([channels, 0]);
    bytes.extend(chunks);
    bytes
}

/// As a host sees a format it has no codec for.
fn header(bytes: &[u8]) -> SourceHeader {
    let head = bytes[..bytes.len().min(64 << 10)].to_vec();
    SourceHeader { format: "qoi".to_owned(), frames: None, head, ..testing::header(0, 0, PixelFormat::Rgba8) }
}

fn plan(bytes: &[u8]) -> Result<Plan, Error> {
    testing::plan::<Qoi>(&json!({}), &header(bytes), &TestHost::default())
}

fn run(bytes: &[u8]) -> Result<Output, Error> {
    testing::run_input::<Qoi>(&json!({}), &header(bytes), Input::Encoded(bytes), &TestHost::default())
}

#[test]
fn every_kind_of_chunk_is_decoded() {
    let image = Image::new(4, 3, PixelFormat::Rgba8, PIXELS.to_vec()).unwrap();
    assert_eq!(run(&file(4, 3, 4, &CHUNKS)).unwrap(), Output::Pixels(image));
}

#[test]
fn three_channels_give_rgb8() {
    let red = file(70, 2, 3, &[0xfe, 255, 0, 0, 0xfd, 0xfd, 0xce, 0, 0, 0, 0, 0, 0, 0, 1]);
    let planned = plan(&red).unwrap();
    assert_eq!((planned.width, planned.height, planned.pixels), (70, 2, PixelFormat::Rgb8));
    assert_eq!(planned.peak_bytes, 420);
    let image = Image::new(70, 2, PixelFormat::Rgb8, [255, 0, 0].repeat(140)).unwrap();
    assert_eq!(run(&red).unwrap(), Output::Pixels(image));
}

#[test]
fn the_plan_needs_no_more_than_the_header() {
    let planned = plan(&file(640, 480, 4, &[])).unwrap();
    assert_eq!((planned.width, planned.height, planned.pixels), (640, 480, PixelFormat::Rgba8));
    for example in Qoi::describe().examples {
        testing::plan::<Qoi>(&example.arguments, &header(&file(640, 480, 3, &[])), &TestHost::default())
            .unwrap();
    }
}

#[test]
fn headers_that_are_none_are_refused_while_planning() {
    let good = file(4, 3, 4, &CHUNKS);
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    for (bytes, what) in [
        (vec![], "nothing at all"),
        (good[..13].to_vec(), "an end within the header"),
        (b"\x89PNG\r\n\x1a\n and so on".to_vec(), "another format"),
        (changed(3, b'F'), "another magic"),
        (changed(12, 5), "five channels"),
        (changed(13, 2), "an unknown colour space"),
        (file(0, 3, 4, &CHUNKS), "no width"),
        (file(4, 0, 4, &CHUNKS), "no height"),
        (file(u32::MAX, u32::MAX, 4, &CHUNKS), "a size beyond all measure"),
        (file(20_001, 20_000, 4, &CHUNKS), "more than the specification's 400 million pixels"),
    ] {
        assert_eq!(plan(&bytes).map_err(|error| error.kind()), Err(ErrorKind::UnsupportedSource), "{what}");
        assert_eq!(run(&bytes).map_err(|error| error.kind()), Err(ErrorKind::UnsupportedSource), "{what}");
    }
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let good = file(4, 3, 4, &CHUNKS);
    for length in 0..good.len() {
        let error = run(&good[..length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedSource, "{length} bytes");
    }
    // 400 million pixels in 22 bytes: refused without taking 1.6 GB for them.
    let error = run(&file(20_000, 20_000, 4, &[0; 8])).unwrap_err();
    assert!(error.message().ends_with("it ends before its last pixel"), "{error}");
}

#[test]
fn garbage_after_a_good_header_is_refused_without_a_panic() {
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for round in 0..2000 {
        let chunks: Vec<u8> = std::iter::repeat_with(&mut noise).take(200).collect();
        let bytes = file(1 + round % 40, 1 + round % 7, 3 + (round % 2) as u8, &chunks);
        assert_eq!(run(&bytes).map_err(|error| error.kind()), Err(ErrorKind::UnsupportedSource), "{round}");
    }
}
