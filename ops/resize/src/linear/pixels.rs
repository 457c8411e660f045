//! What pixels of each format are in linear light: one number for gray, four for colours, which are multiplied by their alpha.

use fearless_simd::{f32x16, prelude::*};

use super::LANES;
use super::transfer::{Light16, Values8, Values16, light8};

/// A pixel format, read and written as many pixels at once as [`LANES`] numbers hold.
pub(super) trait Encoding: Copy {
    /// Bytes of a pixel.
    const BYTES: usize;
    /// Numbers of a pixel in linear light, 1 or 4.
    const CHANNELS: usize;

    /// The light of pixels below each other: of each row the one that begins at byte `at`. No more rows are looked at than
    /// there is room for.
    fn light<S: Simd>(self, simd: S, rows: &[&[u8]; LANES], at: usize) -> f32x16<S>;

    /// Pixels beside each other from their light; fewer where `pixels` ends.
    fn pixels<S: Simd>(self, light: f32x16<S>, pixels: &mut [u8]);
}

/// `gray8`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gray8(pub(super) Values8);
/// `rgb8`. The fourth number stays 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rgb8(pub(super) Values8);
/// `rgba8`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rgba8(pub(super) Values8);
/// `rgba16`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rgba16(pub(super) Light16, pub(super) Values16);

impl Encoding for Gray8 {
    const BYTES: usize = 1;
    const CHANNELS: usize = 1;

    #[inline(always)]
    fn light<S: Simd>(self, simd: S, rows: &[&[u8]; LANES], at: usize) -> f32x16<S> {
        let mut values = [0; LANES];
        for (value, row) in values.iter_mut().zip(rows) {
            *value = row[at];
        }
        light8(simd, values)
    }

    #[inline(always)]
    fn pixels<S: Simd>(self, light: f32x16<S>, pixels: &mut [u8]) {
        pixels.copy_from_slice(&self.0.of(light)[..pixels.len()]);
    }
}

impl Encoding for Rgb8 {
    const BYTES: usize = 3;
    const CHANNELS: usize = 4;

    #[inline(always)]
    fn light<S: Simd>(self, simd: S, rows: &[&[u8]; LANES], at: usize) -> f32x16<S> {
        let mut values = [0; LANES];
        for (values, row) in values.chunks_exact_mut(4).zip(rows) {
            let pixel = &row[at..at + 3];
            values.copy_from_slice(&[pixel[0], pixel[1], pixel[2], 0]);
        }
        light8(simd, values)
    }

    #[inline(always)]
    fn pixels<S: Simd>(self, light: f32x16<S>, pixels: &mut [u8]) {
        let values = self.0.of(light);
        for (pixel, values) in pixels.chunks_exact_mut(3).zip(values.chunks_exact(4)) {
            pixel.copy_from_slice(&values[..3]);
        }
    }
}

impl Encoding for Rgba8 {
    const BYTES: usize = 4;
    const CHANNELS: usize = 4;

    #[inline(always)]
    fn light<S: Simd>(self, simd: S, rows: &[&[u8]; LANES], at: usize) -> f32x16<S> {
        let mut values = [0; LANES];
        for (values, row) in values.chunks_exact_mut(4).zip(rows) {
            values.copy_from_slice(&row[at..at + 4]);
        }
        let mut alpha = [0.0; LANES];
        for (index, alpha) in alpha.iter_mut().enumerate() {
            *alpha = f32::from(values[index | 3]) * (1.0 / 255.0);
        }
        by_alpha(light8(simd, values), &alpha)
    }

    #[inline(always)]
    fn pixels<S: Simd>(self, light: f32x16<S>, pixels: &mut [u8]) {
        let numbers: [f32; LANES] = light.into();
        let (mut alphas, mut whole) = ([0; 4], [0.0; LANES]);
        for pixel in 0..4 {
            let alpha = numbers[4 * pixel + 3];
            alphas[pixel] = (alpha.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            whole[4 * pixel..][..4].fill(if alphas[pixel] == 0 { 0.0 } else { 1.0 / alpha });
        }
        let values = self.0.of(light * f32x16::from_slice(light.simd, &whole));
        for ((pixel, values), alpha) in pixels.chunks_exact_mut(4).zip(values.chunks_exact(4)).zip(alphas) {
            pixel.copy_from_slice(&[values[0], values[1], values[2], alpha]);
        }
    }
}

impl Encoding for Rgba16 {
    const BYTES: usize = 8;
    const CHANNELS: usize = 4;

    #[inline(always)]
    fn light<S: Simd>(self, simd: S, rows: &[&[u8]; LANES], at: usize) -> f32x16<S> {
        let (mut light, mut alphas) = ([0.0; LANES], [0.0; LANES]);
        for ((light, alphas), row) in light.chunks_exact_mut(4).zip(alphas.chunks_exact_mut(4)).zip(rows) {
            let pixel = &row[at..at + 8];
            for channel in 0..3 {
                light[channel] = self.0.of(u16::from_le_bytes([pixel[2 * channel], pixel[2 * channel + 1]]));
            }
            alphas.fill(f32::from(u16::from_le_bytes([pixel[6], pixel[7]])) * (1.0 / 65_535.0));
        }
        by_alpha(f32x16::from_slice(simd, &light), &alphas)
    }

    #[inline(always)]
    fn pixels<S: Simd>(self, light: f32x16<S>, pixels: &mut [u8]) {
        let numbers: [f32; LANES] = light.into();
        for (pixel, light) in pixels.chunks_exact_mut(8).zip(numbers.chunks_exact(4)) {
            let alpha = (light[3].clamp(0.0, 1.0) * 65_535.0 + 0.5) as u16;
            let whole = if alpha == 0 { 0.0 } else { 1.0 / light[3] };
            for channel in 0..3 {
                let value = self.1.of(light[channel] * whole);
                pixel[2 * channel..][..2].copy_from_slice(&value.to_le_bytes());
            }
            pixel[6..].copy_from_slice(&alpha.to_le_bytes());
        }
    }
}

/// Colours multiplied by their alpha, and the alpha itself in its own place.
#[inline(always)]
fn by_alpha<S: Simd>(light: f32x16<S>, alpha: &[f32; LANES]) -> f32x16<S> {
    const COLORS: [f32; LANES] =
        [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0];
    const ALPHAS: [f32; LANES] =
        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let (colors, alphas) = (f32x16::from_slice(light.simd, &COLORS), f32x16::from_slice(light.simd, &ALPHAS));
    light.mul_add(colors, alphas) * f32x16::from_slice(light.simd, alpha)
}
