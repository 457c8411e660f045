//! Whether a placeholder and a result are right, by arithmetic of the demo's own: it knows what it painted, averages the
//! part of it that must be seen, and compares. Nothing of the operations' code is used.

use imgserve_base::format::Format;
use imgserve_sdk::Image;

use super::found::Found;
use super::samples::Sample;

/// Columns and rows of cells whose mean colours are compared.
const GRID: u32 = 6;
/// How far a cell's mean may be off, of 255: lossy formats and resampling at the cells' edges need a little.
const TOLERANCE: f64 = 6.0;
/// The same for GIF, which has 256 colours a frame.
const TOLERANCE_GIF: f64 = 12.0;
/// Colours that the drawing has at places, in parts of its width and height.
const MARKS: [(f64, f64, [u8; 4]); 6] = [
    (92.0 / 800.0, 282.0 / 400.0, [0xE6, 0x39, 0x46, 255]),
    (160.0 / 800.0, 282.0 / 400.0, [0xF4, 0xA2, 0x61, 255]),
    (228.0 / 800.0, 282.0 / 400.0, [0xE9, 0xC4, 0x6A, 255]),
    (296.0 / 800.0, 282.0 / 400.0, [0x2A, 0x9D, 0x8F, 255]),
    (364.0 / 800.0, 282.0 / 400.0, [0x45, 0x7B, 0x9D, 255]),
    (0.004, 0.008, [0, 0, 0, 0]),
];
/// Where the drawing has its large white letters (left, top, right, bottom), and how much of that they cover.
const LETTERS: [f64; 4] = [60.0 / 800.0, 95.0 / 400.0, 560.0 / 800.0, 180.0 / 400.0];
const INK: std::ops::Range<f64> = 0.15..0.65;

/// What a job must produce.
#[derive(Clone, Debug)]
pub(super) struct Expected<'a> {
    pub(super) sample: &'a Sample,
    pub(super) format: Format,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Expected<'_> {
    /// Size and format as planned, and nearly white.
    pub(super) fn check_placeholder(&self, found: &Found) -> Result<(), String> {
        self.check_kind(found)?;
        let share = whiteness(&found.frames[0]);
        if share < 0.8 {
            return Err(format!("only {:.0} % of it is white", share * 100.0));
        }
        Ok(())
    }

    /// Size, format, frames and colours; says what was measured.
    pub(super) fn check_result(&self, found: &Found) -> Result<String, String> {
        self.check_kind(found)?;
        if whiteness(found.middle()) > 0.97 {
            return Err("it is all white, as the placeholder is".to_owned());
        }
        if self.sample.frames.is_empty() {
            return self.check_drawing(&found.frames[0]);
        }
        let (has, wants) = (found.frames.len(), self.sample.frames.len());
        if has != wants {
            return Err(format!("it has {has} frames, the source {wants}"));
        }
        let tolerance = if self.format == Format::Gif { TOLERANCE_GIF } else { TOLERANCE };
        let pairs = self.sample.frames.iter().zip(&found.frames);
        let off = pairs.map(|(source, result)| difference(source, result)).fold(0.0, f64::max);
        if off > tolerance {
            return Err(format!("its colours are off by {off:.1} of 255, more than {tolerance}"));
        }
        let frames = if has > 1 { format!("{has} frames, ") } else { String::new() };
        Ok(format!("{frames}colours within {off:.1} of 255 (allowed {tolerance})"))
    }

    fn check_kind(&self, found: &Found) -> Result<(), String> {
        let wanted = (self.format, self.width, self.height);
        if (found.format, found.width, found.height) == wanted {
            return Ok(());
        }
        Err(format!(
            "it is {} {}x{} and must be {} {}x{}",
            found.format.name(),
            found.width,
            found.height,
            self.format.name(),
            self.width,
            self.height
        ))
    }

    fn check_drawing(&self, result: &Image) -> Result<String, String> {
        let (width, height) = (f64::from(result.width()), f64::from(result.height()));
        let mut most: f64 = 0.0;
        for (x, y, wanted) in MARKS {
            let found = pixel(result, (x * width) as u32, (y * height) as u32);
            let off = distance(found.map(f64::from), premultiplied(wanted));
            if off > TOLERANCE {
                return Err(format!("its colour at {:.0} %, {:.0} % is {found:?}", x * 100.0, y * 100.0));
            }
            most = most.max(off);
        }
        let [left, top, right, bottom] = LETTERS;
        let area = [left * width, top * height, right * width, bottom * height].map(|edge| edge as u32);
        let ink = share(result, area, |[r, g, b, _]| r.min(g).min(b) > 225);
        if !INK.contains(&ink) {
            return Err(format!("its letters cover {:.0} % of their place", ink * 100.0));
        }
        Ok(format!("colours within {most:.1} of 255 (allowed {TOLERANCE}), letters where they belong"))
    }
}

/// The largest difference of the cells' mean colours between `result` and the part of `source` it must show.
fn difference(source: &Image, result: &Image) -> f64 {
    let crop = crop((source.width(), source.height()), (result.width(), result.height()));
    let whole = [0.0, 0.0, f64::from(result.width()), f64::from(result.height())];
    let cells = (0..GRID).flat_map(|row| (0..GRID).map(move |column| (column, row)));
    cells
        .map(|(column, row)| {
            let wanted = mean(source, cell(crop, column, row));
            distance(mean(result, cell(whole, column, row)), wanted)
        })
        .fold(0.0, f64::max)
}

