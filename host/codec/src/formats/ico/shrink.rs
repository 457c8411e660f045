//! A picture made smaller, for the small sizes of icons: each pixel is the mean of those that it covers, weighted by their alpha.

use imgserve_sdk::{Image, PixelFormat};

/// The picture, of `Rgba8`, with a longest side of `side` pixels, which is less than it has.
pub(super) fn shrink(image: &Image, side: u32) -> Image {
    let longest = image.width().max(image.height());
    let shorter = |whole: u32| ((whole * side + longest / 2) / longest).max(1);
    let (width, height) = (shorter(image.width()), shorter(image.height()));
    let columns: Vec<_> = (0..width).map(|at| covered(at, width, image.width())).collect();
    let mut data = Vec::with_capacity(PixelFormat::Rgba8.bytes(width, height) as usize);
    for row in 0..height {
        let rows = covered(row, height, image.height());
        data.extend(columns.iter().flat_map(|columns| mean(image, &rows, columns)));
    }
    Image::new(width, height, PixelFormat::Rgba8, data).expect("a pixel was made for each place")
}

/// Which of `from` pixels in a row lie within the place `at` of `to`, and how much of each.
fn covered(at: u32, to: u32, from: u32) -> Vec<(usize, f32)> {
    let edge = |at: u32| at as f32 * from as f32 / to as f32;
    let (start, end) = (edge(at), edge(at + 1));
    let last = (end.ceil() as u32).min(from);
    (start as u32..last)
        .map(|pixel| (pixel as usize, end.min(pixel as f32 + 1.0) - start.max(pixel as f32)))
        .collect()
}

fn mean(image: &Image, rows: &[(usize, f32)], columns: &[(usize, f32)]) -> [u8; 4] {
    let pixels = image.data().as_chunks::<4>().0;
    let (mut color, mut alpha, mut area) = ([0.0; 3], 0.0, 0.0);
    for (row, height) in rows {
        for (column, width) in columns {
            let pixel = pixels[row * image.width() as usize + column];
            let covered = height * width;
            let weight = covered * f32::from(pixel[3]);
            color.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += weight * f32::from(value));
            alpha += weight;
            area += covered;
        }
    }
    let [r, g, b] = color.map(|sum| if alpha > 0.0 { (sum / alpha).round() as u8 } else { 0 });
    [r, g, b, (alpha / area).round() as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_pixels_lend_no_colour_and_the_aspect_is_kept() {
        let data = [[200, 100, 0, 255], [0, 0, 0, 0]].concat().repeat(20);
        let small = shrink(&Image::new(10, 4, PixelFormat::Rgba8, data).unwrap(), 5);
        assert_eq!((small.width(), small.height()), (5, 2));
        assert_eq!(small.data(), [200, 100, 0, 128].repeat(10));
        let flat = Image::new(255, 7, PixelFormat::Rgba8, [9, 8, 7, 6].repeat(255 * 7)).unwrap();
        assert_eq!(shrink(&flat, 16).data(), [9, 8, 7, 6].repeat(16));
    }
}
