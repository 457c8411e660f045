//! The colours of a picture, if they are few.

use imgserve_sdk::{ImageRef, PixelFormat};

/// As many colours as a palette has, in every format that has palettes.
pub(crate) const MAX_COLORS: usize = 256;
/// Places of the table of colours: four for each, so that most are found at once.
const PLACES: usize = 4 * MAX_COLORS;

/// The colours of a picture, and which of them each pixel has.
pub(crate) struct Palette {
    /// RGBA, in the order in which the picture shows them.
    pub colors: Vec<[u8; 4]>,
    /// A colour's number for each pixel.
    pub numbers: Vec<u8>,
}

impl Palette {
    /// `None` when there are more than `most` colours (2 to 256), and for 16-bit pixels. Photographs show theirs within
    /// few pixels, so that looking costs next to nothing where nothing is gained.
    pub(crate) fn of(image: ImageRef<'_>, most: usize) -> Option<Self> {
        let data = image.data();
        match image.format() {
            PixelFormat::Gray8 => Self::collect(data.iter().map(|&gray| [gray, gray, gray, 255]), most),
            PixelFormat::Rgb8 => {
                Self::collect(data.as_chunks().0.iter().map(|&[r, g, b]| [r, g, b, 255]), most)
            }
            PixelFormat::Rgba8 => Self::collect(data.as_chunks().0.iter().copied(), most),
            PixelFormat::Rgba16 => None,
        }
    }

    /// The same for RGBA pixels.
    pub(crate) fn collect(pixels: impl Iterator<Item = [u8; 4]>, most: usize) -> Option<Self> {
        let mut colors = Colors { list: Vec::new(), places: [None; PLACES], most };
        let mut numbers = Vec::new();
        let mut last = None;
        for pixel in pixels {
            let number = match last {
                Some((color, number)) if color == pixel => number,
                _ => colors.number(pixel)?,
            };
            last = Some((pixel, number));
            numbers.push(number);
        }
        Some(Self { colors: colors.list, numbers })
    }

    /// Puts those colours first for which `is_first` is true, and leaves the order as it is otherwise.
    pub(crate) fn put_first(&mut self, is_first: impl Fn([u8; 4]) -> bool) {
        let mut order: Vec<usize> = (0..self.colors.len()).collect();
        order.sort_by_key(|&number| !is_first(self.colors[number]));
        if order.is_sorted() {
            return;
        }
        let mut renamed = [0; MAX_COLORS];
        for (new, &old) in order.iter().enumerate() {
            renamed[old] = new as u8;
        }
        self.colors = order.iter().map(|&number| self.colors[number]).collect();
        self.numbers.iter_mut().for_each(|number| *number = renamed[usize::from(*number)]);
    }
}

/// Colours as they are met.
struct Colors {
    list: Vec<[u8; 4]>,
    /// The number of a colour, at the place that its hash gives or the next free one.
    places: [Option<u8>; PLACES],
    most: usize,
}

impl Colors {
    /// `None` when there is no room for another colour.
    fn number(&mut self, color: [u8; 4]) -> Option<u8> {
        // Knuth's multiplier; the highest ten bits are the best mixed.
        let mut place = u32::from_le_bytes(color).wrapping_mul(0x9E37_79B1) as usize >> 22;
        while let Some(number) = self.places[place] {
            if self.list[usize::from(number)] == color {
                return Some(number);
            }
            place = (place + 1) % PLACES;
        }
        let number = u8::try_from(self.list.len()).ok().filter(|_| self.list.len() < self.most)?;
        self.places[place] = Some(number);
        self.list.push(color);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_256_colours_are_found_and_the_next_is_one_too_many() {
        let color = |at: u32| [at as u8, (at >> 8) as u8, 7, 255];
        let pixels = || (0..5000_u32).map(|at| color(at * at % 256));
        let palette = Palette::collect((0..256).map(color).chain(pixels()), 256).unwrap();
        assert_eq!(palette.colors.len(), 256);
        let shown = palette.numbers[256..].iter().map(|&number| palette.colors[usize::from(number)]);
        assert!(shown.eq(pixels()));
        assert!(Palette::collect((0..257).map(color), 256).is_none());
        assert!(Palette::collect((0..3).map(color), 2).is_none());
    }

    #[test]
    fn what_is_put_first_is_renamed() {
        let [a, b, c] = [[1, 1, 1, 255], [2, 2, 2, 0], [3, 3, 3, 9]];
        let mut palette = Palette::collect([a, b, a, c, b].into_iter(), 256).unwrap();
        palette.put_first(|color| color[3] != 255);
        assert_eq!((&palette.colors[..], &palette.numbers[..]), (&[b, c, a][..], &[2, 0, 2, 1, 0][..]));
    }
}
