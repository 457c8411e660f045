//! Planes of samples brought to a size eight rows at a time, as numbers: for an encoder of blocks, which needs no pixels in
//! between. The weights are the general way's; of colours that are then halved, the means of two neighbours' each way, so that
//! they are averaged as the general way averages them, but for what it rounds in between.
//!
//! Down first: the rows of the source that eight rows of the result are made of become eight rows of the source's width. These
//! are turned, so that a column of them is one vector, and then across: one load and one multiplication serve eight rows in
//! both directions.

use std::rc::Rc;

use fearless_simd::{Level, Simd, dispatch, f32x8, f32x16, prelude::*};
use imgserve_sdk::Rect;

use crate::args::Filter;
use crate::linear::weights::{Windows, most_weights};

/// Rows made at a time.
pub const ROWS: usize = 8;
/// Rows go down by so many columns at a time.
const STEP: usize = 16;
/// Of a luminance and of two colours of the last two sizes.
const KEPT: usize = 8;
/// What a byte's middle becomes 0 by.
const MIDDLE: f32 = 128.0;

/// What becomes of a plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shrink {
    /// The part of it that is shown, in samples.
    pub crop: Rect,
    /// Samples across and down of the result.
    pub size: (u32, u32),
    /// How samples are averaged.
    pub filter: Filter,
    /// Whether each two by two of the result then become one.
    pub halved: bool,
}

/// Weights and memory, kept from one picture to the next.
#[derive(Debug, Default)]
pub struct Shrinker {
    windows: Vec<(Direction, Rc<Windows>)>,
    rows: Rows,
}

/// What each sample of a plane's result is averaged of.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Samples of a row of the plane.
    width: usize,
    across: Rc<Windows>,
    down: Rc<Windows>,
}

/// What the windows of one direction are made from.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Direction {
    filter: Filter,
    start: f64,
    length: f64,
    of: usize,
    count: u32,
    halved: bool,
}

#[derive(Debug, Default)]
struct Rows {
    /// The source's rows as numbers.
    source: Vec<f32>,
    /// Eight rows of the source's width, by columns.
    columns: Vec<f32>,
    /// Eight rows of the result, by columns.
    result: Vec<f32>,
}

impl Shrinker {
    /// Bytes that are kept.
    pub fn bytes(&self) -> usize {
        let windows: usize = self.windows.iter().map(|(_, windows)| windows.bytes()).sum();
        let Rows { source, columns, result } = &self.rows;
        windows + 4 * (source.capacity() + columns.capacity() + result.capacity())
    }

    /// The weights for a plane of `width` × `height` samples.
    pub fn weights(&mut self, (width, height): (usize, usize), shrink: &Shrink) -> Weights {
        let Shrink { crop, size, filter, halved } = *shrink;
        let across =
            Direction { filter, start: crop.x, length: crop.width, of: width, count: size.0, halved };
        let down =
            Direction { filter, start: crop.y, length: crop.height, of: height, count: size.1, halved };
        Weights { width, across: self.windows(across), down: self.windows(down) }
    }

    /// Rows `row` to `row` + 8 of the result, from -128 to 127, of the plane that these weights are for: its samples by rows, and
    /// how many there are from one row to the next. `out` has eight rows one after the other: what lies beyond the result's edges
    /// repeats them.
    pub fn eight_rows(
        &mut self,
        (samples, stride): (&[u8], usize),
        weights: &Weights,
        row: usize,
        out: &mut [f32],
    ) {
        dispatch!(Level::new(), simd => self.rows.fill(simd, (samples, stride), weights, row, out));
    }

    fn windows(&mut self, direction: Direction) -> Rc<Windows> {
        if let Some(windows) = self.known(&direction) {
            return windows;
        }
        let windows = if direction.halved {
            // Often a luminance has them already.
            let whole = Direction { halved: false, ..direction };
            Rc::new(self.known(&whole).unwrap_or_else(|| Rc::new(whole.windows())).in_pairs())
        } else {
            Rc::new(direction.windows())
        };
        if self.windows.len() == KEPT {
            self.windows.remove(0);
        }
        self.windows.push((direction, windows.clone()));
        windows
    }

    fn known(&self, direction: &Direction) -> Option<Rc<Windows>> {
        self.windows.iter().find(|(known, _)| known == direction).map(|(_, windows)| windows.clone())
    }
}

