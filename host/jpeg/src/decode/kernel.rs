//! The inverse DCT at 1/8, 1/4, 1/2 and 1/1: what each coefficient adds to each sample of its block.
//!
//! A block of N×N samples is the sum of its coefficients' basis images. Thumbnails need few samples of blocks that have
//! few coefficients, so the images, quantiser included, are added up while the coefficients come out of the Huffman
//! decoder, which is slower: the transform costs next to nothing.

use fearless_simd::{f32x4, f32x8, i32x4, i32x8, prelude::*, u16x16};

use super::Reduction;
use super::segments::Quantization;
use super::strong::Strong;
use crate::tables::ZIGZAG;

/// What coefficients add to a block's samples (row by row), by zigzag position, and the last position that adds any.
#[derive(Debug)]
pub(super) struct Basis {
    pub(super) images: Images,
    /// The last position that matters; 0 when only the DC does.
    pub(super) last: usize,
    /// The coefficients behind `last` that a block without them must not have.
    pub(super) strong: Strong,
    /// Samples that a side of a block becomes: 1, 2, 4 or 8.
    pub(super) side: usize,
    pub(super) quantization: Quantization,
}

/// Basis images times quantisers.
#[derive(Debug)]
pub(super) enum Images {
    One,
    Two(Box<[[f32; 4]; 64]>),
    Four(Box<[[f32; 16]; 64]>),
    Eight(Box<[[f32; 64]; 64]>),
    /// None: as libjpeg-turbo computes it, in integers, for its very result.
    Exact,
}

/// Takes a block's AC coefficients.
pub(super) trait Sink {
    /// The coefficient at zigzag position `k`, 1 to 63.
    fn put(&mut self, k: usize, value: i32);
}

impl Basis {
    /// For blocks of `side` × `side` samples: 1, 2, 4 or 8.
    pub(super) fn new(quantization: &Quantization, side: usize, reduction: Reduction, exact: bool) -> Self {
        let weights = weights(side, reduction);
        let image = |k: usize, at: usize| {
            let (u, v) = (usize::from(ZIGZAG[k]) % 8, usize::from(ZIGZAG[k]) / 8);
            let (x, y) = (at % side, at / side);
            (weights[u][x] * weights[v][y] * f64::from(quantization[k])) as f32
        };
        let matters = |k: &usize| {
            let (u, v) = (usize::from(ZIGZAG[*k]) % 8, usize::from(ZIGZAG[*k]) / 8);
            weights[u][0] * weights[v][0] != 0.0
        };
        let last = (1..64).rev().find(matters).unwrap_or(0);
        let images = match side {
            1 => Images::One,
            _ if exact => Images::Exact,
            2 => Images::Two(boxed(image)),
            4 => Images::Four(boxed(image)),
            _ => Images::Eight(boxed(image)),
        };
        let strong = Strong::new(quantization, if exact { 8 } else { side });
        let last = if side == 1 { 0 } else { last };
        Self { images, last, strong, side, quantization: *quantization }
    }

    /// The sample of a block that has a DC coefficient alone, which is exact.
    #[inline(always)]
    pub(super) fn flat(&self, dc: i32) -> u8 {
        (((self.dequantized(dc) + 4) >> 3) + 128).clamp(0, 255) as u8
    }

    /// The mean of the block, plus one half for rounding.
    #[inline(always)]
    pub(super) fn start(&self, dc: i32) -> f32 {
        self.dequantized(dc) as f32 * 0.125 + 128.5
    }

    /// libjpeg keeps coefficients in 16 bits.
    #[inline(always)]
    pub(super) fn dequantized(&self, dc: i32) -> i32 {
        i32::from(dc as i16) * i32::from(self.quantization[0])
    }
}

fn boxed<const N: usize>(image: impl Fn(usize, usize) -> f32) -> Box<[[f32; N]; 64]> {
    let images: Box<[[f32; N]]> = (0..64).map(|k| std::array::from_fn(|at| image(k, at))).collect();
    images.try_into().expect("64 images")
}

/// What frequency u adds to sample x, in one dimension; exactly 0 where it adds nothing.
fn weights(side: usize, reduction: Reduction) -> [[f64; 8]; 8] {
    let mut weights = [[0.0; 8]; 8];
    let scale = |u: usize| if u == 0 { 0.125_f64.sqrt() } else { 0.5 };
    let wave = |u: usize, x: usize, of: usize| {
        ((2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / (2 * of) as f64).cos()
    };
    for (u, row) in weights.iter_mut().enumerate() {
        for (x, weight) in row.iter_mut().enumerate().take(side) {
            *weight = match reduction {
                Reduction::Lowest if u < side => scale(u) * wave(u, x, side),
                Reduction::Lowest => 0.0,
                Reduction::Mean => {
                    let wide = 8 / side;
                    let sum: f64 = (0..wide).map(|i| wave(u, x * wide + i, 8)).sum();
                    scale(u) * sum / wide as f64
                }
            };
            if weight.abs() < 1e-9 {
                *weight = 0.0;
            }
        }
    }
    weights
}

/// The sum of 2×2 images.
pub(super) struct Two<'b, S: Simd> {
    simd: S,
    images: &'b [[f32; 4]; 64],
    sum: f32x4<S>,
}

