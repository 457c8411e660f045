//! From decoded pixels to those of the result, by fast_image_resize, the same for every decoder.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::{Pixels, Window};

/// A resampler that keeps its buffers.
#[derive(Debug, Default)]
pub struct Resampler {
    resizer: Resizer,
    pixels: Vec<u8>,
}

impl Resampler {
    /// The window of the decoded picture, brought to `size` by Lanczos3; red, green and blue bytes.
    ///
    /// # Errors
    /// What the library says.
    pub fn resample(&mut self, from: &Pixels<'_>, window: Window, size: (u32, u32)) -> Result<&[u8], String> {
        let view =
            ImageRef::new(from.width, from.height, from.data, PixelType::U8x3).map_err(|e| e.to_string())?;
        let left = (window.x - from.origin.0) * from.scale;
        let top = (window.y - from.origin.1) * from.scale;
        // A side that the scale does not divide has been rounded up: the window may not pass it by a rounding error.
        let width = (window.width * from.scale).min(f64::from(from.width) - left);
        let height = (window.height * from.scale).min(f64::from(from.height) - top);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
            .crop(left, top, width, height);
        self.pixels.resize(3 * size.0 as usize * size.1 as usize, 0);
        let mut target = Image::from_slice_u8(size.0, size.1, &mut self.pixels, PixelType::U8x3)
            .map_err(|error| error.to_string())?;
        self.resizer.resize(&view, &mut target, &options).map_err(|error| error.to_string())?;
        Ok(&self.pixels)
    }
}

/// What of a picture of size `source` fills `result`: centred from left to right, a third of the surplus off the top.
pub fn cover(source: (u32, u32), result: (u32, u32)) -> Window {
    let [(width, height), (wide, high)] = [source, result].map(|(a, b)| (f64::from(a), f64::from(b)));
    let scale = (wide / width).max(high / height);
    let (shown_width, shown_height) = (wide / scale, high / scale);
    Window {
        x: (width - shown_width) / 2.0,
        y: (height - shown_height) / 3.0,
        width: shown_width,
        height: shown_height,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_another_shape_keeps_the_upper_part() {
        assert_eq!(
            cover((3000, 2000), (200, 120)),
            Window { x: 0.0, y: 200.0 / 3.0, width: 3000.0, height: 1800.0 }
        );
        let tall = cover((3000, 2000), (100, 100));
        assert_eq!(tall, Window { x: 500.0, y: 0.0, width: 2000.0, height: 2000.0 });
    }

    #[test]
    fn the_place_of_a_pixel_does_not_depend_on_where_decoding_began() {
        // Levels that grow from left to right by 8 for each pixel.
        let row: Vec<u8> = (0..30u8).flat_map(|x| [8 * x; 3]).collect();
        let whole: Vec<u8> = row.repeat(4);
        let part: Vec<u8> = row[12..].repeat(4);
        let window = Window { x: 16.0, y: 0.0, width: 32.0, height: 8.0 };
        let at = |x: f64, data: &[u8]| {
            let width = data.len() as u32 / 12;
            let from = Pixels { width, height: 4, origin: (x, 0.0), scale: 0.5, data };
            Resampler::default().resample(&from, window, (8, 2)).unwrap().to_vec()
        };
        assert_eq!(at(0.0, &whole), at(8.0, &part));
    }
}