impl Direction {
    /// Those of what is not halved.
    fn windows(&self) -> Windows {
        let Self { filter, start, length, of, count, .. } = *self;
        // As the general way: what is not scaled is what it is. (Not every filter leaves it so.)
        let as_is = length == f64::from(count) && start.fract() == 0.0;
        let filter = if as_is { Filter::Bilinear } else { filter };
        // A plane of bytes that is in memory has no more.
        let of = u32::try_from(of).unwrap_or(u32::MAX);
        Windows::new(filter, (start, length), of, count)
    }
}

/// The most bytes that a [`Shrinker`] takes for all planes of a picture of `width` × `height` samples.
pub fn most_bytes((width, height): (u32, u32), shrink: &Shrink) -> u64 {
    let Shrink { crop, size, filter, .. } = *shrink;
    let most = |length: f64, count: u32| (u64::from(count), most_weights(filter, length, count));
    let ((columns, across), (rows, down)) = (most(crop.width, size.0), most(crop.height, size.1));
    // Those of colours are half as many and up to twice as long, and those that they are the means of are there meanwhile.
    let weights = 3 * (columns * (4 * across + 8) + rows * (4 * down + 8));
    // Beyond what is shown a window's length may be there on either side, and a row has whole steps.
    let wide = u64::from(width).min(crop.width.ceil() as u64 + 2 * across) + STEP as u64;
    let high = (2.0 * ROWS as f64 * crop.height / f64::from(size.1)).ceil() as u64 + 2 * down;
    let high = high.min(height.into());
    weights + 4 * (wide * (high + ROWS as u64) + ROWS as u64 * (columns + 2 * STEP as u64))
}

impl Rows {
    #[inline(always)]
    fn fill<S: Simd>(
        &mut self,
        simd: S,
        samples: (&[u8], usize),
        Weights { width, across, down }: &Weights,
        row: usize,
        out: &mut [f32],
    ) {
        let windows: [(usize, &[f32]); ROWS] =
            std::array::from_fn(|n| down.at((row + n).min(down.count() - 1)));
        let wide = width.next_multiple_of(STEP);
        let top = self.read(samples, *width, &windows);
        self.shrink_down(simd, &windows, top, wide);
        self.shrink_across(simd, across);
        self.turn_back(simd, across.count(), out);
    }

    /// The source's rows that are wanted, as numbers, each of which several rows of the result use; gives the first.
    #[inline(always)]
    fn read(
        &mut self,
        (samples, stride): (&[u8], usize),
        width: usize,
        windows: &[(usize, &[f32]); ROWS],
    ) -> usize {
        let wide = width.next_multiple_of(STEP);
        let (top, (last, weights)) = (windows[0].0, windows[ROWS - 1]);
        let count = last + weights.len() - top;
        grow(&mut self.source, count * wide);
        for (n, to) in self.source.chunks_exact_mut(wide).take(count).enumerate() {
            let from = &samples[(top + n) * stride..][..width];
            for (to, &from) in to.iter_mut().zip(from) {
                *to = f32::from(from);
            }
        }
        top
    }

    #[inline(always)]
    fn shrink_down<S: Simd>(&mut self, simd: S, windows: &[(usize, &[f32]); ROWS], top: usize, wide: usize) {
        grow(&mut self.columns, ROWS * wide);
        let columns = self.columns[..ROWS * wide].as_chunks_mut::<{ ROWS * STEP }>().0;
        for (x, to) in columns.iter_mut().enumerate() {
            let mut halves = [[f32x8::splat(simd, 0.0); ROWS]; 2];
            for (n, (first, weights)) in windows.iter().enumerate() {
                let mut sum = f32x16::splat(simd, -MIDDLE);
                let mut at = (first - top) * wide + STEP * x;
                for &weight in *weights {
                    let Some(from) = self.source.get(at..).and_then(<[f32]>::first_chunk::<STEP>) else {
                        break;
                    };
                    sum = f32x16::load_array_ref(simd, from).mul_add(f32x16::splat(simd, weight), sum);
                    at += wide;
                }
                (halves[0][n], halves[1][n]) = sum.split();
            }
            for (half, to) in halves.into_iter().zip(to.as_chunks_mut::<64>().0) {
                store(turned(half), to, 8);
            }
        }
    }

