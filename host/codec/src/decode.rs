//! Frames out of encoded bytes, one at a time: picks the format's decoder and makes what it gives upright and exact.

use std::fmt;

use imgserve_jpeg::Region;
use imgserve_sdk::{DecodeHint, Image, PixelFormat, Window};

use crate::beside::Beside;
use crate::bounds::Bounds;
use crate::codec::{DecodedFrame, Frames, Loops};
use crate::color;
use crate::convert::convert;
use crate::error::CodecError;
use crate::formats;
use crate::header::Header;
use crate::part::Part;

/// The frames of one source, decoded as they are asked for: never more than one or two are in memory.
pub struct Decoder<'a> {
    frames: Box<dyn Frames + 'a>,
    header: Header,
    bounds: Bounds,
    part: Part,
    profile: Option<Vec<u8>>,
    delivered: u32,
}

impl fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("header", &self.header)
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

impl<'a> Decoder<'a> {
    /// A decoder of `bytes`, all of the source that `header` was probed from.
    ///
    /// `hint` is used for JPEG, which decodes at 1/8, 1/4 or 1/2 for less than at 1, the smallest that suffices, and only
    /// the part that is wanted. No other format here can do either cheaply.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for a format that only operations draw; otherwise what is wrong with the source.
    pub fn new(
        bytes: &'a [u8],
        header: &Header,
        hint: &DecodeHint,
        bounds: &Bounds,
    ) -> Result<Self, CodecError> {
        bounds.check_size(header.width, header.height)?;
        let profile = if bounds.keep_colors { kept_profile(bytes, header) } else { None };
        let bounds = Bounds { keep_colors: profile.is_some(), ..*bounds };
        let frames = formats::decode(bytes, header, hint, &bounds)?;
        let part = formats::part(header, hint);
        Ok(Self { frames, header: header.clone(), bounds, part, profile, delivered: 0 })
    }

    /// The next frame, or `None` after the last.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when its data is broken or cut off, [`CodecError::Limit`] past the most frames.
    pub fn next_frame(&mut self) -> Result<Option<DecodedFrame>, CodecError> {
        let Some(DecodedFrame { image, delay_ms }) = self.frames.next_frame()? else { return Ok(None) };
        self.delivered += 1;
        self.bounds.check_frames(self.delivered)?;
        let image = self.finish(image)?;
        Ok(Some(DecodedFrame { image, delay_ms }))
    }

    /// What is wrong with the source, as far as its frames were delivered; they show it as gray. Without [`Bounds::repair`]
    /// there is nothing, or it is an error.
    pub fn damage(&self) -> Option<&str> {
        self.frames.damage()
    }

    /// Why the colours of the frames that were delivered could not be converted, and are shown as if they were sRGB's.
    pub fn unconverted(&self) -> Option<&str> {
        self.frames.unconverted()
    }

    /// The profile in whose colours the frames are; none where they are in sRGB.
    pub fn profile(&self) -> Option<&[u8]> {
        self.profile.as_deref()
    }

    /// Where each delivered frame stands in the upright source.
    pub fn window(&self) -> Window {
        self.header.orientation.window((self.header.width, self.header.height), &self.part)
    }

    /// How often the animation is played; `Times(1)` for a still. Known from the start.
    pub fn loops(&self) -> Loops {
        self.frames.loops()
    }

    /// Keeps the promises of the header, whatever the library made of the file.
    fn finish(&self, image: Image) -> Result<Image, CodecError> {
        let Region { width, height, .. } = self.part.pixels;
        if (image.width(), image.height()) != (width, height) {
            return Err(CodecError::malformed(
                self.header.format,
                "the picture is not of the size its header says",
            ));
        }
        let image = self.header.orientation.upright(image);
        Ok(if image.format() == self.header.pixels {
            image
        } else {
            convert(image.as_ref(), self.header.pixels)
        })
    }
}

/// The profile of a source whose pixels can be given in its colours: one that is not longer than is kept, and is of RGB other than
/// sRGB, or of gray for a gray picture.
pub fn kept_profile(bytes: &[u8], header: &Header) -> Option<Vec<u8>> {
    Beside::read(header.format, bytes).profile.filter(|profile| color::is_to_keep(profile, header.pixels))
}

/// What a decoder makes of one of the source's pixels, across and down.
pub fn decoded_scale(header: &Header, hint: &DecodeHint) -> f64 {
    formats::part(header, hint).scale
}

/// Bytes of the pixels that a decoder gives for one frame, converted to `format`.
pub fn decoded_bytes(header: &Header, hint: &DecodeHint, format: PixelFormat) -> u64 {
    let pixels = formats::part(header, hint).pixels;
    format.bytes(pixels.width, pixels.height)
}

/// The memory in bytes that decoding takes at its peak, one delivered frame included, the source's own bytes not.
pub fn estimate(header: &Header, hint: &DecodeHint) -> u64 {
    let scale = formats::part(header, hint).scale;
    header.cost.fixed.saturating_add((header.cost.scaled as f64 * scale * scale).ceil() as u64)
}
