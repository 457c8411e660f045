//! From a picture's samples to a canvas: RGB of luminance and chroma (ITU-T H.273, section 8.3), and alpha.

use imgserve_jpeg::Region;
use imgserve_sdk::{Image, PixelFormat};

use super::av1::{Picture, Scratch};

/// What three samples mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Matrix {
    /// Green, blue and red.
    Identity,
    /// Luminance, and two differences.
    Difference,
    /// Luminance of so much red and blue, and their differences from it.
    Luminance { red: f32, blue: f32 },
}

impl Matrix {
    /// By the numbers of ITU-T H.273 (table 4) for matrix and primaries.
    ///
    /// # Errors
    /// A text: that this one is not read here.
    pub(super) fn of_points(matrix: u16, primaries: u16) -> Result<Self, String> {
        let luminance = |red, blue| Ok(Self::Luminance { red, blue });
        match matrix {
            0 => Ok(Self::Identity),
            1 => luminance(0.2126, 0.0722),
            // Nothing is said: what JPEG has.
            2 | 5 | 6 => luminance(0.299, 0.114),
            4 => luminance(0.30, 0.11),
            7 => luminance(0.212, 0.087),
            8 => Ok(Self::Difference),
            // Of constant luminance is nearly that.
            9 | 10 => luminance(0.2627, 0.0593),
            // By the primaries.
            12 | 13 => match primaries {
                9 => luminance(0.2627, 0.0593),
                5..=7 => luminance(0.212, 0.087),
                11 | 12 => luminance(0.228_97, 0.079_29),
                _ => luminance(0.2126, 0.0722),
            },
            matrix => Err(format!("the matrix {matrix} of its colours is not known here")),
        }
    }

    fn rgb(self, y: f32, u: f32, v: f32) -> [f32; 3] {
        match self {
            Self::Identity => [v, y, u],
            Self::Difference => [y - u + v, y + u, y - u - v],
            Self::Luminance { red, blue } => {
                let (r, b) = (y + 2.0 * (1.0 - red) * v, y + 2.0 * (1.0 - blue) * u);
                [r, (y - red * r - blue * b) / (1.0 - red - blue), b]
            }
        }
    }
}

/// From samples to numbers from 0 to 1, or from -0.5 to 0.5.
#[derive(Clone, Copy)]
struct Scale {
    lowest: f32,
    length: f32,
}

impl Scale {
    fn new(picture: &Picture, full: bool, chroma: bool) -> Self {
        let unit = f32::from(1_u16 << (picture.bits - 8));
        let highest = 256.0 * unit - 1.0;
        match (full, chroma) {
            (true, false) => Self { lowest: 0.0, length: highest },
            (true, true) => Self { lowest: 128.0 * unit, length: highest },
            (false, false) => Self { lowest: 16.0 * unit, length: 219.0 * unit },
            (false, true) => Self { lowest: 128.0 * unit, length: 224.0 * unit },
        }
    }

    fn of(self, sample: f32) -> f32 {
        (sample - self.lowest) / self.length
    }
}

/// What is shown of the coded picture, in the making.
pub(super) struct Canvas {
    pub(super) image: Image,
    crop: Region,
}

impl Canvas {
    /// Of one pixel everywhere.
    pub(super) fn new(crop: Region, format: PixelFormat, pixel: [u8; 8]) -> Option<Self> {
        let bytes = format.bytes_per_pixel();
        let data = pixel.get(..bytes)?.repeat(crop.width as usize * crop.height as usize);
        Image::new(crop.width, crop.height, format, data).ok().map(|image| Self { image, crop })
    }

    /// The rows of a picture at this place that are shown, each with where its shown part begins and ends, and the pixels there.
    fn rows(
        &mut self,
        (left, top): (u32, u32),
        (width, height): (u32, u32),
    ) -> impl Iterator<Item = (u32, std::ops::Range<usize>, &mut [u8])> {
        let Region { x, y, width: across, height: down } = self.crop;
        let overlap = |start: u32, length: u32, from: u32, all: u32| {
            let (first, last) = (start.max(from), (start + length).min(from + all));
            first..last.max(first)
        };
        let (columns, rows) = (overlap(left, width, x, across), overlap(top, height, y, down));
        let bytes = self.image.format().bytes_per_pixel();
        let stride = across as usize * bytes;
        let (skip, count) = (rows.start - y.min(rows.start), rows.len());
        let lines = self.image.data_mut().chunks_exact_mut(stride).skip(skip as usize).take(count);
        let shown = (columns.start - x.min(columns.start)) as usize * bytes;
        let part = (columns.start - left) as usize..(columns.end - left) as usize;
        lines
            .zip(rows)
            .map(move |(line, row)| (row - top, part.clone(), &mut line[shown..shown + part.len() * bytes]))
    }