impl<'b, S: Simd> Two<'b, S> {
    #[inline(always)]
    pub(super) fn new(simd: S, images: &'b [[f32; 4]; 64], start: f32) -> Self {
        Self { simd, images, sum: f32x4::splat(simd, start) }
    }

    /// Adds the image of a coefficient.
    #[inline(always)]
    pub(super) fn add(&mut self, k: usize, value: f32) {
        let image = f32x4::from_slice(self.simd, &self.images[k & 63]);
        self.sum = image.mul_add(f32x4::splat(self.simd, value), self.sum);
    }

    #[inline(always)]
    pub(super) fn store(self, to: &mut [u8], stride: usize) {
        let samples: i32x4<S> = self.sum.to_int();
        let samples: [i32; 4] = *samples.max(i32x4::splat(self.simd, 0)).min(i32x4::splat(self.simd, 255));
        let samples = samples.map(|sample| sample as u8);
        to[..2].copy_from_slice(&samples[..2]);
        to[stride..stride + 2].copy_from_slice(&samples[2..]);
    }
}

impl<S: Simd> Sink for Two<'_, S> {
    #[inline(always)]
    fn put(&mut self, k: usize, value: i32) {
        self.add(k, value as f32);
    }
}

/// The sum of 4×4 images.
pub(super) struct Four<'b, S: Simd> {
    simd: S,
    images: &'b [[f32; 16]; 64],
    sum: [f32x8<S>; 2],
}

impl<'b, S: Simd> Four<'b, S> {
    #[inline(always)]
    pub(super) fn new(simd: S, images: &'b [[f32; 16]; 64], start: f32) -> Self {
        Self { simd, images, sum: [f32x8::splat(simd, start); 2] }
    }

    /// Adds the image of a coefficient.
    #[inline(always)]
    pub(super) fn add(&mut self, k: usize, value: f32) {
        let value = f32x8::splat(self.simd, value);
        let image = &self.images[k & 63];
        self.sum[0] = f32x8::from_slice(self.simd, &image[..8]).mul_add(value, self.sum[0]);
        self.sum[1] = f32x8::from_slice(self.simd, &image[8..]).mul_add(value, self.sum[1]);
    }

    #[inline(always)]
    pub(super) fn store(self, to: &mut [u8], stride: usize) {
        let samples = bytes(self.sum[0], self.sum[1]);
        for (row, four) in samples.as_chunks::<4>().0.iter().enumerate() {
            to[row * stride..][..4].copy_from_slice(four);
        }
    }
}

impl<S: Simd> Sink for Four<'_, S> {
    #[inline(always)]
    fn put(&mut self, k: usize, value: i32) {
        self.add(k, value as f32);
    }
}

/// The sum of 8×8 images.
pub(super) struct Eight<'b, S: Simd> {
    simd: S,
    images: &'b [[f32; 64]; 64],
    sum: [f32x8<S>; 8],
}

impl<'b, S: Simd> Eight<'b, S> {
    #[inline(always)]
    pub(super) fn new(simd: S, images: &'b [[f32; 64]; 64], start: f32) -> Self {
        Self { simd, images, sum: [f32x8::splat(simd, start); 8] }
    }

    #[inline(always)]
    pub(super) fn store(self, to: &mut [u8], stride: usize) {
        for pair in 0..4 {
            let samples = bytes(self.sum[2 * pair], self.sum[2 * pair + 1]);
            to[2 * pair * stride..][..8].copy_from_slice(&samples[..8]);
            to[(2 * pair + 1) * stride..][..8].copy_from_slice(&samples[8..]);
        }
    }
}

impl<S: Simd> Sink for Eight<'_, S> {
    #[inline(always)]
    fn put(&mut self, k: usize, value: i32) {
        let value = f32x8::splat(self.simd, value as f32);
        let image = &self.images[k & 63];
        for row in 0..8 {
            let image = f32x8::from_slice(self.simd, &image[8 * row..8 * row + 8]);
            self.sum[row] = image.mul_add(value, self.sum[row]);
        }
    }
}

/// Rounded down and clamped to 0..=255; sums are far within the range of i32.
#[inline(always)]
fn bytes<S: Simd>(one: f32x8<S>, other: f32x8<S>) -> [u8; 16] {
    saturated(one.to_int(), other.to_int())
}

/// Clamped to 0..=255. Said in instructions: left to the compiler, whether a loop becomes such depends on what else the crate
/// has.
#[inline(always)]
pub(super) fn saturated<S: Simd>(one: i32x8<S>, other: i32x8<S>) -> [u8; 16] {
    let simd = one.simd;
    let clamped = simd.saturating_narrow_i32x8(one, other).max(0).min(255);
    let (low, high) = clamped.bitcast::<u16x16<S>>().split();
    *simd.narrow_u16x8(low, high)
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;

    #[test]
    fn what_is_no_byte_becomes_the_nearest_in_its_place() {
        let one = [i32::MIN, -70_000, -32_769, -256, -1, 0, 1, 127];
        let other = [128, 254, 255, 256, 32_767, 32_768, 65_536, i32::MAX];
        let got = dispatch!(Level::new(), simd => saturated(
            i32x8::from_slice(simd, &one),
            i32x8::from_slice(simd, &other),
        ));
        assert_eq!(got, [0, 0, 0, 0, 0, 0, 1, 127, 128, 254, 255, 255, 255, 255, 255, 255]);
    }
}
