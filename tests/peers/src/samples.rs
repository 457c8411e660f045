//! Images made on the spot: a photograph-like picture in any format, a drawing with text, an animation.

use std::io::Cursor;

use image::codecs::gif::{GifEncoder, Repeat};
use image::codecs::jpeg::JpegEncoder;
use image::{Delay, DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

/// A picture with the statistics of a photograph: smooth areas, edges and fine texture, the same for the same size.
pub fn picture(width: u32, height: u32) -> RgbImage {
    let mut noise: u32 = 0x9e37_79b9;
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = f64::from(noise >> 24) / 16.0 - 8.0;
        let hill =
            if v > 0.6 + 0.1 * (u * 9.0).sin() { 70.0 * (u * 140.0).sin() * (v * 90.0).cos() } else { 0.0 };
        let sun = if (u - 0.7).powi(2) + (v - 0.3).powi(2) < 0.012 { 80.0 } else { 0.0 };
        let level = |base: f64| (base + grain + hill + sun).clamp(0.0, 255.0) as u8;
        Rgb([level(210.0 - 150.0 * v), level(120.0 + 60.0 * u), level(60.0 + 150.0 * (1.0 - v))])
    })
}

/// A picture encoded in `format`.
///
/// # Panics
/// When it cannot be encoded, which is a mistake in the test.
pub fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let picture = DynamicImage::ImageRgb8(picture(width, height));
    // An icon's PNG has alpha by the format's rules.
    let picture =
        if format == ImageFormat::Ico { DynamicImage::ImageRgba8(picture.to_rgba8()) } else { picture };
    let mut bytes = Vec::new();
    match format {
        ImageFormat::Jpeg => picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 92)),
        format => picture.write_to(&mut Cursor::new(&mut bytes), format),
    }
    .expect("an encodable picture");
    bytes
}

/// An endless animation: a red square that moves from left to right on transparency, 100 ms a frame.
///
/// # Panics
/// When it cannot be encoded, which is a mistake in the test.
pub fn animation(width: u32, height: u32, frames: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    {
        let mut encoder = GifEncoder::new(&mut bytes);
        encoder.set_repeat(Repeat::Infinite).expect("an animation");
        for number in 0..frames {
            let left = (width - width / 4) * number / frames.max(2).saturating_sub(1).max(1);
            let canvas = RgbaImage::from_fn(width, height, |x, y| {
                let inside =
                    (left..left + width / 4).contains(&x) && (height / 4..height * 3 / 4).contains(&y);
                if inside { Rgba([220, 20, 20, 255]) } else { Rgba([0, 0, 0, 0]) }
            });
            let frame = Frame::from_parts(canvas, 0, 0, Delay::from_numer_denom_ms(100, 1));
            encoder.encode_frame(frame).expect("a frame");
        }
    }
    bytes
}

/// A drawing with a gradient, a circle and text.
pub const DRAWING: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100" viewBox="0 0 200 100">
<defs><linearGradient id="g"><stop offset="0" stop-color="#0a4"/><stop offset="1" stop-color="#04a"/></linearGradient></defs>
<rect x="10" y="10" width="180" height="80" rx="12" fill="url(#g)"/>
<circle cx="50" cy="50" r="25" fill="#fc0"/>
<text x="85" y="58" font-family="sans-serif" font-size="24" fill="white">imgserve</text></svg>"##;
