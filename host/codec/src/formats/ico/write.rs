//! Writing an ICO out of one picture: it and, of the sizes that icons have, those that are smaller; nothing is enlarged. Up to 48
//! pixels they are bitmaps, as every reader knows them, larger ones PNGs, which Windows takes of one kind alone: plain RGBA.

use std::iter;

use imgserve_base::format::Format;
use imgserve_sdk::{Image, ImageRef, PixelFormat};

use super::super::dib::{Info, append_rows, rows_bytes};
use super::super::png::encode_as_given;
use super::shrink::shrink;
use crate::convert::convert;
use crate::error::CodecError;

/// Longest sides that icons have beside the picture's own. The largest first: then a reader that waits for the best picture need not
/// wait for the others.
const SIDES: [u32; 3] = [48, 32, 16];
/// The longest side of a bitmap.
const MAX_BITMAP_SIDE: u32 = 48;
/// Bytes of a bitmap's header, of the header of the file, and of an entry of its list.
const INFO: u32 = 40;
const HEADER: usize = 6;
const ENTRY: usize = 16;

/// The file.
pub(super) fn encode(image: ImageRef<'_>) -> Result<Vec<u8>, CodecError> {
    let image = convert(image, PixelFormat::Rgba8);
    let longest = image.width().max(image.height());
    let smaller = SIDES.into_iter().filter(|side| *side < longest).map(|side| shrink(&image, side));
    let smaller: Vec<Image> = smaller.collect();
    let pictures: Vec<&Image> = iter::once(&image).chain(&smaller).collect();
    let mut file = vec![0, 0, 1, 0];
    file.extend((pictures.len() as u16).to_le_bytes());
    let mut start = HEADER + ENTRY * pictures.len();
    let mut bodies = Vec::with_capacity(pictures.len());
    for picture in pictures {
        let body = body(picture.as_ref())?;
        // 0 means 256.
        file.extend([picture.width() as u8, picture.height() as u8, 0, 0]);
        file.extend([1_u16, 32].into_iter().flat_map(u16::to_le_bytes));
        file.extend([long(body.len())?, long(start)?].into_iter().flat_map(u32::to_le_bytes));
        start += body.len();
        bodies.push(body);
    }
    bodies.iter().for_each(|body| file.extend(body));
    Ok(file)
}

fn long(length: usize) -> Result<u32, CodecError> {
    u32::try_from(length).map_err(|_| CodecError::encode(Format::Ico, "more than 4 GiB"))
}

fn body(image: ImageRef<'_>) -> Result<Vec<u8>, CodecError> {
    let size = (image.width(), image.height());
    if size.0.max(size.1) > MAX_BITMAP_SIDE {
        return encode_as_given(image);
    }
    let bytes = rows_bytes(size, 32) + rows_bytes(size, 1);
    let bytes = long(bytes as usize)?;
    let info = Info { length: INFO, size: (size.0, 2 * size.1), bits: 32, compression: 0, bytes };
    let mut body = info.bytes().to_vec();
    append_rows(&mut body, image);
    append_mask(&mut body, image);
    Ok(body)
}

/// Which pixels are hidden, for readers that do not know alpha.
fn append_mask(body: &mut Vec<u8>, image: ImageRef<'_>) {
    for row in image.data().chunks_exact(4 * image.width() as usize).rev() {
        for group in row.chunks(4 * 32) {
            let hidden = group.as_chunks::<4>().0.iter().enumerate();
            let word = hidden.map(|(at, pixel)| u32::from(pixel[3] < 128) << (31 - at)).sum::<u32>();
            body.extend(word.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{decode_one, gradient};

    /// The sides of each picture of a file, and whether it is a PNG.
    fn pictures(file: &[u8]) -> Vec<(u32, u32, bool)> {
        let entries = file[HEADER..][..ENTRY * usize::from(file[4])].as_chunks::<ENTRY>().0;
        let side = |side: u8| if side == 0 { 256 } else { u32::from(side) };
        let told = |entry: &[u8; ENTRY]| {
            let start = u32::from_le_bytes([entry[12], entry[13], entry[14], entry[15]]) as usize;
            (side(entry[0]), side(entry[1]), file[start..].starts_with(b"\x89PNG"))
        };
        entries.iter().map(told).collect()
    }

    #[test]
    fn it_holds_the_picture_and_the_smaller_ones_that_icons_have() {
        for (size, wanted) in [
            ((256, 256), vec![(256, 256, true), (48, 48, false), (32, 32, false), (16, 16, false)]),
            ((100, 50), vec![(100, 50, true), (48, 24, false), (32, 16, false), (16, 8, false)]),
            ((48, 48), vec![(48, 48, false), (32, 32, false), (16, 16, false)]),
            ((1, 40), vec![(1, 40, false), (1, 32, false), (1, 16, false)]),
            ((7, 7), vec![(7, 7, false)]),
        ] {
            let picture = gradient(size.0, size.1, PixelFormat::Rgba8);
            let file = encode(picture.as_ref()).unwrap();
            assert_eq!(pictures(&file), wanted);
            assert_eq!(decode_one(&file), picture, "the largest is the picture itself");
        }
    }

    #[test]
    fn each_picture_reads_as_what_it_shows_at_its_size() {
        let mut picture = gradient(256, 256, PixelFormat::Rgba8);
        picture.data_mut().as_chunks_mut::<4>().0.iter_mut().step_by(2).for_each(|pixel| pixel[3] = 0);
        let file = encode(picture.as_ref()).unwrap();
        for number in 1..4 {
            // The same file with this picture alone in its list.
            let entry = &file[HEADER + ENTRY * number..][..ENTRY];
            let alone = [&[0, 0, 1, 0, 1, 0][..], entry, &file[HEADER + ENTRY..]].concat();
            let read = decode_one(&alone);
            let (side, pixels) = (read.width(), read.data().as_chunks::<4>().0);
            for (at, pixel) in pixels.iter().enumerate() {
                let place = |at: usize| (at as f64 + 0.5) / f64::from(side) * 255.0;
                let (x, y) = (place(at % side as usize), place(at / side as usize));
                let off = (f64::from(pixel[0]) - x).abs().max((f64::from(pixel[1]) - y).abs());
                // Half of the pixels that each shows are clear.
                assert!(off < 2.0 && pixel[3].abs_diff(128) < 20, "{side} at {at}: {pixel:?}");
            }
        }
    }

    #[test]
    fn what_is_clear_is_hidden_by_the_mask_too() {
        let data: Vec<u8> = (0..34 * 2_u8).flat_map(|at| [at, 1, 2, if at < 3 { 0 } else { 255 }]).collect();
        let picture = Image::new(34, 2, PixelFormat::Rgba8, data).unwrap();
        let body = body(picture.as_ref()).unwrap();
        assert_eq!(body[body.len() - 16..], [[0; 8], [0xE0, 0, 0, 0, 0, 0, 0, 0]].concat());
    }
}
