//! RGB that is told by curves and by where its primary colours and its white lie (CIE 1931, x and y), as PNG's chunks and the
//! headers of bitmaps tell it.

use std::ops::RangeInclusive;

use moxcms::{Chromaticity, ColorPrimaries, ColorProfile};

use super::curve::Curve;
use super::shaper::Shaper;

/// Exponents that are sRGB's to one part in a hundred: it is said so often where its own curve is meant.
const SRGB_EXPONENTS: RangeInclusive<f32> = 2.178_15..=2.222_24;

impl Curve {
    /// sRGB's own (IEC 61966-2-1).
    pub(crate) fn srgb() -> Self {
        Self::Function(vec![2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.040_45])
    }

    /// A power; sRGB's own curve where it is nearly that.
    pub(crate) fn of_exponent(exponent: f32) -> Self {
        if SRGB_EXPONENTS.contains(&exponent) { Self::srgb() } else { Self::gamma(exponent) }
    }
}

impl Shaper {
    /// None for colours that span nothing.
    pub(crate) fn of_primaries(
        curves: [Curve; 3],
        primaries: ColorPrimaries,
        white: Chromaticity,
    ) -> Option<Self> {
        let rows = ColorProfile::colorants_matrix(white.to_xyyb(), primaries).v;
        let primary = |i: usize| rows.map(|row| row[i] as f32);
        let primaries = [primary(0), primary(1), primary(2)];
        let [[a, b, c], [d, e, f], [g, h, i]] = primaries;
        let volume = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
        (volume.is_finite() && volume.abs() > 1e-6).then(|| Self::new(curves, primaries))
    }
}
