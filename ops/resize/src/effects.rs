//! `blur` and `sharpen`: what is done to pixels that have their size. A Gaussian by three passes of a box whose ends count in
//! part (Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended Box Filtering", 2011): as quick for a
//! large radius as for a small one. Colours are weighted by their alpha.

use imgserve_sdk::{Image, PixelFormat};

use crate::geometry::Size;

/// Passes of the box.
const PASSES: usize = 3;

/// Blurs a picture by a Gaussian of this standard deviation in pixels, more than 0.
pub(crate) fn blur(image: &mut Image, sigma: f64) {
    let mut channels = Channels::new(image, sigma);
    for channel in 0..channels.colors {
        let (_, blurred) = channels.color(image, channel);
        store(image, channel, blurred);
    }
    if let Some(alpha) = channels.alpha {
        store(image, 3, &alpha.blurred);
    }
}

/// Makes edges clearer: what a blur of this standard deviation would take away is there twice.
pub(crate) fn sharpen(image: &mut Image, sigma: f64) {
    let mut channels = Channels::new(image, sigma);
    for channel in 0..channels.colors {
        let (plain, blurred) = channels.color(image, channel);
        for (blurred, plain) in blurred.iter_mut().zip(plain) {
            *blurred = 2.0 * plain - *blurred;
        }
        store(image, channel, blurred);
    }
}

/// Bytes that either takes at its peak beside the picture.
pub(crate) fn peak_bytes(format: PixelFormat, size: Size) -> u64 {
    let planes = if format.has_alpha() { 5 } else { 3 };
    4 * planes * u64::from(size.width) * u64::from(size.height)
}

/// The channels of a picture, one at a time, as numbers from 0 to 1.
struct Channels {
    colors: usize,
    alpha: Option<Alpha>,
    gaussian: Gaussian,
    plain: Vec<f32>,
    blurred: Vec<f32>,
}

struct Alpha {
    plain: Vec<f32>,
    blurred: Vec<f32>,
}

impl Channels {
    fn new(image: &Image, sigma: f64) -> Self {
        let pixels = image.width() as usize * image.height() as usize;
        let mut gaussian = Gaussian::new(image.width() as usize, sigma, pixels);
        let alpha = image.format().has_alpha().then(|| {
            let plain = load(image, 3, vec![0.0; pixels]);
            let mut blurred = plain.clone();
            gaussian.apply(&mut blurred);
            Alpha { plain, blurred }
        });
        let colors = if image.format() == PixelFormat::Gray8 { 1 } else { 3 };
        Self { colors, alpha, gaussian, plain: vec![0.0; pixels], blurred: vec![0.0; pixels] }
    }

    /// A channel as it is, and blurred.
    fn color(&mut self, image: &Image, channel: usize) -> (&[f32], &mut [f32]) {
        self.plain = load(image, channel, std::mem::take(&mut self.plain));
        self.blurred.copy_from_slice(&self.plain);
        if let Some(alpha) = &self.alpha {
            self.blurred.iter_mut().zip(&alpha.plain).for_each(|(value, alpha)| *value *= alpha);
        }
        self.gaussian.apply(&mut self.blurred);
        if let Some(alpha) = &self.alpha {
            for (value, alpha) in self.blurred.iter_mut().zip(&alpha.blurred) {
                *value = if *alpha > 0.0 { *value / alpha } else { 0.0 };
            }
        }
        (&self.plain, &mut self.blurred)
    }
}

/// A channel as numbers from 0 to 1, into `plane`, which has room for them.
fn load(image: &Image, channel: usize, mut plane: Vec<f32>) -> Vec<f32> {
    let step = image.format().bytes_per_pixel();
    let pixels = image.data().chunks_exact(step);
    match image.format() {
        PixelFormat::Rgba16 => {
            for (value, pixel) in plane.iter_mut().zip(pixels) {
                let word = u16::from_le_bytes([pixel[2 * channel], pixel[2 * channel + 1]]);
                *value = f32::from(word) / 65_535.0;
            }
        }
        _ => {
            for (value, pixel) in plane.iter_mut().zip(pixels) {
                *value = f32::from(pixel[channel]) / 255.0;
            }
        }
    }
    plane
}

