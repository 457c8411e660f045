//! Pixels into a PNG: what a picture is made of decides how it is written, and never changes a pixel's value.
//!
//! Up to 256 colours become a palette, or gray of as few bits as hold them. Of other pictures, drawings are left
//! unfiltered, photographs are filtered row by row. Alpha that is everywhere opaque is dropped, and so is colour
//! that is everywhere gray.

use std::borrow::Cow;

use imgserve_base::format::Format;
use imgserve_sdk::{ImageRef, PixelFormat};
use png::{BitDepth, ColorType, Compression, DeflateCompression, Filter};

use crate::convert::each;
use crate::error::CodecError;
use crate::palette::{MAX_COLORS, Palette};

/// Pixels that a colour must stand for on average if a palette is to be worth its bytes.
const PIXELS_PER_COLOR: usize = 4;

/// What is written for a picture: the samples as the file has them, and what they mean.
struct Samples<'a> {
    color: ColorType,
    depth: BitDepth,
    /// RGB, and alpha as far as any is less than opaque.
    palette: Option<(Vec<u8>, Vec<u8>)>,
    data: Cow<'a, [u8]>,
    filtered: bool,
}

pub(super) fn encode(image: ImageRef<'_>) -> Result<Vec<u8>, CodecError> {
    let pixels = image.width() as usize * image.height() as usize;
    let most = (pixels / PIXELS_PER_COLOR).clamp(2, MAX_COLORS);
    let samples = match Palette::of(image, most) {
        Some(palette) => few_colors(image, palette),
        None => many_colors(image),
    };
    write(samples, (image.width(), image.height()))
}

/// The file of a picture whose channels are all kept, whatever is in them.
pub(in super::super) fn encode_as_given(image: ImageRef<'_>) -> Result<Vec<u8>, CodecError> {
    write(as_given(image), (image.width(), image.height()))
}

fn write(samples: Samples<'_>, (width, height): (u32, u32)) -> Result<Vec<u8>, CodecError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(samples.color);
    encoder.set_depth(samples.depth);
    if let Some((colors, alpha)) = samples.palette {
        encoder.set_palette(colors);
        if !alpha.is_empty() {
            encoder.set_trns(alpha);
        }
    }
    if samples.filtered {
        encoder.set_compression(Compression::Fast);
        encoder.set_filter(Filter::Adaptive);
    } else {
        encoder.set_deflate_compression(DeflateCompression::Level(3));
        encoder.set_filter(Filter::NoFilter);
    }
    let error = |error: png::EncodingError| CodecError::encode(Format::Png, error);
    let mut writer = encoder.write_header().map_err(error)?;
    writer.write_image_data(&samples.data).map_err(error)?;
    writer.finish().map_err(error)?;
    Ok(file)
}

