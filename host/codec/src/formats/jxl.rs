//! JPEG XL (ISO/IEC 18181), bare or in its container: read by jxl, the decoder in Rust of libjxl's authors, and written by jixel. What
//! a picture that is no animation draws in several layers is one picture.

mod beside;
mod frames;
mod layout;
#[cfg(test)]
mod tests;
mod write;

use imgserve_base::format::Format;
use imgserve_base::units::MIB;
use jxl::api::{Event, JxlDecoder, JxlDecoderOptions, ProfileLevel};
use jxl::error::Error;

use crate::bounds::Bounds;
use crate::codec::Codec;
use crate::error::CodecError;
use crate::header::{Cost, Header, SoFar};
use crate::orientation::Orientation;
use crate::still;
use layout::Layout;

pub(super) const CODEC: Codec = Codec {
    format: Format::Jxl,
    probe,
    decode: Some(|bytes, header, _, bounds| Ok(Box::new(frames::Frames::new(bytes, header, bounds)?))),
    part: None,
    encode: Some(|options, _| {
        let options = *options;
        Ok(still::sink(move |image| write::encode(&options, image)))
    }),
    beside: Some(beside::HOLDER),
};

/// What the decoder takes of each pixel at its peak: coefficients or samples of four channels, and what other frames refer to.
const DECODER_BYTES: u64 = 20;
/// What it takes beside that, for its tables and for a few rows of groups.
const FIXED_BYTES: u64 = 4 * MIB;
/// Channels that the samples of a picture of the most pixels may lie in: colours, and the extra ones that any file in use has.
const CHANNELS: usize = 8;
/// The decoder counts a row as sixteen pixels at least: what the highest pictures of one column may count as.
const MIN_SAMPLES: usize = 1 << 26;

fn options(bounds: &Bounds, scan_frames_only: bool) -> JxlDecoderOptions {
    let pixels = usize::try_from(bounds.max_pixels).unwrap_or(usize::MAX);
    let mut options = JxlDecoderOptions::default();
    options.sample_limit = Some(pixels.saturating_mul(CHANNELS).max(MIN_SAMPLES));
    options.scan_frames_only = scan_frames_only;
    options.max_profile_level = ProfileLevel::Main10;
    options.alpha_mode = jxl::api::AlphaMode::Unpremultiplied;
    options
}

/// The size of the picture, and of an animation its frames, by their headers: the pixels are passed over.
fn probe(bytes: &[u8], complete: bool, bounds: &Bounds) -> Result<Option<Header>, CodecError> {
    let mut decoder = JxlDecoder::new(options(bounds, true));
    let mut rest = bytes;
    match decoder.process(&mut rest, None, None) {
        Ok(Event::NeedMoreInput { .. }) => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(fault(error, bounds)),
    }
    let Some(layout) = Layout::of(&decoder) else { return Err(malformed("no header")) };
    let (width, height) = layout.size;
    bounds.check_size(width, height)?;
    let mut header = Header::still(Format::Jxl, layout.size, Orientation::UPRIGHT, layout.pixels);
    let pixels = u64::from(width) * u64::from(height);
    // What is decoded to is not always what is delivered.
    let delivered = 2 * layout.pixels.bytes(width, height);
    header.cost = Cost { fixed: FIXED_BYTES + DECODER_BYTES * pixels + delivered, scaled: 0 };
    if layout.animated {
        let (begun, whole) = count(&mut decoder, rest, complete, bounds);
        let begun = begun.max(1);
        // A first frame that is not all there is an error, or shown in part.
        header.frames = complete.then_some(whole.max(1));
        header.so_far = SoFar { frames: begun, pixels: pixels.saturating_mul(begun.into()) };
    }
    Ok(Some(header))
}

/// Frames that begin, and those that are all there; as many as matter. What is wrong with one is for the decoder to say.
fn count(decoder: &mut JxlDecoder, mut rest: &[u8], complete: bool, bounds: &Bounds) -> (u32, u32) {
    let (mut begun, mut whole) = (0, 0);
    while begun <= bounds.max_frames {
        match decoder.process(&mut rest, None, None) {
            Ok(Event::FrameHeader) => begun += 1,
            Ok(Event::FrameComplete { has_more_frames }) => {
                whole += 1;
                if !has_more_frames {
                    return (begun, whole);
                }
            }
            Ok(Event::BasicInfo) => {}
            // There is to be one more, even if nothing is left of it.
            Ok(Event::NeedMoreInput { .. }) | Err(_) if complete => return (whole + 1, whole),
            Ok(Event::Complete | Event::NeedMoreInput { .. }) | Err(_) => break,
        }
    }
    (begun, whole)
}

fn fault(error: Error, bounds: &Bounds) -> CodecError {
    match error {
        Error::ImageSizeTooLarge(width, height) => {
            let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
            let refused = bounds.check_size(side(width), side(height));
            refused.err().unwrap_or_else(|| malformed("a picture of too many channels"))
        }
        error => malformed(error),
    }
}

fn malformed(text: impl std::fmt::Display) -> CodecError {
    CodecError::malformed(Format::Jxl, text)
}
