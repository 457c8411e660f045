//! Averaging in linear light: against values that are known, and against the same arithmetic in `f64` without any of the
//! shortcuts. Tolerances are in steps of an 8-bit channel.

use std::f64::consts::PI;

use imgserve_sdk::serde_json::{Value, json};
use imgserve_sdk::{Image, PixelFormat};
use proptest::prelude::*;

use crate::common::{image, pixel, resize};

const FILTERS: [&str; 6] = ["bilinear", "hamming", "catmull-rom", "mitchell", "gaussian", "lanczos3"];
const FORMATS: [PixelFormat; 4] =
    [PixelFormat::Gray8, PixelFormat::Rgb8, PixelFormat::Rgba8, PixelFormat::Rgba16];

/// A picture of grays in any format, opaque.
fn gray(width: u32, height: u32, format: PixelFormat, value: impl Fn(u32, u32) -> u8) -> Image {
    let positions = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let data = positions.flat_map(|(x, y)| {
        let value = value(x, y);
        match format {
            PixelFormat::Gray8 => vec![value],
            PixelFormat::Rgb8 => vec![value; 3],
            PixelFormat::Rgba8 => vec![value, value, value, 255],
            PixelFormat::Rgba16 => [vec![value; 6], vec![255; 2]].concat(),
        }
    });
    Image::new(width, height, format, data.collect()).unwrap()
}

#[test]
fn black_and_white_average_to_half_the_light() {
    for format in FORMATS {
        let board = gray(96, 96, format, |x, y| if (x + y) % 2 == 0 { 255 } else { 0 });
        for (linear, expected) in [(true, 188_u8), (false, 128)] {
            let args = json!({ "width": 24, "height": 24, "filter": "mitchell", "linear": linear });
            let result = resize(&args, &board);
            // Of 16 bits the high ones come second.
            let middle = pixel(&result, 12, 12)[usize::from(format == PixelFormat::Rgba16)];
            assert!(middle.abs_diff(expected) <= 1, "{format:?} {linear}: {middle}");
        }
    }
}

#[test]
fn what_is_even_stays_exactly_even() {
    for format in FORMATS {
        for (value, filter) in (0..=255).step_by(5).zip(FILTERS.into_iter().cycle()) {
            let source = gray(40, 30, format, |_, _| value);
            let args = json!({ "width": 17, "height": 13, "fit": "fill", "filter": filter, "linear": true });
            let result = resize(&args, &source);
            let first = pixel(&source, 0, 0);
            assert!(result.data().chunks(first.len()).all(|p| p == first), "{format:?} {value} {filter}");
        }
    }
}

#[test]
fn what_is_transparent_colours_nothing_and_alpha_is_averaged_as_it_is() {
    let source = image(64, 16, PixelFormat::Rgba8, |x, _| if x < 31 { [255; 4] } else { [0; 4] });
    let deep = image(64, 16, PixelFormat::Rgba16, |x, _| if x < 31 { [255; 8] } else { [0; 8] });
    for filter in FILTERS {
        let args = |linear: bool| json!({ "width": 16, "height": 16, "fit": "fill", "filter": filter, "linear": linear });
        let (result, plain) = (resize(&args(true), &source), resize(&args(false), &source));
        for (p, q) in result.data().chunks(4).zip(plain.data().chunks(4)) {
            assert!(p[3].abs_diff(q[3]) <= 1, "{filter}: alpha {p:?} {q:?}");
            assert!(
                p[3] == 0 || p[..3].iter().all(|&channel| channel >= 254),
                "{filter}: a dark fringe, {p:?}"
            );
        }
        for p in resize(&args(true), &deep).data().chunks(8).filter(|p| p[7] > 0) {
            assert!([p[1], p[3], p[5]].iter().all(|&high| high == 255), "{filter}: a dark fringe, {p:?}");
        }
    }
}

