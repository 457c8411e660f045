//! Codec `{{name}}`: reads and writes files of the format `{{format}}`, for every operation. Written to be changed into yours.
//!
//! As it is, a file is a magic, width and height, whether there is alpha, and the pixels as they are.

use imgserve_sdk::codec::{Codec, Decoded, Description, Error, Format, Header, Written};
use imgserve_sdk::{Image, PixelFormat};

/// What files begin with. Nothing that imgserve reads itself may begin so.
const MAGIC: &[u8] = b"{{format}} file\n";
/// Behind the magic: width and height, each four bytes, little-endian; 1 where there is alpha.
const HEADER_BYTES: usize = MAGIC.len() + 9;

struct Pixels;

impl Codec for Pixels {
    fn describe() -> Description {
        let mut format =
            Format::new("{{format}}", "image/x-{{format}}", "{{format}}").magic(0, MAGIC);
        // Leave this out for a format that is only read, and `encode` too.
        format.written = Some(Written {
            pixels: vec![PixelFormat::Rgb8, PixelFormat::Rgba8],
            lossy: false,
            max_side: 65_535,
        });
        let summary = "Reads and writes pixels as they are.";
        Description::new(
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            summary,
        )
        .format(format)
    }

    /// Called before the client is answered: no pixel is touched. `None` asks for more bytes.
    fn probe(_format: &str, bytes: &[u8], _complete: bool) -> Result<Option<Header>, Error> {
        let Some(rest) = bytes
            .get(..HEADER_BYTES)
            .map(|header| &header[MAGIC.len()..])
        else {
            return Ok(None);
        };
        let number =
            |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let pixels = match rest[8] {
            0 => PixelFormat::Rgb8,
            1 => PixelFormat::Rgba8,
            other => return Err(Error::unsupported(format!("{other} kinds of alpha"))),
        };
        match (number(0), number(4)) {
            (0, _) | (_, 0) => Err(Error::malformed("it has no pixels")),
            (width, height) => Ok(Some(Header::new(width, height, pixels))),
        }
    }

    /// As many pixels as `probe` said, or an error: the host holds the one against the other.
    fn decode(format: &str, bytes: &[u8]) -> Result<Decoded, Error> {
        let Some(header) = Self::probe(format, bytes, true)? else {
            return Err(Error::malformed("it ends within its header"));
        };
        let pixels = bytes[HEADER_BYTES..].to_vec();
        let image = Image::new(header.width, header.height, header.pixels, pixels);
        Ok(Decoded::still(image.map_err(Error::malformed)?))
    }

    fn encode(_format: &str, image: &Image, _quality: u8) -> Result<Vec<u8>, Error> {
        let alpha = u8::from(image.format().has_alpha());
        let (width, height) = (image.width().to_le_bytes(), image.height().to_le_bytes());
        Ok([MAGIC, &width, &height, &[alpha], image.data()].concat())
    }
}

imgserve_sdk::export_codec!(Pixels);

#[cfg(test)]
mod tests {
    use imgserve_sdk::testing;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let image = Image::new(2, 1, PixelFormat::Rgba8, vec![0, 100, 200, 7, 1, 2, 3, 255]).unwrap();
        let (_, decoded) = testing::encode::<Pixels>("{{format}}", &image, 80).unwrap();
        assert_eq!(decoded.frames[0].image, image);
    }

    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        let image = Image::new(1, 1, PixelFormat::Rgb8, vec![1, 2, 3]).unwrap();
        let (file, _) = testing::encode::<Pixels>("{{format}}", &image, 80).unwrap();
        for length in MAGIC.len()..file.len() {
            assert!(testing::decode::<Pixels>(&file[..length]).is_err());
        }
    }
}
