//! Gaussian blur of a canvas as resvg does it for large radii: five boxes, one after the other. The same sums, but
//! row by row, where resvg runs down columns: there most of its time goes.

use resvg::tiny_skia::PremultipliedColorU8;

/// Boxes that stand for a Gaussian.
const BOXES: usize = 5;
/// The smallest standard deviation, in pixels, that is blurred by boxes. resvg has a recursive filter below.
pub(super) const SMALLEST: f32 = 2.0;
/// Adding this to a number from 0 to 2²² rounds it, and leaves it in the lowest bits.
const ROUNDING: f32 = 12_582_912.0;
/// Pixels of a side of the squares in which a canvas is turned over.
const SQUARE: usize = 16;

/// The radii of the boxes for a standard deviation of `sigma` pixels: resvg's, which are those of "Fast almost-Gaussian
/// filtering" (Kovesi, 2010).
pub(super) fn radii(sigma: f32) -> [usize; BOXES] {
    if sigma <= 0.0 {
        return [0; BOXES];
    }
    let boxes = BOXES as f32;
    let squares = 12.0 * sigma * sigma;
    let ideal = (squares / boxes).sqrt() + 1.0;
    // The largest odd width that is not above the ideal one.
    let smaller = (ideal.floor() as i32 - 1) / 2 * 2 + 1;
    let width = smaller as f32;
    let count = (squares - boxes * width * width - 4.0 * boxes * width - 3.0 * boxes) / (-4.0 * width - 4.0);
    let count = count.round() as usize;
    let radius = ((smaller - 1) / 2).max(0) as usize;
    std::array::from_fn(|index| if index < count { radius } else { radius + 1 })
}

/// Blurs `pixels`, premultiplied rows of `width` pixels, across and down. Around them is nothing.
pub(super) fn blur(pixels: &mut [u8], width: usize, across: [usize; BOXES], down: [usize; BOXES]) {
    let height = pixels.len() / (4 * width);
    let mut other = vec![0; pixels.len()];
    blur_down(pixels, &mut other, width, down);
    turn(pixels, &mut other, width, height);
    blur_down(&mut other, pixels, height, across);
    turn(&other, pixels, height, width);
}

/// Blurs the columns of `pixels`; `other` is as large.
fn blur_down(pixels: &mut [u8], other: &mut [u8], width: usize, radii: [usize; BOXES]) {
    let mut sums = vec![0; 4 * width];
    for radius in radii {
        if radius > 0 {
            box_down(pixels, other, radius, &mut sums);
            pixels.copy_from_slice(other);
        }
    }
}

/// Each pixel of `to` is the average of those of `from` in its column, up to `radius` above and below.
fn box_down(from: &[u8], to: &mut [u8], radius: usize, sums: &mut [i32]) {
    let row = sums.len();
    let height = from.len() / row;
    let share = 1.0 / (2 * radius + 1) as f32;
    let rows = |y: usize| &from[y * row..][..row];
    sums.fill(0);
    for y in 0..radius.min(height) {
        sums.iter_mut().zip(rows(y)).for_each(|(sum, value)| *sum += i32::from(*value));
    }
    for (y, to) in to.chunks_exact_mut(row).enumerate() {
        if y + radius < height {
            sums.iter_mut().zip(rows(y + radius)).for_each(|(sum, value)| *sum += i32::from(*value));
        }
        if y > radius {
            sums.iter_mut().zip(rows(y - radius - 1)).for_each(|(sum, value)| *sum -= i32::from(*value));
        }
        for (to, sum) in to.iter_mut().zip(&*sums) {
            *to = (*sum as f32 * share + ROUNDING).to_bits() as u8;
        }
    }
}

/// Makes the columns of `from` the rows of `to`.
fn turn(from: &[u8], to: &mut [u8], width: usize, height: usize) {
    let (from, _) = from.as_chunks::<4>();
    let (to, _) = to.as_chunks_mut::<4>();
    for top in (0..height).step_by(SQUARE) {
        for left in (0..width).step_by(SQUARE) {
            for x in left..(left + SQUARE).min(width) {
                for y in top..(top + SQUARE).min(height) {
                    to[x * height + y] = from[y * width + x];
                }
            }
        }
    }
}

/// sRGB to linear light or back, of premultiplied pixels in 8 bits each: coarse in the darks, and what resvg does.
pub(super) struct Curve([u8; 256]);