#[test]
fn nearest_averages_nothing() {
    let source = image(90, 60, PixelFormat::Rgb8, |x, y| [x as u8, y as u8, (x * y) as u8]);
    let args = |linear: bool| json!({ "width": 31, "height": 17, "filter": "nearest", "linear": linear });
    assert_eq!(resize(&args(true), &source), resize(&args(false), &source));
}

#[test]
fn everything_else_of_a_request_holds_as_well() {
    let source = gray(61, 43, PixelFormat::Rgb8, |_, _| 30);
    let args = json!({ "width": 40, "height": 40, "fit": "contain", "gravity": "center", "background": "#ff8000",
        "linear": true });
    let result = resize(&args, &source);
    assert_eq!((pixel(&result, 20, 0), pixel(&result, 20, 20)), (&[255, 128, 0][..], &[30, 30, 30][..]));
    let clear = Image::new(61, 43, PixelFormat::Rgba8, vec![0; 61 * 43 * 4]).unwrap();
    let result =
        resize(&json!({ "width": 20, "height": 17, "background": "#0a141e", "linear": true }), &clear);
    assert!(result.data().chunks(4).all(|p| p == [10, 20, 30, 255]));
}

fn light(value: f64) -> f64 {
    if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

fn value(light: f64) -> f64 {
    let light = light.clamp(0.0, 1.0);
    if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// A filter's value and how far it reaches.
fn weight(filter: &str, x: f64) -> (f64, f64) {
    let x = x.abs();
    let (value, support) = match filter {
        "bilinear" => (1.0 - x, 1.0),
        "hamming" => (sinc(x) * (0.54 + 0.46 * (PI * x).cos()), 1.0),
        "catmull-rom" if x < 1.0 => (1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0, 2.0),
        "catmull-rom" => (-0.5 * x.powi(3) + 2.5 * x.powi(2) - 4.0 * x + 2.0, 2.0),
        "mitchell" if x < 1.0 => ((7.0 * x.powi(3) - 12.0 * x.powi(2) + 16.0 / 3.0) / 6.0, 2.0),
        "mitchell" => ((-7.0 / 3.0 * x.powi(3) + 12.0 * x.powi(2) - 20.0 * x + 32.0 / 3.0) / 6.0, 2.0),
        "gaussian" => ((-2.0 * x * x).exp(), 3.0),
        _ => (sinc(x) * sinc(x / 3.0), 3.0),
    };
    (if x < support { value } else { 0.0 }, support)
}

/// What each source pixel weighs in pixel `at` of `to`, of which all `from` source pixels are shown.
fn weights(filter: &str, from: u32, to: u32, at: u32) -> Vec<f64> {
    let scale = f64::from(from) / f64::from(to);
    let centre = (f64::from(at) + 0.5) * scale;
    let all: Vec<f64> =
        (0..from).map(|x| weight(filter, (f64::from(x) + 0.5 - centre) / scale.max(1.0)).0).collect();
    let sum: f64 = all.iter().sum();
    all.iter().map(|weight| weight / sum).collect()
}

/// A pixel's channels, 0 to 1; gray is all three colours.
fn channels(image: &Image, x: u32, y: u32) -> [f64; 4] {
    let p = pixel(image, x, y);
    let deep =
        |channel: usize| f64::from(u16::from_le_bytes([p[2 * channel], p[2 * channel + 1]])) / 65_535.0;
    let of = |channel: usize| f64::from(p[channel]) / 255.0;
    match image.format() {
        PixelFormat::Gray8 => [of(0), of(0), of(0), 1.0],
        PixelFormat::Rgb8 => [of(0), of(1), of(2), 1.0],
        PixelFormat::Rgba8 => [of(0), of(1), of(2), of(3)],
        PixelFormat::Rgba16 => [deep(0), deep(1), deep(2), deep(3)],
    }
}

/// A pixel of the result, in `f64` and without two passes; and how much more or less light there may be by the polynomial that reads
/// 8-bit values, which is within 0.005 steps of each, weighted as it is.
fn reference(
    source: &Image,
    filter: &str,
    (width, height): (u32, u32),
    (x, y): (u32, u32),
) -> ([f64; 4], f64) {
    // What is not scaled is not averaged, though some of the filters would soften it.
    if (width, height) == (source.width(), source.height()) {
        return (channels(source, x, y), 0.0);
    }
    let (across, down) =
        (weights(filter, source.width(), width, x), weights(filter, source.height(), height, y));
    let (mut sum, mut doubt) = ([0.0; 4], 0.0);
    for (row, down) in down.iter().enumerate() {
        for (column, across) in across.iter().enumerate() {
            let [red, green, blue, alpha] = channels(source, column as u32, row as u32);
            let lights = [light(red) * alpha, light(green) * alpha, light(blue) * alpha, alpha];
            sum.iter_mut().zip(lights).for_each(|(sum, light)| *sum += across * down * light);
            let most = red.max(green).max(blue);
            doubt += (across * down).abs() * alpha * 0.005 * (light(most + 1.0 / 255.0) - light(most));
        }
    }
    let [red, green, blue, alpha] = sum;
    let exact = [value(red / alpha), value(green / alpha), value(blue / alpha), alpha.clamp(0.0, 1.0)];
    (exact, doubt / alpha)
}

/// Whether each pixel of a result is as near the exact one as rounding and the tables let it be.
fn hold(source: &Image, (width, height): (u32, u32), filter: &str) -> Result<(), TestCaseError> {
    // Half a step of light of the table of the way back.
    const TABLE: f64 = 0.5 / 16_383.0;
    // Steps of an 8-bit value for all light: so many they are where it is darkest, and fewer elsewhere.
    const STEEPEST: f64 = 12.92 * 255.0;
    let args: Value = json!({ "width": width, "height": height, "fit": "fill", "filter": filter, "enlarge": true,
        "linear": true });
    let result = resize(&args, source);
    for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
        let (got, (exact, doubt)) =
            (channels(&result, x, y), reference(source, filter, (width, height), (x, y)));
        let off = |channel: usize| (got[channel] - exact[channel]).abs() * 255.0;
        prop_assert!(off(3) <= 0.51, "alpha at {x},{y}: {got:?} for {exact:?}");
        // Of what is hardly there the colour is lost in its alpha's rounding.
        if exact[3] > 0.01 {
            // Half a step by rounding, a tenth by the table, and what bright pixels with weights below 0 leave of their errors.
            let most = 0.51 + (TABLE + doubt) * STEEPEST;
            prop_assert!(
                (0..3).all(|channel| off(channel) <= most),
                "at {x},{y}: {got:?} for {exact:?}, more than {most} off"
            );
        }
    }
    Ok(())
}

#[test]
fn what_is_not_scaled_is_not_averaged() {
    let source = gray(7, 4, PixelFormat::Gray8, |x, y| if (x, y) == (6, 3) { 7 } else { 0 });
    for filter in FILTERS {
        hold(&source, (7, 4), filter).unwrap();
    }
}

/// Pictures of noise: every pixel is another than its neighbours.
fn pictures() -> impl Strategy<Value = Image> {
    let shape = (1..20_u32, 1..20_u32, prop::sample::select(FORMATS.to_vec()));
    shape.prop_flat_map(|(width, height, format)| {
        let bytes = (width * height) as usize * format.bytes_per_pixel();
        prop::collection::vec(any::<u8>(), bytes)
            .prop_map(move |data| Image::new(width, height, format, data).unwrap())
    })
}

proptest! {
    #[test]
    fn each_pixel_is_within_a_step_of_the_exact_one(
        source in pictures(),
        (width, height) in (1..24_u32, 1..24_u32),
        filter in prop::sample::select(FILTERS.to_vec()),
    ) {
        hold(&source, (width, height), filter)?;
    }
}