/// Gray if that takes no more bits than numbers of colours, which need a palette beside them.
fn few_colors(image: ImageRef<'_>, mut palette: Palette) -> Samples<'static> {
    let width = image.width() as usize;
    let bits = number_bits(&palette.colors);
    if let Some(gray_bits) = gray_bits(&palette.colors).filter(|&gray_bits| gray_bits <= bits) {
        let grays: Vec<u8> = palette.colors.iter().map(|color| color[0] >> (8 - gray_bits)).collect();
        palette.numbers.iter_mut().for_each(|number| *number = grays[usize::from(*number)]);
        let data = pack(palette.numbers, width, gray_bits).into();
        let color = ColorType::Grayscale;
        return Samples { color, depth: depth(gray_bits), palette: None, data, filtered: false };
    }
    // Nothing is said of the alpha of opaque colours, if they come last.
    palette.put_first(|color| color[3] != 255);
    let alpha = palette.colors.iter().map(|color| color[3]).take_while(|&alpha| alpha != 255).collect();
    let colors = palette.colors.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
    let data = pack(palette.numbers, width, bits).into();
    let (color, palette) = (ColorType::Indexed, Some((colors, alpha)));
    Samples { color, depth: depth(bits), palette, data, filtered: false }
}

/// Bits that the number of a colour takes.
fn number_bits(colors: &[[u8; 4]]) -> u8 {
    match colors.len() {
        0..=2 => 1,
        3..=4 => 2,
        5..=16 => 4,
        _ => 8,
    }
}

/// Bits that hold the colours as opaque gray, if they are: PNG spreads fewer than 8 evenly from black to white.
fn gray_bits(colors: &[[u8; 4]]) -> Option<u8> {
    let gray = colors.iter().all(|&[r, g, b, alpha]| r == g && g == b && alpha == 255);
    let fits = |step: u8| colors.iter().all(|color| color[0] % step == 0);
    let bits =
        [(1, 255), (2, 85), (4, 17)].into_iter().find(|&(_, step)| fits(step)).map_or(8, |(bits, _)| bits);
    gray.then_some(bits)
}

/// Several samples to a byte, the first in the highest bits; rows begin with a byte of their own.
fn pack(samples: Vec<u8>, width: usize, bits: u8) -> Vec<u8> {
    if bits == 8 {
        return samples;
    }
    let per_byte = usize::from(8 / bits);
    let bytes = samples.chunks_exact(width).flat_map(|row| row.chunks(per_byte)).map(|some| {
        let byte = some.iter().fold(0, |byte, &sample| byte << bits | sample);
        byte << (usize::from(bits) * (per_byte - some.len()))
    });
    bytes.collect()
}

fn depth(bits: u8) -> BitDepth {
    match bits {
        1 => BitDepth::One,
        2 => BitDepth::Two,
        4 => BitDepth::Four,
        _ => BitDepth::Eight,
    }
}

fn many_colors(image: ImageRef<'_>) -> Samples<'_> {
    let given = as_given(image);
    if image.format() != PixelFormat::Rgba8 {
        return given;
    }
    let (pixels, _) = image.data().as_chunks::<4>();
    if pixels.iter().all(|pixel| pixel[3] == 255) {
        let opaque = each(pixels.iter().map(|&[r, g, b, _]| [r, g, b]), pixels.len());
        return Samples { color: ColorType::Rgb, data: opaque.into(), ..given };
    }
    if pixels.iter().all(|&[r, g, b, _]| r == g && g == b) {
        let gray = each(pixels.iter().map(|&[gray, .., alpha]| [gray, alpha]), pixels.len());
        return Samples { color: ColorType::GrayscaleAlpha, data: gray.into(), ..given };
    }
    given
}

fn as_given(image: ImageRef<'_>) -> Samples<'_> {
    let filtered = !is_drawing(image);
    let samples = |color, data| Samples { color, depth: BitDepth::Eight, palette: None, data, filtered };
    let data = image.data();
    match image.format() {
        PixelFormat::Gray8 => samples(ColorType::Grayscale, data.into()),
        PixelFormat::Rgb8 => samples(ColorType::Rgb, data.into()),
        PixelFormat::Rgba8 => samples(ColorType::Rgba, data.into()),
        PixelFormat::Rgba16 => {
            let mut data = data.to_vec();
            data.as_chunks_mut::<2>().0.iter_mut().for_each(|word| word.reverse());
            Samples { depth: BitDepth::Sixteen, ..samples(ColorType::Rgba, data.into()) }
        }
    }
}

/// Whether flat areas prevail, which compress better as they are than filtered: in a sample of rows, at least a
/// third of the pixels equal their left neighbour. Photographs stay far below, drawings and text far above.
fn is_drawing(image: ImageRef<'_>) -> bool {
    const ROWS: usize = 64;
    let pixel = image.format().bytes_per_pixel();
    let row = image.width() as usize * pixel;
    let step = (image.height() as usize).div_ceil(ROWS).max(1);
    let (mut equal, mut pairs) = (0, 0);
    for row in image.data().chunks_exact(row).step_by(step) {
        equal +=
            row.chunks_exact(pixel).zip(row[pixel..].chunks_exact(pixel)).filter(|(a, b)| a == b).count();
        pairs += image.width() as usize - 1;
    }
    3 * equal >= pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use imgserve_sdk::Image;

    use super::*;
    use crate::convert::convert;
    use crate::samples::{decode_one, gradient};

    /// What the header of a file says: bits a sample, colour type.
    fn kind(file: &[u8]) -> (u8, u8) {
        (file[24], file[25])
    }

    fn picture(width: u32, format: PixelFormat, data: Vec<u8>) -> Image {
        let height = data.len() as u32 / width / format.bytes_per_pixel() as u32;
        Image::new(width, height, format, data).unwrap()
    }

    /// Encodes, checks that every pixel comes back as it was, and gives the file.
    fn round_trip(image: &Image) -> Vec<u8> {
        let file = encode(image.as_ref()).unwrap();
        let format = image.format();
        assert_eq!(convert(decode_one(&file).as_ref(), format), *image, "{:?}", kind(&file));
        file
    }

    #[test]
    fn few_colours_take_few_bits() {
        for (colors, bits) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (256, 8)] {
            for width in [31, 32] {
                let data = (0..width * 70).flat_map(|at| [(at % colors) as u8, 7, 9]).collect();
                assert_eq!(
                    kind(&round_trip(&picture(width, PixelFormat::Rgb8, data))),
                    (bits, 3),
                    "{colors}"
                );
            }
        }
        let data = (0..257 * 70_u32).flat_map(|at| [(at % 257) as u8, (at % 257 / 256) as u8, 9]).collect();
        assert_eq!(kind(&round_trip(&picture(257, PixelFormat::Rgb8, data))), (8, 2));
    }

    #[test]
    fn gray_is_written_as_gray() {
        for (values, expected) in [
            (&[0, 255][..], (1, 0)),
            (&[0, 85, 170, 255], (2, 0)),
            (&[0, 17, 255], (2, 3)),
            (&[0, 17, 34, 51, 68], (4, 0)),
            (&[1, 254], (1, 3)),
        ] {
            let data: Vec<u8> = values.iter().copied().cycle().take(values.len() * 33 * 20).collect();
            let rgb = data.iter().flat_map(|&gray| [gray; 3]).collect();
            let rgba = data.iter().flat_map(|&gray| [gray, gray, gray, 255]).collect();
            for (format, data) in
                [(PixelFormat::Gray8, data), (PixelFormat::Rgb8, rgb), (PixelFormat::Rgba8, rgba)]
            {
                assert_eq!(kind(&round_trip(&picture(33, format, data))), expected, "{values:?} {format:?}");
            }
        }
        let many: Vec<u8> = (0..40 * 100).map(|at| (at * 7 % 256) as u8).collect();
        let rgb = many.iter().flat_map(|&gray| [gray; 3]).collect();
        assert_eq!(kind(&round_trip(&picture(40, PixelFormat::Rgb8, rgb))), (8, 0));
        let alpha =
            (0..40 * 100_u32).flat_map(|at| [[(at % 250) as u8; 3].as_slice(), &[(at / 40) as u8]].concat());
        assert_eq!(kind(&round_trip(&picture(40, PixelFormat::Rgba8, alpha.collect()))), (8, 4));
    }

    #[test]
    fn a_palette_keeps_alpha_and_the_colours_below_it() {
        let colors = [[1, 2, 3, 255], [4, 5, 6, 0], [7, 8, 9, 128], [4, 5, 7, 0]];
        let file = round_trip(&picture(16, PixelFormat::Rgba8, colors.repeat(64).concat()));
        assert_eq!(kind(&file), (2, 3));
        let at = file.windows(4).position(|name| name == b"tRNS").unwrap();
        assert_eq!(file[at - 1], 3, "opaque colours come last and are not mentioned");
    }

    #[test]
    fn a_palette_is_not_larger_than_what_it_saves() {
        let data = (0..8 * 8).flat_map(|at| [at, 7, 9]).collect();
        assert_eq!(kind(&round_trip(&picture(8, PixelFormat::Rgb8, data))), (8, 2));
    }

    #[test]
    fn drawings_and_photographs_are_told_apart_and_opaque_alpha_is_dropped() {
        assert!(!is_drawing(gradient(100, 100, PixelFormat::Rgb8).as_ref()));
        let flat = picture(100, PixelFormat::Rgba8, [7, 8, 9, 255].repeat(10_000));
        assert!(is_drawing(flat.as_ref()));
        assert!(is_drawing(picture(1, PixelFormat::Gray8, vec![0]).as_ref()));
        assert_eq!(kind(&round_trip(&gradient(64, 64, PixelFormat::Rgba8))), (8, 2));
        assert_eq!(kind(&round_trip(&gradient(64, 64, PixelFormat::Rgba16))), (16, 6));
    }

    proptest! {
        /// Values from small sets, so that every way of writing is met.
        #[test]
        fn no_pixel_changes(
            width in 1_u32..40,
            height in 1_u32..40,
            format in prop::sample::select(vec![PixelFormat::Gray8, PixelFormat::Rgb8, PixelFormat::Rgba8]),
            values in prop::collection::vec(any::<[u8; 4]>(), 1..40),
            gray: bool,
            opaque: bool,
            seed: u64,
        ) {
            let mut state = seed | 1;
            let data = (0..width * height).flat_map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let [r, g, b, a] = values[(state >> 33) as usize % values.len()];
                let [g, b] = if gray { [r, r] } else { [g, b] };
                [r, g, b, if opaque { 255 } else { a }].into_iter().take(format.bytes_per_pixel())
            }).collect();
            round_trip(&picture(width, format, data));
        }
    }
}
