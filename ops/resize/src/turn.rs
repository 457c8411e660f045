//! Quarter turns and mirrors: where a part of the turned picture lies in the picture as it was, and the turned pixels.

use imgserve_sdk::{Error, Image, PixelFormat, Rect};

use crate::geometry::Size;

/// Quarter turns clockwise, and then mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// 0 to 3.
    pub(crate) quarters: u8,
    /// Left becomes right.
    pub(crate) across: bool,
    /// Top becomes bottom.
    pub(crate) down: bool,
}

impl Turn {
    /// Whether width becomes height.
    pub(crate) fn swaps(self) -> bool {
        self.quarters % 2 == 1
    }

    /// The size that a picture of `size` has when it is turned; and the other way round.
    pub(crate) fn size(self, size: Size) -> Size {
        match self.swaps() {
            true => Size { width: size.height, height: size.width },
            false => size,
        }
    }

    /// Where a part of the turned picture lies in the picture as it was, which has this size.
    pub(crate) fn to_source(self, part: Rect, source: Size) -> Rect {
        let turned = self.size(source);
        let (width, height) = (f64::from(source.width), f64::from(source.height));
        let x = if self.across { f64::from(turned.width) - part.x - part.width } else { part.x };
        let y = if self.down { f64::from(turned.height) - part.y - part.height } else { part.y };
        let Rect { width: across, height: down, .. } = part;
        match self.quarters {
            1 => Rect { x: y, y: height - x - across, width: down, height: across },
            2 => Rect { x: width - x - across, y: height - y - down, width: across, height: down },
            3 => Rect { x: width - y - down, y: x, width: down, height: across },
            _ => Rect { x, y, width: across, height: down },
        }
    }

    /// The turned picture.
    pub(crate) fn apply(self, image: Image) -> Result<Image, Error> {
        if self == Self::default() {
            return Ok(image);
        }
        let source = Size { width: image.width(), height: image.height() };
        let turned = self.size(source);
        let mut output = Image::zeroed(turned.width, turned.height, image.format())?;
        let (from, to) = (image.data(), turned);
        match image.format() {
            PixelFormat::Gray8 => self.copy::<1>(from, source, output.data_mut(), to),
            PixelFormat::Rgb8 => self.copy::<3>(from, source, output.data_mut(), to),
            PixelFormat::Rgba8 => self.copy::<4>(from, source, output.data_mut(), to),
            PixelFormat::Rgba16 => self.copy::<8>(from, source, output.data_mut(), to),
        }
        Ok(output)
    }

    fn copy<const N: usize>(self, from: &[u8], source: Size, to: &mut [u8], turned: Size) {
        let (pixels, width) = (from.as_chunks::<N>().0, source.width as usize);
        let rows = to.as_chunks_mut::<N>().0.chunks_exact_mut(turned.width as usize);
        for (y, row) in rows.enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let (x, y) = self.source_of((x, y), source, turned);
                *pixel = pixels[y * width + x];
            }
        }
    }

    /// The pixel that comes to stand at a place of the turned picture.
    #[inline(always)]
    fn source_of(self, (x, y): (usize, usize), source: Size, turned: Size) -> (usize, usize) {
        let x = if self.across { turned.width as usize - 1 - x } else { x };
        let y = if self.down { turned.height as usize - 1 - y } else { y };
        let (right, bottom) = (source.width as usize - 1, source.height as usize - 1);
        match self.quarters {
            1 => (y, bottom - x),
            2 => (right - x, bottom - y),
            3 => (right - y, x),
            _ => (x, y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(quarters: u8, across: bool, down: bool) -> Turn {
        Turn { quarters, across, down }
    }

    /// 3 × 2: 1 2 3 above 4 5 6.
    fn picture() -> Image {
        Image::new(3, 2, PixelFormat::Gray8, vec![1, 2, 3, 4, 5, 6]).unwrap()
    }

    #[test]
    fn pixels_go_where_a_turn_puts_them() {
        for (turn, size, pixels) in [
            (turn(0, false, false), (3, 2), [1, 2, 3, 4, 5, 6]),
            (turn(1, false, false), (2, 3), [4, 1, 5, 2, 6, 3]),
            (turn(2, false, false), (3, 2), [6, 5, 4, 3, 2, 1]),
            (turn(3, false, false), (2, 3), [3, 6, 2, 5, 1, 4]),
            (turn(0, true, false), (3, 2), [3, 2, 1, 6, 5, 4]),
            (turn(0, false, true), (3, 2), [4, 5, 6, 1, 2, 3]),
            (turn(1, true, false), (2, 3), [1, 4, 2, 5, 3, 6]),
        ] {
            let turned = turn.apply(picture()).unwrap();
            assert_eq!(((turned.width(), turned.height()), turned.data()), (size, &pixels[..]), "{turn:?}");
        }
    }

    #[test]
    fn a_part_lies_where_its_pixels_come_from() {
        let source = Size { width: 3, height: 2 };
        for quarters in 0..4 {
            for (across, down) in [(false, false), (true, false), (false, true), (true, true)] {
                let turn = turn(quarters, across, down);
                let (size, turned) = (turn.size(source), turn.apply(picture()).unwrap());
                for (y, x) in (0..size.height).flat_map(|y| (0..size.width).map(move |x| (y, x))) {
                    let part =
                        turn.to_source(Rect { x: x.into(), y: y.into(), width: 1.0, height: 1.0 }, source);
                    let from = picture().data()[part.y as usize * 3 + part.x as usize];
                    let to = turned.data()[(y * size.width + x) as usize];
                    assert_eq!(from, to, "{turn:?} at {x}, {y}");
                }
            }
        }
    }
}
