//! What written bitmaps have in common: the header that all of them begin with, and rows from the bottom up.

use imgserve_sdk::{ImageRef, PixelFormat};

use super::INFO;

/// What stands in a header of Windows 3.
pub(in super::super) struct Info {
    /// Bytes of it and of what is longer.
    pub(in super::super) length: u32,
    /// Width and height as the header has them: an icon's height counts its mask.
    pub(in super::super) size: (u32, u32),
    pub(in super::super) bits: u16,
    /// 0 for plain pixels, 3 where masks say which of their bits are what.
    pub(in super::super) compression: u32,
    /// Of the pixels.
    pub(in super::super) bytes: u32,
}

impl Info {
    /// Its first 40 bytes.
    pub(in super::super) fn bytes(&self) -> [u8; INFO] {
        let mut header = [0; INFO];
        let mut put = |at: usize, value: &[u8]| header[at..at + value.len()].copy_from_slice(value);
        put(0, &self.length.to_le_bytes());
        put(4, &self.size.0.to_le_bytes());
        put(8, &self.size.1.to_le_bytes());
        put(12, &1_u16.to_le_bytes());
        put(14, &self.bits.to_le_bytes());
        put(16, &self.compression.to_le_bytes());
        put(20, &self.bytes.to_le_bytes());
        header
    }
}

/// Bytes of a picture's rows; each has whole groups of four.
pub(in super::super) fn rows_bytes((width, height): (u32, u32), bits: u16) -> u64 {
    (u64::from(width) * u64::from(bits)).div_ceil(32) * 4 * u64::from(height)
}

/// Appends the pixels of `Rgb8` or `Rgba8`: the lowest row first, of each pixel blue, green, red and alpha.
pub(in super::super) fn append_rows(file: &mut Vec<u8>, image: ImageRef<'_>) {
    let bytes = image.format().bytes_per_pixel();
    let padding = (4 - image.width() as usize * bytes % 4) % 4;
    for row in image.data().chunks_exact(image.width() as usize * bytes).rev() {
        if image.format() == PixelFormat::Rgba8 {
            file.extend(row.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, a]| [b, g, r, a]));
        } else {
            file.extend(row.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [b, g, r]));
        }
        file.extend(&[0; 3][..padding]);
    }
}
