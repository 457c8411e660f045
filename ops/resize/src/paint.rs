//! The background: under a picture with transparency, and as bars around one that does not fill the result.

use imgserve_sdk::{Color, Error, Image, PixelFormat};

use crate::geometry::Geometry;

/// The pixel format of a result from a source of format `source`. It is the source's, unless some of the result is bare and
/// of a colour that it cannot hold: transparency needs `rgba8`, a colour beside gray `rgb8`.
pub(crate) fn output_format(source: PixelFormat, bare: bool, background: Color) -> PixelFormat {
    match source {
        _ if source.has_alpha() || !bare => source,
        _ if !background.is_opaque() => PixelFormat::Rgba8,
        PixelFormat::Gray8 if !background.is_gray() => PixelFormat::Rgb8,
        _ => source,
    }
}

/// Lays the opaque `background` under the picture, which is opaque then too.
pub(crate) fn flatten(image: &mut Image, background: Color) {
    let below = background.rgba();
    match image.format() {
        PixelFormat::Gray8 | PixelFormat::Rgb8 => {}
        PixelFormat::Rgba8 => {
            for pixel in image.data_mut().chunks_exact_mut(4) {
                let alpha = u32::from(pixel[3]);
                for (channel, below) in pixel.iter_mut().zip(below) {
                    *channel = blend(u32::from(*channel), u32::from(below), alpha, 255) as u8;
                }
                pixel[3] = 255;
            }
        }
        PixelFormat::Rgba16 => {
            for pixel in image.data_mut().chunks_exact_mut(8) {
                let alpha = u32::from(u16::from_le_bytes([pixel[6], pixel[7]]));
                for (channel, below) in pixel.chunks_exact_mut(2).zip(below) {
                    let above = u32::from(u16::from_le_bytes([channel[0], channel[1]]));
                    let blended = blend(above, u32::from(below) * 257, alpha, 65_535) as u16;
                    channel.copy_from_slice(&blended.to_le_bytes());
                }
                pixel[6..].fill(255);
            }
        }
    }
}

/// `above` over `below`, all from 0 to `full`, rounded.
fn blend(above: u32, below: u32, alpha: u32, full: u32) -> u32 {
    ((u64::from(above) * u64::from(alpha) + u64::from(below) * u64::from(full - alpha) + u64::from(full / 2))
        / u64::from(full)) as u32
}

/// `shown` at its place in a result of this format, which [`output_format`] has chosen, filled with `background`.
pub(crate) fn with_bars(
    shown: &Image,
    geometry: &Geometry,
    background: Color,
    format: PixelFormat,
) -> Result<Image, Error> {
    let mut canvas = Image::zeroed(geometry.output.width, geometry.output.height, format)?;
    if background != Color::TRANSPARENT {
        fill(&mut canvas, background);
    }
    let from_row = shown.width() as usize * shown.format().bytes_per_pixel();
    let to_row = geometry.output.width as usize * format.bytes_per_pixel();
    let left = geometry.left as usize * format.bytes_per_pixel();
    let length = shown.width() as usize * format.bytes_per_pixel();
    let rows = canvas.data_mut().chunks_exact_mut(to_row).skip(geometry.top as usize);
    for (to, from) in rows.zip(shown.data().chunks_exact(from_row)) {
        convert(from, shown.format(), &mut to[left..left + length], format);
    }
    Ok(canvas)
}

fn fill(canvas: &mut Image, color: Color) {
    let [red, green, blue, alpha] = color.rgba();
    match canvas.format() {
        PixelFormat::Gray8 => canvas.data_mut().fill(red),
        PixelFormat::Rgb8 => {
            canvas.data_mut().chunks_exact_mut(3).for_each(|p| p.copy_from_slice(&[red, green, blue]));
        }
        PixelFormat::Rgba8 => {
            canvas.data_mut().chunks_exact_mut(4).for_each(|p| p.copy_from_slice(&color.rgba()));
        }
        PixelFormat::Rgba16 => {
            // v × 257 is v twice, in either byte order.
            let pixel = [red, red, green, green, blue, blue, alpha, alpha];
            canvas.data_mut().chunks_exact_mut(8).for_each(|p| p.copy_from_slice(&pixel));
        }
    }
}

