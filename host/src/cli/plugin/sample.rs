//! The sample picture of a new plugin: a sky over the sea with a sun, and a corner that is transparent, so that an
//! operation meets gradients, an edge and alpha.

use imgserve_base::format::Format;
use imgserve_codec::{EncodeOptions, Encoder};
use imgserve_sdk::{Image, PixelFormat};

use crate::cli::failure::Failure;

/// The picture as a PNG file.
pub(super) fn png(width: u32, height: u32) -> Result<Vec<u8>, Failure> {
    let cannot = |error: &dyn std::fmt::Display| Failure::Other(format!("cannot make the sample: {error}"));
    let image = paint(width, height).map_err(|error| cannot(&error))?;
    let mut encoder = Encoder::new(Format::Png, &EncodeOptions::default(), width, height)
        .map_err(|error| cannot(&error))?;
    encoder.push(image.as_ref(), 0).map_err(|error| cannot(&error))?;
    encoder.finish().map_err(|error| cannot(&error))
}

/// The picture itself.
pub(super) fn paint(width: u32, height: u32) -> Result<Image, imgserve_sdk::Error> {
    let middle = |i: u32, n: u32| (f64::from(i) + 0.5) / f64::from(n);
    let shape = f64::from(width) / f64::from(height);
    let pixels = (0..height).flat_map(|y| {
        (0..width).flat_map(move |x| color(middle(x, width) * shape, middle(y, height), shape))
    });
    Image::new(width, height, PixelFormat::Rgba8, pixels.collect())
}

/// The colour at a place: `y` from 0 to 1, `x` in the same unit, from 0 to `right`.
fn color(x: f64, y: f64, right: f64) -> [u8; 4] {
    const SUN: (f64, f64, f64) = (0.45, 0.4, 0.2);
    const HORIZON: f64 = 0.7;
    let sun = (x - SUN.0).hypot(y - SUN.1) < SUN.2;
    let rgb = if y > HORIZON {
        mix([28.0, 96.0, 140.0], [8.0, 34.0, 70.0], (y - HORIZON) / (1.0 - HORIZON))
    } else if sun {
        [255.0, 214.0, 92.0]
    } else {
        mix([92.0, 156.0, 224.0], [250.0, 206.0, 170.0], y / HORIZON)
    };
    // The corner at the lower right fades out.
    let corner = (right - x).hypot(1.0 - y);
    let alpha = (corner / 0.4).min(1.0) * 255.0;
    [rgb[0], rgb[1], rgb[2], alpha].map(|sample| sample.round() as u8)
}

fn mix(from: [f64; 3], to: [f64; 3], part: f64) -> [f64; 3] {
    std::array::from_fn(|i| from[i] + (to[i] - from[i]) * part)
}
