//! What is known of a source before it is decoded.

use imgserve_base::format::Format;
use imgserve_jpeg::Region;
use imgserve_sdk::{PixelFormat, Rect, SourceHeader};

use crate::orientation::Orientation;

/// A source, known from its first bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The file format, by content.
    pub format: Format,
    /// Width in pixels as shown, at least 1; 0 of a drawing whose width is that of what it shows, which is known to who draws it.
    pub width: u32,
    /// Height in pixels as shown, likewise.
    pub height: u32,
    /// How the picture lies in the file.
    pub orientation: Orientation,
    /// How many frames it has; `None` for an animation of which not all bytes are there yet.
    pub frames: Option<u32>,
    /// What there is to decode in the bytes so far.
    pub so_far: SoFar,
    /// The pixel format that [`Decoder`](crate::Decoder) gives.
    pub pixels: PixelFormat,
    pub(crate) cost: Cost,
    /// Bytes that decoding takes in the sandbox of a plugin, the source's there included; 0 where none decodes it.
    pub guest_bytes: u64,
}

/// Bytes that decoding takes at its peak beside the source's own, the delivered frame included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// At any scale.
    pub(crate) fixed: u64,
    /// At full scale; shrinks with the scale's square. (That a part is less than all is not counted on.)
    pub(crate) scaled: u64,
}

/// The frames that begin in the bytes that are there: all of them, once all bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoFar {
    /// How many, at least 1.
    pub frames: u32,
    /// The pixels of all of them. Each counts as the whole picture at least, which is composed anew for it.
    pub pixels: u64,
}

impl SoFar {
    /// One picture of this size.
    pub(crate) fn still((width, height): (u32, u32)) -> Self {
        Self { frames: 1, pixels: u64::from(width) * u64::from(height) }
    }

    /// One more frame of that many pixels, on a picture of `canvas` pixels.
    pub(crate) fn add(&mut self, pixels: u64, canvas: u64) {
        self.frames = self.frames.saturating_add(1);
        self.pixels = self.pixels.saturating_add(pixels.max(canvas));
    }
}

impl Header {
    /// A still of this size in the file.
    pub(crate) fn still(
        format: Format,
        coded: (u32, u32),
        orientation: Orientation,
        pixels: PixelFormat,
    ) -> Self {
        let (width, height) = orientation.turn_size(coded.0, coded.1);
        let cost = Cost { fixed: pixels.bytes(width, height), scaled: 0 };
        let so_far = SoFar::still((width, height));
        Self { format, width, height, orientation, frames: Some(1), so_far, pixels, cost, guest_bytes: 0 }
    }

    /// Width and height as the picture lies in the file.
    pub fn coded_size(&self) -> (u32, u32) {
        self.orientation.turn_size(self.width, self.height)
    }

    /// The same as an operation sees it; `head` is what [`SourceHeader::head`] asks for.
    pub fn source(&self, head: Vec<u8>) -> SourceHeader {
        SourceHeader {
            format: self.format.name().to_owned(),
            width: self.width,
            height: self.height,
            frames: self.frames,
            pixels: self.pixels,
            head,
        }
    }

    /// A part of the upright source as it lies in the file, in whole pixels around it.
    pub(crate) fn coded_region(&self, shown: Option<Rect>) -> Option<Region> {
        let region = self.orientation.to_coded(shown?, (self.width, self.height));
        let whole = |from: f64, length: f64| (from.floor() as u32, (from + length).ceil() as u32);
        let ((x, right), (y, bottom)) = (whole(region.x, region.width), whole(region.y, region.height));
        Some(Region { x, y, width: right.saturating_sub(x), height: bottom.saturating_sub(y) })
    }
}
