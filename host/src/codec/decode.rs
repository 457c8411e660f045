//! Frames out of encoded bytes, one at a time: picks the format's decoder and makes what it gives upright and exact.

use imgserve_sdk::{DecodeHint, Image, Window};

use super::{CodecError, Format, Header, Limits, convert::convert, gif, jpeg, png, webp};
use super::{bitmap, encode::Loops};

/// One decoded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DecodedFrame {
    /// The whole canvas as shown: upright, sRGB, in the header's pixel format.
    pub image: Image,
    /// How long it is shown, in milliseconds; 0 for a still.
    pub delay_ms: u32,
}

/// The frames of one source, decoded as they are asked for: never more than one or two are in memory.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    frames: Frames<'a>,
    header: Header,
    limits: Limits,
    window: Window,
    delivered: u32,
}

enum Frames<'a> {
    Still { bytes: &'a [u8], done: bool },
    Gif(Box<gif::Frames<'a>>),
    WebP(Box<webp::Frames<'a>>),
}

impl std::fmt::Debug for Frames<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Still { .. } => "Still",
            Self::Gif(_) => "Gif",
            Self::WebP(_) => "WebP",
        })
    }
}

impl<'a> Decoder<'a> {
    /// A decoder of `bytes`, all of the source that `header` was probed from.
    ///
    /// Of `hint` only `min_scale` is used, and only for JPEG, which decodes at 1/8, 1/4 or 1/2 for less than at 1:
    /// the smallest that suffices. `region` is ignored: no format here can skip to a part of a picture cheaply.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for SVG, which only operations draw; otherwise what is wrong with the source.
    pub(crate) fn new(
        bytes: &'a [u8],
        header: &Header,
        hint: &DecodeHint,
        limits: &Limits,
    ) -> Result<Self, CodecError> {
        limits.check_size(header.width, header.height)?;
        let frames = match header.format {
            Format::Svg => {
                return Err(CodecError::unsupported(Format::Svg, "only an operation for SVG can draw it"));
            }
            Format::Gif => Frames::Gif(Box::new(gif::Frames::new(bytes, header, limits)?)),
            Format::WebP => Frames::WebP(Box::new(webp::Frames::new(bytes, header, limits)?)),
            _ => Frames::Still { bytes, done: false },
        };
        let scale = scale(header, hint);
        let (width, height) = scaled_size((header.width, header.height), scale);
        let window = header.orientation.window((header.width, header.height), (width, height), scale);
        Ok(Self { frames, header: header.clone(), limits: *limits, window, delivered: 0 })
    }

    /// The next frame, or `None` after the last.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when its data is broken or cut off, [`CodecError::Limit`] past the most frames.
    pub(crate) fn next_frame(&mut self) -> Result<Option<DecodedFrame>, CodecError> {
        let frame = match &mut self.frames {
            Frames::Gif(frames) => frames.next_frame()?,
            Frames::WebP(frames) => frames.next_frame()?,
            Frames::Still { done: true, .. } => None,
            Frames::Still { bytes, done } => {
                *done = true;
                let image = decode_still(bytes, &self.header, self.window.scale, &self.limits)?;
                Some(DecodedFrame { image, delay_ms: 0 })
            }
        };
        let Some(DecodedFrame { image, delay_ms }) = frame else { return Ok(None) };
        self.delivered += 1;
        self.limits.check_frames(self.delivered)?;
        let image = self.finish(image)?;
        Ok(Some(DecodedFrame { image, delay_ms }))
    }

    /// Where each delivered frame stands in the upright source.
    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// How often the animation is played; `Times(1)` for a still. Known from the start.
    pub(crate) fn loops(&self) -> Loops {
        match &self.frames {
            Frames::Still { .. } => Loops::Times(1),
            Frames::Gif(frames) => frames.loops(),
            Frames::WebP(frames) => frames.loops(),
        }
    }

    /// Keeps the promises of the header, whatever the library made of the file.
    fn finish(&self, image: Image) -> Result<Image, CodecError> {
        let (width, height) = scaled_size(self.header.coded_size(), self.window.scale);
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

fn decode_still(bytes: &[u8], header: &Header, scale: f64, limits: &Limits) -> Result<Image, CodecError> {
    match header.format {
        Format::Jpeg => jpeg::decode(bytes, header, scale),
        Format::Png => png::decode(bytes),
        format => bitmap::decode(bytes, format, limits),
    }
}

/// The scale that will be decoded at: exactly 1, 1/2, 1/4 or 1/8.
pub(super) fn scale(header: &Header, hint: &DecodeHint) -> f64 {
    let wanted = hint.min_scale.unwrap_or(1.0);
    if header.format != Format::Jpeg || header.width.min(header.height) < jpeg::MIN_SCALED_SIDE {
        return 1.0;
    }
    [0.125, 0.25, 0.5].into_iter().find(|&scale| scale >= wanted).unwrap_or(1.0)
}

/// A scaled decoder rounds up.
fn scaled_size((width, height): (u32, u32), scale: f64) -> (u32, u32) {
    let side = |side: u32| (f64::from(side) * scale).ceil() as u32;
    (side(width), side(height))
}