    #[inline(always)]
    fn shrink_across<S: Simd>(&mut self, simd: S, across: &Windows) {
        grow(&mut self.result, ROWS * across.count());
        let columns = self.columns.as_chunks::<ROWS>().0;
        let (low, high) = (f32x8::splat(simd, -MIDDLE), f32x8::splat(simd, MIDDLE - 1.0));
        for (x, to) in self.result.as_chunks_mut::<ROWS>().0.iter_mut().enumerate().take(across.count()) {
            let (first, weights) = across.at(x);
            let mut sum = f32x8::splat(simd, 0.0);
            for (column, &weight) in columns[first..][..weights.len()].iter().zip(weights) {
                sum = f32x8::load_array_ref(simd, column).mul_add(f32x8::splat(simd, weight), sum);
            }
            sum.max(low).min(high).store_slice(to);
        }
    }

    /// The result by rows, its last column repeated as far as there is room.
    #[inline(always)]
    fn turn_back<S: Simd>(&mut self, simd: S, count: usize, out: &mut [f32]) {
        let stride = out.len() / ROWS;
        grow(&mut self.result, ROWS * stride);
        let (shown, beyond) = self.result[..ROWS * stride].split_at_mut(ROWS * count);
        if let Some(last) = shown.last_chunk::<ROWS>() {
            beyond.as_chunks_mut::<ROWS>().0.fill(*last);
        }
        for (x, eight) in self.result[..ROWS * stride].as_chunks::<64>().0.iter().enumerate() {
            let eight = eight.as_chunks::<8>().0;
            let columns = std::array::from_fn(|n| f32x8::load_array_ref(simd, &eight[n]));
            store(turned(columns), &mut out[8 * x..], stride);
        }
    }
}

/// Makes room for so many numbers; what is there already stays.
fn grow(numbers: &mut Vec<f32>, count: usize) {
    if numbers.len() < count {
        numbers.reserve_exact(count - numbers.len());
        numbers.resize(count, 0.0);
    }
}

#[inline(always)]
fn store<S: Simd>(rows: [f32x8<S>; 8], to: &mut [f32], stride: usize) {
    for (n, row) in rows.into_iter().enumerate() {
        row.store_slice(&mut to[n * stride..][..8]);
    }
}

