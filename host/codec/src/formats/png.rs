//! PNG (W3C PNG, third edition) by the `png` crate. An APNG is read as its still picture.

mod beside;
mod color;
mod encode;
mod rows;

use imgserve_base::format::Format;
use imgserve_base::units::MIB;
use imgserve_sdk::{Image, PixelFormat};
use png::{BitDepth, ColorType};

use crate::bounds::Bounds;
use crate::codec::Codec;
use crate::error::CodecError;
use crate::header::{Cost, Header};
use crate::orientation::Orientation;
use crate::still::{self, Still};
use encode::encode;
pub(super) use encode::encode_as_given;
use rows::Rows;

pub(super) const CODEC: Codec = Codec {
    format: Format::Png,
    probe: |bytes, _, _| probe(bytes),
    decode: Some(|bytes, _, _, bounds| {
        let bounds = *bounds;
        Ok(still::frames(move || decode(bytes, &bounds)))
    }),
    part: None,
    encode: Some(|options, _| {
        let as_given = options.as_given;
        Ok(still::sink(move |image| if as_given { encode_as_given(image) } else { encode(image) }))
    }),
    beside: Some(beside::HOLDER),
};

fn probe(bytes: &[u8]) -> Result<Option<Header>, CodecError> {
    let Some((b"IHDR", ihdr, at)) = chunk(bytes, 8) else {
        return if bytes.len() < 16 { Ok(None) } else { first_chunk(bytes) };
    };
    let ihdr = Ihdr::parse(ihdr)?;
    let Some((orientation, keyed)) = before_picture(bytes, at) else { return Ok(None) };
    let pixels = match (ihdr.color, ihdr.depth, keyed) {
        (_, 16, _) => PixelFormat::Rgba16,
        (4 | 6, _, _) | (_, _, true) => PixelFormat::Rgba8,
        (0, _, false) => PixelFormat::Gray8,
        _ => PixelFormat::Rgb8,
    };
    let (width, height) = ihdr.size;
    let mut header = Header::still(Format::Png, ihdr.size, orientation, pixels);
    // What the library gives, and a copy where that is expanded or turned; and a few rows.
    let copied = ihdr.depth == 16 || ihdr.color == 4 || orientation != Orientation::UPRIGHT;
    let pictures = pixels.bytes(width, height).saturating_mul(if copied { 2 } else { 1 });
    header.cost = Cost { fixed: pictures.saturating_add(32 * u64::from(width) + MIB), scaled: 0 };
    Ok(Some(header))
}

/// The header chunk (section 11.2.1).
struct Ihdr {
    size: (u32, u32),
    depth: u8,
    color: u8,
}

