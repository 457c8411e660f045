//! Pixels into a JPEG, by imgserve-jpeg.

use std::cell::RefCell;

use imgserve_base::format::Format;
use imgserve_jpeg::{Color, EncodeScratch};
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
    let side = |side: u32| u16::try_from(side).map_err(encode_error);
    let (width, height) = (side(image.width())?, side(image.height())?);
    let options = imgserve_jpeg::EncodeOptions {
        // Progressive scans save some 4 % of bytes; they go into a finer quantiser.
        quality: options.quality + u8::from(options.thorough && options.quality < 100),
        subsample_chroma: options.quality < FULL_CHROMA_QUALITY,
        progressive: options.thorough,
    };
    let mut file = Vec::new();
    SCRATCH.with_borrow_mut(|scratch| {
        let done = imgserve_jpeg::encode(image.data(), width, height, color, &options, scratch, &mut file);
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
