//! Pictures that drawings carry, for a renderer that reads their pixels alone: what their colours mean and how they lie is put into
//! the pixels.

use imgserve_base::format::Format;
use imgserve_sdk::{DecodeHint, PixelFormat};

use crate::bounds::Bounds;
use crate::codec::EncodeOptions;
use crate::convert::convert;
use crate::decode::{Decoder, estimate};
use crate::encode::Encoder;
use crate::error::CodecError;
use crate::formats;
use crate::header::Header;
use crate::orientation::Orientation;
use crate::probe::{Probe, probe};

/// A picture whose pixels say all that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restated {
    /// The file.
    pub png: Vec<u8>,
    /// Why its colours could not be converted, and are as the original has them.
    pub unconverted: Option<String>,
}

/// The same picture as a PNG, upright and in sRGB, of 8 bits. None if its pixels are that already, and for what is no picture of a
/// known format.
///
/// # Errors
/// What is wrong with it, or that decoding would take more than `max_bytes`.
pub fn restated(bytes: &[u8], bounds: &Bounds, max_bytes: u64) -> Result<Option<Restated>, CodecError> {
    let Ok(Probe::Header(header)) = probe(bytes, true, bounds) else { return Ok(None) };
    if !header.format.can_decode() || !says_more(bytes, &header) {
        return Ok(None);
    }
    let hint = DecodeHint::default();
    let needed = estimate(&header, &hint);
    if needed > max_bytes {
        let (what, key) = ("bytes to decode", "of any picture in a drawing");
        return Err(CodecError::Limit { what, value: needed, limit: max_bytes, key });
    }
    let mut decoder = Decoder::new(bytes, &header, &hint, bounds)?;
    let Some(frame) = decoder.next_frame()? else { return Ok(None) };
    let unconverted = decoder.unconverted().map(str::to_owned);
    let image = match frame.image.format() {
        PixelFormat::Rgba16 => convert(frame.image.as_ref(), PixelFormat::Rgba8),
        _ => frame.image,
    };
    let mut encoder = Encoder::new(Format::Png, &EncodeOptions::default(), image.width(), image.height())?;
    encoder.push(image.as_ref(), 0)?;
    Ok(Some(Restated { png: encoder.finish()?, unconverted }))
}

/// Whether the file says more than its pixels.
fn says_more(bytes: &[u8], header: &Header) -> bool {
    header.orientation != Orientation::UPRIGHT || formats::names_colors(header.format, bytes)
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::Image;
    use jpeg_encoder::ColorType;

    use super::*;
    use crate::color::samples::{press, swap};
    use crate::samples::{BOUNDS, decode_one, encode, gradient, with_exif, with_segment};

    const MAX: u64 = 64 << 20;

    fn pixel(file: &[u8]) -> [u8; 3] {
        let Restated { png, unconverted } = restated(file, &BOUNDS, MAX).unwrap().unwrap();
        assert_eq!(unconverted, None);
        let data = decode_one(&png).into_data();
        [data[0], data[1], data[2]]
    }

    fn flat(color: [u8; 3]) -> Vec<u8> {
        let image = Image::new(16, 16, PixelFormat::Rgb8, color.repeat(256)).unwrap();
        encode(Format::Jpeg, image.as_ref(), 95)
    }

    fn icc(jpeg: &[u8], profile: &[u8]) -> Vec<u8> {
        with_segment(jpeg, 0xE2, &[b"ICC_PROFILE\0\x01\x01", profile].concat())
    }

    #[test]
    fn what_is_plain_stays_as_it_is() {
        for format in Format::written() {
            let file = encode(format, gradient(20, 10, PixelFormat::Rgb8).as_ref(), 80);
            assert_eq!(restated(&file, &BOUNDS, MAX), Ok(None), "{format}");
        }
        assert_eq!(restated(b"what is no picture", &BOUNDS, MAX), Ok(None));
        // Most photographs say that they are what everyone takes them for.
        let srgb = moxcms::ColorProfile::new_srgb().encode().unwrap();
        assert_eq!(restated(&icc(&flat([255, 0, 0]), &srgb), &BOUNDS, MAX), Ok(None));
    }

    #[test]
    fn colours_that_cannot_be_converted_are_said_to_be_as_they_were() {
        let Restated { png, unconverted } =
            restated(&icc(&flat([255, 0, 0]), b"not a profile"), &BOUNDS, MAX).unwrap().unwrap();
        assert!(unconverted.unwrap().contains("no ICC profile"));
        assert!(decode_one(&png).data()[0] > 250);
    }

    #[test]
    fn inks_profiles_and_turns_are_put_into_the_pixels() {
        for color in [ColorType::Cmyk, ColorType::CmykAsYcck] {
            let mut inks = Vec::new();
            let data = [0, 255, 255, 0].repeat(256);
            jpeg_encoder::Encoder::new(&mut inks, 95).encode(&data, 16, 16, color).unwrap();
            let red = pixel(&inks);
            assert!(red[0] > 245 && red[1] < 10 && red[2] < 10, "{color:?}: {red:?}");
            // Without Adobe's marker, inks are not inverted: what was none is full.
            let adobe = inks.windows(5).position(|five| five == b"Adobe").unwrap() - 4;
            let bare = [&inks[..adobe], &inks[adobe + 16..]].concat();
            if color == ColorType::Cmyk {
                let black = pixel(&bare);
                assert!(black.iter().all(|value| *value < 10), "{black:?}");
                let printed = pixel(&icc(&inks, &press()));
                assert!(printed[0] > 150 && printed[1] < 100 && printed[2] < 100, "{printed:?}");
            }
        }
        let green = pixel(&icc(&flat([255, 0, 0]), &swap()));
        assert!(green[0] < 30 && green[1] > 240, "{green:?}");
        let turned = with_exif(&encode(Format::Jpeg, gradient(20, 10, PixelFormat::Rgb8).as_ref(), 80), 6);
        let png = decode_one(&restated(&turned, &BOUNDS, MAX).unwrap().unwrap().png);
        assert_eq!((png.width(), png.height()), (10, 20));
    }

    #[test]
    fn one_that_takes_too_much_is_refused_unread() {
        let refused = restated(&icc(&flat([255, 0, 0]), &swap()), &BOUNDS, 100);
        assert!(matches!(refused, Err(CodecError::Limit { .. })), "{refused:?}");
    }
}
