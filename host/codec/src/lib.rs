//! Encoded bytes ↔ pixels: one file per format, and nothing outside of this directory names a codec library.
//!
//! - [`probe`] tells what a source is from its first bytes, without decoding a pixel: a [`Header`].
//! - [`Decoder`] gives its frames one by one: upright, sRGB, in the header's pixel format.
//! - [`Encoder`] writes frames.
//! - [`convert()`], [`pick_format`]: between the pixel formats of the operation contract.
//!
//! All of it is meant for a worker process: bytes are hostile, and what a library gets wrong in spite of the checks
//! here (a panic, too much memory, an endless loop) is contained by the worker's limits and its deadline.
//!
//! # Layout
//! - `error`: refusals and limits; which format bytes are of is told by `imgserve_base::format`
//! - `decode`, `encode`: the two streams of frames, dispatching to the formats
//! - `jpeg`, `png`, `gif`, `webp`, `bitmap` (BMP, TIFF, ICO), `svg`: the formats
//! - `canvas`, `color`, `orientation`, `convert`: from a file's pixels to the contract's
//! - `palette`: the colours of a picture, if they are few

mod bitmap;
mod canvas;
mod color;
mod convert;
mod decode;
mod encode;
mod error;
mod gif;
mod jpeg;
mod orientation;
mod palette;
mod png;
#[cfg(test)]
mod samples;
mod svg;
#[cfg(test)]
mod tests;
mod webp;

pub use convert::{WHITE, convert, pick_format};
pub use decode::{DecodedFrame, Decoder};
pub use encode::{EncodeOptions, Encoder, Loops};
pub use error::{CodecError, Limits};
pub use orientation::Orientation;

use imgserve_base::format::{Format, Sniff, sniff};
use imgserve_sdk::{DecodeHint, PixelFormat, SourceHeader};

/// What [`probe`] found.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// Everything about the source that can be known without decoding.
    Header(Header),
    /// The bytes so far do not suffice: probe again with more.
    NeedMore,
}

/// A source, known from its first bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The file format, by content.
    pub format: Format,
    /// Width in pixels as shown, at least 1.
    pub width: u32,
    /// Height in pixels as shown, at least 1.
    pub height: u32,
    /// How the picture lies in the file.
    pub orientation: Orientation,
    /// How many frames it has; `None` for an animation of which not all bytes are there yet.
    pub frames: Option<u32>,
    /// The pixel format that [`Decoder`] gives.
    pub pixels: PixelFormat,
    cost: Cost,
}

/// Bytes that decoding takes at its peak beside the source's own, the delivered frame included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    /// At any scale.
    fixed: u64,
    /// At full scale; shrinks with the scale's square. (That a part is less than all is not counted on.)
    scaled: u64,
}

impl Header {
    /// A still of this size in the file.
    fn still(format: Format, coded: (u32, u32), orientation: Orientation, pixels: PixelFormat) -> Self {
        let (width, height) = orientation.turn_size(coded.0, coded.1);
        let cost = Cost { fixed: pixels.bytes(width, height), scaled: 0 };
        Self { format, width, height, orientation, frames: Some(1), pixels, cost }
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
}

/// Learns what a source is from its first bytes; `complete` says that there are no more. Never decodes a pixel,
/// and takes time linear in the bytes at most.
///
/// # Errors
/// [`CodecError::Unrecognized`], or what is wrong with it or too much about it as far as its header tells.
pub fn probe(bytes: &[u8], complete: bool, limits: &Limits) -> Result<Probe, CodecError> {
    let format = match sniff(bytes) {
        Sniff::Is(format) => format,
        Sniff::Open if !complete => return Ok(Probe::NeedMore),
        Sniff::Open | Sniff::Unknown => return Err(svg::refuse_compressed(bytes)),
    };
    let header = match format {
        Format::Jpeg => jpeg::probe(bytes),
        Format::Png => png::probe(bytes),
        Format::Gif => gif::probe(bytes, complete),
        Format::WebP => webp::probe(bytes, complete),
        Format::Bmp | Format::Tiff | Format::Ico => bitmap::probe(bytes, complete, format, limits),
        Format::Svg => svg::probe(bytes, complete),
    }?;
    let Some(header) = header else {
        let early = || CodecError::malformed(format, "the file ends before its header does");
        return if complete { Err(early()) } else { Ok(Probe::NeedMore) };
    };
    if format != Format::Svg {
        limits.check_size(header.width, header.height)?;
    }
    limits.check_frames(header.frames.unwrap_or(1))?;
    Ok(Probe::Header(header))
}

/// Bytes of the pixels that a decoder gives for one frame, converted to `format`.
pub fn decoded_bytes(header: &Header, hint: &DecodeHint, format: PixelFormat) -> u64 {
    let pixels = decode::part(header, hint).pixels;
    format.bytes(pixels.width, pixels.height)
}

/// The memory in bytes that decoding takes at its peak, one delivered frame included, the source's own bytes not.
pub fn estimate(header: &Header, hint: &DecodeHint) -> u64 {
    let scale = decode::part(header, hint).scale;
    header.cost.fixed.saturating_add((header.cost.scaled as f64 * scale * scale).ceil() as u64)
}
