//! Reads and writes QOI, the "Quite OK Image Format", for every operation. (`qoi` beside it is an operation of its own, which
//! reads it alone.)
//!
//! The format is specified in one page, <https://qoiformat.org/qoi-specification.pdf>; the crate `qoi` does the work.

use imgserve_sdk::codec::{Codec, Decoded, Description, Error, Format, Header, Written};
use imgserve_sdk::{Image, PixelFormat};
use qoi_format::{Channels, Decoder, consts::QOI_HEADER_SIZE};

/// The most pixels that one byte of a file stands for: a run is at most 62 long.
const PIXELS_PER_BYTE: usize = 62;
/// The specification's 400 million pixels, as a square.
const MAX_SIDE: u32 = 20_000;

/// The codec.
#[derive(Debug)]
pub struct Qoi;

impl Codec for Qoi {
    fn describe() -> Description {
        let written =
            Written { pixels: vec![PixelFormat::Rgb8, PixelFormat::Rgba8], lossy: false, max_side: MAX_SIDE };
        let format =
            Format { written: Some(written), ..Format::new("qoi", "image/qoi", "qoi").magic(0, b"qoif") };
        Description::new("qoi-codec", env!("CARGO_PKG_VERSION"), "Reads and writes QOI files.").format(format)
    }

    fn probe(_: &str, bytes: &[u8], _: bool) -> Result<Option<Header>, Error> {
        if bytes.len() < QOI_HEADER_SIZE {
            return Ok(None);
        }
        let header = qoi_format::decode_header(bytes).map_err(Error::malformed)?;
        let pixels = match header.channels {
            Channels::Rgb => PixelFormat::Rgb8,
            Channels::Rgba => PixelFormat::Rgba8,
        };
        Ok(Some(Header::new(header.width, header.height, pixels)))
    }

    fn decode(format: &str, bytes: &[u8]) -> Result<Decoded, Error> {
        let header = Self::probe(format, bytes, true)?;
        let Header { width, height, pixels, .. } =
            header.ok_or_else(|| Error::malformed("it ends within its header"))?;
        // A short file that claims to be a huge picture is refused before memory is taken for it.
        let count = width as usize * height as usize;
        if count > bytes.len().saturating_mul(PIXELS_PER_BYTE) {
            return Err(Error::malformed("it ends before its last pixel"));
        }
        let mut image = Image::zeroed(width, height, pixels).map_err(Error::unsupported)?;
        let decoded = Decoder::new(bytes).and_then(|mut decoder| decoder.decode_to_buf(image.data_mut()));
        decoded.map_err(Error::malformed)?;
        Ok(Decoded::still(image))
    }

    fn encode(_: &str, image: &Image, _: u8) -> Result<Vec<u8>, Error> {
        qoi_format::encode_to_vec(image.data(), image.width(), image.height()).map_err(Error::unsupported)
    }
}

imgserve_sdk::export_codec!(Qoi);
