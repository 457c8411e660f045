//! Resampling in linear light: values become amounts of light, these are averaged, and what comes out becomes values again.
//! Averaging the values themselves makes fine bright detail too dark.
//!
//! A few source rows at a time are turned into light and shrunk across; as soon as there are enough of them, a row of the
//! result is their weighted sum. The light of the whole source is never in memory.
//!
//! # Layout
//! - this file: the two passes
//! - `transfer`: from values to light and back; `pixels`: the same for pixels of each format
//! - `weights`: the filters

mod pixels;
mod transfer;
pub(crate) mod weights;

use fearless_simd::{Level, dispatch, f32x16, prelude::*};
use imgserve_sdk::{Error, Image, ImageRef, PixelFormat, Rect};

use self::pixels::{Encoding, Gray8, Rgb8, Rgba8, Rgba16};
use self::transfer::{Light16, Values8, Values16};
use self::weights::{Windows, most_weights};
use crate::args::Filter;
use crate::geometry::{Geometry, Size};

/// Numbers worked on at once: 4 pixels of 4 numbers or 16 of one, each of another row.
const LANES: usize = 16;

/// The pixels of `image` inside `crop` (in pixels of `image`, within it), brought to `size` in the same format.
pub(crate) fn resample(image: ImageRef<'_>, crop: Rect, size: Size, filter: Filter) -> Result<Image, Error> {
    let mut output = Image::zeroed(size.width, size.height, image.format())?;
    let columns = Windows::new(filter, (crop.x, crop.width), image.width(), size.width);
    let rows = Windows::new(filter, (crop.y, crop.height), image.height(), size.height);
    let passes = Passes { image, columns: &columns, rows: &rows };
    match image.format() {
        PixelFormat::Gray8 => passes.dispatch(Gray8(Values8::new()), &mut output),
        PixelFormat::Rgb8 => passes.dispatch(Rgb8(Values8::new()), &mut output),
        PixelFormat::Rgba8 => passes.dispatch(Rgba8(Values8::new()), &mut output),
        PixelFormat::Rgba16 => passes.dispatch(Rgba16(Light16::new(), Values16::new()), &mut output),
    }
    Ok(output)
}

/// Bytes that [`resample`] takes at its peak beside its input and its output, if `source` was decoded in full.
pub(crate) fn peak_bytes(format: PixelFormat, source: Size, geometry: &Geometry, filter: Filter) -> u64 {
    const TABLES: u64 = 1 << 20;
    let (crop, shown) = (geometry.crop, geometry.shown);
    let channels = if format == PixelFormat::Gray8 { 1 } else { 4 };
    let down = most_weights(filter, crop.height, shown.height);
    let weights = most_weights(filter, crop.width, shown.width)
        .saturating_mul(shown.width.into())
        .saturating_add(down.saturating_mul(shown.height.into()));
    let strip = u64::from(source.width) * LANES as u64;
    let row = u64::from(shown.width) * channels + LANES as u64;
    // With the row that is being added up.
    let kept = row.saturating_mul(down + 3 * LANES as u64 / channels + 1);
    // Where each window begins.
    let windows = 2 * (u64::from(shown.width) + u64::from(shown.height));
    let numbers = weights.saturating_add(strip).saturating_add(kept).saturating_add(windows);
    numbers.saturating_mul(4).saturating_add(TABLES)
}

struct Passes<'p> {
    image: ImageRef<'p>,
    columns: &'p Windows,
    rows: &'p Windows,
}

/// The source rows that were shrunk across last, in groups of as many as are worked on together; a new group takes the place
/// of the oldest.
struct Shrunk {
    /// The first source row of all.
    first: usize,
    /// The first source row that has not been here yet.
    next: usize,
    /// Rows of a group.
    together: usize,
    /// Rows that there is room for, a multiple of `together`.
    room: usize,
    /// Numbers of a row, a multiple of [`LANES`].
    stride: usize,
    numbers: Vec<f32>,
}

impl Shrunk {
    fn new(rows: &Windows, together: usize, length: usize) -> Self {
        // A window's rows may begin with the last of a group and end with the first of another.
        let room = (rows.length().div_ceil(together) + 2) * together;
        let stride = length.next_multiple_of(LANES);
        let first = rows.span().start;
        Self { first, next: first, together, room, stride, numbers: vec![0.0; room * stride] }
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.numbers[(row - self.first) % self.room * self.stride..][..self.stride]
    }

    /// The rows of the next group, to be written.
    fn group(&mut self) -> &mut [f32] {
        let start = (self.next - self.first) % self.room * self.stride;
        self.next += self.together;
        &mut self.numbers[start..start + self.together * self.stride]
    }
}

