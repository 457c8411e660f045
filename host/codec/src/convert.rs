//! Between the four pixel formats: which one an operation gets, and the change from one to another.
//! Everything here is sRGB to sRGB; colour profiles are `color`'s.

use imgserve_sdk::{Image, ImageRef, PixelFormat};

/// White, over which alpha is flattened where a target has none.
pub const WHITE: [u8; 3] = [255; 3];

/// The format an operation is given: the first of `accepted` that loses nothing of `native`, else the last.
/// `native` itself when `accepted` is empty.
pub fn pick_format(accepted: &[PixelFormat], native: PixelFormat) -> PixelFormat {
    let lossless = accepted.iter().find(|&&format| holds(format, native));
    *lossless.or(accepted.last()).unwrap_or(&native)
}

/// Whether each pixel of `from` can be said in `to`.
fn holds(to: PixelFormat, from: PixelFormat) -> bool {
    match from {
        PixelFormat::Gray8 => true,
        PixelFormat::Rgb8 => to != PixelFormat::Gray8,
        PixelFormat::Rgba8 => to.has_alpha(),
        PixelFormat::Rgba16 => to == PixelFormat::Rgba16,
    }
}

/// Whether no pixel is transparent.
pub(crate) fn is_opaque(image: ImageRef<'_>) -> bool {
    let data = image.data();
    match image.format() {
        PixelFormat::Gray8 | PixelFormat::Rgb8 => true,
        PixelFormat::Rgba8 => data.as_chunks::<4>().0.iter().all(|pixel| pixel[3] == 255),
        PixelFormat::Rgba16 => data.as_chunks::<8>().0.iter().all(|pixel| pixel[6..] == [255; 2]),
    }
}

/// Whether each pixel has its channels alike.
pub(crate) fn is_gray(image: ImageRef<'_>) -> bool {
    let mut pixels = image.data().chunks_exact(image.format().bytes_per_pixel());
    match image.format() {
        PixelFormat::Gray8 => true,
        PixelFormat::Rgb8 | PixelFormat::Rgba8 => pixels.all(|p| p[0] == p[1] && p[1] == p[2]),
        PixelFormat::Rgba16 => pixels.all(|p| p[..2] == p[2..4] && p[2..4] == p[4..6]),
    }
}

/// The same picture in another pixel format; alpha is flattened over white where `to` has none.
///
/// Gray is the luma of ITU-R BT.709, 0.2126 R + 0.7152 G + 0.0722 B, of the encoded (not linear) values, since
/// sRGB shares BT.709's primaries. 16 bits become 8 by rounding, 8 become 16 by repeating the byte.
pub fn convert(image: ImageRef<'_>, to: PixelFormat) -> Image {
    convert_over(image, to, WHITE)
}

/// [`convert()`] with another background to flatten alpha over.
pub(crate) fn convert_over(image: ImageRef<'_>, to: PixelFormat, background: [u8; 3]) -> Image {
    if image.format() == to {
        return image.to_image();
    }
    let data = image.data();
    let data = match image.format() {
        PixelFormat::Gray8 => write(data.iter().map(|&y| [y, y, y, 255]), data.len(), to, background),
        PixelFormat::Rgb8 => {
            let (pixels, _) = data.as_chunks::<3>();
            write(pixels.iter().map(|&[r, g, b]| [r, g, b, 255]), pixels.len(), to, background)
        }
        PixelFormat::Rgba8 => {
            let (pixels, _) = data.as_chunks::<4>();
            write(pixels.iter().copied(), pixels.len(), to, background)
        }
        PixelFormat::Rgba16 => {
            let (pixels, _) = data.as_chunks::<8>();
            write(pixels.iter().map(narrow), pixels.len(), to, background)
        }
    };
    Image::new(image.width(), image.height(), to, data).expect("one pixel was written for each that was read")
}

