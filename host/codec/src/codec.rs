//! What a format's own file gives, so that nothing else has to know the format: a [`Codec`], whose frames come out as
//! [`Frames`] and go in as a [`Sink`]. Calls through it are a few an image, none a row or pixel.

use imgserve_base::format::Format;
use imgserve_base::units::MIB;
use imgserve_sdk::{DecodeHint, Image, ImageRef};

use crate::beside::Holder;
use crate::bounds::Bounds;
use crate::convert::WHITE;
use crate::error::CodecError;
use crate::header::Header;
use crate::part::Part;

/// Scratch memory of each kind that a worker keeps from one task to the next, in bytes.
pub(crate) const KEPT_BYTES: usize = 32 * MIB as usize;

/// What can be done with the files of one format.
pub(crate) struct Codec {
    pub(crate) format: Format,
    pub(crate) probe: Probe,
    /// None for a format that only operations draw.
    pub(crate) decode: Option<Decode>,
    /// What is decoded for a hint, where that can be less than all at full scale.
    pub(crate) part: Option<fn(&Header, &DecodeHint) -> Part>,
    /// None for a format that is only read.
    pub(crate) encode: Option<Encode>,
    /// How it holds what stands beside the pixels; none where nothing of that is read or written here.
    pub(crate) beside: Option<Holder>,
}

/// Learns from the first bytes (all of them, where the flag says so) what the source is; none when they do not suffice. Never
/// decodes a pixel, and takes time linear in the bytes at most.
pub(crate) type Probe = fn(&[u8], bool, &Bounds) -> Result<Option<Header>, CodecError>;

/// Begins to decode all bytes of a source.
pub(crate) type Decode =
    for<'a> fn(&'a [u8], &Header, &DecodeHint, &Bounds) -> Result<Box<dyn Frames + 'a>, CodecError>;

/// Begins a file of frames of one size.
pub(crate) type Encode = fn(&EncodeOptions, (u32, u32)) -> Result<Box<dyn Sink>, CodecError>;

/// The frames of one source, decoded as they are asked for.
pub(crate) trait Frames {
    /// The next frame as it lies in the file, in sRGB unless [`Bounds::keep_colors`] is asked for; none after the last.
    fn next_frame(&mut self) -> Result<Option<DecodedFrame>, CodecError>;

    /// How often the animation is played; known from the start.
    fn loops(&self) -> Loops {
        Loops::Times(1)
    }

    /// What was wrong with the file, as far as it was decoded.
    fn damage(&self) -> Option<&str> {
        None
    }

    /// Why the colours of what was decoded are not in sRGB, but as the file has them.
    fn unconverted(&self) -> Option<&str> {
        None
    }
}

/// A file being written.
pub(crate) trait Sink {
    /// Takes a frame, which is of the announced size.
    fn push(&mut self, image: ImageRef<'_>, delay_ms: u32) -> Result<(), CodecError>;

    /// The file; none when no frame has come.
    fn finish(self: Box<Self>) -> Result<Option<Vec<u8>>, CodecError>;
}

/// One decoded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedFrame {
    /// The canvas as shown, or the part of it that was asked for: upright, sRGB, in the header's pixel format.
    pub image: Image,
    /// How long it is shown, in milliseconds; 0 for a still.
    pub delay_ms: u32,
}

/// How often an animation is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loops {
    /// Again and again.
    Forever,
    /// This often in all, at least 1. (GIF counts repetitions, one less.)
    Times(u32),
}

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// 1 (smallest) to 100 (best), for formats that are lossy; others have no such choice. Out of range is clamped.
    pub quality: u8,
    /// Whether each pixel is kept exactly, by a format that can be written so ([`Format::can_be_lossless`]). Quality says nothing
    /// then.
    pub lossless: bool,
    /// Whether time is spent on a smaller file: a progressive JPEG, which is also seen roughly at first and finer as it
    /// arrives, and libwebp's effort 4 instead of 2.
    pub thorough: bool,
    /// Whether the file has all channels of the picture even where they say nothing: a profile that is put beside them is for these.
    pub as_given: bool,
    /// Whether the pixels are in Display P3, which a format that has a name for it says; others have a profile put beside them.
    pub display_p3: bool,
    /// How often an animation is played.
    pub loops: Loops,
    /// What alpha is flattened over where the format has none (JPEG).
    pub background: [u8; 3],
}

impl Default for EncodeOptions {
    /// Quality 80, quickly, played once, over white.
    fn default() -> Self {
        Self {
            quality: 80,
            lossless: false,
            thorough: false,
            as_given: false,
            display_p3: false,
            loops: Loops::Times(1),
            background: WHITE,
        }
    }
}