    /// Draws a picture's colours at this place of the whole.
    pub(super) fn draw(&mut self, picture: &Picture, place: (u32, u32), matrix: Matrix, full: bool) {
        let format = self.image.format();
        let luma = Scale::new(picture, full, false);
        let chroma = Scale::new(picture, full, matrix != Matrix::Identity);
        let (mut y, mut u, mut v, mut scratch) = (Vec::new(), Vec::new(), Vec::new(), Scratch::default());
        for (row, part, line) in self.rows(place, (picture.width, picture.height)) {
            picture.luma(row, &mut y);
            if picture.is_gray() {
                let colors = y[part].iter().map(|&y| [luma.of(y); 3]);
                write(format, line, colors);
            } else {
                picture.chroma(0, row, &mut scratch, &mut u);
                picture.chroma(1, row, &mut scratch, &mut v);
                let samples = y[part.clone()].iter().zip(&u[part.clone()]).zip(&v[part]);
                let colors = samples.map(|((&y, &u), &v)| matrix.rgb(luma.of(y), chroma.of(u), chroma.of(v)));
                write(format, line, colors);
            }
        }
    }

    /// Draws a picture's luminance as alpha.
    pub(super) fn draw_alpha(&mut self, picture: &Picture, place: (u32, u32)) {
        let format = self.image.format();
        let scale = Scale::new(picture, picture.full, false);
        let mut samples = Vec::new();
        for (row, part, line) in self.rows(place, (picture.width, picture.height)) {
            picture.luma(row, &mut samples);
            let alpha = samples[part].iter().map(|&sample| scale.of(sample));
            match format {
                PixelFormat::Rgba8 => {
                    line.as_chunks_mut::<4>()
                        .0
                        .iter_mut()
                        .zip(alpha)
                        .for_each(|(pixel, alpha)| pixel[3] = byte(alpha));
                }
                PixelFormat::Rgba16 => {
                    let pixels = line.as_chunks_mut::<8>().0.iter_mut();
                    pixels.zip(alpha).for_each(|(pixel, alpha)| pixel[6..].copy_from_slice(&word(alpha)));
                }
                PixelFormat::Gray8 | PixelFormat::Rgb8 => {}
            }
        }
    }

    /// Divides the colours by alpha.
    pub(super) fn divide(&mut self) {
        match self.image.format() {
            PixelFormat::Rgba8 => {
                for pixel in self.image.data_mut().as_chunks_mut::<4>().0 {
                    let alpha = f32::from(pixel[3]).max(1.0);
                    pixel[..3].iter_mut().for_each(|color| *color = byte(f32::from(*color) / alpha));
                }
            }
            PixelFormat::Rgba16 => {
                for pixel in self.image.data_mut().as_chunks_mut::<8>().0 {
                    let (words, _) = pixel.as_chunks_mut::<2>();
                    let alpha = f32::from(u16::from_le_bytes(words[3])).max(1.0);
                    let divided = |color: [u8; 2]| word(f32::from(u16::from_le_bytes(color)) / alpha);
                    words[..3].iter_mut().for_each(|color| *color = divided(*color));
                }
            }
            PixelFormat::Gray8 | PixelFormat::Rgb8 => {}
        }
    }
}

// The casts hold what is beyond 0 and 1 to what a sample can be.
fn byte(part: f32) -> u8 {
    (part * 255.0 + 0.5) as u8
}

fn word(part: f32) -> [u8; 2] {
    ((part * 65_535.0 + 0.5) as u16).to_le_bytes()
}

/// Opaque, where there is alpha.
fn write(format: PixelFormat, line: &mut [u8], colors: impl Iterator<Item = [f32; 3]>) {
    match format {
        PixelFormat::Gray8 => {
            line.iter_mut().zip(colors).for_each(|(gray, [_, y, _])| *gray = byte(y));
        }
        PixelFormat::Rgb8 => {
            line.as_chunks_mut::<3>()
                .0
                .iter_mut()
                .zip(colors)
                .for_each(|(pixel, color)| *pixel = color.map(byte));
        }
        PixelFormat::Rgba8 => {
            let pixels = line.as_chunks_mut::<4>().0.iter_mut();
            pixels.zip(colors).for_each(|(pixel, [r, g, b])| *pixel = [byte(r), byte(g), byte(b), 255]);
        }
        PixelFormat::Rgba16 => {
            for (pixel, [r, g, b]) in line.as_chunks_mut::<8>().0.iter_mut().zip(colors) {
                let words = pixel.as_chunks_mut::<2>().0;
                words.copy_from_slice(&[word(r), word(g), word(b), [255; 2]]);
            }
        }
    }
}
