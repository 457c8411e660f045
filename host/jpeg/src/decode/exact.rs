//! The inverse DCT in the integers of libjpeg-turbo, down to its rounding: 8×8 samples by `jpeg_idct_islow` (jidctint.c), 4×4
//! and 2×2 by `jpeg_idct_4x4` and `jpeg_idct_2x2` (jidctred.c). The block is gathered first, then columns are transformed, then
//! rows.

use fearless_simd::{i32x8, prelude::*};

use super::kernel::{Sink, saturated};
use super::segments::Quantization;
use crate::tables::ZIGZAG;

/// Fraction bits of the constants.
const CONSTANT: u32 = 13;
/// Bits that results of the first pass have more.
const PASS: u32 = 2;

/// The constants of both files, times 2^13.
mod fix {
    pub(super) const F0_211: i32 = 1_730;
    pub(super) const F0_298: i32 = 2_446;
    pub(super) const F0_390: i32 = 3_196;
    pub(super) const F0_509: i32 = 4_176;
    pub(super) const F0_541: i32 = 4_433;
    pub(super) const F0_601: i32 = 4_926;
    pub(super) const F0_765: i32 = 6_270;
    pub(super) const F0_899: i32 = 7_373;
    pub(super) const F1_061: i32 = 8_697;
    pub(super) const F1_175: i32 = 9_633;
    pub(super) const F1_451: i32 = 11_893;
    pub(super) const F1_501: i32 = 12_299;
    pub(super) const F1_847: i32 = 15_137;
    pub(super) const F1_961: i32 = 16_069;
    pub(super) const F2_053: i32 = 16_819;
    pub(super) const F2_172: i32 = 17_799;
    pub(super) const F2_562: i32 = 20_995;
    pub(super) const F3_072: i32 = 25_172;
}

/// A block that becomes N×N samples.
pub(super) struct Exact<'b, S: Simd, const N: usize> {
    simd: S,
    quantization: &'b Quantization,
    /// By rows.
    block: [i32; 64],
    /// Whether it has a DC alone so far.
    flat: bool,
}

impl<'b, S: Simd, const N: usize> Exact<'b, S, N> {
    #[inline(always)]
    pub(super) fn new(simd: S, quantization: &'b Quantization, dc: i32) -> Self {
        let mut block = [0; 64];
        block[0] = dc;
        Self { simd, quantization, block, flat: true }
    }

    #[inline(always)]
    fn rows(&self) -> [i32x8<S>; 8] {
        std::array::from_fn(|row| i32x8::from_slice(self.simd, &self.block[8 * row..8 * row + 8]))
    }

    /// Samples of a block that has no other coefficient than the DC; all transforms agree on it.
    #[inline(always)]
    fn store_flat(&self, to: &mut [u8], stride: usize) {
        let sample = (((self.block[0] + 4) >> 3) + 128).clamp(0, 255) as u8;
        for row in to.chunks_mut(stride).take(N) {
            row[..N].fill(sample);
        }
    }
}

impl<S: Simd, const N: usize> Sink for Exact<'_, S, N> {
    #[inline(always)]
    fn put(&mut self, k: usize, value: i32) {
        let value = value.wrapping_mul(i32::from(self.quantization[k & 63]));
        self.block[usize::from(ZIGZAG[k & 63]) & 63] = value;
        self.flat = false;
    }
}

impl<S: Simd> Exact<'_, S, 8> {
    #[inline(always)]
    pub(super) fn store(self, to: &mut [u8], stride: usize) {
        if self.flat {
            return self.store_flat(to, stride);
        }
        let columns = eight(self.rows(), CONSTANT - PASS);
        let rows = transposed(eight(transposed(columns), CONSTANT + PASS + 3));
        for (pair, rows) in rows.as_chunks::<2>().0.iter().enumerate() {
            let samples = saturated(rows[0] + 128, rows[1] + 128);
            to[2 * pair * stride..][..8].copy_from_slice(&samples[..8]);
            to[(2 * pair + 1) * stride..][..8].copy_from_slice(&samples[8..]);
        }
    }
}

impl<S: Simd> Exact<'_, S, 4> {
    #[inline(always)]
    pub(super) fn store(self, to: &mut [u8], stride: usize) {
        if self.flat {
            return self.store_flat(to, stride);
        }
        let zero = i32x8::splat(self.simd, 0);
        let [a, b, c, d] = four(self.rows(), CONSTANT - PASS + 1);
        let columns = four(transposed([a, b, c, d, zero, zero, zero, zero]), CONSTANT + PASS + 3 + 1);
        let samples: [[u8; 16]; 2] = [[columns[0], columns[1]], [columns[2], columns[3]]]
            .map(|[one, other]| saturated(one + 128, other + 128));
        for row in 0..4 {
            let samples = [samples[0][row], samples[0][8 + row], samples[1][row], samples[1][8 + row]];
            to[row * stride..][..4].copy_from_slice(&samples);
        }
    }
}

#[inline(always)]
fn descaled<S: Simd>(value: i32x8<S>, bits: u32) -> i32x8<S> {
    (value + (1 << (bits - 1))) >> bits
}

