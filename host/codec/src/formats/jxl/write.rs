//! Writing a JPEG XL, of one picture: by jixel, in Rust, with a loss (VarDCT, XYB) or without (modular); of 8 bits a sample, or of 16
//! where the picture has them; in sRGB or Display P3.

use imgserve_base::format::Format;
use imgserve_sdk::{ImageRef, PixelFormat};
use jixel::{ColorEncoding, EncodeConfig, EncodeError, Speed};

use crate::codec::EncodeOptions;
use crate::convert::is_opaque;
use crate::error::CodecError;
use crate::quality::setting;

/// Distances by Butteraugli that look like a JPEG's of ours.
const DISTANCE: [(u8, f32); 6] = [(1, 8.0), (40, 2.66), (60, 1.78), (80, 1.19), (90, 0.66), (100, 0.1)];

/// The file.
pub(super) fn encode(options: &EncodeOptions, image: ImageRef<'_>) -> Result<Vec<u8>, CodecError> {
    let config = EncodeConfig::default()
        .with_distance(setting(&DISTANCE, options.quality))
        .with_lossless(options.lossless)
        // What is clear keeps its colour where nothing is lost.
        .with_fill_invisible(!options.lossless)
        // Alpha's edges show.
        .with_alpha_distance(0.0)
        .with_speed(if options.thorough { Speed::Medium } else { Speed::Fast })
        // What is given is brought to XYB from there; without loss it is told alone.
        .with_color_encoding(if options.display_p3 {
            ColorEncoding::display_p3()
        } else {
            ColorEncoding::srgb()
        })
        // A worker is one thread.
        .with_num_threads(1);
    by_format(image, &config).map_err(|error| CodecError::encode(Format::Jxl, format!("{error:?}")))
}

fn by_format(image: ImageRef<'_>, config: &EncodeConfig) -> Result<Vec<u8>, EncodeError> {
    let (width, height, data) = (image.width() as usize, image.height() as usize, image.data());
    match image.format() {
        PixelFormat::Gray8 => jixel::encode_image_gray(data, width, height, config),
        PixelFormat::Rgb8 => jixel::encode_image(data, width, height, config),
        PixelFormat::Rgba8 => jixel::encode_image_with_alpha(data, width, height, config),
        PixelFormat::Rgba16 => {
            let words: Vec<u16> = data.as_chunks().0.iter().map(|word| u16::from_le_bytes(*word)).collect();
            if is_opaque(image) {
                let opaque = words.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]);
                jixel::encode_image_16bit(&opaque.collect::<Vec<u16>>(), width, height, config)
            } else {
                jixel::encode_image_with_alpha_16bit(&words, width, height, config)
            }
        }
    }
}
