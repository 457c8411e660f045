//! Pictures in a terminal: each character cell shows two pixels, one above the other, as an upper half block (▀) in two
//! colours.

use imgserve_sdk::Image;

/// How a terminal is told colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colors {
    /// 24 bits.
    True,
    /// The palette of 256: a cube of 6 × 6 × 6 and 24 grays.
    Palette,
}

/// A drawn picture: lines of the same visible width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drawing {
    pub(super) columns: usize,
    pub(super) lines: Vec<String>,
}

/// Draws straight RGBA `image` into at most `columns` × `rows` cells.
pub(super) fn draw(image: &Image, columns: u32, rows: u32, colors: Colors) -> Drawing {
    let (width, height) = (image.width().max(1), image.height().max(1));
    let scale = (f64::from(columns) / f64::from(width)).min(f64::from(rows * 2) / f64::from(height)).min(1.0);
    let columns = ((f64::from(width) * scale).round() as u32).max(1);
    let rows = ((f64::from(height) * scale / 2.0).round() as u32).max(1);
    let lines = (0..rows).map(|row| {
        let cells = (0..columns).map(|column| {
            let [upper, lower] =
                [2 * row, 2 * row + 1].map(|y| pixel(image, (column, y), (columns, rows * 2)));
            format!("\x1b[38;{};48;{}m▀", code(upper, colors), code(lower, colors))
        });
        cells.collect::<String>() + "\x1b[0m"
    });
    Drawing { columns: columns as usize, lines: lines.collect() }
}

/// Lines of two drawings beside each other.
pub(super) fn beside(left: &Drawing, right: &Drawing, gap: usize) -> Vec<String> {
    let blank = " ".repeat(left.columns);
    (0..left.lines.len().max(right.lines.len()))
        .map(|i| {
            let left = left.lines.get(i).unwrap_or(&blank);
            let right = right.lines.get(i).map_or("", String::as_str);
            format!("{left}{:gap$}{right}", "")
        })
        .collect()
}

/// The mean colour of one cell of a `grid` laid over the image; what is transparent shows a chequerboard.
fn pixel(image: &Image, at: (u32, u32), grid: (u32, u32)) -> [u8; 3] {
    let edge = |i: u32, n: u32, length: u32| (u64::from(i) * u64::from(length) / u64::from(n)) as u32;
    let (left, top) = (edge(at.0, grid.0, image.width()), edge(at.1, grid.1, image.height()));
    let right = edge(at.0 + 1, grid.0, image.width()).max(left + 1);
    let bottom = edge(at.1 + 1, grid.1, image.height()).max(top + 1);
    let board = if (at.0 / 2 + at.1 / 2).is_multiple_of(2) { 96 } else { 128 };
    let mut sum = [0_u64; 3];
    let (pixels, _) = image.data().as_chunks::<4>();
    for y in top..bottom {
        let start = (y * image.width()) as usize;
        for &[r, g, b, a] in &pixels[start + left as usize..start + right as usize] {
            let over = |value: u8| u64::from(value) * u64::from(a) + board * u64::from(255 - a);
            [r, g, b].into_iter().zip(&mut sum).for_each(|(value, sum)| *sum += over(value));
        }
    }
    let count = u64::from((right - left) * (bottom - top)) * 255;
    sum.map(|value| ((value + count / 2) / count) as u8)
}

/// What follows `38;` or `48;` in an SGR sequence (ISO 8613-6).
fn code([r, g, b]: [u8; 3], colors: Colors) -> String {
    match colors {
        Colors::True => format!("2;{r};{g};{b}"),
        Colors::Palette => format!("5;{}", palette([r, g, b])),
    }
}

/// The nearest colour of the palette: of the cube, or of the grays for what is nearly gray.
fn palette(color: [u8; 3]) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let level = color.map(|value| (0..6).min_by_key(|&i| LEVELS[i].abs_diff(value)).unwrap_or(0));
    let mean = color.iter().map(|&value| u32::from(value)).sum::<u32>() / 3;
    let gray = (mean.saturating_sub(3) / 10).min(23) as u8;
    let off = |other: [u8; 3]| -> u32 {
        color.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    };
    let spread = color.iter().max().zip(color.iter().min()).map_or(0, |(most, least)| most - least);
    // A nearer gray is still the worse choice for what has a hue.
    if spread < 20 && off([8 + 10 * gray; 3]) < off(level.map(|i| LEVELS[i])) {
        232 + gray
    } else {
        (16 + 36 * level[0] + 6 * level[1] + level[2]) as u8
    }
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::PixelFormat;

    use super::*;

    fn image(width: u32, height: u32, pixels: &[[u8; 4]]) -> Image {
        Image::new(width, height, PixelFormat::Rgba8, pixels.concat()).unwrap()
    }

    #[test]
    fn a_cell_shows_two_pixels_one_above_the_other() {
        let two = image(1, 2, &[[255, 0, 0, 255], [0, 0, 255, 255]]);
        let drawing = draw(&two, 40, 20, Colors::True);
        assert_eq!(drawing.lines, ["\x1b[38;2;255;0;0;48;2;0;0;255m▀\x1b[0m"]);
        assert_eq!(draw(&two, 40, 20, Colors::Palette).lines, ["\x1b[38;5;196;48;5;21m▀\x1b[0m"]);
    }

    #[test]
    fn a_picture_keeps_its_shape_within_its_bounds() {
        let wide = image(200, 100, &vec![[9, 9, 9, 255]; 20_000]);
        let drawing = draw(&wide, 40, 20, Colors::True);
        assert_eq!((drawing.columns, drawing.lines.len()), (40, 10));
        let low = draw(&wide, 40, 5, Colors::True);
        assert_eq!((low.columns, low.lines.len()), (20, 5));
        assert_eq!(beside(&low, &drawing, 2).len(), 10);
    }

    #[test]
    fn means_are_taken_and_transparency_shows_the_board() {
        let four = image(2, 2, &[[0; 4], [0; 4], [200, 100, 0, 255], [100, 100, 0, 255]]);
        assert_eq!(pixel(&four, (0, 0), (1, 2)), [96; 3]);
        assert_eq!(pixel(&four, (0, 1), (1, 2)), [150, 100, 0]);
    }

    #[test]
    fn grays_have_steps_of_their_own() {
        assert_eq!(palette([118, 118, 118]), 243);
        assert_eq!(palette([255, 255, 255]), 231);
        assert_eq!(palette([0, 0, 0]), 16);
    }
}
