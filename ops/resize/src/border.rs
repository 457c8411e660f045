//! `trim`: where a picture ends and a border of one colour begins.

use imgserve_sdk::{ImageRef, PixelFormat, Rect};

/// The part of `part` (in pixels of `image`, whole ones) that is left when the border is cut off whose colours differ from
/// its top left corner's by at most so much of 255; all of it, where nothing else is in it.
pub(crate) fn without(image: ImageRef<'_>, part: Rect, threshold: f64) -> Rect {
    let border = Border::new(image, part, threshold);
    let (left, right) = (part.x as usize, (part.x + part.width) as usize);
    let (top, bottom) = (part.y as usize, (part.y + part.height) as usize);
    let row_differs = |y: &usize| (left..right).any(|x| border.differs(x, *y));
    let Some(first_row) = (top..bottom).find(row_differs) else { return part };
    let last_row = (first_row..bottom).rev().find(row_differs).unwrap_or(first_row);
    let column_differs = |x: &usize| (first_row..=last_row).any(|y| border.differs(*x, y));
    let first_column = (left..right).find(column_differs).unwrap_or(left);
    let last_column = (first_column..right).rev().find(column_differs).unwrap_or(right - 1);
    Rect {
        x: first_column as f64,
        y: first_row as f64,
        width: (last_column + 1 - first_column) as f64,
        height: (last_row + 1 - first_row) as f64,
    }
}

struct Border<'i> {
    image: ImageRef<'i>,
    color: [f32; 4],
    threshold: f32,
}

impl<'i> Border<'i> {
    fn new(image: ImageRef<'i>, part: Rect, threshold: f64) -> Self {
        let color = pixel(image, part.x as usize, part.y as usize);
        Self { image, color, threshold: threshold as f32 }
    }

    fn differs(&self, x: usize, y: usize) -> bool {
        let found = pixel(self.image, x, y);
        found.iter().zip(self.color).any(|(one, other)| (one - other).abs() > self.threshold)
    }
}

/// A pixel's colour weighted by its alpha, and its alpha, 0 to 255: what is transparent is all alike.
fn pixel(image: ImageRef<'_>, x: usize, y: usize) -> [f32; 4] {
    let step = image.format().bytes_per_pixel();
    let bytes = &image.data()[(y * image.width() as usize + x) * step..][..step];
    let byte = |at: usize| f32::from(bytes[at]);
    let word = |at: usize| f32::from(u16::from_le_bytes([bytes[2 * at], bytes[2 * at + 1]])) / 257.0;
    let [red, green, blue, alpha] = match image.format() {
        PixelFormat::Gray8 => return [byte(0), byte(0), byte(0), 255.0],
        PixelFormat::Rgb8 => return [byte(0), byte(1), byte(2), 255.0],
        PixelFormat::Rgba8 => [byte(0), byte(1), byte(2), byte(3)],
        PixelFormat::Rgba16 => [word(0), word(1), word(2), word(3)],
    };
    let share = alpha / 255.0;
    [red * share, green * share, blue * share, alpha]
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::Image;

    use super::*;

    /// 20 × 10 of one pixel, with a part of another from (5, 3) on that is 8 × 4.
    fn framed(format: PixelFormat, border: &[u8], inside: &[u8]) -> Image {
        let pixels = (0..200).flat_map(|at| {
            let (x, y) = (at % 20, at / 20);
            let within = (5..13).contains(&x) && (3..7).contains(&y);
            if within { inside } else { border }.to_vec()
        });
        Image::new(20, 10, format, pixels.collect()).unwrap()
    }

    const WHOLE: Rect = Rect { x: 0.0, y: 0.0, width: 20.0, height: 10.0 };

    #[test]
    fn a_border_ends_where_its_colour_does() {
        let left = Rect { x: 5.0, y: 3.0, width: 8.0, height: 4.0 };
        for (format, border, inside) in [
            (PixelFormat::Gray8, vec![255], vec![7]),
            (PixelFormat::Rgb8, vec![255; 3], vec![255, 255, 240]),
            (PixelFormat::Rgba8, vec![9, 9, 9, 0], vec![9, 9, 9, 255]),
            (PixelFormat::Rgba16, vec![255; 8], vec![0, 0, 255, 255, 255, 255, 255, 255]),
        ] {
            let image = framed(format, &border, &inside);
            assert_eq!(without(image.as_ref(), WHOLE, 10.0), left, "{format:?}");
        }
        let faint = framed(PixelFormat::Gray8, &[255], &[250]);
        assert_eq!(without(faint.as_ref(), WHOLE, 10.0), WHOLE, "nothing else is in it");
        assert_eq!(without(faint.as_ref(), WHOLE, 4.0), left);
        let part = Rect { x: 2.0, y: 4.0, width: 6.0, height: 6.0 };
        let image = framed(PixelFormat::Gray8, &[255], &[7]);
        assert_eq!(without(image.as_ref(), part, 10.0), Rect { x: 5.0, y: 4.0, width: 3.0, height: 3.0 });
    }
}
