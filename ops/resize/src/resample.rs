//! From a rectangle of the decoded pixels to pixels of the shown size, by fast_image_resize. The only file that
//! hands it pixels; what surrounds the picture is `paint`'s.

use std::borrow::Cow;
use std::cell::RefCell;

use fast_image_resize::images::{TypedImage as Target, TypedImageRef as View};
use fast_image_resize::pixels::U8;
#[cfg(not(test))]
use fast_image_resize::pixels::{U8x3, U8x4, U16x4};
use fast_image_resize::{PixelTrait, ResizeOptions, Resizer};
use imgserve_sdk::{Error, Image, ImageRef, PixelFormat, Rect};

use crate::args::Filter;
use crate::geometry::{Geometry, Size};

// Sixteen-bit pixels are little-endian bytes in the contract and numbers of this machine to the resampler.
const _: () =
    assert!(cfg!(target_endian = "little"), "rgba16 is resampled in place as little-endian numbers");

/// Scratch memory kept from one call to the next, in bytes: fresh pages cost as much as the resampling itself
/// (24 megapixels of `rgba8` take 91 ms with kept pages, 157 ms without), yet one huge image must not stay in
/// memory for ever. 128 MiB holds 32 megapixels of `rgba8`.
const KEPT_BYTES: usize = 128 << 20;

