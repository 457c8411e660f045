//! JPEG within TIFF (TIFF Technical Note 2): a strip or tile is a file without its tables, which stand once for all; and what
//! its colours are is said by TIFF, not by the file.

use std::cell::RefCell;

use imgserve_jpeg::{DecodeOptions, Scratch};

use super::directory::Trouble;
use super::layout::{Colors, Layout};
use super::samples::Picture;
use crate::codec::KEPT_BYTES;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Colours of three components come out as RGB; inks as TIFF has them, 255 the full ink.
pub(super) fn decode(file: &[u8], tables: Option<&[u8]>, layout: &Layout) -> Result<Picture, Trouble> {
    // What its colours are is written in front, as Adobe says it: 0 as they are, 1 YCbCr.
    let transform = u8::from(layout.colors == Colors::YCbCr);
    let adobe = [0xFF, 0xEE, 0, 14, b'A', b'd', b'o', b'b', b'e', 0, 100, 0, 0, 0, 0, transform];
    let mut whole = vec![0xFF, 0xD8];
    whole.extend_from_slice(&adobe);
    segments(tables.unwrap_or_default(), &mut whole);
    segments(file, &mut whole);

    let mut options = DecodeOptions::default();
    let (width, height) = layout.chunk;
    // It may be padded to whole blocks.
    options.max_pixels = u64::from(width.next_multiple_of(32)) * u64::from(height.next_multiple_of(32));
    let picture = SCRATCH.with_borrow_mut(|scratch| {
        let picture = imgserve_jpeg::decode(&whole, &options, scratch);
        scratch.release(KEPT_BYTES);
        picture
    });
    let picture = picture.map_err(|error| match error {
        imgserve_jpeg::DecodeError::Unsupported(what) => {
            Trouble::unsupported(format!("JPEG within it: {what}"))
        }
        error => Trouble::malformed(format!("the JPEG within it: {error}")),
    })?;
    let (width, height) = (picture.width as usize, picture.height as usize);
    let channels = picture.data.len() / (width * height);
    let damage = picture.damage.map(|damage| format!("the JPEG within it: {damage}"));
    Ok(Picture { width, data: picture.data, channels, damage })
}

/// The segments of a file without its first and last marker, and without those that say what its colours are; from the scan on
/// as it is.
fn segments(file: &[u8], out: &mut Vec<u8>) {
    let mut at = if file.starts_with(&[0xFF, 0xD8]) { 2 } else { 0 };
    while let Some(&[0xFF, marker, high, low]) = file.get(at..).and_then(|rest| rest.first_chunk()) {
        if marker == 0xD9 {
            return;
        }
        if marker == 0xDA {
            break;
        }
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
        if !matches!(marker, 0xE0..=0xEF) {
            out.extend_from_slice(&file[at..end.min(file.len())]);
        }
        at = end;
    }
    // Tables end here, with their last marker.
    if file.get(at + 1) != Some(&0xD9) {
        out.extend_from_slice(file.get(at..).unwrap_or_default());
    }
}
