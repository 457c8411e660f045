//! Pixels in memory: the formats of the contract, an owned [`Image`], a borrowed [`ImageRef`], a [`Frame`].
//! Encoding and decoding are the host's.

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// How a pixel is laid out in bytes. Rows are packed, top to bottom, with no padding.
/// Colours are sRGB; alpha is straight (not premultiplied).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelFormat {
    /// One byte of luma.
    Gray8,
    /// Red, green, blue; one byte each.
    Rgb8,
    /// Red, green, blue, alpha; one byte each.
    Rgba8,
    /// Red, green, blue, alpha; two bytes each, little-endian.
    Rgba16,
}

impl PixelFormat {
    /// All formats, the smallest first.
    pub const ALL: [Self; 4] = [Self::Gray8, Self::Rgb8, Self::Rgba8, Self::Rgba16];

    /// Bytes that one pixel takes: 1, 3, 4 or 8.
    pub const fn bytes_per_pixel(self) -> usize {
        match self {
            Self::Gray8 => 1,
            Self::Rgb8 => 3,
            Self::Rgba8 => 4,
            Self::Rgba16 => 8,
        }
    }

    /// Whether a pixel has an alpha channel.
    pub const fn has_alpha(self) -> bool {
        matches!(self, Self::Rgba8 | Self::Rgba16)
    }

    /// Bytes that `width` × `height` pixels take; saturates instead of overflowing.
    pub const fn bytes(self, width: u32, height: u32) -> u64 {
        (width as u64).saturating_mul(height as u64).saturating_mul(self.bytes_per_pixel() as u64)
    }
}

/// Pixels owned by this side of the plugin boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    format: PixelFormat,
    data: Vec<u8>,
}

impl Image {
    /// An image over `data`, which holds `height` packed rows of `width` pixels.
    ///
    /// # Errors
    /// `failed` when a side is 0 or `data` is not exactly `format.bytes(width, height)` long.
    pub fn new(width: u32, height: u32, format: PixelFormat, data: Vec<u8>) -> Result<Self, Error> {
        check(width, height, format, data.len())?;
        Ok(Self { width, height, format, data })
    }

    /// An image whose bytes are all zero: black, and transparent where the format has alpha.
    ///
    /// # Errors
    /// `failed` when a side is 0; `limit-exceeded` when it would not fit the address space.
    pub fn zeroed(width: u32, height: u32, format: PixelFormat) -> Result<Self, Error> {
        let bytes = usize::try_from(format.bytes(width, height)).ok().filter(|&n| n <= isize::MAX as usize);
        let bytes = bytes.ok_or_else(|| {
            Error::new(ErrorKind::LimitExceeded, format!("an image of {width}x{height} does not fit memory"))
        })?;
        Self::new(width, height, format, vec![0; bytes])
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// How a pixel is laid out.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// The packed rows.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The packed rows, to change in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The packed rows, without a copy.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// This image, borrowed.
    pub fn as_ref(&self) -> ImageRef<'_> {
        ImageRef { width: self.width, height: self.height, format: self.format, data: &self.data }
    }
}

/// Pixels borrowed from the other side of the plugin boundary, or from an [`Image`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRef<'a> {
    width: u32,
    height: u32,
    format: PixelFormat,
    data: &'a [u8],
}

impl<'a> ImageRef<'a> {
    /// A view of `data`, which holds `height` packed rows of `width` pixels.
    ///
    /// # Errors
    /// `failed` when a side is 0 or `data` is not exactly `format.bytes(width, height)` long.
    pub fn new(width: u32, height: u32, format: PixelFormat, data: &'a [u8]) -> Result<Self, Error> {
        check(width, height, format, data.len())?;
        Ok(Self { width, height, format, data })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// How a pixel is laid out.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// The packed rows.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// A copy that this side owns.
    pub fn to_image(self) -> Image {
        Image { width: self.width, height: self.height, format: self.format, data: self.data.to_vec() }
    }
}

/// One picture of an animation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The whole canvas as it is shown.
    pub image: Image,
    /// How long it is shown, in milliseconds.
    pub delay_ms: u32,
}

fn check(width: u32, height: u32, format: PixelFormat, len: usize) -> Result<(), Error> {
    let wanted = format.bytes(width, height);
    if wanted == 0 || wanted != len as u64 {
        return Err(Error::failed(format!(
            "an image of {width}x{height} {format:?} takes {wanted} bytes, got {len}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_exactly_as_long_as_it_says() {
        assert!(Image::new(2, 3, PixelFormat::Rgb8, vec![0; 18]).is_ok());
        assert!(Image::new(2, 3, PixelFormat::Rgb8, vec![0; 17]).is_err());
        assert!(Image::new(0, 3, PixelFormat::Rgb8, vec![]).is_err());
        assert!(ImageRef::new(1, 1, PixelFormat::Rgba16, &[0; 8]).is_ok());
    }

    #[test]
    fn an_absurd_size_is_refused_rather_than_allocated() {
        let error = Image::zeroed(u32::MAX, u32::MAX, PixelFormat::Rgba16).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    }
}