/// Eight rows become eight columns.
#[inline(always)]
fn turned<S: Simd>(mut rows: [f32x8<S>; 8]) -> [f32x8<S>; 8] {
    for _ in 0..3 {
        let [a, b, c, d, e, f, g, h] = rows;
        let [ae, bf, cg, dh] = [a.interleave(e), b.interleave(f), c.interleave(g), d.interleave(h)];
        rows = [ae.0, ae.1, bf.0, bf.1, cg.0, cg.1, dh.0, dh.1];
    }
    rows
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::{Image, PixelFormat};

    use super::*;
    use crate::geometry::Size;
    use crate::resample::resample;

    /// Soft shapes with hard edges, none so dark or bright that ringing is cut off, of a plane that is wider than what is shown of it.
    fn plane(width: usize, height: usize, stride: usize) -> Vec<u8> {
        let sample = |x: usize, y: usize| {
            let soft = 110.0 + 40.0 * (x as f64 / 9.0).sin() + 30.0 * (y as f64 / 7.0).cos();
            if (x + 2 * y) % 40 < 12 { 200 } else { soft as u8 }
        };
        (0..height)
            .flat_map(|y| (0..stride).map(move |x| if x < width { sample(x, y) } else { 77 }))
            .collect()
    }

    #[test]
    fn rows_are_those_of_the_general_way() {
        for (width, height, crop, size, filter) in [
            (97, 61, (0.0, 0.0, 97.0, 61.0), (48, 30), Filter::Lanczos3),
            (97, 61, (10.25, 7.5, 50.5, 33.0), (21, 13), Filter::Lanczos3),
            (64, 64, (0.0, 0.0, 64.0, 64.0), (64, 64), Filter::CatmullRom),
            (200, 17, (3.0, 1.0, 190.0, 15.0), (9, 3), Filter::Bilinear),
            (33, 40, (0.0, 0.0, 33.0, 40.0), (33, 20), Filter::Mitchell),
            (33, 40, (1.0, 2.0, 30.0, 30.0), (30, 30), Filter::Gaussian),
            (5, 3, (0.0, 0.0, 5.0, 3.0), (1, 1), Filter::Gaussian),
            (40, 40, (0.0, 0.0, 40.0, 40.0), (17, 70), Filter::Hamming),
            (900, 31, (0.0, 0.0, 900.0, 31.0), (7, 30), Filter::Lanczos3),
        ] {
            let stride = width + 5;
            let samples = plane(width, height, stride);
            let rows = samples.chunks_exact(stride).flat_map(|row| &row[..width]).copied().collect();
            let image = Image::new(width as u32, height as u32, PixelFormat::Gray8, rows).unwrap();
            let crop = Rect { x: crop.0, y: crop.1, width: crop.2, height: crop.3 };
            let shown =
                resample(image.as_ref(), crop, Size { width: size.0, height: size.1 }, filter).unwrap();
            let mut shrinker = Shrinker::default();
            for halved in [false, true] {
                let wanted = if halved { halves(&shown) } else { shown.clone() };
                let shrink = Shrink { crop, size, filter, halved };
                let weights = shrinker.weights((width, height), &shrink);
                let across = (wanted.width() as usize).next_multiple_of(16);
                let mut out = vec![0.0; ROWS * across];
                for row in (0..wanted.height() as usize).step_by(ROWS) {
                    shrinker.eight_rows((&samples, stride), &weights, row, &mut out);
                    for (n, got) in out.chunks_exact(across).enumerate() {
                        let y = (row + n).min(wanted.height() as usize - 1);
                        for (x, got) in got.iter().enumerate() {
                            let x = x.min(wanted.width() as usize - 1);
                            let wanted = f32::from(wanted.data()[y * wanted.width() as usize + x]);
                            // The general way rounds to bytes between its passes, too.
                            let far = (got + 128.0 - wanted).abs();
                            assert!(far < 2.0, "{filter:?} {halved} {x},{y}: {got} for {wanted}");
                        }
                    }
                }
                let most = most_bytes((width as u32, height as u32), &shrink);
                assert!(
                    shrinker.bytes() as u64 <= most,
                    "{filter:?} {size:?}: {} of {most}",
                    shrinker.bytes()
                );
            }
        }
    }

    #[test]
    fn what_rings_beyond_black_and_white_is_cut_off() {
        let samples: Vec<u8> = (0..64 * 64).map(|at| if at / 16 % 2 == 0 { 0 } else { 255 }).collect();
        let crop = Rect { x: 0.0, y: 0.0, width: 64.0, height: 64.0 };
        let shrink = Shrink { crop, size: (48, 48), filter: Filter::Lanczos3, halved: false };
        let (mut shrinker, mut out) = (Shrinker::default(), vec![0.0; ROWS * 48]);
        let weights = shrinker.weights((64, 64), &shrink);
        shrinker.eight_rows((&samples, 64), &weights, 8, &mut out);
        let reach = out.iter().fold((0.0_f32, 0.0_f32), |(low, high), at| (low.min(*at), high.max(*at)));
        assert_eq!(reach, (-128.0, 127.0));
    }

    /// Each two by two pixels as one, the edge's standing for what is beyond it.
    fn halves(image: &Image) -> Image {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let at = |x: usize, y: usize| u16::from(image.data()[y.min(height - 1) * width + x.min(width - 1)]);
        let places = (0..height).step_by(2).flat_map(|y| (0..width).step_by(2).map(move |x| (x, y)));
        let mean = |(x, y)| ((at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1) + 2) / 4) as u8;
        let data = places.map(mean).collect();
        Image::new(image.width().div_ceil(2), image.height().div_ceil(2), PixelFormat::Gray8, data).unwrap()
    }

    #[test]
    fn weights_are_kept_and_not_for_ever() {
        let mut shrinker = Shrinker::default();
        let shrink = |width: u32, halved| {
            let crop = Rect { x: 0.0, y: 0.0, width: 90.0, height: 90.0 };
            Shrink { crop, size: (width, 30), filter: Filter::Lanczos3, halved }
        };
        let first = shrinker.weights((90, 90), &shrink(40, false));
        let again = shrinker.weights((90, 90), &shrink(40, false));
        assert!(Rc::ptr_eq(&first.across, &again.across) && Rc::ptr_eq(&first.down, &again.down));
        let halved = shrinker.weights((90, 90), &shrink(40, true));
        assert_eq!((halved.across.count(), halved.down.count()), (20, 15));
        for width in 1..40 {
            shrinker.weights((90, 90), &shrink(width, false));
        }
        assert!(shrinker.windows.len() <= KEPT);
        let new = shrinker.weights((90, 90), &shrink(40, false));
        assert!(!Rc::ptr_eq(&first.across, &new.across));
    }
}