/// Every conversion passes through 8-bit RGBA; only `Rgba16` to itself would lose by that, and it never comes here.
fn write(
    pixels: impl Iterator<Item = [u8; 4]>,
    count: usize,
    to: PixelFormat,
    background: [u8; 3],
) -> Vec<u8> {
    match to {
        PixelFormat::Gray8 => pixels.map(|pixel| luma(flatten(pixel, background))).collect(),
        PixelFormat::Rgb8 => each(pixels.map(|pixel| flatten(pixel, background)), count),
        PixelFormat::Rgba8 => each(pixels, count),
        PixelFormat::Rgba16 => each(pixels.map(|[r, g, b, a]| [r, r, g, g, b, b, a, a]), count),
    }
}

/// `count` pixels one behind the other. Into zeros and not appended: appending looks for room at each.
pub(crate) fn each<const N: usize>(pixels: impl Iterator<Item = [u8; N]>, count: usize) -> Vec<u8> {
    let mut out = vec![0; N * count];
    out.as_chunks_mut::<N>().0.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = pixel);
    out
}

/// 65535 is 257 × 255, so this is exact for widened bytes and rounds everything else to the nearest.
fn narrow(pixel: &[u8; 8]) -> [u8; 4] {
    std::array::from_fn(|i| {
        let value = u32::from(u16::from_le_bytes([pixel[2 * i], pixel[2 * i + 1]]));
        ((value + 128) / 257) as u8
    })
}

fn flatten([r, g, b, a]: [u8; 4], background: [u8; 3]) -> [u8; 3] {
    let over = |top: u8, bottom: u8| {
        let (top, bottom, alpha) = (u32::from(top), u32::from(bottom), u32::from(a));
        ((top * alpha + bottom * (255 - alpha) + 127) / 255) as u8
    };
    [over(r, background[0]), over(g, background[1]), over(b, background[2])]
}

/// The weights in 1/65536; they add up to exactly one, so that gray stays the gray it was.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((13_933 * u32::from(r) + 46_871 * u32::from(g) + 4_732 * u32::from(b) + 32_768) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use PixelFormat::{Gray8, Rgb8, Rgba8, Rgba16};
    use proptest::prelude::*;

    use super::*;

    fn one(format: PixelFormat, pixel: &[u8], to: PixelFormat) -> Vec<u8> {
        convert(ImageRef::new(1, 1, format, pixel).unwrap(), to).into_data()
    }

    #[test]
    fn an_operation_gets_the_first_lossless_format_else_its_last() {
        assert_eq!(pick_format(&PixelFormat::ALL, Rgb8), Rgb8);
        assert_eq!(pick_format(&[Rgb8, Rgba8], Gray8), Rgb8);
        assert_eq!(pick_format(&[Gray8, Rgba8], Rgba16), Rgba8);
        assert_eq!(pick_format(&[Rgb8, Gray8], Rgba8), Gray8);
        assert_eq!(pick_format(&[], Rgba16), Rgba16);
    }

    #[test]
    fn alpha_is_flattened_over_white() {
        assert_eq!(one(Rgba8, &[0, 0, 0, 0], Rgb8), [255, 255, 255]);
        assert_eq!(one(Rgba8, &[255, 0, 0, 128], Rgb8), [255, 127, 127]);
        assert_eq!(one(Rgba8, &[10, 20, 30, 255], Gray8), [19]);
        assert_eq!(one(Rgba16, &[0xFF, 0xFF, 0, 0, 0x80, 0x80, 0xFF, 0xFF], Rgba8), [255, 0, 128, 255]);
    }

    proptest! {
        #[test]
        fn a_lossless_way_there_and_back_changes_nothing(pixel in any::<[u8; 4]>()) {
            prop_assert_eq!(one(Rgba16, &one(Rgba8, &pixel, Rgba16), Rgba8), pixel);
            prop_assert_eq!(one(Rgba8, &one(Rgb8, &pixel[..3], Rgba8), Rgb8), &pixel[..3]);
            prop_assert_eq!(one(Rgba16, &one(Gray8, &pixel[..1], Rgba16), Gray8), &pixel[..1]);
        }
    }
}