thread_local! {
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// The pixels of `image` inside `crop` (in pixels of `image`, within it), brought to `size` in the same format.
/// Colours are weighted by their alpha, so that what is transparent colours nothing beside it.
pub(crate) fn resample(image: ImageRef<'_>, crop: Rect, size: Size, filter: Filter) -> Result<Image, Error> {
    // By name: asked for by a value, the resampler is compiled for all of its thirteen kinds of pixels. Each kind is 1,500
    // functions; unit tests are built with the one that they need, and tests/operation goes through all.
    match image.format() {
        PixelFormat::Gray8 => resample_as::<U8>(image, crop, size, filter),
        #[cfg(not(test))]
        PixelFormat::Rgb8 => resample_as::<U8x3>(image, crop, size, filter),
        #[cfg(not(test))]
        PixelFormat::Rgba8 => resample_as::<U8x4>(image, crop, size, filter),
        #[cfg(not(test))]
        PixelFormat::Rgba16 => resample_as::<U16x4>(image, crop, size, filter),
        #[cfg(test)]
        other => Err(failed(format!("{other:?} is not built into unit tests"))),
    }
}

/// The pixels inside `crop` as they are, if it has exactly `size` of them, pixel by pixel; else none.
pub(crate) fn copied(image: ImageRef<'_>, crop: Rect, size: Size) -> Option<Result<Image, Error>> {
    let whole = crop.x.fract() == 0.0 && crop.y.fract() == 0.0;
    let fits = crop.x + crop.width <= image.width().into() && crop.y + crop.height <= image.height().into();
    let same = crop.width == f64::from(size.width) && crop.height == f64::from(size.height);
    (whole && fits && same).then(|| part(image, crop, size))
}

/// The pixels inside `crop`, which are whole ones, `size` of them.
pub(crate) fn part(image: ImageRef<'_>, crop: Rect, size: Size) -> Result<Image, Error> {
    if (image.width(), image.height()) == (size.width, size.height) {
        return Ok(image.to_image());
    }
    let pixel = image.format().bytes_per_pixel();
    let (row, length) = (image.width() as usize * pixel, size.width as usize * pixel);
    let (left, top) = (crop.x as usize * pixel, crop.y as usize);
    let rows = image.data().chunks_exact(row).skip(top).take(size.height as usize);
    let mut data = Vec::with_capacity(length * size.height as usize);
    rows.for_each(|row| data.extend_from_slice(&row[left..left + length]));
    Image::new(size.width, size.height, image.format(), data)
}

/// [`resample`], for pixels of the type that the image's format has.
fn resample_as<P: PixelTrait>(
    image: ImageRef<'_>,
    crop: Rect,
    size: Size,
    filter: Filter,
) -> Result<Image, Error> {
    let crop = inside(crop, image.width(), image.height());
    let options = ResizeOptions::new()
        .resize_alg(filter.algorithm())
        .crop(crop.x, crop.y, crop.width, crop.height)
        .use_alpha(has_transparency(image));
    let mut output = Image::zeroed(size.width, size.height, image.format())?;
    let (source, skipped) = aligned(image);
    let source = &source[skipped..][..image.data().len()];
    let view = View::<P>::from_buffer(image.width(), image.height(), source).map_err(failed)?;
    let mut target = Target::<P>::from_buffer(size.width, size.height, output.data_mut()).map_err(failed)?;
    RESIZER.with_borrow_mut(|resizer| {
        let result = resizer.resize_typed(&view, &mut target, &options).map_err(failed);
        if resizer.size_of_internal_buffers() > KEPT_BYTES {
            resizer.reset_internal_buffers();
        }
        result
    })?;
    Ok(output)
}

/// Bytes that [`resample`] takes at its peak beside its input and its output, if `source` was decoded in full.
pub(crate) fn peak_bytes(format: PixelFormat, source: Size, geometry: &Geometry) -> u64 {
    let shown = geometry.shown;
    // A copy of the source with its colours multiplied by their alpha.
    let multiplied = if format.has_alpha() { format.bytes(source.width, source.height) } else { 0 };
    // What lies between the two passes: 8-bit pixels go vertically first, 16-bit ones horizontally.
    let between = match format {
        PixelFormat::Rgba16 => format.bytes(shown.width, source.height),
        _ => format.bytes(source.width, shown.height),
    };
    // Weights, as f64 and again as integers: the widest filter reads 6 pixels, or 6 × what one pixel shrinks.
    let sides = [(geometry.crop.width, shown.width), (geometry.crop.height, shown.height)];
    let weights = sides.map(|(from, to)| 16 * (6 * (from.ceil() as u64).max(to.into()) + 4 * u64::from(to)));
    multiplied.saturating_add(between).saturating_add(weights.iter().sum())
}

/// `crop` shortened by what rounding has put beyond the edges, which the resampler would refuse.
fn inside(crop: Rect, width: u32, height: u32) -> Rect {
    let width = shortened(crop.x, crop.width, width.into());
    let height = shortened(crop.y, crop.height, height.into());
    Rect { width, height, ..crop }
}

/// The longest length up to `length` that ends at `limit` or before, as the sum is rounded.
fn shortened(start: f64, length: f64, limit: f64) -> f64 {
    if start + length <= limit {
        return length;
    }
    let mut length = limit - start;
    while start + length > limit {
        length = length.next_down();
    }
    length
}

/// Whether any pixel is less than opaque. Many images carry an alpha channel and use none of it; for them the
/// resampler need not copy the source. Row by row without a branch inside, which the compiler vectorises.
fn has_transparency(image: ImageRef<'_>) -> bool {
    let row = image.width() as usize * image.format().bytes_per_pixel();
    let mut rows = image.data().chunks_exact(row);
    match image.format() {
        PixelFormat::Gray8 | PixelFormat::Rgb8 => false,
        PixelFormat::Rgba8 => rows.any(|row| row.chunks_exact(4).fold(255, |all, p| all & p[3]) != 255),
        PixelFormat::Rgba16 => {
            rows.any(|row| row.chunks_exact(8).fold(255, |all, p| all & p[6] & p[7]) != 255)
        }
    }
}

/// The pixels at an address fit for their type, and how many bytes to skip to get there. Bytes come from
/// allocators that align far better than to 2, so this copies only in theory.
fn aligned(image: ImageRef<'_>) -> (Cow<'_, [u8]>, usize) {
    let data = image.data();
    if image.format() != PixelFormat::Rgba16 || data.as_ptr().align_offset(2) == 0 {
        return (Cow::Borrowed(data), 0);
    }
    let mut copy = vec![0; data.len() + 1];
    let skipped = copy.as_ptr().align_offset(2).min(1);
    copy[skipped..][..data.len()].copy_from_slice(data);
    (Cow::Owned(copy), skipped)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::failed(format!("cannot resample: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_beyond_the_edge_by_rounding_is_shortened() {
        let crop = inside(Rect { x: 0.1, y: 0.3, width: 9.900_000_000_000_002, height: 9.7 }, 10, 10);
        assert!(crop.x + crop.width <= 10.0 && crop.x + crop.width > 10.0 - 1e-9);
        assert_eq!(crop.height, 9.7);
        // A thin box far out, whose own rounding steps are a million times finer than the position's.
        let crop = inside(Rect { x: 9999.99, y: 0.0, width: 0.02, height: 1.0 }, 10_000, 1);
        assert_eq!(crop.x + crop.width, 10_000.0);
    }

    #[test]
    fn what_is_not_scaled_is_copied() {
        let bytes: Vec<u8> = (0..48).collect();
        let image = ImageRef::new(4, 3, PixelFormat::Rgba8, &bytes).unwrap();
        let copy = |x, y, width, height| {
            let crop = Rect { x, y, width: f64::from(width), height: f64::from(height) };
            copied(image, crop, Size { width, height }).map(|copy| copy.unwrap().into_data())
        };
        assert_eq!(copy(0.0, 0.0, 4, 3).as_deref(), Some(&bytes[..]));
        assert_eq!(copy(1.0, 1.0, 2, 1).as_deref(), Some(&bytes[20..28]));
        assert_eq!((copy(0.5, 0.0, 2, 1), copy(3.0, 0.0, 2, 1)), (None, None));
    }

    #[test]
    fn transparency_is_found_wherever_it_is() {
        for format in [PixelFormat::Rgba8, PixelFormat::Rgba16] {
            let mut image = Image::new(3, 2, format, vec![255; 6 * format.bytes_per_pixel()]).unwrap();
            assert!(!has_transparency(image.as_ref()));
            *image.data_mut().last_mut().unwrap() = 254;
            assert!(has_transparency(image.as_ref()));
        }
    }
}
