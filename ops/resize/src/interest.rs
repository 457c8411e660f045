//! Which part of a small picture is the most interesting one. In whole numbers, so that every build chooses the same. The
//! file is also the example plugin `smartcrop`'s, which frames its subjects closer.

use imgserve_sdk::{Image, Rect};

/// The longest side of the picture looked at, in pixels.
pub(crate) const SIDE: u32 = 256;

/// The best part of a source of `full` width and height, of which `image` (rgb8 or rgba8) shows all: as large as
/// `largest`, or smaller, down to `smallest` times that.
pub(crate) fn best(image: &Image, full: (f64, f64), largest: (f64, f64), smallest: f64) -> Rect {
    let sums = sums(image);
    let (all_columns, all_rows) = (image.width() as usize, image.height() as usize);
    let at = |x: usize, y: usize| sums[y * (all_columns + 1) + x];
    let sum = |x, y, w, h| at(x + w, y + h) + at(x, y) - at(x + w, y) - at(x, y + h);
    let mut best = (0, Rect { x: 0.0, y: 0.0, width: largest.0, height: largest.1 });
    let sizes = if smallest < 1.0 { 5 } else { 0 };
    for step in 0..=sizes {
        let size = 1.0 - (1.0 - smallest) * f64::from(step) / f64::from(sizes.max(1));
        let (width, height) = (largest.0 * size, largest.1 * size);
        let pixels = |share: f64, all: usize| ((share * all as f64).round() as usize).clamp(1, all);
        let (columns, rows) = (pixels(width / full.0, all_columns), pixels(height / full.1, all_rows));
        let (free_columns, free_rows) = (all_columns - columns, all_rows - rows);
        for (y, x) in (0..=free_rows).flat_map(|y| (0..=free_columns).map(move |x| (y, x))) {
            // What is shown, the inner part three times, for the length of the sides: a smaller part is better only
            // where it loses little.
            let inner = sum(x + columns / 6, y + rows / 6, columns - columns / 6 * 2, rows - rows / 6 * 2);
            let score = (sum(x, y, columns, rows) + 2 * inner) * 1000 / (columns + rows) as u64;
            if score > best.0 {
                let x = (full.0 - width) * x as f64 / free_columns.max(1) as f64;
                let y = (full.1 - height) * y as f64 / free_rows.max(1) as f64;
                best = (score, Rect { x, y, width, height });
            }
        }
    }
    best.1
}

/// For each point of the grid between pixels, the interest of all pixels above and left of it.
fn sums(image: &Image) -> Vec<u64> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let step = image.format().bytes_per_pixel();
    let pixel = |x: usize, y: usize| {
        let bytes = &image.data()[(y.min(height - 1) * width + x.min(width - 1)) * step..][..step];
        [bytes[0], bytes[1], bytes[2], *bytes.get(3).unwrap_or(&255)].map(u32::from)
    };
    let luma = |x, y| 54 * pixel(x, y)[0] + 183 * pixel(x, y)[1] + 19 * pixel(x, y)[2];
    let mut sums = vec![0; (width + 1) * (height + 1)];
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let (left, above) = (x.saturating_sub(1), y.saturating_sub(1));
        let around = luma(left, y) + luma(x + 1, y) + luma(x, above) + luma(x, y + 1);
        // A strong edge counts no more than a clear one, lest lettering and foliage outweigh faces.
        let edge = ((4 * luma(x, y)).abs_diff(around) >> 8).min(60);
        // The middle counts a little by itself, which decides where there is nothing to see.
        let off = (2 * x + 1).abs_diff(width) * 8 / width + (2 * y + 1).abs_diff(height) * 8 / height;
        let here = u64::from(interest(pixel(x, y), edge)) + (16 - off) as u64;
        let at = (y + 1) * (width + 1) + x + 1;
        sums[at] = here + sums[at - 1] + sums[at - 1 - width] - sums[at - 2 - width];
    }
    sums
}

/// The interest of one pixel whose brightness differs from its neighbours' by `edge`. The weights are near those of
/// smartcrop.js.
fn interest([red, green, blue, alpha]: [u32; 4], edge: u32) -> u32 {
    // The cosine between the colour and that of skin, (78, 57, 44) of length 106, in 1/4096.
    let length = (red * red + green * green + blue * blue).isqrt().max(1);
    let likeness = ((78 * red + 57 * green + 44 * blue) << 12) / (106 * length);
    let skin = if length > 88 { likeness.saturating_sub(4014).min(82) * 255 / 82 } else { 0 };
    let vivid = (red.max(green).max(blue) - red.min(green).min(blue)).saturating_sub(80);
    (2 * edge * 255 + 18 * skin * (edge + 12) + vivid * (edge + 51)) / 255 * alpha / 255
}
