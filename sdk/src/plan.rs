//! What is known of a source before it is decoded, and what an operation answers to it.

use serde::{Deserialize, Serialize};

use crate::PixelFormat;

/// What a host knows of a source from its first bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceHeader {
    /// The file format's name: `jpeg`, `png`, `gif`, `webp`, `bmp`, `tiff`, `ico`, `svg`, or one a plugin takes.
    pub format: String,
    /// Width in pixels as shown, that is, after EXIF orientation; 0 when the host cannot read this format, and of an SVG whose
    /// width is that of what it shows.
    pub width: u32,
    /// Height in pixels as shown; 0 likewise.
    pub height: u32,
    /// How many frames it has; `None` when that is known only after reading all of it.
    pub frames: Option<u32>,
    /// The pixel format that `run` will be given: the one the source decodes to, converted as the description asks.
    pub pixels: PixelFormat,
    /// The source's first bytes, only for operations that take encoded bytes: at most 64 KiB, or all of a source of up to
    /// 1 MiB, or without a size, for an operation that is built into the host.
    #[serde(skip)]
    pub head: Vec<u8>,
}

/// A rectangle in pixels, with fractions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rect {
    /// Distance of the left edge from the image's left edge.
    pub x: f64,
    /// Distance of the top edge from the image's top edge.
    pub y: f64,
    /// Width, more than 0.
    pub width: f64,
    /// Height, more than 0.
    pub height: f64,
}

/// How the source should be decoded: what suffices, so that the host need not do more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DecodeHint {
    /// The smallest scale that suffices, in decoded pixels per source pixel; `None` means 1, every pixel.
    pub min_scale: Option<f64>,
    /// The part of the source that is needed, in source pixels as shown; `None` means all of it.
    pub region: Option<Rect>,
}

/// An operation's answer to (arguments, source header): what it will produce.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The result's width in pixels, at least 1. For encoded output, which has no placeholder, the width that the
    /// destination's tags and the job's record are given.
    pub width: u32,
    /// The result's height in pixels, at least 1.
    pub height: u32,
    /// The pixel format of the result.
    pub pixels: PixelFormat,
    /// How the source should be decoded.
    #[serde(default)]
    pub decode: DecodeHint,
    /// Memory in bytes that `run` takes at its peak beside its input and its output.
    #[serde(default)]
    pub peak_bytes: u64,
}

impl Plan {
    /// A result of `width` × `height` pixels for which every pixel of the source is needed.
    pub fn new(width: u32, height: u32, pixels: PixelFormat) -> Self {
        Self { width, height, pixels, decode: DecodeHint::default(), peak_bytes: 0 }
    }
}

/// Which part of the source a decoded image shows, and at which scale: source position (x, y) stands at
/// ((x − `x`) × `scale`, (y − `y`) × `scale`) in the image. After a scaled decode the image's size is a rounded
/// one, so geometry must be computed through this and never from the image's size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// The source position of the image's left edge, in source pixels.
    pub x: f64,
    /// The source position of the image's top edge, in source pixels.
    pub y: f64,
    /// Decoded pixels per source pixel; 1 when the source was decoded in full.
    pub scale: f64,
}

impl Window {
    /// The whole source, pixel by pixel.
    pub const FULL: Self = Self { x: 0.0, y: 0.0, scale: 1.0 };

    /// Where a rectangle of the source lies in a decoded image of `width` × `height`, cut off at its edges.
    pub fn to_image(&self, source: Rect, width: u32, height: u32) -> Rect {
        let (x0, x1) = span(source.x, source.width, self.x, self.scale, width);
        let (y0, y1) = span(source.y, source.height, self.y, self.scale, height);
        Rect { x: x0, y: y0, width: x1 - x0, height: y1 - y0 }
    }
}

fn span(start: f64, length: f64, origin: f64, scale: f64, limit: u32) -> (f64, f64) {
    let limit = f64::from(limit);
    let from = ((start - origin) * scale).clamp(0.0, limit);
    let to = ((start + length - origin) * scale).clamp(0.0, limit);
    // A box thinner than the smallest resampling step is widened rather than left empty.
    if to - from < 1e-3 {
        ((limit.min(to.max(1.0)) - 1.0).max(0.0), limit.min(to.max(1.0)))
    } else {
        (from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_box_maps_as_fractions_and_stays_inside() {
        let window = Window { x: 0.0, y: 0.0, scale: 0.125 };
        // 3001 wide decodes to 376 columns, yet the crop of the middle stays at source ÷ 8.
        let rect = window.to_image(Rect { x: 500.5, y: 0.0, width: 2000.0, height: 2000.0 }, 376, 250);
        assert_eq!(rect, Rect { x: 62.5625, y: 0.0, width: 250.0, height: 250.0 });
        let rect = window.to_image(Rect { x: 2900.0, y: 1900.0, width: 200.0, height: 200.0 }, 376, 250);
        assert_eq!((rect.x + rect.width, rect.y + rect.height), (376.0, 250.0));
    }
}