fn store(image: &mut Image, channel: usize, plane: &[f32]) {
    let format = image.format();
    let pixels = image.data_mut().chunks_exact_mut(format.bytes_per_pixel());
    match format {
        PixelFormat::Rgba16 => {
            for (pixel, value) in pixels.zip(plane) {
                let word = (value * 65_535.0).round().clamp(0.0, 65_535.0) as u16;
                pixel[2 * channel..][..2].copy_from_slice(&word.to_le_bytes());
            }
        }
        _ => {
            for (pixel, value) in pixels.zip(plane) {
                pixel[channel] = (value * 255.0).round().clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// A blur of planes of one size.
struct Gaussian {
    width: usize,
    /// Pixels on each side that count in full.
    radius: usize,
    /// What the pixels beside those count.
    end: f64,
    other: Vec<f32>,
    sums: Vec<f64>,
}

impl Gaussian {
    fn new(width: usize, sigma: f64, pixels: usize) -> Self {
        let variance = sigma * sigma / PASSES as f64;
        let radius = ((12.0 * variance + 1.0).sqrt() / 2.0 - 0.5).floor();
        let end = (2.0 * radius + 1.0) * (radius * (radius + 1.0) - 3.0 * variance)
            / (6.0 * (variance - (radius + 1.0) * (radius + 1.0)));
        Self { width, radius: radius as usize, end, other: vec![0.0; pixels], sums: vec![0.0; width] }
    }

    fn apply(&mut self, plane: &mut Vec<f32>) {
        for _ in 0..PASSES {
            self.across(plane);
            self.down(plane);
        }
    }

    /// One pass across, in place.
    fn across(&mut self, plane: &mut [f32]) {
        let (radius, end, scale) = (self.radius, self.end, self.scale());
        let last = self.width - 1;
        for (from, to) in plane.chunks_exact_mut(self.width).zip(self.other.chunks_exact_mut(self.width)) {
            let at = |x: isize| f64::from(from[x.clamp(0, last as isize) as usize]);
            let reach = radius as isize;
            let mut sum: f64 = (-reach..=reach).map(at).sum();
            for (x, to) in to.iter_mut().enumerate() {
                let x = x as isize;
                let (before, after) = (at(x - reach - 1), at(x + reach + 1));
                *to = ((sum + end * (before + after)) * scale) as f32;
                sum += after - at(x - reach);
            }
            from.copy_from_slice(to);
        }
    }

    /// One pass down.
    fn down(&mut self, plane: &mut Vec<f32>) {
        let (width, reach, end, scale) = (self.width, self.radius as isize, self.end, self.scale());
        let last = (plane.len() / width - 1) as isize;
        let row = |y: isize| &plane[y.clamp(0, last) as usize * width..][..width];
        self.sums.fill(0.0);
        for y in -reach..=reach {
            self.sums.iter_mut().zip(row(y)).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        for (y, to) in self.other.chunks_exact_mut(width).enumerate() {
            let y = y as isize;
            let (before, after, first) = (row(y - reach - 1), row(y + reach + 1), row(y - reach));
            for (x, (to, sum)) in to.iter_mut().zip(&mut self.sums).enumerate() {
                let (before, after) = (f64::from(before[x]), f64::from(after[x]));
                *to = ((*sum + end * (before + after)) * scale) as f32;
                *sum += after - f64::from(first[x]);
            }
        }
        std::mem::swap(plane, &mut self.other);
    }

    fn scale(&self) -> f64 {
        1.0 / (2.0 * self.radius as f64 + 1.0 + 2.0 * self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Black, with one white pixel in the middle.
    fn point(side: u32, format: PixelFormat) -> Image {
        let mut image = Image::zeroed(side, side, format).unwrap();
        let step = format.bytes_per_pixel();
        image.data_mut()[(side / 2 * side + side / 2) as usize * step..][..step].fill(255);
        image
    }

    #[test]
    fn a_point_becomes_a_gaussian_of_that_width() {
        for sigma in [0.5_f64, 1.0, 3.0, 8.0] {
            let mut plane = load(&point(101, PixelFormat::Gray8), 0, vec![0.0; 101 * 101]);
            Gaussian::new(101, sigma, 101 * 101).apply(&mut plane);
            let all: f64 = plane.iter().map(|value| f64::from(*value)).sum();
            let off = |x: usize| (x as f64 - 50.0).powi(2);
            let values = plane.iter().enumerate();
            let variance: f64 = values.map(|(at, value)| off(at % 101) * f64::from(*value)).sum();
            assert!((all - 1.0).abs() < 1e-3, "{sigma}: {all}");
            assert!((variance.sqrt() - sigma).abs() < 0.01 * sigma, "{sigma}: {}", variance.sqrt());
            let peak = 1.0 / (2.0 * std::f64::consts::PI * sigma * sigma);
            assert!(sigma < 1.0 || (f64::from(plane[50 * 101 + 50]) - peak).abs() < 0.12 * peak, "{sigma}");
        }
    }

    #[test]
    fn what_is_flat_stays_flat_and_what_is_transparent_colours_nothing() {
        for (format, pixel) in [
            (PixelFormat::Gray8, vec![77]),
            (PixelFormat::Rgb8, vec![1, 128, 254]),
            (PixelFormat::Rgba8, vec![1, 128, 254, 200]),
            (PixelFormat::Rgba16, vec![1, 2, 3, 128, 253, 254, 255, 200]),
        ] {
            for sigma in [0.3, 2.0, 50.0] {
                let flat = Image::new(9, 7, format, pixel.repeat(63)).unwrap();
                let (mut blurred, mut sharp) = (flat.clone(), flat.clone());
                blur(&mut blurred, sigma);
                sharpen(&mut sharp, sigma);
                assert_eq!((&blurred, &sharp), (&flat, &flat), "{format:?} {sigma}");
            }
        }
        let half = |x: usize| if x < 8 { [255, 0, 0, 255] } else { [0, 255, 0, 0] };
        let mut image = Image::new(16, 1, PixelFormat::Rgba8, (0..16).flat_map(half).collect()).unwrap();
        blur(&mut image, 2.0);
        assert!(image.data().chunks_exact(4).filter(|p| p[3] > 0).all(|p| p[0] == 255 && p[1] == 0));
        assert!(image.data()[7 * 4 + 3] < 255 && image.data()[8 * 4 + 3] > 0, "the edge is soft");
    }

    #[test]
    fn an_edge_is_clearer_when_it_is_sharpened() {
        let mut image =
            Image::new(16, 1, PixelFormat::Gray8, (0..16).map(|x| if x < 8 { 100 } else { 150 }).collect())
                .unwrap();
        sharpen(&mut image, 1.0);
        let data = image.data();
        assert!(data[7] < 95 && data[8] > 155 && data[0] == 100 && data[15] == 150, "{data:?}");
    }
}
