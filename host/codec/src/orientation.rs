//! The eight ways a picture can lie in its file (EXIF 2.32, tag 0x0112): reading the tag, turning pixels upright,
//! and where a decoded picture then stands in the upright source.

use exif::{Error, In, Reader, Tag};
use imgserve_jpeg::Region;
use imgserve_sdk::{Image, Rect, Window};

use crate::part::Part;

/// How the rows and columns of the file lie in the picture as shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orientation {
    /// First, rows become columns.
    pub transpose: bool,
    /// Then, left and right change places.
    pub flip_x: bool,
    /// And top and bottom.
    pub flip_y: bool,
}

impl Orientation {
    /// As it lies in the file.
    pub const UPRIGHT: Self = Self { transpose: false, flip_x: false, flip_y: false };

    /// The meaning of the tag's value, 1 to 8; anything else counts as 1.
    pub fn from_exif(value: u32) -> Self {
        let (transpose, flip_x, flip_y) = match value {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self { transpose, flip_x, flip_y }
    }

    /// The orientation that an EXIF block (from its TIFF header on) names. A broken block counts as upright:
    /// cameras and editors write many, and none is a reason to refuse the picture.
    pub(crate) fn from_exif_block(block: &[u8]) -> Self {
        // JPEG requires this prefix; some writers of WebP and PNG put it there too.
        let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        let mut reader = Reader::new();
        reader.continue_on_error(true);
        let exif = match reader.read_raw(block.to_vec()) {
            Ok(exif) => exif,
            Err(Error::PartialResult(partial)) => partial.into_inner().0,
            Err(_) => return Self::UPRIGHT,
        };
        let tag = exif.get_field(Tag::Orientation, In::PRIMARY).and_then(|field| field.value.get_uint(0));
        tag.map_or(Self::UPRIGHT, Self::from_exif)
    }

    /// The size as shown of a picture that lies as `width` × `height` in its file; and the other way round.
    pub fn turn_size(self, width: u32, height: u32) -> (u32, u32) {
        if self.transpose { (height, width) } else { (width, height) }
    }

    /// Where a decoded part of the picture stands in an upright source of `source` size as shown.
    ///
    /// A scaled decoder rounds sizes up at the file's right and bottom edge. Where these are the shown left and
    /// top edge the picture begins that much before the source: a negative offset.
    pub(crate) fn window(self, source: (u32, u32), part: &Part) -> Window {
        let Region { x, y, width, height } = part.pixels;
        let (across, down) = ((x, width), (y, height));
        let (across, down) = if self.transpose { (down, across) } else { (across, down) };
        let offset = |flipped: bool, source: u32, (start, length): (u32, u32)| {
            let (start, end) = (f64::from(start) / part.scale, f64::from(start + length) / part.scale);
            if flipped { f64::from(source) - end } else { start }
        };
        let (x, y) = (offset(self.flip_x, source.0, across), offset(self.flip_y, source.1, down));
        Window { x, y, scale: part.scale }
    }

    /// Where a part of an upright source of `source` size as shown lies in the file.
    pub(crate) fn to_coded(self, shown: Rect, source: (u32, u32)) -> Rect {
        let Rect { x, y, width, height } = shown;
        let x = if self.flip_x { f64::from(source.0) - x - width } else { x };
        let y = if self.flip_y { f64::from(source.1) - y - height } else { y };
        if self.transpose {
            Rect { x: y, y: x, width: height, height: width }
        } else {
            Rect { x, y, width, height }
        }
    }

    /// The picture as shown.
    pub(crate) fn upright(self, image: Image) -> Image {
        if self == Self::UPRIGHT {
            return image;
        }
        let (width, height) = (image.width(), image.height());
        let data = match image.format().bytes_per_pixel() {
            1 => self.turn::<1>(image.data(), width, height),
            3 => self.turn::<3>(image.data(), width, height),
            4 => self.turn::<4>(image.data(), width, height),
            _ => self.turn::<8>(image.data(), width, height),
        };
        let (width, height) = self.turn_size(width, height);
        Image::new(width, height, image.format(), data).expect("turning keeps the number of pixels")
    }

    /// Goes in tiles, because a transposed walk by rows misses the cache at each pixel.
    fn turn<const N: usize>(self, data: &[u8], width: u32, height: u32) -> Vec<u8> {
        const TILE: usize = 32;
        let (from, _) = data.as_chunks::<N>();
        let mut turned = vec![0; data.len()];
        let (to, _) = turned.as_chunks_mut::<N>();
        let (from_width, (width, height)) = (width as usize, self.turn_size(width, height));
        let (width, height) = (width as usize, height as usize);
        for (top, left) in
            (0..height).step_by(TILE).flat_map(|y| (0..width).step_by(TILE).map(move |x| (y, x)))
        {
            for y in top..height.min(top + TILE) {
                let flipped_y = if self.flip_y { height - 1 - y } else { y };
                for x in left..width.min(left + TILE) {
                    let flipped_x = if self.flip_x { width - 1 - x } else { x };
                    let (column, row) =
                        if self.transpose { (flipped_y, flipped_x) } else { (flipped_x, flipped_y) };
                    to[y * width + x] = from[row * from_width + column];
                }
            }
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::PixelFormat;

    use super::*;

    /// 2×3, read row by row: 1 2 / 3 4 / 5 6.
    fn turned(tag: u32) -> (u32, Vec<u8>) {
        let image = Image::new(2, 3, PixelFormat::Gray8, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let image = Orientation::from_exif(tag).upright(image);
        (image.width(), image.into_data())
    }

    #[test]
    fn the_eight_orientations_are_those_of_the_specification() {
        assert_eq!(turned(1), (2, vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(turned(2), (2, vec![2, 1, 4, 3, 6, 5]));
        assert_eq!(turned(3), (2, vec![6, 5, 4, 3, 2, 1]));
        assert_eq!(turned(4), (2, vec![5, 6, 3, 4, 1, 2]));
        assert_eq!(turned(5), (3, vec![1, 3, 5, 2, 4, 6]));
        assert_eq!(turned(6), (3, vec![5, 3, 1, 6, 4, 2]));
        assert_eq!(turned(7), (3, vec![6, 4, 2, 5, 3, 1]));
        assert_eq!(turned(8), (3, vec![2, 4, 6, 1, 3, 5]));
    }

    #[test]
    fn padding_at_a_flipped_edge_moves_the_window_before_the_source() {
        // 9 columns at 1/8 decode to 2, of which the second is mostly padding.
        let part = Part { scale: 0.125, pixels: Region { x: 0, y: 0, width: 2, height: 2 } };
        let upright = Orientation::UPRIGHT.window((9, 16), &part);
        assert_eq!((upright.x, upright.y), (0.0, 0.0));
        let mirrored = Orientation::from_exif(2).window((9, 16), &part);
        assert_eq!((mirrored.x, mirrored.y), (-7.0, 0.0));
    }

    #[test]
    fn a_broken_exif_block_counts_as_upright() {
        for block in [&b""[..], b"II*\0", b"garbage in any amount", b"MM\0*\0\0\0\x08\xFF\xFF"] {
            assert_eq!(Orientation::from_exif_block(block), Orientation::UPRIGHT);
        }
    }
}
