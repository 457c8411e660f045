//! Pixels into a JPEG, by imgserve-jpeg.

use std::cell::RefCell;

use imgserve_base::format::Format;
use imgserve_jpeg::{Color, EncodeError, EncodeScratch};
use imgserve_sdk::{Image, ImageRef, PixelFormat};

use crate::codec::{EncodeOptions, KEPT_BYTES};
use crate::convert::convert_over;
use crate::error::CodecError;

/// From this quality on, colour is kept at full resolution.
const FULL_CHROMA_QUALITY: u8 = 90;
thread_local! {
    static SCRATCH: RefCell<EncodeScratch> = RefCell::default();
}

pub(super) fn encode(image: ImageRef<'_>, options: &EncodeOptions) -> Result<Vec<u8>, CodecError> {
    let flat = match image.format() {
        PixelFormat::Gray8 | PixelFormat::Rgb8 => None,
        PixelFormat::Rgba8 | PixelFormat::Rgba16 => {
            Some(convert_over(image, PixelFormat::Rgb8, options.background))
        }
    };
    let image = flat.as_ref().map_or(image, Image::as_ref);
    let color = if image.format() == PixelFormat::Gray8 { Color::Gray } else { Color::Rgb };
    with_scratch((image.width(), image.height()), |(width, height), scratch, file| {
        imgserve_jpeg::encode(image.data(), width, height, color, &jpeg_options(options), scratch, file)
    })
}

/// Whether a JPEG has colours at half its width and height.
pub(super) fn halves_colors(options: &EncodeOptions) -> bool {
    options.quality < FULL_CHROMA_QUALITY
}

/// How the encoder is told what is wanted.
pub(super) fn jpeg_options(options: &EncodeOptions) -> imgserve_jpeg::EncodeOptions {
    imgserve_jpeg::EncodeOptions {
        // Progressive scans save some 4 % of bytes; they go into a finer quantiser.
        quality: options.quality + u8::from(options.thorough && options.quality < 100),
        subsample_chroma: halves_colors(options),
        progressive: options.thorough,
    }
}

/// A file of this size, by the encoder's memory from the one before.
pub(super) fn with_scratch(
    (width, height): (u32, u32),
    encode: impl FnOnce((u16, u16), &mut EncodeScratch, &mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<Vec<u8>, CodecError> {
    let side = |side: u32| u16::try_from(side).map_err(encode_error);
    let size = (side(width)?, side(height)?);
    let mut file = Vec::new();
    SCRATCH.with_borrow_mut(|scratch| {
        let done = encode(size, scratch, &mut file);
        if scratch.bytes() > KEPT_BYTES {
            *scratch = EncodeScratch::default();
        }
        done.map_err(encode_error)
    })?;
    Ok(file)
}

fn encode_error(error: impl std::fmt::Display) -> CodecError {
    CodecError::encode(Format::Jpeg, error)
}
