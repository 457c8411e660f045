//! What `sepia` makes of pixels, format by format, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use imgserve_sdk::serde_json::{Value, json};
use imgserve_sdk::testing::{self, TestHost};
use imgserve_sdk::{ErrorKind, Image, Operation, Output, PixelFormat};
use sepia::Sepia;

fn run(args: &Value, width: u32, height: u32, format: PixelFormat, data: Vec<u8>) -> Vec<u8> {
    let image = Image::new(width, height, format, data).unwrap();
    match testing::run::<Sepia>(args, &image, &TestHost::default()).unwrap() {
        Output::Pixels(image) => image.into_data(),
        other => panic!("{other:?}"),
    }
}

/// The matrix of the specification, in floating point.
fn expected([red, green, blue]: [f64; 3], full: f64) -> [f64; 3] {
    [(0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131)]
        .map(|(r, g, b)| (r * red + g * green + b * blue).min(full))
}

#[test]
fn every_colour_is_within_one_level_of_the_specification() {
    // All levels of each channel beside several of the others; 771 pixels, which no vector's length divides.
    let colors = (0..=255u8).flat_map(|v| [[v, 40, 250], [255 - v, v, 3], [7, 90, v]]);
    let colors: Vec<[u8; 3]> = colors.chain([[255, 255, 255], [0, 0, 0], [1, 2, 3]]).collect();
    let rgb = run(&json!({}), 771, 1, PixelFormat::Rgb8, colors.concat());
    for (color, toned) in colors.iter().zip(rgb.chunks_exact(3)) {
        for (expected, &toned) in expected(color.map(f64::from), 255.0).into_iter().zip(toned) {
            assert!((expected - f64::from(toned)).abs() <= 0.52, "{color:?}: {expected} {toned}");
        }
    }
    let with_alpha = |colors: &[u8]| {
        let pixels = colors.chunks_exact(3).enumerate();
        pixels.flat_map(|(at, c)| [c[0], c[1], c[2], at as u8]).collect::<Vec<u8>>()
    };
    let rgba = run(&json!({}), 1, 771, PixelFormat::Rgba8, with_alpha(&colors.concat()));
    assert_eq!(rgba, with_alpha(&rgb), "rgba8 is toned like rgb8, and its alpha is kept");
}

#[test]
fn sixteen_bits_stay_sixteen_bits() {
    let samples = [[40_000u16, 1234, 567, 8], [65_535, 65_535, 65_535, 65_535], [258, 0, 3, 0]];
    let data = samples.iter().flatten().flat_map(|sample| sample.to_le_bytes()).collect();
    let toned = run(&json!({}), 3, 1, PixelFormat::Rgba16, data);
    for (old, new) in samples.iter().zip(toned.chunks_exact(8)) {
        let sample = |at: usize| u16::from_le_bytes([new[at], new[at + 1]]);
        let expected = expected([old[0], old[1], old[2]].map(f64::from), 65_535.0);
        for (channel, expected) in expected.into_iter().enumerate() {
            // A weight is off by at most 1/2^15, so a sample by at most 6.
            assert!((expected - f64::from(sample(channel * 2))).abs() <= 6.0, "{old:?} {expected}");
        }
        assert_eq!(sample(6), old[3]);
    }
}

#[test]
fn strength_goes_from_nothing_to_all() {
    let data: Vec<u8> = (0..240).collect();
    assert_eq!(run(&json!({ "strength": 0 }), 8, 10, PixelFormat::Rgb8, data.clone()), data);
    assert_eq!(run(&json!({ "strength": 0 }), 6, 10, PixelFormat::Rgba8, data.clone()), data);
    assert_eq!(run(&json!({ "strength": 0 }), 3, 10, PixelFormat::Rgba16, data.clone()), data);
    let red = vec![200, 0, 0];
    let half = run(&json!({ "strength": 0.5 }), 1, 1, PixelFormat::Rgb8, red.clone());
    assert_eq!(half, [139, 35, 27]);
    assert_eq!(run(&json!({ "strength": 1 }), 1, 1, PixelFormat::Rgb8, red), [79, 70, 54]);
}

#[test]
fn a_strength_out_of_range_is_refused_by_name() {
    let header = testing::header(4, 4, PixelFormat::Rgb8);
    for (args, kind) in [
        (json!({ "strength": 1.01 }), ErrorKind::InvalidArgument),
        (json!({ "strength": -0.1 }), ErrorKind::InvalidArgument),
        (json!({ "strength": "full" }), ErrorKind::WrongType),
    ] {
        let error = testing::plan::<Sepia>(&args, &header, &TestHost::default()).unwrap_err();
        assert_eq!((error.kind(), error.argument()), (kind, Some("strength")), "{error}");
    }
}

#[test]
fn plans_keep_size_and_format_and_every_example_can_be_planned() {
    for format in [PixelFormat::Rgb8, PixelFormat::Rgba8, PixelFormat::Rgba16] {
        let header = testing::header(640, 480, format);
        for example in Sepia::describe().examples {
            let plan = testing::plan::<Sepia>(&example.arguments, &header, &TestHost::default()).unwrap();
            assert_eq!((plan.width, plan.height, plan.pixels), (640, 480, format));
        }
    }
}
