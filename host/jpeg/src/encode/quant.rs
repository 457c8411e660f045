//! What a quality means: the divisors of the coefficients, and how the quotients are rounded.
//!
//! The tables are not those that T.81 shows as examples and libjpeg took for its own. They are of the form
//! a + b·(u² + v² + d·uv)^p with a DC of its own, and were fitted, with the rounding, to need the fewest bytes for
//! the SSIMULACRA2 score that libjpeg's have at qualities 60, 80 and 90 (ten photographs at 480 pixels, 4:2:0). A quality means what
//! it does to libjpeg: at 60 and 80 files are 3 to 5 % smaller than with its tables and scores four points better, at 90 and 95 (4:4:4)
//! 7 % smaller and as good.

use crate::tables::ZIGZAG;

/// Zigzag position → place in a block of coefficients: columns of the block lie one behind the other, since turning it once
/// between the two passes is enough.
pub(super) const ORDER: [u8; 64] = {
    let mut order = [0; 64];
    let mut at = 0;
    while at < 64 {
        order[at] = ZIGZAG[at] % 8 * 8 + ZIGZAG[at] / 8;
        at += 1;
    }
    order
};

/// Of luminance at quality 50, by rows.
const LUMA: [u8; 64] = [
    8, 14, 19, 24, 30, 36, 43, 50, 14, 17, 21, 26, 32, 38, 45, 52, 19, 21, 25, 30, 35, 42, 48, 55, 24, 26,
    30, 34, 40, 46, 52, 59, 30, 32, 35, 40, 45, 51, 57, 64, 36, 38, 42, 46, 51, 56, 63, 69, 43, 45, 48, 52,
    57, 63, 69, 75, 50, 52, 55, 59, 64, 69, 75, 82,
];
/// Of chrominance at quality 50, by rows.
const CHROMA: [u8; 64] = [
    8, 14, 20, 28, 38, 51, 65, 81, 14, 16, 22, 30, 40, 53, 67, 84, 20, 22, 27, 35, 45, 58, 72, 88, 28, 30,
    35, 43, 53, 65, 79, 95, 38, 40, 45, 53, 62, 74, 89, 105, 51, 53, 58, 65, 74, 86, 100, 116, 65, 67, 72,
    79, 89, 100, 114, 129, 81, 84, 88, 95, 105, 116, 129, 145,
];
/// What is added to the size of a quotient before its fraction is cut off, for the lowest and for high frequencies; the DC's is
/// half, for the nearest integer. Less than half makes zeros of what is hardly seen.
const LUMA_ROUNDING: [f32; 2] = [0.48, 0.39];
/// The same for chrominance, where zeros are seen.
const CHROMA_ROUNDING: [f32; 2] = [0.53, 0.55];
/// Per cent of the chrominance table at full resolution.
const FULL_CHROMA: u32 = 180;
/// What the transform leaves each row and each column multiplied by (Arai, Agui and Nakajima), over 8 in all.
const AAN: [f64; 8] =
    [1.0, 1.387_039_845, 1.306_562_965, 1.175_875_602, 1.0, 0.785_694_958, 0.541_196_100, 0.275_899_379];

/// Divides the coefficients of one component.
#[derive(Clone, Debug)]
pub(super) struct Quantizer {
    /// By the zigzag order, as the file says them.
    pub divisors: [u8; 64],
    /// What [`super::dct`] multiplies its coefficients by, in its own order.
    pub factors: [f32; 64],
    /// What it then adds to their sizes before it cuts the fractions off.
    pub rounding: [f32; 64],
}

impl Quantizer {
    pub(super) fn luma(quality: u8) -> Self {
        Self::new(&LUMA, LUMA_ROUNDING, percent(quality))
    }

    /// At full resolution chrominance has four times as many coefficients, of which each is seen less.
    pub(super) fn chroma(quality: u8, subsampled: bool) -> Self {
        let percent = percent(quality);
        Self::new(&CHROMA, CHROMA_ROUNDING, if subsampled { percent } else { percent * FULL_CHROMA / 100 })
    }

    fn new(base: &[u8; 64], [low, high]: [f32; 2], percent: u32) -> Self {
        let mut quantizer = Self { divisors: [0; 64], factors: [0.0; 64], rounding: [0.5; 64] };
        for (zigzag, (&place, &at)) in ZIGZAG.iter().zip(&ORDER).enumerate() {
            let (row, column) = (usize::from(place) / 8, usize::from(place) % 8);
            let divisor = ((u32::from(base[usize::from(place)]) * percent + 50) / 100).clamp(1, 255);
            quantizer.divisors[zigzag] = divisor as u8;
            quantizer.factors[usize::from(at)] =
                (1.0 / (8.0 * f64::from(divisor) * AAN[row] * AAN[column])) as f32;
            if zigzag > 0 {
                let share = ((row + column) as f32 / 8.0).min(1.0);
                quantizer.rounding[usize::from(at)] = low + (high - low) * share;
            }
        }
        quantizer
    }
}

/// Per cent of the tables, as libjpeg scales its own.
fn percent(quality: u8) -> u32 {
    let quality = u32::from(quality.clamp(1, 100));
    if quality < 50 { 5000 / quality } else { 200 - 2 * quality }
}
