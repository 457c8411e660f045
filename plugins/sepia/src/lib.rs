//! The smallest honest plugin: every pixel gets the brown tones of an old photograph, in place.
//!
//! Arithmetic is in integers, so a component and a shared library of it give the same bytes.

use std::array::from_fn;

use imgserve_sdk::schemars::JsonSchema;
use imgserve_sdk::serde::Deserialize;
use imgserve_sdk::serde_json::json;
use imgserve_sdk::{
    Description, Error, Frames, Host, InputKind, Operation, Output, PixelFormat, Plan, Source, SourceHeader,
};

/// Arguments of `sepia`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub struct Args {
    /// How much of the effect: 0 changes nothing, 1 (the default) leaves brown tones alone.
    #[serde(default = "full")]
    #[schemars(range(min = 0, max = 1))]
    pub strength: f64,
}

fn full() -> f64 {
    1.0
}

/// Gives an image brown tones.
#[derive(Debug)]
pub struct Sepia;

impl Operation for Sepia {
    type Args = Args;

    fn describe() -> Description {
        let formats = vec![PixelFormat::Rgb8, PixelFormat::Rgba8, PixelFormat::Rgba16];
        Description {
            input: InputKind::Pixels { formats, frames: Frames::Each },
            ..Description::new::<Args>(
                "sepia",
                env!("CARGO_PKG_VERSION"),
                "Gives an image the brown tones of an old photograph.",
            )
        }
        .example("an old photograph", json!({}))
        .example("a warm touch", json!({ "strength": 0.4 }))
    }

    fn plan(args: &Args, source: &SourceHeader, _: &dyn Host) -> Result<Plan, Error> {
        if !(0.0..=1.0).contains(&args.strength) {
            return Err(Error::invalid_argument("strength", format!("{} is not from 0 to 1", args.strength)));
        }
        Ok(Plan::new(source.width, source.height, source.pixels))
    }

    fn run(args: &Args, source: Source<'_>, _: &dyn Host) -> Result<Output, Error> {
        let (mut image, _) = source.into_pixels()?;
        let weights = weights(args.strength);
        let format = image.format();
        match format {
            PixelFormat::Rgb8 => tone_rgb8(image.data_mut(), &weights),
            PixelFormat::Rgba8 => tone_rgba8(image.data_mut(), &weights),
            PixelFormat::Rgba16 => tone_rgba16(image.data_mut(), &weights),
            PixelFormat::Gray8 => return Err(Error::failed("gray has no room for brown")),
        }
        Ok(Output::Pixels(image))
    }
}

imgserve_sdk::export_operation!(Sepia);

/// What red, green and blue (the columns) add to the new red, green and blue (the rows): the matrix of `sepia()` in
/// W3C Filter Effects Module Level 1, section 13.1.2.
const SEPIA: [[f64; 3]; 3] = [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]];

/// Weights are whole numbers of 1/2^14: they fit 16 bits, and three products of 16-bit samples fit 32.
const SHIFT: u32 = 14;

/// `i16` rather than `i32` lets the compiler use the processors' 16-bit multiplications, the fastest they have.
type Weights = [[i16; 3]; 3];

fn weights(strength: f64) -> Weights {
    from_fn(|row| {
        from_fn(|column| {
            let unchanged = f64::from(u8::from(row == column));
            let weight = unchanged + (SEPIA[row][column] - unchanged) * strength;
            (weight * f64::from(1 << SHIFT)).round() as i16
        })
    })
}

/// The new red, green and blue, each at most `full`.
#[inline(always)]
fn tone(weights: &Weights, [red, green, blue]: [i32; 3], full: i32) -> [i32; 3] {
    weights.map(|[r, g, b]| {
        let sum = red * i32::from(r) + green * i32::from(g) + blue * i32::from(b);
        ((sum + (1 << (SHIFT - 1))) >> SHIFT).min(full)
    })
}

fn tone_rgb8(data: &mut [u8], weights: &Weights) {
    for pixel in data.as_chunks_mut::<3>().0 {
        *pixel = tone(weights, pixel.map(i32::from), 255).map(|sample| sample as u8);
    }
}

/// Pixel by pixel as one number, which the compiler turns into vectors of pixels.
fn tone_rgba8(data: &mut [u8], weights: &Weights) {
    for pixel in data.as_chunks_mut::<4>().0 {
        let old = i32::from_le_bytes(*pixel);
        let [red, green, blue] = tone(weights, [old & 255, old >> 8 & 255, old >> 16 & 255], 255);
        *pixel = (red | green << 8 | blue << 16 | old & !0xff_ffff).to_le_bytes();
    }
}

fn tone_rgba16(data: &mut [u8], weights: &Weights) {
    for pixel in data.as_chunks_mut::<8>().0 {
        let sample = |at: usize| i32::from(u16::from_le_bytes([pixel[at], pixel[at + 1]]));
        let toned = tone(weights, [sample(0), sample(2), sample(4)], 65_535);
        for (bytes, sample) in pixel.as_chunks_mut::<2>().0.iter_mut().zip(toned) {
            *bytes = (sample as u16).to_le_bytes();
        }
    }
}