impl Ihdr {
    fn parse(data: &[u8]) -> Result<Self, CodecError> {
        let &[w0, w1, w2, w3, h0, h1, h2, h3, depth, color, compression, filter, interlace] = data else {
            return Err(malformed("bad header chunk"));
        };
        let size = (u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
        if size.0 == 0 || size.1 == 0 || size.0.max(size.1) > i32::MAX as u32 {
            return Err(malformed("a side of 0 or more than 2147483647 pixels"));
        }
        let known =
            matches!((color, depth), (0, 1 | 2 | 4 | 8 | 16) | (2 | 4 | 6, 8 | 16) | (3, 1 | 2 | 4 | 8));
        if !known || (compression, filter) != (0, 0) || interlace > 1 {
            return Err(malformed("impossible values in the header chunk"));
        }
        Ok(Self { size, depth, color })
    }
}

/// The orientation, and whether there are transparent colours, by the chunks from `at` to the picture; `None`
/// when the bytes end before the picture begins.
fn before_picture(bytes: &[u8], mut at: usize) -> Option<(Orientation, bool)> {
    let (mut orientation, mut keyed) = (Orientation::UPRIGHT, false);
    loop {
        // Of the picture only the name is needed.
        if matches!(bytes.get(at + 4..at + 8)?, b"IDAT" | b"IEND") {
            return Some((orientation, keyed));
        }
        let (name, data, next) = chunk(bytes, at)?;
        match name {
            b"tRNS" => keyed = true,
            b"eXIf" => orientation = Orientation::from_exif_block(data),
            _ => {}
        }
        at = next;
    }
}

/// Whether a chunk says what its colours are, other than that they are sRGB's.
pub(super) fn names_colors(bytes: &[u8]) -> bool {
    let gamma = stands_before(bytes, &[b"gAMA", b"cHRM"]) && !stands_before(bytes, &[b"sRGB"]);
    gamma || stands_before(bytes, &[b"cICP", b"iCCP"])
}

/// Whether a chunk of one of these names stands before the picture.
fn stands_before(bytes: &[u8], names: &[&[u8; 4]]) -> bool {
    let mut at = 8;
    while let Some((name, _, next)) = chunk(bytes, at).filter(|(name, ..)| *name != b"IDAT") {
        if names.contains(&name) {
            return true;
        }
        at = next;
    }
    false
}

fn first_chunk(bytes: &[u8]) -> Result<Option<Header>, CodecError> {
    if &bytes[12..16] == b"IHDR" && bytes[8..12] == [0, 0, 0, 13] {
        return Ok(None);
    }
    Err(malformed("it does not begin with a header chunk"))
}

/// A chunk's name and data, and where the next one begins; `None` when the bytes end before it does.
fn chunk(bytes: &[u8], at: usize) -> Option<(&[u8; 4], &[u8], usize)> {
    let (length, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let data = rest.get(..length)?;
    rest.get(length..length.checked_add(4)?)?;
    Some((name, data, at + 12 + length))
}

/// The picture as it lies in the file, in sRGB.
fn decode(bytes: &[u8], bounds: &Bounds) -> Result<Still, CodecError> {
    let Rows { info, kind: (color, depth), data, damage } = rows::read(bytes, bounds.repair)?;
    let (format, data) = to_contract(color, depth, data)?;
    let image = Image::new(info.width, info.height, format, data).map_err(malformed)?;
    if bounds.keep_colors {
        return Ok(Still { image, damage, unconverted: None });
    }
    let converted = color::to_srgb(image, &info, &|name| stands_before(bytes, &[name]));
    Ok(Still { damage, ..converted.into() })
}

/// PNG's samples are big-endian; gray with alpha and 16-bit pixels of any colour become RGBA.
fn to_contract(
    color: ColorType,
    depth: BitDepth,
    mut data: Vec<u8>,
) -> Result<(PixelFormat, Vec<u8>), CodecError> {
    let rgba16 = |data: Vec<u8>| (PixelFormat::Rgba16, data);
    Ok(match (color, depth) {
        (ColorType::Grayscale, BitDepth::Eight) => (PixelFormat::Gray8, data),
        (ColorType::Rgb, BitDepth::Eight) => (PixelFormat::Rgb8, data),
        (ColorType::Rgba, BitDepth::Eight) => (PixelFormat::Rgba8, data),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => {
            let (pixels, _) = data.as_chunks::<2>();
            (PixelFormat::Rgba8, pixels.iter().flat_map(|&[y, a]| [y, y, y, a]).collect())
        }
        (ColorType::Rgba, BitDepth::Sixteen) => {
            data.as_chunks_mut::<2>().0.iter_mut().for_each(|word| word.reverse());
            rgba16(data)
        }
        (ColorType::Rgb, BitDepth::Sixteen) => {
            let (pixels, _) = data.as_chunks::<6>();
            rgba16(pixels.iter().flat_map(|&[r, s, g, h, b, c]| [s, r, h, g, c, b, 255, 255]).collect())
        }
        (ColorType::Grayscale, BitDepth::Sixteen) => {
            let (pixels, _) = data.as_chunks::<2>();
            rgba16(pixels.iter().flat_map(|&[y, z]| [z, y, z, y, z, y, 255, 255]).collect())
        }
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
            let (pixels, _) = data.as_chunks::<4>();
            rgba16(pixels.iter().flat_map(|&[y, z, a, b]| [z, y, z, y, z, y, b, a]).collect())
        }
        _ => return Err(malformed("a pixel layout that should have been expanded")),
    })
}

fn malformed(text: impl std::fmt::Display) -> CodecError {
    CodecError::malformed(Format::Png, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{BOUNDS, decode_one, exif, gradient, header};

    fn decode(bytes: &[u8], repair: bool) -> Result<Still, CodecError> {
        super::decode(bytes, &Bounds { repair, ..BOUNDS })
    }

    /// A file of these raw samples, written as they are.
    fn raw(
        size: (u32, u32),
        color: ColorType,
        depth: BitDepth,
        data: &[u8],
        change: impl Fn(&mut png::Info),
    ) -> Vec<u8> {
        let mut info = png::Info::with_size(size.0, size.1);
        (info.color_type, info.bit_depth) = (color, depth);
        change(&mut info);
        let mut file = Vec::new();
        let mut writer = png::Encoder::with_info(&mut file, info).unwrap().write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        file
    }

    #[test]
    fn every_layout_becomes_one_of_the_contract() {
        use BitDepth::{Eight, One, Sixteen};
        let plain = |_: &mut png::Info| {};
        let two = |color, depth, data: &[u8]| decode_one(&raw((2, 1), color, depth, data, plain));
        assert_eq!(two(ColorType::Grayscale, One, &[0b0100_0000]).data(), [0, 255]);
        assert_eq!(two(ColorType::GrayscaleAlpha, Eight, &[1, 2, 3, 4]).data(), [1, 1, 1, 2, 3, 3, 3, 4]);
        let wide = two(ColorType::Rgb, Sixteen, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(wide.format(), PixelFormat::Rgba16);
        assert_eq!(wide.data(), [2, 1, 4, 3, 6, 5, 255, 255, 8, 7, 10, 9, 12, 11, 255, 255]);
        let wide = two(ColorType::GrayscaleAlpha, Sixteen, &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(wide.data(), [2, 1, 2, 1, 2, 1, 4, 3, 6, 5, 6, 5, 6, 5, 8, 7]);
        let keyed = raw((2, 1), ColorType::Indexed, Eight, &[1, 0], |info| {
            info.palette = Some(vec![1, 2, 3, 4, 5, 6].into());
            info.trns = Some(vec![0].into());
        });
        assert_eq!(decode_one(&keyed).data(), [4, 5, 6, 255, 1, 2, 3, 0]);
    }

    #[test]
    fn an_exif_chunk_turns_the_picture() {
        let turn = |info: &mut png::Info| info.exif_metadata = Some(exif(6).into());
        let file = raw((2, 1), ColorType::Grayscale, BitDepth::Eight, &[1, 2], turn);
        assert_eq!((header(&file).unwrap().width, header(&file).unwrap().height), (1, 2));
        assert_eq!(decode_one(&file).data(), [1, 2]);
    }

    /// Replaces the checksum of a chunk.
    fn with_bad_checksum(mut file: Vec<u8>, name: &[u8; 4]) -> Vec<u8> {
        let at = file.windows(4).position(|window| window == name).unwrap();
        let length = file[at - 4..at].iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        file[at + 4 + length] ^= 0xFF;
        file
    }

    #[test]
    fn a_broken_checksum_matters_only_where_the_picture_is() {
        let picture = gradient(20, 20, PixelFormat::Rgb8);
        let dots = |info: &mut png::Info| {
            info.pixel_dims = Some(png::PixelDimensions { xppu: 1, yppu: 1, unit: png::Unit::Meter });
        };
        let file = raw((20, 20), ColorType::Rgb, BitDepth::Eight, picture.data(), dots);
        assert_eq!(decode_one(&with_bad_checksum(file.clone(), b"pHYs")), picture);
        assert_eq!(decode_one(&with_bad_checksum(file.clone(), b"IEND")), picture);
        let broken = with_bad_checksum(file, b"IDAT");
        assert!(matches!(decode(&broken, false), Err(CodecError::Malformed { .. })));
        let repaired = decode(&broken, true).unwrap();
        assert!(repaired.image == picture && repaired.damage.is_some());
    }

    #[test]
    fn a_broken_animation_is_no_reason_to_refuse_the_picture_before_it() {
        let picture = gradient(20, 20, PixelFormat::Rgb8);
        let file = raw((20, 20), ColorType::Rgb, BitDepth::Eight, picture.data(), |_| {});
        let picture_at = file.windows(4).position(|name| name == b"IDAT").unwrap() - 4;
        // An animation's control, and a frame's whose size and number are none.
        let mut broken = file[..picture_at].to_vec();
        for (name, data) in [(b"acTL", vec![0, 0, 0, 2, 0, 0, 0, 0]), (b"fcTL", vec![0xFF; 26])] {
            let named = [&name[..], &data].concat();
            let mut sum = flate2::Crc::new();
            sum.update(&named);
            broken
                .extend([&(data.len() as u32).to_be_bytes()[..], &named, &sum.sum().to_be_bytes()].concat());
        }
        broken.extend(&file[picture_at..]);
        assert!(matches!(decode(&broken, false), Ok(Still { image, damage: None, .. }) if image == picture));
        let cut = &broken[..broken.len() - 30];
        assert!(decode(cut, false).is_err() && decode(cut, true).unwrap().damage.is_some());
    }

    #[test]
    fn what_is_missing_is_gray() {
        let picture = gradient(40, 40, PixelFormat::Rgba8);
        let file = raw((40, 40), ColorType::Rgba, BitDepth::Eight, picture.data(), |_| {});
        let cut = decode(&file[..file.len() / 2], true).unwrap();
        let (top, bottom) = (&cut.image.data()[..160], &cut.image.data()[39 * 160..]);
        assert_eq!((top, bottom), (&picture.data()[..160], &[128, 128, 128, 255].repeat(40)[..]));
        assert!(cut.damage.is_some());
    }

    /// 8 × 8 grays, each row of each pass behind its filter; none of the passes from `passes` on.
    fn interlaced(gray: impl Fn(usize, usize) -> u8, passes: usize) -> Vec<u8> {
        const PASSES: [[usize; 4]; 7] = [
            [0, 0, 8, 8],
            [4, 0, 8, 8],
            [0, 4, 4, 8],
            [2, 0, 4, 4],
            [0, 2, 2, 4],
            [1, 0, 2, 2],
            [0, 1, 1, 2],
        ];
        let mut rows = Vec::new();
        for [left, top, across, down] in PASSES.into_iter().take(passes) {
            for y in (top..8).step_by(down) {
                rows.push(0);
                rows.extend((left..8).step_by(across).map(|x| gray(x, y)));
            }
        }
        let mut packed = Vec::with_capacity(200);
        let mut encoder = flate2::Compress::new(flate2::Compression::fast(), true);
        encoder.compress_vec(&rows, &mut packed, flate2::FlushCompress::Finish).unwrap();
        let mut file = b"\x89PNG\r\n\x1A\n".to_vec();
        let header = [&[0, 0, 0, 8, 0, 0, 0, 8][..], &[8, 0, 0, 0, 1]].concat();
        for (name, data) in [(b"IHDR", &header), (b"IDAT", &packed), (b"IEND", &Vec::new())] {
            let named = [&name[..], data].concat();
            let mut sum = flate2::Crc::new();
            sum.update(&named);
            file.extend([&(data.len() as u32).to_be_bytes()[..], &named, &sum.sum().to_be_bytes()].concat());
        }
        file
    }

    #[test]
    fn an_interlaced_picture_is_coarse_where_its_later_passes_are_missing() {
        let gray = |x: usize, y: usize| (16 * y + 2 * x) as u8;
        let whole: Vec<u8> = (0..64).map(|at| gray(at % 8, at / 8)).collect();
        assert_eq!(decode_one(&interlaced(gray, 7)).data(), whole);
        let some = interlaced(gray, 4);
        assert!(decode(&some, false).is_err());
        let coarse = decode(&some, true).unwrap();
        let shown: Vec<u8> = (0..64).map(|at| gray((at % 8) & !1, (at / 8) & !3)).collect();
        assert_eq!(coarse.image.data(), shown);
    }

    #[test]
    fn a_flipped_bit_is_found_by_the_checksum() {
        let mut file = encode(gradient(30, 30, PixelFormat::Rgb8).as_ref()).unwrap();
        let at = file.windows(4).position(|name| name == b"IDAT").unwrap() + 30;
        file[at] ^= 1;
        assert!(matches!(decode(&file, false), Err(CodecError::Malformed { .. })));
        assert!(decode(&file, true).unwrap().damage.is_some());
    }
}