impl Passes<'_> {
    fn dispatch<E: Encoding>(&self, encoding: E, output: &mut Image) {
        dispatch!(Level::new(), simd => self.run(simd, encoding, output));
    }

    #[inline(always)]
    fn run<S: Simd, E: Encoding>(&self, simd: S, encoding: E, output: &mut Image) {
        let (width, together) = (output.width() as usize, LANES / E::CHANNELS);
        let mut strip = vec![0.0; self.columns.span().len() * LANES];
        let mut shrunk = Shrunk::new(self.rows, together, width * E::CHANNELS);
        let mut sum = vec![0.0; shrunk.stride];
        for (index, to) in output.data_mut().chunks_exact_mut(width * E::BYTES).enumerate() {
            let (first, weights) = self.rows.at(index);
            while shrunk.next < first + weights.len() {
                self.read(simd, encoding, shrunk.next, &mut strip);
                let stride = shrunk.stride;
                self.across::<S, E>(simd, &strip, stride, shrunk.group());
            }
            down(simd, &shrunk, first, weights, &mut sum);
            for (light, pixels) in sum.chunks_exact(LANES).zip(to.chunks_mut(together * E::BYTES)) {
                encoding.pixels(f32x16::from_slice(simd, light), pixels);
            }
        }
    }

    /// The light of a group of source rows, column by column. Where the source has no more rows it is the last one's: it has
    /// no weight there.
    #[inline(always)]
    fn read<S: Simd, E: Encoding>(&self, simd: S, encoding: E, first: usize, strip: &mut [f32]) {
        let (data, last) = (self.image.data(), self.image.height() as usize - 1);
        let length = self.image.width() as usize * E::BYTES;
        let rows = std::array::from_fn(|index| &data[(first + index).min(last) * length..]);
        for (column, light) in self.columns.span().zip(strip.chunks_exact_mut(LANES)) {
            encoding.light(simd, &rows, column * E::BYTES).store_slice(light);
        }
    }

    /// Shrinks a group of rows across.
    #[inline(always)]
    fn across<S: Simd, E: Encoding>(&self, simd: S, strip: &[f32], stride: usize, group: &mut [f32]) {
        let start = self.columns.span().start;
        for column in 0..self.columns.count() {
            let (first, weights) = self.columns.at(column);
            let pixels = strip[(first - start) * LANES..].chunks_exact(LANES);
            let mut sum = f32x16::splat(simd, 0.0);
            for (pixel, &weight) in pixels.zip(weights) {
                sum = f32x16::from_slice(simd, pixel).mul_add(f32x16::splat(simd, weight), sum);
            }
            let sums: [f32; LANES] = sum.into();
            for (row, sum) in group.chunks_exact_mut(stride).zip(sums.chunks_exact(E::CHANNELS)) {
                row[column * E::CHANNELS..][..E::CHANNELS].copy_from_slice(sum);
            }
        }
    }
}

/// The weighted sum of rows, four at a time: so each number of the sum is loaded and stored a quarter as often.
#[inline(always)]
fn down<S: Simd>(simd: S, shrunk: &Shrunk, first: usize, weights: &[f32], sum: &mut [f32]) {
    sum.fill(0.0);
    for (index, four) in weights.chunks(4).enumerate() {
        let last = four.len() - 1;
        let [a, b, c, d] =
            [0, 1, 2, 3].map(|row: usize| shrunk.row(first + 4 * index + row.min(last)).chunks_exact(LANES));
        let weight = |row: usize| f32x16::splat(simd, four.get(row).copied().unwrap_or(0.0));
        let weights = [weight(0), weight(1), weight(2), weight(3)];
        for ((((sum, a), b), c), d) in sum.chunks_exact_mut(LANES).zip(a).zip(b).zip(c).zip(d) {
            let mut total = f32x16::from_slice(simd, sum);
            for (row, weight) in [a, b, c, d].into_iter().zip(weights) {
                total = f32x16::from_slice(simd, row).mul_add(weight, total);
            }
            total.store_slice(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_memory_is_taken_than_is_planned() {
        let size = |width, height| Size { width, height };
        for (format, channels) in [(PixelFormat::Gray8, 1), (PixelFormat::Rgb8, 4), (PixelFormat::Rgba16, 4)]
        {
            for (source, shown) in [
                (size(6000, 4000), size(200, 133)),
                (size(6000, 4000), size(1, 1)),
                (size(3, 7), size(900, 500)),
                (size(2000, 3), size(1999, 2)),
            ] {
                for filter in [Filter::Bilinear, Filter::Lanczos3] {
                    let crop =
                        Rect { x: 0.0, y: 0.0, width: source.width.into(), height: source.height.into() };
                    let geometry = Geometry { output: shown, crop, shown, left: 0, top: 0 };
                    let columns = Windows::new(filter, (0.0, crop.width), source.width, shown.width);
                    let rows = Windows::new(filter, (0.0, crop.height), source.height, shown.height);
                    let shrunk = Shrunk::new(&rows, LANES / channels, shown.width as usize * channels);
                    let weights = columns.count() * columns.length() + rows.count() * rows.length();
                    let numbers =
                        weights + columns.span().len() * LANES + shrunk.numbers.len() + shrunk.stride;
                    let planned = peak_bytes(format, source, &geometry, filter);
                    assert!(
                        4 * numbers as u64 <= planned,
                        "{source:?} {shown:?}: {numbers} numbers, {planned} bytes"
                    );
                    let area = u64::from(source.width) * u64::from(source.height);
                    let result = u64::from(shown.width) * u64::from(shown.height);
                    assert!(
                        planned < 2 * (area + result) * 8 + (4 << 20),
                        "{source:?} {shown:?}: {planned} bytes"
                    );
                }
            }
        }
    }
}
