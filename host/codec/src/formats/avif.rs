//! AVIF (AOM's "AV1 Image File Format", over ISO/IEC 23008-12 and 14496-12): its boxes are walked here, pictures are decoded by
//! re_rav1d, dav1d in Rust, and written by ravif. A file of the brand `avis` is an animation, any other one is its primary picture.
//!
//! - `boxes`: boxes and their fields; `meta`: pictures as items, and their properties; `track`: an animation's samples
//! - `file`: what is to be shown, of either kind
//! - `av1`: one picture by the decoder; `samples`: its samples in a canvas; `frames`: from these to pictures in sRGB
//! - `write`: one picture to a file; `beside`: what is said beside it

mod av1;
mod beside;
mod boxes;
mod file;
mod frames;
mod meta;
mod samples;
#[cfg(test)]
mod tests;
mod track;
mod write;

use imgserve_base::format::Format;
use imgserve_base::units::MIB;
use imgserve_sdk::PixelFormat;

use crate::bounds::Bounds;
use crate::codec::Codec;
use crate::error::CodecError;
use crate::header::{Cost, Header, SoFar};
use crate::still;
pub(super) use boxes::{Parts, boxed};
use file::File;

pub(super) const CODEC: Codec = Codec {
    format: Format::Avif,
    probe,
    decode: Some(|bytes, header, _, bounds| Ok(Box::new(frames::Frames::new(bytes, header, bounds)?))),
    part: None,
    encode: Some(|options, _| {
        let options = *options;
        Ok(still::sink(move |image| write::encode(&options, image)))
    }),
    beside: Some(beside::HOLDER),
};

/// What the decoder takes of each pixel at its peak, by bytes of a sample: the picture, what it is filtered to, and of each block
/// how it moves.
const DECODER_BYTES: u64 = 8;
/// Pictures that the decoder of an animation keeps for others to refer to.
const REFERENCES: u64 = 4;
/// What it takes beside that, for its tables.
const FIXED_BYTES: u64 = 8 * MIB;

fn probe(bytes: &[u8], complete: bool, bounds: &Bounds) -> Result<Option<Header>, CodecError> {
    let Some(file) = File::read(bytes, complete)? else { return Ok(None) };
    let (coded, shown) = (file.coded, file.crop);
    bounds.check_size(coded.0, coded.1)?;
    bounds.check_size(shown.width, shown.height)?;
    let size = (shown.width, shown.height);
    let mut header = Header::still(Format::Avif, size, file.orientation, file.pixels());
    let pixels = u64::from(coded.0) * u64::from(coded.1);
    let sample = if file.pixels() == PixelFormat::Rgba16 { 2 } else { 1 };
    let references = if file.frames() > 1 { REFERENCES } else { 1 };
    // The picture as it lies, and turned.
    let delivered = header.pixels.bytes(size.0, size.1).saturating_mul(2);
    let decoder = pixels.saturating_mul(DECODER_BYTES * sample * references);
    header.cost = Cost { fixed: FIXED_BYTES.saturating_add(decoder).saturating_add(delivered), scaled: 0 };
    let frames = file.frames();
    header.frames = Some(frames);
    let shown = u64::from(size.0) * u64::from(size.1);
    header.so_far = SoFar { frames, pixels: shown.saturating_mul(frames.into()) };
    Ok(Some(header))
}

fn malformed(text: impl std::fmt::Display) -> CodecError {
    CodecError::malformed(Format::Avif, text)
}

fn unsupported(text: impl Into<String>) -> CodecError {
    CodecError::unsupported(Format::Avif, text)
}
