//! The forward transform of a block (T.81, section A.3.3) and its quantisation, in floating point: the algorithm of
//! Arai, Agui and Nakajima, whose last multiplications are part of the quantiser's.

use fearless_simd::{f32x4, f32x8, f64x2, i8x32, i32x8, prelude::*};

use super::quant::{ORDER, Quantizer};

/// For each of the eight bytes of a mask in a [`Block`]'s order: the same bits in the zigzag order.
static TO_ZIGZAG: [[u64; 256]; 8] = {
    let mut table = [[0; 256]; 8];
    let mut zigzag = 0;
    while zigzag < 64 {
        let at = ORDER[zigzag] as usize;
        let mut byte = 0;
        while byte < 256 {
            table[at / 8][byte] |= ((byte as u64 >> (at % 8)) & 1) << zigzag;
            byte += 1;
        }
        zigzag += 1;
    }
    table
};

/// The quantised coefficients of a block.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct Block {
    coefficients: [i16; 64],
    /// Which are not zero: a bit for each zigzag position.
    nonzero: u64,
}

impl Block {
    /// The same value everywhere.
    pub(super) fn flat(dc: i16) -> Self {
        let mut coefficients = [0; 64];
        coefficients[0] = dc;
        Self { coefficients, nonzero: u64::from(dc != 0) }
    }

    #[inline(always)]
    pub(super) fn dc(&self) -> i16 {
        self.coefficients[0]
    }

    /// The coefficient at a zigzag position, of which the low six bits count.
    #[inline(always)]
    pub(super) fn at(&self, zigzag: u32) -> i32 {
        i32::from(self.coefficients[usize::from(ORDER[zigzag as usize & 63] & 63)])
    }

    /// Which coefficients are not zero: bit `n` is for zigzag position `n`.
    #[inline(always)]
    pub(super) fn nonzero(&self) -> u64 {
        self.nonzero
    }
}

/// Transforms and quantises a block of samples, 0 their middle: its first row begins `rows`, each next one
/// `stride` further on.
#[inline(always)]
pub(super) fn transform<S: Simd>(simd: S, (rows, stride): (&[f32], usize), quantizer: &Quantizer) -> Block {
    let mut samples = [f32x8::splat(simd, 0.0); 8];
    for (row, samples) in samples.iter_mut().enumerate() {
        *samples = f32x8::from_slice(simd, &rows[row * stride..][..8]);
    }
    let rows = pass(simd, transpose(simd, pass(simd, samples)));
    quantize(simd, rows, quantizer)
}

/// The transform of eight columns at once, without its last multiplications.
#[inline(always)]
fn pass<S: Simd>(_: S, s: [f32x8<S>; 8]) -> [f32x8<S>; 8] {
    let (sum07, diff07) = (s[0] + s[7], s[0] - s[7]);
    let (sum16, diff16) = (s[1] + s[6], s[1] - s[6]);
    let (sum25, diff25) = (s[2] + s[5], s[2] - s[5]);
    let (sum34, diff34) = (s[3] + s[4], s[3] - s[4]);

    let (even0, even3) = (sum07 + sum34, sum07 - sum34);
    let (even1, even2) = (sum16 + sum25, sum16 - sum25);
    let turned = (even2 + even3) * std::f32::consts::FRAC_1_SQRT_2;

    let (odd0, odd1, odd2) = (diff34 + diff25, diff25 + diff16, diff16 + diff07);
    let common = (odd0 - odd2) * 0.382_683_43;
    let low = odd0.mul_add(0.541_196_1, common);
    let high = odd2.mul_add(1.306_563, common);
    let middle = odd1 * std::f32::consts::FRAC_1_SQRT_2;
    let (plus, minus) = (diff07 + middle, diff07 - middle);
    [
        even0 + even1,
        plus + high,
        even3 + turned,
        minus - low,
        even0 - even1,
        minus + low,
        even3 - turned,
        plus - high,
    ]
}

#[inline(always)]
fn transpose<S: Simd>(simd: S, rows: [f32x8<S>; 8]) -> [f32x8<S>; 8] {
    let (upper, lower) = rows.split_at(4);
    let ((a, b), (c, d)) = (transpose_half(simd, upper), transpose_half(simd, lower));
    [
        a[0].combine(c[0]),
        a[1].combine(c[1]),
        a[2].combine(c[2]),
        a[3].combine(c[3]),
        b[0].combine(d[0]),
        b[1].combine(d[1]),
        b[2].combine(d[2]),
        b[3].combine(d[3]),
    ]
}

/// The left columns and the right columns of four rows.
#[inline(always)]
fn transpose_half<S: Simd>(simd: S, rows: &[f32x8<S>]) -> ([f32x4<S>; 4], [f32x4<S>; 4]) {
    let [a, b, c, d] = [rows[0].split(), rows[1].split(), rows[2].split(), rows[3].split()];
    (transpose4(simd, [a.0, b.0, c.0, d.0]), transpose4(simd, [a.1, b.1, c.1, d.1]))
}

#[inline(always)]
fn transpose4<S: Simd>(simd: S, [a, b, c, d]: [f32x4<S>; 4]) -> [f32x4<S>; 4] {
    let (ab, cd) = (pairs(simd, a.zip_low(b)), pairs(simd, c.zip_low(d)));
    let (ab_high, cd_high) = (pairs(simd, a.zip_high(b)), pairs(simd, c.zip_high(d)));
    [
        ab.zip_low(cd).bitcast(),
        ab.zip_high(cd).bitcast(),
        ab_high.zip_low(cd_high).bitcast(),
        ab_high.zip_high(cd_high).bitcast(),
    ]
}

#[inline(always)]
fn pairs<S: Simd>(_: S, values: f32x4<S>) -> f64x2<S> {
    values.bitcast()
}

#[inline(always)]
fn quantize<S: Simd>(simd: S, rows: [f32x8<S>; 8], quantizer: &Quantizer) -> Block {
    let (factors, _) = quantizer.factors.as_chunks::<8>();
    let (rounding, _) = quantizer.rounding.as_chunks::<8>();
    let mut block = Block { coefficients: [0; 64], nonzero: 0 };
    let (halves, _) = block.coefficients.as_chunks_mut::<32>();
    for (half, coefficients) in halves.iter_mut().enumerate() {
        let at = half * 4;
        let low = quantize_row(simd, rows[at], &factors[at], &rounding[at]).saturating_narrow(quantize_row(
            simd,
            rows[at + 1],
            &factors[at + 1],
            &rounding[at + 1],
        ));
        let high = quantize_row(simd, rows[at + 2], &factors[at + 2], &rounding[at + 2])
            .saturating_narrow(quantize_row(simd, rows[at + 3], &factors[at + 3], &rounding[at + 3]));
        let (first, second) = coefficients.split_at_mut(16);
        low.store_slice(first);
        high.store_slice(second);
        let bytes: i8x32<S> = low.saturating_narrow(high);
        let mask = !bytes.simd_eq(0).to_bitmask() as u32;
        for (byte, table) in mask.to_le_bytes().into_iter().zip(&TO_ZIGZAG[half * 4..]) {
            block.nonzero |= table[usize::from(byte)];
        }
    }
    block
}

#[inline(always)]
fn quantize_row<S: Simd>(simd: S, row: f32x8<S>, factors: &[f32; 8], rounding: &[f32; 8]) -> i32x8<S> {
    let scaled = row * f32x8::load_array_ref(simd, factors);
    let rounding = f32x8::load_array_ref(simd, rounding);
    (scaled + rounding.copysign(scaled)).to_int()
}
