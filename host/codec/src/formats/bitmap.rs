//! What the formats that are read by the `image` crate have in common: everything but which of its decoders.

use std::error::Error as _;

use image::{ColorType, DynamicImage, ImageDecoder, ImageResult, metadata};
use imgserve_base::format::Format;
use imgserve_base::units::MIB;
use imgserve_sdk::{Image, PixelFormat};

use crate::bounds::Bounds;
use crate::color;
use crate::error::CodecError;
use crate::header::{Cost, Header};
use crate::orientation::Orientation;
use crate::still::Still;

/// What these decoders are allowed beside twice the picture: strips, tables, profiles.
const SIDE_BYTES: u64 = 16 * MIB;

/// The library reads headers only, but from anywhere in the file: while it is incomplete, each failure may be for
/// want of bytes.
pub(super) fn probe(
    decoder: ImageResult<impl ImageDecoder>,
    format: Format,
    complete: bool,
    bounds: &Bounds,
) -> Result<Option<Header>, CodecError> {
    match decoder.and_then(|decoder| describe(decoder, format)) {
        Ok(header) if header.width == 0 || header.height == 0 => {
            Err(malformed(format, "a picture without area"))
        }
        Ok(header) => bounds.check_size(header.width, header.height).map(|()| Some(header)),
        Err(_) if !complete => Ok(None),
        Err(error) => Err(refused(format, error)),
    }
}

fn describe(mut decoder: impl ImageDecoder, format: Format) -> ImageResult<Header> {
    let orientation = Orientation::from_exif(match decoder.orientation()? {
        metadata::Orientation::NoTransforms => 1,
        metadata::Orientation::FlipHorizontal => 2,
        metadata::Orientation::Rotate180 => 3,
        metadata::Orientation::FlipVertical => 4,
        metadata::Orientation::Rotate90FlipH => 5,
        metadata::Orientation::Rotate90 => 6,
        metadata::Orientation::Rotate270FlipH => 7,
        metadata::Orientation::Rotate270 => 8,
    });
    let pixels = match decoder.color_type() {
        ColorType::L8 => PixelFormat::Gray8,
        ColorType::Rgb8 => PixelFormat::Rgb8,
        ColorType::La8 | ColorType::Rgba8 => PixelFormat::Rgba8,
        _ => PixelFormat::Rgba16,
    };
    let mut header = Header::still(format, decoder.dimensions(), orientation, pixels);
    // The library's buffer and its copy; then the delivered picture where it is converted or turned.
    let converted = !matches!(decoder.color_type(), ColorType::L8 | ColorType::Rgb8 | ColorType::Rgba8);
    let copied = converted || orientation != Orientation::UPRIGHT;
    let delivered = if copied { header.cost.fixed } else { 0 };
    let fixed = decoder.total_bytes().saturating_mul(2).saturating_add(delivered).saturating_add(2 * MIB);
    header.cost = Cost { fixed, scaled: 0 };
    Ok(header)
}

/// The picture as it lies in the file, in sRGB.
pub(super) fn decode(
    decoder: ImageResult<impl ImageDecoder>,
    format: Format,
    bounds: &Bounds,
) -> Result<Still, CodecError> {
    let decoded = decoder.and_then(|decoder| read(decoder, bounds));
    let (picture, icc) = decoded.map_err(|error| refused(format, error))?;
    let (width, height) = (picture.width(), picture.height());
    let (pixels, data) = to_contract(picture);
    let image = Image::new(width, height, pixels, data).map_err(|error| malformed(format, error))?;
    Ok(color::to_srgb(image, icc.as_deref()).into())
}

fn read(mut decoder: impl ImageDecoder, bounds: &Bounds) -> ImageResult<(DynamicImage, Option<Vec<u8>>)> {
    let (width, height) = decoder.dimensions();
    let mut allowed = image::Limits::default();
    // `probe` has held these against the limit; a file that has changed since gets no further than it would have.
    let most = bounds.max_pixels.min(u64::from(width) * u64::from(height));
    let pixel = u64::from(decoder.color_type().bytes_per_pixel());
    allowed.max_alloc = Some(most.saturating_mul(2 * pixel).saturating_add(SIDE_BYTES));
    decoder.set_limits(allowed)?;
    // A profile that cannot be read is no reason to refuse the picture.
    let icc = decoder.icc_profile().unwrap_or_default();
    Ok((DynamicImage::from_decoder(decoder)?, icc))
}

fn to_contract(picture: DynamicImage) -> (PixelFormat, Vec<u8>) {
    match picture {
        DynamicImage::ImageLuma8(picture) => (PixelFormat::Gray8, picture.into_raw()),
        DynamicImage::ImageRgb8(picture) => (PixelFormat::Rgb8, picture.into_raw()),
        DynamicImage::ImageRgba8(picture) => (PixelFormat::Rgba8, picture.into_raw()),
        DynamicImage::ImageLumaA8(_) => (PixelFormat::Rgba8, picture.into_rgba8().into_raw()),
        wide => {
            let words = wide.into_rgba16().into_raw();
            (PixelFormat::Rgba16, words.into_iter().flat_map(u16::to_le_bytes).collect())
        }
    }
}

fn refused(format: Format, error: image::ImageError) -> CodecError {
    match error {
        image::ImageError::Unsupported(error) => CodecError::unsupported(format, error.to_string()),
        // Its own words name the format once more.
        image::ImageError::Decoding(error) => match error.source() {
            Some(reason) => malformed(format, reason),
            None => malformed(format, error),
        },
        error => malformed(format, error),
    }
}

fn malformed(format: Format, text: impl std::fmt::Display) -> CodecError {
    CodecError::malformed(format, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{decode_one, encode_bitmap, gradient, header};

    #[test]
    fn lossless_formats_come_back_as_they_were() {
        for (format, pixels) in [
            (image::ImageFormat::Bmp, PixelFormat::Rgb8),
            (image::ImageFormat::Tiff, PixelFormat::Gray8),
            (image::ImageFormat::Tiff, PixelFormat::Rgb8),
            (image::ImageFormat::Tiff, PixelFormat::Rgba8),
            (image::ImageFormat::Tiff, PixelFormat::Rgba16),
            (image::ImageFormat::Ico, PixelFormat::Rgba8),
        ] {
            let picture = gradient(37, 23, pixels);
            assert_eq!(decode_one(&encode_bitmap(format, &picture)), picture, "{format:?}");
        }
    }

    #[test]
    fn a_tiffs_orientation_is_honoured() {
        let picture = gradient(37, 23, PixelFormat::Rgb8);
        let mut file = encode_bitmap(image::ImageFormat::Tiff, &picture);
        // Its ResolutionUnit, which nobody misses, becomes Orientation 6.
        let unit = b"\x28\x01\x03\0\x01\0\0\0";
        let at = file.windows(8).position(|entry| entry == unit).expect("a resolution unit");
        file[at..at + 12].copy_from_slice(b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0");
        let header = header(&file).unwrap();
        assert_eq!((header.width, header.height), (23, 37));
        assert_eq!(decode_one(&file), Orientation::from_exif(6).upright(picture));
    }
}
