//! Frames out of encoded bytes, one at a time: picks the format's decoder and makes what it gives upright and exact.

use imgserve_jpeg::Region;
use imgserve_sdk::{DecodeHint, Image, Window};

use super::{CodecError, Format, Header, Limits, convert::convert, gif, jpeg, png, webp};
use super::{bitmap, encode::Loops};

/// Scratch memory of each kind that a worker keeps from one task to the next, in bytes.
pub(super) const KEPT_BYTES: usize = 32 << 20;

/// What is decoded of a picture, as it lies in its file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    /// 1, or less: at which scale.
    pub(super) scale: f64,
    /// Which pixels of the scaled picture.
    pub(super) pixels: Region,
}

/// A picture as it lies in its file.
#[derive(Debug)]
pub(super) struct Still {
    /// Its pixels, in sRGB.
    pub(super) image: Image,
    /// What was wrong with the file.
    pub(super) damage: Option<String>,
}

/// One decoded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedFrame {
    /// The canvas as shown, or the part of it that was asked for: upright, sRGB, in the header's pixel format.
    pub image: Image,
    /// How long it is shown, in milliseconds; 0 for a still.
    pub delay_ms: u32,
}

/// The frames of one source, decoded as they are asked for: never more than one or two are in memory.
#[derive(Debug)]
pub struct Decoder<'a> {
    frames: Frames<'a>,
    header: Header,
    hint: DecodeHint,
    limits: Limits,
    part: Part,
    delivered: u32,
    damage: Option<String>,
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
    /// `hint` is used for JPEG, which decodes at 1/8, 1/4 or 1/2 for less than at 1, the smallest that suffices, and only
    /// the part that is wanted. No other format here can do either cheaply.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for SVG, which only operations draw; otherwise what is wrong with the source.
    pub fn new(
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
        Ok(Self {
            frames,
            header: header.clone(),
            hint: *hint,
            limits: *limits,
            part: part(header, hint),
            delivered: 0,
            damage: None,
        })
    }

    /// The next frame, or `None` after the last.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when its data is broken or cut off, [`CodecError::Limit`] past the most frames.
    pub fn next_frame(&mut self) -> Result<Option<DecodedFrame>, CodecError> {
        let frame = match &mut self.frames {
            Frames::Gif(frames) => frames.next_frame()?,
            Frames::WebP(frames) => frames.next_frame()?,
            Frames::Still { done: true, .. } => None,
            Frames::Still { bytes, done } => {
                *done = true;
                let still = decode_still(bytes, &self.header, &self.hint, &self.limits)?;
                self.damage = still.damage;
                Some(DecodedFrame { image: still.image, delay_ms: 0 })
            }
        };
        let Some(DecodedFrame { image, delay_ms }) = frame else { return Ok(None) };
        self.delivered += 1;
        self.limits.check_frames(self.delivered)?;
        let image = self.finish(image)?;
        Ok(Some(DecodedFrame { image, delay_ms }))
    }

    /// What is wrong with the source, as far as its frames were delivered; they show it as gray. Without [`Limits::repair`]
    /// there is nothing, or it is an error.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Where each delivered frame stands in the upright source.
    pub fn window(&self) -> Window {
        self.header.orientation.window((self.header.width, self.header.height), &self.part)
    }

    /// How often the animation is played; `Times(1)` for a still. Known from the start.
    pub fn loops(&self) -> Loops {
        match &self.frames {
            Frames::Still { .. } => Loops::Times(1),
            Frames::Gif(frames) => frames.loops(),
            Frames::WebP(frames) => frames.loops(),
        }
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

fn decode_still(
    bytes: &[u8],
    header: &Header,
    hint: &DecodeHint,
    limits: &Limits,
) -> Result<Still, CodecError> {
    let image = match header.format {
        Format::Jpeg => {
            let part = (hint.min_scale, coded_region(header, hint));
            return jpeg::decode(bytes, header, part, limits.repair);
        }
        Format::Png => png::decode(bytes),
        format => bitmap::decode(bytes, format, limits),
    };
    Ok(Still { image: image?, damage: None })
}

/// What will be decoded for `hint`.
pub(super) fn part(header: &Header, hint: &DecodeHint) -> Part {
    let (width, height) = header.coded_size();
    match header.format {
        Format::Jpeg => jpeg::part((width, height), hint.min_scale, coded_region(header, hint)),
        _ => Part { scale: 1.0, pixels: Region { x: 0, y: 0, width, height } },
    }
}

/// The hint's region as it lies in the file, in whole pixels around it.
fn coded_region(header: &Header, hint: &DecodeHint) -> Option<Region> {
    let region = header.orientation.to_coded(hint.region?, (header.width, header.height));
    let whole = |from: f64, length: f64| (from.floor() as u32, (from + length).ceil() as u32);
    let ((x, right), (y, bottom)) = (whole(region.x, region.width), whole(region.y, region.height));
    Some(Region { x, y, width: right.saturating_sub(x), height: bottom.saturating_sub(y) })
}