/// One dimension of `jpeg_idct_islow` for eight columns, whose results are divided by 2^`bits`.
#[inline(always)]
fn eight<S: Simd>(rows: [i32x8<S>; 8], bits: u32) -> [i32x8<S>; 8] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    let z1 = (r2 + r6) * fix::F0_541;
    let (even2, even3) = (z1 - r6 * fix::F1_847, z1 + r2 * fix::F0_765);
    let (even0, even1) = ((r0 + r4) << CONSTANT, (r0 - r4) << CONSTANT);
    let even = [even0 + even3, even1 + even2, even1 - even2, even0 - even3];

    let (z1, z2, z3, z4) = (r7 + r1, r5 + r3, r7 + r3, r5 + r1);
    let z5 = (z3 + z4) * fix::F1_175;
    let (z1, z2) = (z1 * -fix::F0_899, z2 * -fix::F2_562);
    let (z3, z4) = (z5 - z3 * fix::F1_961, z5 - z4 * fix::F0_390);
    let odd = [
        r1 * fix::F1_501 + z1 + z4,
        r3 * fix::F3_072 + z2 + z3,
        r5 * fix::F2_053 + z2 + z4,
        r7 * fix::F0_298 + z1 + z3,
    ];
    std::array::from_fn(|x| {
        let sum = if x < 4 { even[x] + odd[x] } else { even[7 - x] - odd[7 - x] };
        descaled(sum, bits)
    })
}

/// One dimension of `jpeg_idct_4x4`; row 4 adds nothing.
#[inline(always)]
fn four<S: Simd>([r0, r1, r2, r3, _, r5, r6, r7]: [i32x8<S>; 8], bits: u32) -> [i32x8<S>; 4] {
    let even = r2 * fix::F1_847 - r6 * fix::F0_765;
    let base = r0 << (CONSTANT + 1);
    let inner = r5 * fix::F1_451 - r7 * fix::F0_211 - r3 * fix::F2_172 + r1 * fix::F1_061;
    let outer = r3 * fix::F0_899 - r7 * fix::F0_509 - r5 * fix::F0_601 + r1 * fix::F2_562;
    let (upper, lower) = (base + even, base - even);
    [upper + outer, lower + inner, lower - inner, upper - outer].map(|sum| descaled(sum, bits))
}

/// Rows for columns: each of three steps interleaves the upper half with the lower.
#[inline(always)]
fn transposed<S: Simd>(mut rows: [i32x8<S>; 8]) -> [i32x8<S>; 8] {
    for _ in 0..3 {
        let [a, b, c, d, e, f, g, h] = rows;
        let pairs = [a.interleave(e), b.interleave(f), c.interleave(g), d.interleave(h)];
        rows = std::array::from_fn(|row| if row % 2 == 0 { pairs[row / 2].0 } else { pairs[row / 2].1 });
    }
    rows
}

/// 2×2 samples. Few enough numbers are left of each column that they are summed up while the coefficients come.
pub(super) struct TwoExact<'b> {
    quantization: &'b Quantization,
    /// By column: what row 0 adds to both results, and what odd rows add to the first and take from the second.
    even: [i32; 8],
    odd: [i32; 8],
}

/// What odd frequencies weigh, times 2^13; even ones other than 0 weigh nothing.
const TWO: [i32; 8] = [0, 29_692, 0, -10_426, 0, 6_967, 0, -5_906];

impl<'b> TwoExact<'b> {
    #[inline(always)]
    pub(super) fn new(quantization: &'b Quantization, dc: i32) -> Self {
        let mut even = [0; 8];
        even[0] = dc.wrapping_shl(15);
        Self { quantization, even, odd: [0; 8] }
    }

    #[inline(always)]
    pub(super) fn store(self, to: &mut [u8], stride: usize) {
        let descale = |value: i32, bits: u32| value.wrapping_add(1 << (bits - 1)) >> bits;
        let (mut upper, mut lower) = ([0_i32; 8], [0_i32; 8]);
        for column in [0, 1, 3, 5, 7] {
            let (even, odd) = (self.even[column], self.odd[column]);
            upper[column] = descale(even.wrapping_add(odd), 13);
            lower[column] = descale(even.wrapping_sub(odd), 13);
        }
        for (row, values) in [upper, lower].iter().enumerate() {
            let even = values[0].wrapping_shl(15);
            let terms = [1, 3, 5, 7].map(|column| values[column].wrapping_mul(TWO[column]));
            let odd = terms.iter().fold(0_i32, |sum, term| sum.wrapping_add(*term));
            let sample = |value: i32| (descale(value, 20) + 128).clamp(0, 255) as u8;
            to[row * stride] = sample(even.wrapping_add(odd));
            to[row * stride + 1] = sample(even.wrapping_sub(odd));
        }
    }
}

impl Sink for TwoExact<'_> {
    #[inline(always)]
    fn put(&mut self, k: usize, value: i32) {
        let place = usize::from(ZIGZAG[k & 63]);
        let (u, v) = (place % 8, place / 8);
        let value = value.wrapping_mul(i32::from(self.quantization[k & 63]));
        if v == 0 {
            self.even[u] = self.even[u].wrapping_add(value.wrapping_shl(15));
        } else {
            self.odd[u] = self.odd[u].wrapping_add(value.wrapping_mul(TWO[v]));
        }
    }
}