impl Curve {
    pub(super) fn to_linear() -> Self {
        Self::of(|value| if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) })
    }

    pub(super) fn to_srgb() -> Self {
        Self::of(
            |value| {
                if value <= 0.003_130_8 { value * 12.92 } else { 1.055 * value.powf(1.0 / 2.4) - 0.055 }
            },
        )
    }

    fn of(curve: impl Fn(f64) -> f64) -> Self {
        Self(std::array::from_fn(|value| (curve(value as f64 / 255.0) * 255.0).round() as u8))
    }

    /// Maps the colours of `pixels`, which are premultiplied before and after.
    pub(super) fn apply(&self, pixels: &mut [u8]) {
        // Neighbours are often alike.
        let mut last = ([0; 4], [0; 4]);
        for pixel in pixels.as_chunks_mut::<4>().0 {
            if *pixel != last.0 {
                last = (*pixel, self.mapped(*pixel));
            }
            *pixel = last.1;
        }
    }

    fn mapped(&self, [red, green, blue, alpha]: [u8; 4]) -> [u8; 4] {
        let Some(color) = PremultipliedColorU8::from_rgba(red, green, blue, alpha) else { return [0; 4] };
        let straight = color.demultiply();
        let map = |value: u8| {
            let value = u32::from(self.0[usize::from(value)]) * u32::from(alpha);
            ((value + 127) / 255) as u8
        };
        [map(straight.red()), map(straight.green()), map(straight.blue()), alpha]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_have_the_gaussians_variance() {
        for sigma in [2.0, 3.7, 12.0, 55.5] {
            let variance: f32 =
                radii(sigma).map(|radius| ((2 * radius + 1).pow(2) - 1) as f32 / 12.0).iter().sum();
            assert!((variance.sqrt() - sigma).abs() < 0.3, "{sigma}: {variance}");
        }
        assert_eq!(radii(0.0), [0; BOXES]);
    }

    #[test]
    fn a_point_spreads_alike_to_all_sides_and_nothing_is_lost() {
        let (width, height) = (61, 47);
        let mut pixels = vec![0; 4 * width * height];
        for y in 20..27 {
            for x in 27..34 {
                pixels[4 * (y * width + x)..][..4].copy_from_slice(&[255, 128, 0, 255]);
            }
        }
        let sum =
            |pixels: &[u8]| pixels.iter().skip(3).step_by(4).map(|&alpha| i64::from(alpha)).sum::<i64>();
        let before = sum(&pixels);
        blur(&mut pixels, width, radii(3.0), radii(3.0));
        let alpha = |x: usize, y: usize| pixels[4 * (y * width + x) + 3];
        for distance in 0..20 {
            let sides = [
                alpha(30 - distance, 23),
                alpha(30 + distance, 23),
                alpha(30, 23 - distance),
                alpha(30, 23 + distance),
            ];
            let (least, most) = (sides.iter().min().unwrap(), sides.iter().max().unwrap());
            assert!(most - least <= 2, "{distance}: {sides:?}");
        }
        assert!((sum(&pixels) - before).abs() < before / 50);
        assert!((60..200).contains(&alpha(30, 23)), "{}", alpha(30, 23));
    }

    #[test]
    fn a_radius_beyond_the_canvas_is_no_trouble() {
        for (width, height) in [(1, 1), (1, 9), (9, 1), (17, 5)] {
            let mut pixels = vec![255; 4 * width * height];
            blur(&mut pixels, width, radii(40.0), radii(0.0));
            blur(&mut pixels, width, radii(2.0), radii(300.0));
            assert!(pixels[0] < 20);
        }
    }

    #[test]
    fn the_curves_are_inverse_to_one_another() {
        let mut pixels: Vec<u8> = (0..=255).flat_map(|value| [value, value, value, 255]).collect();
        Curve::to_linear().apply(&mut pixels);
        assert_eq!(&pixels[4 * 128..][..4], [55, 55, 55, 255]);
        Curve::to_srgb().apply(&mut pixels);
        for (value, pixel) in pixels.chunks(4).enumerate().skip(100) {
            assert!(pixel[0].abs_diff(value as u8) <= 3, "{value}: {pixel:?}");
        }
        let mut clear = [0; 8];
        Curve::to_srgb().apply(&mut clear);
        assert_eq!(clear, [0; 8]);
    }
}
