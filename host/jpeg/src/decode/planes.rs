//! The samples themselves, each component at the resolution that it is decoded at: for who wants no pixels, such as an encoder
//! that takes colours at half the resolution anyway.
//!
//! That is the picture's, if a component's blocks have as much: at 1/2 or less, what is sampled half as finely is reduced half
//! as far, for pixels and here alike. To reduce it as far as luminance would save a little time; but of a block's colours
//! the lowest frequencies alone would be left, and bright edges between saturated colours would look worse.

use std::ops::Range;

use super::color::Meaning;
use super::geometry::Layout;
use super::{Damage, DecodeError, DecodeOptions, Samples, Scratch, Unsupported, samples};

/// One component's samples.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'s> {
    /// By rows, [`stride`](Self::stride) apart.
    pub samples: &'s [u8],
    /// Samples of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// From one row to the next.
    pub stride: usize,
    /// Columns left of it, in samples of the whole plane.
    pub left: usize,
    /// Rows above it.
    pub top: usize,
    /// Pixels of the scaled picture that a sample stands for, across and down.
    pub step: (usize, usize),
}

/// A picture, or the part of it that was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Planes<'s> {
    /// Luminance; for a picture in colour Cb and Cr after it.
    pub planes: Vec<Plane<'s>>,
    /// What was wrong or missing, as in [`Picture`](super::Picture).
    pub damage: Option<Damage>,
}

/// Decodes as far as the samples.
///
/// # Errors
/// Those of [`decode`](super::decode()), and [`Unsupported::Colors`] for what is neither gray nor YCbCr.
pub fn decode_planes<'s>(
    bytes: &[u8],
    options: &DecodeOptions,
    scratch: &'s mut Scratch,
) -> Result<Planes<'s>, DecodeError> {
    let Samples { geometry, meaning, damage, .. } = samples(bytes, options, scratch)?;
    if !matches!(meaning, Meaning::Gray | Meaning::YCbCr) {
        return Err(Unsupported::Colors.into());
    }
    let of = |(layout, samples): (&Layout, &'s Vec<u8>)| {
        let [x, y] = [
            shown(&geometry.output.x, layout.step.0, layout.samples.0),
            shown(&geometry.output.y, layout.step.1, layout.samples.1),
        ];
        let first = [&layout.window.x, &layout.window.y].map(|window| window.start * layout.side);
        let stride = layout.stride();
        Plane {
            samples: &samples[(y.start - first[1]) * stride + x.start - first[0]..],
            width: x.len(),
            height: y.len(),
            stride,
            left: x.start,
            top: y.start,
            step: layout.step,
        }
    };
    let planes = geometry.components.iter().zip(&scratch.planes).map(of).collect();
    Ok(Planes { planes, damage })
}

/// The samples that show these pixels, at least one, of so many.
fn shown(pixels: &Range<usize>, step: usize, count: usize) -> Range<usize> {
    let first = (pixels.start / step).min(count - 1);
    first..pixels.end.div_ceil(step).clamp(first + 1, count)
}