/// The part of `source` that fills `target`, as left, top, width and height: the surplus comes off left and right
/// alike, or one third off the top (IMGSERVE 0.2, "resize").
fn crop(source: (u32, u32), target: (u32, u32)) -> [f64; 4] {
    let (width, height) = (f64::from(source.0), f64::from(source.1));
    let aspect = f64::from(target.0) / f64::from(target.1);
    if width / height > aspect {
        let kept = height * aspect;
        [(width - kept) / 2.0, 0.0, kept, height]
    } else {
        let kept = width / aspect;
        [0.0, (height - kept) / 3.0, width, kept]
    }
}

/// Pixel bounds (left, top, right, bottom) of a cell.
fn cell([left, top, width, height]: [f64; 4], column: u32, row: u32) -> [u32; 4] {
    let edge =
        |start: f64, length: f64, i: u32| (start + length * f64::from(i) / f64::from(GRID)).round() as u32;
    [
        edge(left, width, column),
        edge(top, height, row),
        edge(left, width, column + 1),
        edge(top, height, row + 1),
    ]
}

/// The mean of an area's premultiplied pixels: what is transparent has no colour.
fn mean(image: &Image, [left, top, right, bottom]: [u32; 4]) -> [f64; 4] {
    let (pixels, _) = image.data().as_chunks::<4>();
    let mut sum = [0_u64; 4];
    for row in pixels.chunks_exact(image.width() as usize).take(bottom as usize).skip(top as usize) {
        for &[r, g, b, a] in &row[left as usize..right as usize] {
            // Plain, because a debug build does this for millions of pixels.
            let alpha = u64::from(a);
            sum[0] += u64::from(r) * alpha;
            sum[1] += u64::from(g) * alpha;
            sum[2] += u64::from(b) * alpha;
            sum[3] += 255 * alpha;
        }
    }
    let weight = f64::from((right - left) * (bottom - top)).max(1.0) * 255.0;
    sum.map(|value| value as f64 / weight)
}

fn premultiplied([r, g, b, a]: [u8; 4]) -> [f64; 4] {
    let alpha = f64::from(a) / 255.0;
    [f64::from(r) * alpha, f64::from(g) * alpha, f64::from(b) * alpha, f64::from(a)]
}

fn distance(a: [f64; 4], b: [f64; 4]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn pixel(image: &Image, x: u32, y: u32) -> [u8; 4] {
    let (x, y) = (x.min(image.width() - 1) as usize, y.min(image.height() - 1) as usize);
    image.data().as_chunks::<4>().0[y * image.width() as usize + x]
}

/// The share of opaque white pixels.
fn whiteness(image: &Image) -> f64 {
    share(image, [0, 0, image.width(), image.height()], |pixel| pixel.iter().all(|&value| value > 240))
}

fn share(image: &Image, [left, top, right, bottom]: [u32; 4], is: impl Fn([u8; 4]) -> bool) -> f64 {
    let mut count = 0_u32;
    for y in top..bottom {
        count += (left..right).filter(|&x| is(pixel(image, x, y))).count() as u32;
    }
    f64::from(count) / f64::from((right - left) * (bottom - top)).max(1.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use imgserve_sdk::PixelFormat;

    use super::*;

    fn halves(left: [u8; 4], right: [u8; 4], side: u32) -> Image {
        let pixels = (0..side * side).flat_map(|i| if i % side < side / 2 { left } else { right });
        Image::new(side, side, PixelFormat::Rgba8, pixels.collect()).unwrap()
    }

    #[test]
    fn a_smaller_picture_of_the_same_differs_little_and_another_one_much() {
        let (red, blue, clear) = ([200, 0, 0, 255], [0, 0, 200, 255], [9, 9, 9, 0]);
        let source = halves(red, blue, 120);
        assert!(difference(&source, &halves(red, blue, 60)) < 1.0);
        assert!(difference(&source, &halves(blue, red, 60)) > 100.0);
        assert!(difference(&halves(red, clear, 120), &halves(red, [0; 4], 60)) < 1.0);
        assert!(difference(&halves(red, clear, 120), &halves(red, [9, 9, 9, 255], 60)) > 100.0);
    }

    #[test]
    fn a_wrong_size_and_a_result_that_shows_something_else_are_told() {
        let (red, blue) = ([200, 0, 0, 255], [0, 0, 200, 255]);
        let frames = vec![halves(red, blue, 120)];
        let (name, format, bytes) = ("x.png", Format::Png, Bytes::new());
        let sample = Sample { name, format, width: 120, height: 120, bytes: bytes.clone(), frames };
        let expected = Expected { sample: &sample, format, width: 60, height: 60 };
        let found = |side, left, right| {
            let frames = vec![halves(left, right, side)];
            Found { bytes: bytes.clone(), format, width: side, height: side, frames, after: Duration::ZERO }
        };
        assert!(expected.check_result(&found(60, red, blue)).is_ok());
        for (wrong, text) in [
            (found(59, red, blue), "it is png 59x59 and must be png 60x60"),
            (found(60, blue, red), "its colours are off by 200.0 of 255, more than 6"),
            (found(60, [255; 4], [255; 4]), "it is all white, as the placeholder is"),
        ] {
            assert_eq!(expected.check_result(&wrong).unwrap_err(), text);
        }
        assert!(expected.check_placeholder(&found(60, [255; 4], [255; 4])).is_ok());
        assert!(expected.check_placeholder(&found(60, red, blue)).is_err());
    }

    #[test]
    fn one_third_of_the_surplus_comes_off_the_top() {
        assert_eq!(crop((100, 400), (50, 50)), [0.0, 100.0, 100.0, 100.0]);
        assert_eq!(crop((300, 100), (50, 50)), [100.0, 0.0, 100.0, 100.0]);
    }
}
