//! Turning by any angle: how large the picture becomes, and its pixels. The corners that appear have the background.

use imgserve_sdk::{Color, Error, Image, ImageRef, PixelFormat, Rect};

use crate::geometry::Size;

/// The size of what a picture of `size` fits into when it is turned by so many degrees.
pub(crate) fn bounds(size: Size, degrees: f64) -> Size {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let side = |length: f64| (length.round() as u32).max(1);
    Size {
        width: side(width * cos.abs() + height * sin.abs()),
        height: side(width * sin.abs() + height * cos.abs()),
    }
}

/// How a picture is turned.
pub(crate) struct Rotation {
    /// Clockwise.
    pub(crate) degrees: f64,
    /// Of the corners.
    pub(crate) background: Color,
    /// Whether each pixel is the nearest one of the source, instead of an average of four.
    pub(crate) nearest: bool,
}

impl Rotation {
    /// The part of `image`, in its pixels, turned about its middle, in the middle of a picture of `size` (in pixels, with
    /// fractions) and of a format that holds the background.
    pub(crate) fn apply(
        &self,
        image: ImageRef<'_>,
        part: Rect,
        size: (f64, f64),
        format: PixelFormat,
    ) -> Result<Image, Error> {
        let side = |length: f64| (length.ceil() as u32).max(1);
        let mut output = Image::zeroed(side(size.0), side(size.1), format)?;
        let step = image.format().bytes_per_pixel();
        let data = image.data();
        match image.format() {
            PixelFormat::Gray8 => self.fill(&mut output, part, size, image, |at| {
                let gray = f32::from(data[at]);
                [gray, gray, gray, 1.0]
            }),
            PixelFormat::Rgb8 => self.fill(&mut output, part, size, image, |at| {
                let pixel = &data[at..at + step];
                [pixel[0].into(), pixel[1].into(), pixel[2].into(), 1.0]
            }),
            PixelFormat::Rgba8 => self.fill(&mut output, part, size, image, |at| {
                let pixel = &data[at..at + step];
                weighted([pixel[0].into(), pixel[1].into(), pixel[2].into(), f32::from(pixel[3]) / 255.0])
            }),
            PixelFormat::Rgba16 => self.fill(&mut output, part, size, image, |at| {
                let word = |channel: usize| {
                    f32::from(u16::from_le_bytes([data[at + 2 * channel], data[at + 2 * channel + 1]]))
                        / 257.0
                };
                weighted([word(0), word(1), word(2), word(3) / 255.0])
            }),
        }
        Ok(output)
    }

    fn fill(
        &self,
        output: &mut Image,
        part: Rect,
        size: (f64, f64),
        image: ImageRef<'_>,
        load: impl Fn(usize) -> [f32; 4],
    ) {
        let (sin, cos) = self.degrees.to_radians().sin_cos();
        let middle = (part.x + part.width / 2.0, part.y + part.height / 2.0);
        let [red, green, blue, alpha] = self.background.rgba().map(f32::from);
        let background = weighted([red, green, blue, alpha / 255.0]);
        let source = Bilinear {
            columns: (part.x.round() as i64, (part.x + part.width).round() as i64),
            rows: (part.y.round() as i64, (part.y + part.height).round() as i64),
            width: i64::from(image.width()),
            step: image.format().bytes_per_pixel(),
            background,
        };
        let (format, width) = (output.format(), output.width() as usize);
        let step = format.bytes_per_pixel();
        for (y, row) in output.data_mut().chunks_exact_mut(width * step).enumerate() {
            let down = y as f64 + 0.5 - size.1 / 2.0;
            for (x, pixel) in row.chunks_exact_mut(step).enumerate() {
                let across = x as f64 + 0.5 - size.0 / 2.0;
                let at = (middle.0 + across * cos + down * sin, middle.1 - across * sin + down * cos);
                let color = if self.nearest { source.nearest(at, &load) } else { source.average(at, &load) };
                store(color, format, pixel);
            }
        }
    }
}

/// The pixels of a part of an image, and the background around it. Colours are weighted by their alpha.
struct Bilinear {
    /// The first, and the one after the last.
    columns: (i64, i64),
    rows: (i64, i64),
    /// Of the whole image.
    width: i64,
    /// Bytes of a pixel.
    step: usize,
    background: [f32; 4],
}

