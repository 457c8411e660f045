//! A BlurHash of a picture: some thirty characters, from which a page can draw a blur while the picture loads.
//!
//! The algorithm is <https://github.com/woltapp/blurhash/blob/master/Algorithm.md>, over all pixels. It uses only
//! arithmetic that is the same on every machine, no powers or cosines of a system's library, so that a component and
//! a shared library of it give the same text.

use std::array::from_fn;

use imgserve_sdk::{
    Description, Error, Frames, Host, ImageRef, InputKind, Operation, Output, OutputKind, PixelFormat, Plan,
    Source, SourceHeader,
};
use imgserve_sdk::{schemars::JsonSchema, serde::Deserialize, serde_json::json};

/// Arguments of `blurhash`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub struct Args {
    /// How many waves across, 1 to 9 (default 4): more show more of the picture and make a longer text.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 9))]
    pub components_x: u32,
    /// How many waves down, 1 to 9 (default 3).
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 9))]
    pub components_y: u32,
}

fn four() -> u32 {
    4
}

fn three() -> u32 {
    3
}

/// Gives the BlurHash of a picture.
#[derive(Debug)]
pub struct Blurhash;

impl Operation for Blurhash {
    type Args = Args;

    fn describe() -> Description {
        let summary =
            "Gives the BlurHash of a picture: a short text that a page shows as a blur while it loads.";
        Description {
            input: InputKind::Pixels { formats: vec![PixelFormat::Rgb8], frames: Frames::Each },
            output: OutputKind::Encoded { media_type: "text/plain".to_owned(), extension: "txt".to_owned() },
            ..Description::new::<Args>("blurhash", env!("CARGO_PKG_VERSION"), summary)
        }
        .example("the usual 28 characters", json!({}))
        .example("more detail for a tall picture", json!({ "components_x": 4, "components_y": 6 }))
    }

    fn plan(args: &Args, source: &SourceHeader, _: &dyn Host) -> Result<Plan, Error> {
        for (name, value) in [("components_x", args.components_x), ("components_y", args.components_y)] {
            if !(1..=9).contains(&value) {
                return Err(Error::invalid_argument(name, format!("{value} is not from 1 to 9")));
            }
        }
        // The size that pages draw the blur at; the host stores the text, whatever is said here.
        let longest = f64::from(source.width.max(source.height));
        let side = |length: u32| (32.0 * f64::from(length) / longest).round().max(1.0) as u32;
        let mut plan = Plan::new(side(source.width), side(source.height), PixelFormat::Rgb8);
        // Seven samples of the finest wave, nine of which go down the shorter side.
        plan.decode.min_scale = Some((64.0 / f64::from(source.width.min(source.height))).min(1.0));
        plan.peak_bytes = u64::from(source.width) * size_of::<[f64; 9]>() as u64;
        Ok(plan)
    }

    fn run(args: &Args, source: Source<'_>, _: &dyn Host) -> Result<Output, Error> {
        let (image, _) = source.pixels()?;
        let (across, down) = (args.components_x as usize, args.components_y as usize);
        let waves = waves(image, across, down);
        let size = (across - 1 + (down - 1) * 9) as u32;
        Ok(Output::Encoded(text(size, &waves).into_bytes()))
    }
}

imgserve_sdk::export_operation!(Blurhash);

/// How strong each wave is in red, green and blue, linear: `down` rows of `across` waves.
fn waves(image: ImageRef<'_>, across: usize, down: usize) -> Vec<[f64; 3]> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let linear: [f64; 256] = from_fn(|value| linear(value as f64 / 255.0));
    let columns: Vec<[f64; 9]> = (0..width).map(|x| from_fn(|wave| cosine(wave * x, width))).collect();
    let mut waves = vec![[0.0; 3]; across * down];
    for (y, row) in image.data().chunks_exact(width * 3).enumerate() {
        let mut sums = [[0.0; 3]; 9];
        for (pixel, column) in row.as_chunks::<3>().0.iter().zip(&columns) {
            for (sum, wave) in sums[..across].iter_mut().zip(column) {
                *sum = from_fn(|channel| sum[channel] + wave * linear[usize::from(pixel[channel])]);
            }
        }
        for (at, strength) in waves.iter_mut().enumerate() {
            let (wave, sum) = (cosine(at / across * y, height), sums[at % across]);
            *strength = from_fn(|channel| strength[channel] + wave * sum[channel]);
        }
    }
    let mean = |at: usize| if at == 0 { 1.0 } else { 2.0 } / (width * height) as f64;
    waves.iter().enumerate().map(|(at, wave)| wave.map(|sum| sum * mean(at))).collect()
}

/// The hash: size, strength of the strongest wave, mean colour, all other waves.
fn text(size: u32, waves: &[[f64; 3]]) -> String {
    let strongest = waves[1..].iter().flatten().fold(0.0, |most: f64, strength| most.max(strength.abs()));
    let unit = (strongest * 166.0 - 0.5).floor().clamp(0.0, 82.0);
    let strongest = if waves.len() == 1 { 1.0 } else { (unit + 1.0) / 166.0 };
    let mut text = String::new();
    push(&mut text, size, 1);
    push(&mut text, unit as u32, 1);
    push(&mut text, waves[0].iter().fold(0, |color, &value| color << 8 | srgb(value)), 4);
    for wave in &waves[1..] {
        let level = |value: f64| {
            ((value.abs() / strongest).sqrt().copysign(value) * 9.0 + 9.5).floor().clamp(0.0, 18.0)
        };
        push(&mut text, wave.iter().fold(0, |levels, &value| levels * 19 + level(value) as u32), 2);
    }
    text
}

/// Writes `value` to base 83, in `digits` digits.
fn push(text: &mut String, value: u32, digits: u32) {
    const DIGITS: &[u8; 83] =
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";
    text.extend((0..digits).rev().map(|digit| char::from(DIGITS[(value / 83u32.pow(digit) % 83) as usize])));
}

/// From sRGB to linear light, both 0 to 1 (IEC 61966-2-1).
fn linear(value: f64) -> f64 {
    if value <= 0.04045 {
        return value / 12.92;
    }
    let base = (value + 0.055) / 1.055;
    // base^2.4 is base² times the fifth root of base², which Newton's method comes to from above.
    let square = base * base;
    let root = (0..32).fold(1.0, |root: f64, _| (4.0 * root + square / (root * root * root * root)) / 5.0);
    square * root
}

/// From linear light to the nearest of the 256 levels of sRGB.
fn srgb(value: f64) -> u32 {
    (1..=255).take_while(|&level| linear((f64::from(level) - 0.5) / 255.0) <= value).count() as u32
}

/// The cosine of π × `numerator` ÷ `denominator`, to 15 digits.
fn cosine(numerator: usize, denominator: usize) -> f64 {
    let turned = numerator % (2 * denominator);
    let half = turned.min(2 * denominator - turned);
    // The Taylor series is short up to a quarter of a turn.
    let (quarter, sign) = if 2 * half <= denominator { (half, 1.0) } else { (denominator - half, -1.0) };
    let angle = std::f64::consts::PI * quarter as f64 / denominator as f64;
    sign * (1..=11).rev().fold(1.0, |sum, k| 1.0 - sum * angle * angle / f64::from((2 * k - 1) * 2 * k))
}
