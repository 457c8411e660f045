//! Writing a BMP: 24 bits a pixel, which everything reads, or 32 where any of them is transparent, with the header that says which bits
//! are alpha (BITMAPV4HEADER).

use imgserve_base::format::Format;
use imgserve_sdk::{ImageRef, PixelFormat};

use super::super::dib::{Info, append_rows, rows_bytes};
use super::FILE_HEADER;
use crate::convert::{convert, is_opaque};
use crate::error::CodecError;

/// Bytes of the header of Windows 3, and of Windows 95.
const INFO: u32 = 40;
const V4: u32 = 108;
/// Which bits of a pixel are red, green, blue and alpha.
const MASKS: [u32; 4] = [0xFF_0000, 0xFF00, 0xFF, 0xFF00_0000];
/// The kind of colours.
const SRGB: u32 = u32::from_be_bytes(*b"sRGB");

/// The file.
pub(super) fn encode(image: ImageRef<'_>) -> Result<Vec<u8>, CodecError> {
    let pixels = if is_opaque(image) { PixelFormat::Rgb8 } else { PixelFormat::Rgba8 };
    let converted;
    let image = if image.format() == pixels {
        image
    } else {
        converted = convert(image, pixels);
        converted.as_ref()
    };
    let alpha = pixels == PixelFormat::Rgba8;
    let (length, bits, compression) = if alpha { (V4, 32, 3) } else { (INFO, 24, 0) };
    let size = (image.width(), image.height());
    let start = FILE_HEADER as u32 + length;
    let all = rows_bytes(size, bits) + u64::from(start);
    let all = u32::try_from(all).map_err(|_| CodecError::encode(Format::Bmp, "more than 4 GiB"))?;
    let mut file = Vec::with_capacity(all as usize);
    file.extend(b"BM");
    file.extend(all.to_le_bytes());
    file.extend([0; 4]);
    file.extend(start.to_le_bytes());
    file.extend(Info { length, size, bits, compression, bytes: all - start }.bytes());
    if alpha {
        file.extend(MASKS.into_iter().chain([SRGB]).flat_map(u32::to_le_bytes));
        // End points and gammas are for other kinds of colours.
        file.resize(start as usize, 0);
    }
    append_rows(&mut file, image);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::Image;

    use super::*;
    use crate::samples::{decode_one, gradient};

    #[test]
    fn what_is_opaque_takes_24_bits_and_what_is_not_32() {
        for width in 1..6 {
            let opaque = gradient(width, 3, PixelFormat::Rgba8);
            let file = encode(opaque.as_ref()).unwrap();
            assert_eq!((file[14], file[28]), (40, 24));
            assert_eq!(file.len() as u64, 54 + rows_bytes((width, 3), 24));
            assert_eq!(convert(decode_one(&file).as_ref(), PixelFormat::Rgba8), opaque);
            let data = [[1, 2, 3, 0], [4, 5, 6, 99]].concat().repeat(width as usize);
            let holey = Image::new(width, 2, PixelFormat::Rgba8, data).unwrap();
            let file = encode(holey.as_ref()).unwrap();
            assert_eq!((file[14], file[28]), (108, 32));
            assert_eq!(decode_one(&file), holey);
        }
    }
}
