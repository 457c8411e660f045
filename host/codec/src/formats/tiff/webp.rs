//! WebP within TIFF, as libtiff writes it: a strip or tile is a whole file, of RGB or RGBA.

use imgserve_sdk::PixelFormat;

use super::super::webp;
use super::directory::Trouble;
use super::layout::Layout;
use super::samples::Picture;
use crate::convert::convert;
use crate::error::CodecError;

/// The samples of a strip or tile of so many rows.
pub(super) fn decode(file: &[u8], layout: &Layout, rows: usize) -> Result<Picture, Trouble> {
    let (width, height) = (layout.chunk.0, rows as u32);
    let image = webp::still(file, (width, height)).map_err(|error| match error {
        CodecError::Malformed { text, .. } => Trouble::malformed(format!("the WebP within it: {text}")),
        error => Trouble::Refused(error),
    })?;
    // It is coded without alpha where all of it is opaque.
    let wanted = if layout.samples == 4 { PixelFormat::Rgba8 } else { PixelFormat::Rgb8 };
    let image = if image.format() == wanted { image } else { convert(image.as_ref(), wanted) };
    Ok(Picture { width: width as usize, data: image.into_data(), channels: layout.samples, damage: None })
}
