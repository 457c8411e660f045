//! Windows' and OS/2's device-independent bitmaps, which stand in BMP files and in icons: the header that all kinds of them begin
//! with. `pixels` reads what follows, `colors` says what they mean, `write` is for those that are written.

mod colors;
mod pixels;
#[cfg(test)]
mod tests;
mod write;

use imgserve_base::format::Format;
use imgserve_base::units::MIB;
use imgserve_sdk::PixelFormat;

use crate::error::CodecError;
use crate::header::{Cost, Header};
use crate::orientation::Orientation;
pub(super) use pixels::Pixels;
pub(super) use write::{Info, append_rows, rows_bytes};

/// Bytes of the header that Windows 3 has; what is longer has the same at its beginning.
const INFO: usize = 40;
/// Of OS/2 1 and Windows 2, whose sides are words.
const CORE: usize = 12;
/// Of OS/2 2 in full, whose numbers of compressions mean other ones.
const OS2: usize = 64;

/// A bitmap, known from its header.
pub(super) struct Dib<'a> {
    format: Format,
    /// From the header on.
    bytes: &'a [u8],
    pub(super) size: (u32, u32),
    top_down: bool,
    pub(super) bits: u32,
    coding: Coding,
    /// Which bits of a pixel are red, green, blue and alpha.
    masks: [u32; 4],
    /// Where the colours begin, bytes of one, and how many there are said to be.
    colors: (usize, usize, usize),
    /// Where the pixels begin.
    data: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Plain,
    /// In runs, of pixels of 4, 8 or 24 bits.
    Runs,
}

impl<'a> Dib<'a> {
    /// Of the bytes from its header on; `data`: where the file says that its pixels begin, counted from there. None while there
    /// are too few bytes.
    pub(super) fn read(
        format: Format,
        bytes: &'a [u8],
        data: Option<usize>,
    ) -> Result<Option<Self>, CodecError> {
        let malformed = |text: &str| CodecError::malformed(format, text);
        let unsupported = |text: &str| Err(CodecError::unsupported(format, text));
        let Some(length) = long(bytes, 0) else { return Ok(None) };
        let length = length as usize;
        if length > 1 << 16 || length != CORE && length < 16 {
            return Err(malformed("a header of a length that none has"));
        }
        let Some(head) = bytes.get(..length) else { return Ok(None) };
        let (width, height, bits) = if length == CORE {
            let word = |at| i64::from(short(head, at).unwrap_or(0));
            (word(4), word(6), word(10))
        } else {
            let side = |at| i64::from(long(head, at).unwrap_or(0) as i32);
            (side(4), side(8), i64::from(short(head, 14).unwrap_or(0)))
        };
        let side = |side: i64| u32::try_from(side.abs()).ok().filter(|&side| side > 0);
        let size = side(width).filter(|_| width > 0).zip(side(height));
        let size = size.ok_or_else(|| malformed("a picture without area"))?;
        // Beyond the end of a short header there is nothing: zeros.
        let field = |at| long(head, at).unwrap_or(0);
        let (coding, masked) = match (field(16), bits) {
            (0, _) => (Coding::Plain, false),
            (1, 8) | (2, 4) => (Coding::Runs, false),
            (4, 24) if length == OS2 => (Coding::Runs, false),
            (3, 1) if length == OS2 => return unsupported("Huffman coding"),
            (3 | 6, 16 | 32) => (Coding::Plain, true),
            (4, _) => return unsupported("a JPEG within it"),
            (5, _) => return unsupported("a PNG within it"),
            (11..=13, _) => return unsupported("inks"),
            (other, bits) => return unsupported(&format!("compression {other} of {bits} bits")),
        };
        if !matches!(bits, 1 | 2 | 4 | 8 | 16 | 24 | 32) {
            return unsupported(&format!("pixels of {bits} bits"));
        }
        // Masks stand in the longer headers, and behind the shorter ones.
        let outside = if masked && length < 52 { if field(16) == 6 { 16 } else { 12 } } else { 0 };
        let masks = if masked {
            let Some(_) = bytes.get(INFO..INFO + 12) else { return Ok(None) };
            let alpha = if length >= 56 || outside == 16 { long(bytes, INFO + 12) } else { Some(0) };
            let Some(alpha) = alpha else { return Ok(None) };
            let mask = |index: usize| long(bytes, INFO + 4 * index).unwrap_or(0);
            [mask(0), mask(1), mask(2), alpha]
        } else if bits == 16 {
            [0x7C00, 0x03E0, 0x001F, 0]
        } else {
            [0xFF_0000, 0xFF00, 0xFF, 0]
        };
        let bits = bits as u32;
        let most = if bits <= 8 { 1 << bits } else { 0 };
        let count = match field(32) as usize {
            0 => most,
            count => count.min(256),
        };
        let (at, entry) = (length + outside, if length == CORE { 3 } else { 4 });
        let behind = at + entry * count;
        // Photoshop named the place of the palette as that of the pixels.
        let data = data.filter(|&data| data > at || data == at && bits > 8).unwrap_or(behind);
        let colors = (at, entry, count.min(most));
        Ok(Some(Self { format, bytes, size, top_down: height < 0, bits, coding, masks, colors, data }))
    }

    /// Whether there is alpha by the header's masks.
    pub(super) fn has_alpha(&self) -> bool {
        self.masks[3] != 0
    }

    /// What is known before the pixels are read.
    pub(super) fn header(&self, pixels: PixelFormat) -> Header {
        let mut header = Header::still(self.format, self.size, Orientation::UPRIGHT, pixels);
        // The picture and what runs are unpacked into.
        let fixed = header.cost.fixed.saturating_mul(2).saturating_add(2 * MIB);
        header.cost = Cost { fixed, scaled: 0 };
        header
    }

    /// Bytes of a row of so many bits a pixel: whole groups of four.
    fn stride(&self, bits: u32) -> usize {
        (self.size.0 as usize * bits as usize).div_ceil(32) * 4
    }
}

pub(super) fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

pub(super) fn long(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}