impl Bilinear {
    #[inline(always)]
    fn pixel(&self, x: i64, y: i64, load: &impl Fn(usize) -> [f32; 4]) -> [f32; 4] {
        let inside = (self.columns.0..self.columns.1).contains(&x) && (self.rows.0..self.rows.1).contains(&y);
        if inside { load((y * self.width + x) as usize * self.step) } else { self.background }
    }

    #[inline(always)]
    fn nearest(&self, (x, y): (f64, f64), load: &impl Fn(usize) -> [f32; 4]) -> [f32; 4] {
        self.pixel(x.floor() as i64, y.floor() as i64, load)
    }

    #[inline(always)]
    fn average(&self, (x, y): (f64, f64), load: &impl Fn(usize) -> [f32; 4]) -> [f32; 4] {
        let (x, y) = (x - 0.5, y - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (right, bottom) = ((x - left) as f32, (y - top) as f32);
        let (left, top) = (left as i64, top as i64);
        let at = |x, y| self.pixel(left + x, top + y, load);
        let (a, b, c, d) = (at(0, 0), at(1, 0), at(0, 1), at(1, 1));
        std::array::from_fn(|channel| {
            let above = a[channel] + (b[channel] - a[channel]) * right;
            let below = c[channel] + (d[channel] - c[channel]) * right;
            above + (below - above) * bottom
        })
    }
}

fn weighted([red, green, blue, alpha]: [f32; 4]) -> [f32; 4] {
    [red * alpha, green * alpha, blue * alpha, alpha]
}

/// Writes a colour, 0 to 255 and weighted by its alpha of 0 to 1.
fn store([red, green, blue, alpha]: [f32; 4], format: PixelFormat, pixel: &mut [u8]) {
    let full = if alpha > 0.0 { 1.0 / alpha } else { 0.0 };
    let color = [red * full, green * full, blue * full, alpha * 255.0];
    match format {
        PixelFormat::Rgba16 => {
            for (word, channel) in pixel.chunks_exact_mut(2).zip(color) {
                word.copy_from_slice(&((channel * 257.0).round() as u16).to_le_bytes());
            }
        }
        _ => pixel.iter_mut().zip(color).for_each(|(byte, channel)| *byte = channel.round() as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turned_picture_fits() {
        let size = |width, height| Size { width, height };
        for (degrees, wanted) in
            [(90.0, size(60, 100)), (180.0, size(100, 60)), (45.0, size(113, 113)), (30.0, size(117, 102))]
        {
            assert_eq!(bounds(size(100, 60), degrees), wanted, "{degrees}");
        }
        assert_eq!(bounds(size(1, 1), 0.001), size(1, 1));
    }

    #[test]
    fn a_quarter_turn_by_angle_is_a_quarter_turn() {
        let image = Image::new(3, 2, PixelFormat::Gray8, vec![10, 20, 30, 40, 50, 60]).unwrap();
        let part = Rect { x: 0.0, y: 0.0, width: 3.0, height: 2.0 };
        for nearest in [false, true] {
            let rotation = Rotation { degrees: 90.0, background: Color::WHITE, nearest };
            let turned = rotation.apply(image.as_ref(), part, (2.0, 3.0), PixelFormat::Gray8).unwrap();
            assert_eq!(turned.data(), [40, 10, 50, 20, 60, 30]);
        }
    }

    #[test]
    fn corners_have_the_background_and_the_middle_the_picture() {
        let red = Color { red: 255, ..Color::BLACK };
        for (source, pixel, to) in [
            (PixelFormat::Gray8, vec![200], PixelFormat::Rgb8),
            (PixelFormat::Rgb8, vec![200; 3], PixelFormat::Rgb8),
            (PixelFormat::Rgba8, vec![200, 200, 200, 255], PixelFormat::Rgba8),
        ] {
            let image = Image::new(40, 40, source, pixel.repeat(1600)).unwrap();
            let part = Rect { x: 0.0, y: 0.0, width: 40.0, height: 40.0 };
            let rotation = Rotation { degrees: 45.0, background: red, nearest: false };
            let turned = rotation.apply(image.as_ref(), part, (57.0, 57.0), to).unwrap();
            let at = |x: usize, y: usize| &turned.data()[(y * 57 + x) * to.bytes_per_pixel()..][..3];
            assert_eq!((at(0, 0), at(28, 28)), (&[255, 0, 0][..], &[200; 3][..]), "{source:?}");
        }
    }
}