/// Copies a row of pixels to a format that holds as much or more, as [`output_format`] chooses it.
fn convert(from: &[u8], from_format: PixelFormat, to: &mut [u8], to_format: PixelFormat) {
    if from_format == to_format {
        return to.copy_from_slice(from);
    }
    let pixels = from.chunks_exact(from_format.bytes_per_pixel());
    for (to, from) in to.chunks_exact_mut(to_format.bytes_per_pixel()).zip(pixels) {
        let (red, green, blue) =
            (from[0], *from.get(1).unwrap_or(&from[0]), *from.get(2).unwrap_or(&from[0]));
        to[..3].copy_from_slice(&[red, green, blue]);
        if let Some(alpha) = to.get_mut(3) {
            *alpha = 255;
        }
    }
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::Rect;

    use super::*;
    use crate::geometry::Size;

    const RED: Color = Color { red: 255, green: 0, blue: 0, alpha: 255 };

    fn between_bars() -> Geometry {
        let crop = Rect { x: 0.0, y: 0.0, width: 1.0, height: 1.0 };
        let shown = Size { width: 1, height: 1 };
        Geometry { output: Size { width: 3, height: 1 }, crop, shown, left: 1, top: 0 }
    }

    #[test]
    fn the_format_changes_only_for_bars_that_need_it() {
        use PixelFormat::{Gray8, Rgb8, Rgba8, Rgba16};
        for (source, background, expected) in [
            (Gray8, Color::WHITE, Gray8),
            (Gray8, RED, Rgb8),
            (Gray8, Color::TRANSPARENT, Rgba8),
            (Rgb8, RED, Rgb8),
            (Rgb8, Color { alpha: 9, ..RED }, Rgba8),
            (Rgba8, RED, Rgba8),
            (Rgba16, Color::TRANSPARENT, Rgba16),
        ] {
            assert_eq!(output_format(source, true, background), expected, "{source:?} on {background}");
            assert_eq!(output_format(source, false, background), source);
        }
    }

    #[test]
    fn bars_have_the_background_and_the_picture_its_own_pixels() {
        let shown = Image::new(1, 1, PixelFormat::Gray8, vec![7]).unwrap();
        for (background, expected) in [
            (Color::WHITE, vec![255, 7, 255]),
            (RED, vec![255, 0, 0, 7, 7, 7, 255, 0, 0]),
            (Color { alpha: 9, ..RED }, vec![255, 0, 0, 9, 7, 7, 7, 255, 255, 0, 0, 9]),
        ] {
            let format = output_format(shown.format(), true, background);
            assert_eq!(with_bars(&shown, &between_bars(), background, format).unwrap().data(), expected);
        }
        let deep = Image::new(1, 1, PixelFormat::Rgba16, vec![1; 8]).unwrap();
        let canvas = with_bars(&deep, &between_bars(), RED, PixelFormat::Rgba16).unwrap();
        assert_eq!(canvas.data()[..8], [255, 255, 0, 0, 0, 0, 255, 255]);
        assert_eq!(canvas.data()[8..16], [1; 8]);
    }

    #[test]
    fn a_background_shows_through_what_is_transparent() {
        let data = vec![0, 0, 200, 0, 0, 0, 200, 128, 0, 0, 200, 255];
        let mut image = Image::new(3, 1, PixelFormat::Rgba8, data).unwrap();
        flatten(&mut image, RED);
        assert_eq!(image.data(), [255, 0, 0, 255, 127, 0, 100, 255, 0, 0, 200, 255]);
        let mut deep = Image::new(1, 1, PixelFormat::Rgba16, vec![0; 8]).unwrap();
        flatten(&mut deep, RED);
        assert_eq!(deep.data(), [255, 255, 0, 0, 0, 0, 255, 255]);
    }
}
