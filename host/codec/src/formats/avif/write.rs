//! Writing an AVIF, of one picture: by ravif, around rav1e, which is in Rust. Of 8 bits a sample, colours at full resolution, of BT.601
//! as JPEG has them. rav1e has no way without loss.

use imgserve_base::format::Format;
use imgserve_sdk::{ImageRef, PixelFormat};
use ravif::{BitDepth, Encoder, Img, RGBA8};

use crate::codec::EncodeOptions;
use crate::convert::convert;
use crate::error::CodecError;
use crate::quality::setting;

/// How much is tried, from 1 to 10: as little as may be, and more.
const QUICK: u8 = 10;
const THOROUGH: u8 = 7;
/// Of alpha, whose edges show.
const ALPHA_QUALITY: f32 = 100.0;

/// ravif's qualities that look like a JPEG's of ours.
const QUALITY: [(u8, f32); 6] = [(1, 20.0), (40, 57.4), (60, 73.3), (80, 85.0), (90, 92.0), (100, 100.0)];

/// The file.
pub(super) fn encode(options: &EncodeOptions, image: ImageRef<'_>) -> Result<Vec<u8>, CodecError> {
    let encoder = Encoder::new()
        .with_quality(setting(&QUALITY, options.quality))
        .with_alpha_quality(ALPHA_QUALITY)
        .with_speed(if options.thorough { THOROUGH } else { QUICK })
        .with_bit_depth(BitDepth::Eight)
        // A worker is one thread.
        .with_num_threads(Some(1));
    let (width, height) = (image.width() as usize, image.height() as usize);
    let image = convert(image, PixelFormat::Rgba8);
    let pixels: Vec<RGBA8> =
        image.data().as_chunks().0.iter().map(|&[r, g, b, a]| RGBA8::new(r, g, b, a)).collect();
    // Where all is opaque it writes no alpha. Its `encode_rgb` does the same and is inlined, and all of rav1e with it.
    let encoded = encoder.encode_rgba(Img::new(&pixels, width, height));
    encoded.map(|encoded| encoded.avif_file).map_err(|error| CodecError::encode(Format::Avif, error))
}
