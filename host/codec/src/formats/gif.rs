//! GIF89a, read and written here; of its compression by weezl. `blocks` walks a file, `read` shows its frames, `write` makes one.

mod blocks;
mod read;
#[cfg(test)]
mod tests;
mod write;

use imgserve_base::format::Format;
use imgserve_sdk::PixelFormat;

use crate::bounds::Bounds;
use crate::codec::Codec;
use crate::error::CodecError;
use crate::header::{Cost, Header, SoFar};
use crate::orientation::Orientation;
use blocks::{Blocks, Screen};

pub(super) const CODEC: Codec = Codec {
    format: Format::Gif,
    probe,
    decode: Some(|bytes, header, _, bounds| Ok(Box::new(read::Frames::new(bytes, header, bounds)?))),
    part: None,
    encode: Some(|options, (width, height)| Ok(Box::new(write::Sink::new(options.loops, width, height)?))),
    beside: None,
};

/// A picture's bytes: canvas, what a frame hides for a while, the delivered copy, and the frame's colour numbers.
const BYTES_PER_PIXEL: u64 = 4 + 4 + 4 + 1;

fn probe(bytes: &[u8], complete: bool, bounds: &Bounds) -> Result<Option<Header>, CodecError> {
    let Some(Screen { width, height, .. }) = Screen::read(bytes) else { return Ok(None) };
    if width == 0 || height == 0 {
        return Err(malformed("a screen without area"));
    }
    let mut header = Header::still(Format::Gif, (width, height), Orientation::UPRIGHT, PixelFormat::Rgba8);
    header.cost = Cost { fixed: BYTES_PER_PIXEL * u64::from(width) * u64::from(height), scaled: 0 };
    let (begun, shown) = count(bytes, (width, height), bounds);
    if complete && begun.frames == 0 {
        return Err(malformed("no frame"));
    }
    if begun.frames > 0 {
        header.so_far = begun;
    }
    header.frames = complete.then_some(shown);
    Ok(Some(header))
}

/// Frames that begin before the end of the bytes, and how many of them are shown; as many as matter: past the limit they are not
/// counted. What is wrong with them is for the decoder to say.
fn count(bytes: &[u8], (width, height): (u32, u32), bounds: &Bounds) -> (SoFar, u32) {
    let canvas = u64::from(width) * u64::from(height);
    let (mut begun, mut shown) = (SoFar::default(), 0);
    for frame in Blocks::new(bytes).take(bounds.max_frames as usize + 1) {
        shown += u32::from(frame.is_shown(begun.frames == 0, bounds.repair));
        // It may be larger than the canvas, and is unpacked all the same.
        begun.add(u64::from(frame.width) * u64::from(frame.height), canvas);
    }
    (begun, shown)
}

fn malformed(text: impl std::fmt::Display) -> CodecError {
    CodecError::malformed(Format::Gif, text)
}
