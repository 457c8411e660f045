//! Files are read by two decoders that share nothing with this crate, and held against jpeg-encoder's.

use fearless_simd::Level;
use jpeg_encoder::{ColorType, SamplingFactor};
use proptest::prelude::*;
use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

use super::*;

const EVERY_WAY: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

fn options(quality: u8, (subsample_chroma, progressive): (bool, bool)) -> EncodeOptions {
    EncodeOptions { quality, subsample_chroma, progressive }
}

fn encode_new(pixels: &[u8], size: (u16, u16), color: Color, options: &EncodeOptions) -> Vec<u8> {
    let mut file = Vec::new();
    encode(pixels, size.0, size.1, color, options, &mut EncodeScratch::default(), &mut file).unwrap();
    file
}

/// What jpeg-decoder and zune-jpeg make of a file.
fn decode(file: &[u8], size: (u16, u16), color: Color) -> [Vec<u8>; 2] {
    let mut decoder = jpeg_decoder::Decoder::new(file);
    let one = decoder.decode().unwrap();
    let info = decoder.info().unwrap();
    assert_eq!((info.width, info.height), size);
    let space = if color == Color::Gray { ColorSpace::Luma } else { ColorSpace::RGB };
    let options = DecoderOptions::default().set_strict_mode(true).jpeg_set_out_colorspace(space);
    let two = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(file), options).decode().unwrap();
    [one, two]
}

fn mean_square(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    sum as f64 / a.len() as f64
}

/// Soft shapes, hard edges and some noise.
fn picture((width, height): (u16, u16), color: Color) -> Vec<u8> {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as f32
    };
    let mut pixels = Vec::new();
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (f32::from(y), f32::from(x)))) {
        let edge = if (x * 0.4 + y) % 50.0 < 20.0 { 60.0 } else { 0.0 };
        let soft = [(x / 17.0).sin(), (y / 23.0).cos(), ((x + y) / 31.0).sin()];
        for channel in &soft[..color.bytes_per_pixel()] {
            pixels.push((channel * 70.0 + 90.0 + edge + noise()) as u8);
        }
    }
    pixels
}

fn reference(pixels: &[u8], size: (u16, u16), color: Color, options: &EncodeOptions) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, options.quality);
    encoder.set_sampling_factor(if options.subsample_chroma {
        SamplingFactor::F_2_2
    } else {
        SamplingFactor::F_1_1
    });
    encoder.set_progressive(options.progressive);
    encoder.set_optimized_huffman_tables(options.progressive);
    let color = if color == Color::Gray { ColorType::Luma } else { ColorType::Rgb };
    encoder.encode(pixels, size.0, size.1, color).unwrap();
    file
}

#[test]
fn files_are_smaller_than_jpeg_encoders_and_as_good() {
    let size = (203, 141);
    for color in [Color::Gray, Color::Rgb] {
        let pixels = picture(size, color);
        for (quality, way) in
            [1, 30, 60, 80, 90, 97, 100].into_iter().flat_map(|q| EVERY_WAY.map(|way| (q, way)))
        {
            let options = options(quality, way);
            let [ours, theirs] = [encode_new, reference].map(|encode| encode(&pixels, size, color, &options));
            let [error, reference] = [&ours, &theirs]
                .map(|file| decode(file, size, color).map(|read| mean_square(&pixels, &read)));
            for (error, reference) in error.iter().zip(reference) {
                // Its tables give up what is measured for what is seen.
                assert!(
                    *error < reference * 1.25 + 0.05,
                    "{color:?} {options:?}: {error} against {reference}"
                );
            }
            // Where all is noise, more scans only cost more headers.
            let limit = theirs.len() + if options.progressive { theirs.len() / 50 } else { 0 };
            assert!(ours.len() <= limit, "{color:?} {options:?}: {} against {}", ours.len(), theirs.len());
        }
    }
}

#[test]
fn quality_100_is_nearly_exact() {
    let size = (64, 48);
    let pixels = picture(size, Color::Rgb);
    for progressive in [false, true] {
        let file = encode_new(&pixels, size, Color::Rgb, &options(100, (false, progressive)));
        for read in decode(&file, size, Color::Rgb) {
            assert!(mean_square(&pixels, &read) < 0.6, "{}", mean_square(&pixels, &read));
        }
    }
}

#[test]
fn every_small_size_is_read_back() {
    // A scratch that serves all sizes, one after the other.
    let mut scratch = EncodeScratch::default();
    for (width, height) in (1..=40).flat_map(|width| (1..=40).map(move |height| (width, height))) {
        for (color, way) in
            [Color::Gray, Color::Rgb].into_iter().flat_map(|color| EVERY_WAY.map(|way| (color, way)))
        {
            // A plain slope: what is at the edges shows as well as what is in the middle.
            let pixels: Vec<u8> = (0..height)
                .flat_map(|y| (0..width).map(move |x| (x * 3 + y * 2) as u8))
                .flat_map(|value| {
                    [value, value / 2 + 60, 255 - value].into_iter().take(color.bytes_per_pixel())
                })
                .collect();
            let mut file = Vec::new();
            encode(&pixels, width, height, color, &options(95, way), &mut scratch, &mut file).unwrap();
            for read in decode(&file, (width, height), color) {
                let error = mean_square(&pixels, &read);
                assert!(error < 12.0, "{width}x{height} {color:?} {way:?}: {error}");
            }
        }
    }
}

#[test]
fn extreme_pixels_fit_the_code() {
    let size = (32, 32);
    let mut pixels = vec![0; 32 * 32];
    for (kind, pixels) in (0..6).map(|kind| {
        for (at, pixel) in pixels.iter_mut().enumerate() {
            let (x, y) = (at % 32, at / 32);
            let lit = match kind {
                0 => true,
                1 => (x + y) % 2 == 0,
                2 => x % 2 == 0,
                3 => (x / 8 + y / 8) % 2 == 0,
                4 => (x / 4 + y / 4) % 2 == 0,
                _ => false,
            };
            *pixel = if lit { 255 } else { 0 };
        }
        (kind, pixels.clone())
    }) {
        for (quality, progressive) in [(100, false), (100, true), (1, false), (1, true)] {
            let file = encode_new(&pixels, size, Color::Gray, &options(quality, (false, progressive)));
            for read in decode(&file, size, Color::Gray) {
                assert!(quality == 1 || mean_square(&pixels, &read) < 1.0, "{kind}");
            }
        }
    }
}

#[test]
fn every_level_of_simd_writes_the_same_picture() {
    let size = (131, 77);
    let pixels = picture(size, Color::Rgb);
    let picture = Picture {
        layout: Layout::new(size.0, size.1, Color::Rgb, true),
        quantizers: [Quantizer::luma(85), Quantizer::chroma(85, true)],
    };
    let blocks = |level: Level| {
        let mut scratch = EncodeScratch::default();
        dispatch!(level, simd => picture.transform(simd, &mut Pixels(&pixels), &mut scratch));
        scratch.coefficients
    };
    let (best, plain) = (blocks(Level::new()), blocks(Level::baseline()));
    let mut differ = 0;
    for (best, plain) in best.iter().zip(&plain) {
        differ += best.differences(plain);
    }
    // Fused multiplications round otherwise.
    assert!(differ <= 3, "{differ} coefficients differ by one");
}

#[test]
fn what_does_not_fit_its_size_is_refused() {
    let mut scratch = EncodeScratch::default();
    let mut run = |pixels: &[u8], width, height, color| {
        encode(pixels, width, height, color, &EncodeOptions::default(), &mut scratch, &mut Vec::new())
    };
    assert_eq!(run(&[], 0, 4, Color::Gray), Err(EncodeError::Empty));
    assert_eq!(run(&[], 4, 0, Color::Gray), Err(EncodeError::Empty));
    assert_eq!(run(&[0; 5], 2, 1, Color::Rgb), Err(EncodeError::PixelBytes { expected: 6, got: 5 }));
    assert_eq!(run(&[0; 7], 2, 1, Color::Rgb), Err(EncodeError::PixelBytes { expected: 6, got: 7 }));
}

/// More empty blocks in a row than a symbol stands for, again and again, behind noise that makes that symbol's code long.
#[test]
fn long_rows_of_empty_blocks_are_read_back() {
    let (width, height) = (2048, 2304);
    let mut state = 1_u64;
    let pixels: Vec<u8> = (0..usize::from(width) * usize::from(height))
        .map(|at| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if at < 512 * 2048 { (state >> 56) as u8 } else { 90 }
        })
        .collect();
    let [baseline, progressive] = [false, true].map(|progressive| {
        let file = encode_new(&pixels, (width, height), Color::Gray, &options(80, (false, progressive)));
        decode(&file, (width, height), Color::Gray)
    });
    assert!(baseline == progressive);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn noise_is_read_back(
        width in 1_u16..70,
        height in 1_u16..70,
        gray: bool,
        quality in 0_u8..=110,
        way in (any::<bool>(), any::<bool>()),
        seed: u64,
    ) {
        let color = if gray { Color::Gray } else { Color::Rgb };
        let mut state = seed | 1;
        let pixels: Vec<u8> = (0..usize::from(width) * usize::from(height) * color.bytes_per_pixel())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        let options = options(quality, way);
        let file = encode_new(&pixels, (width, height), color, &options);
        let theirs = reference(&pixels, (width, height), color, &EncodeOptions { quality: quality.clamp(1, 100), ..options });
        let [ours, theirs] = [file, theirs].map(|file| decode(&file, (width, height), color));
        for (ours, theirs) in ours.iter().zip(theirs) {
            let (error, reference) = (mean_square(&pixels, ours), mean_square(&pixels, &theirs));
            // A tiny picture of noise, or one at a low quality, is decided by the rounding of a few coefficients.
            let telling = quality >= 50 && u32::from(width) * u32::from(height) >= 256;
            prop_assert!(!telling || error < reference * 2.5 + 4.0, "{error} against {reference}");
        }
    }
}

/// A file made of planes is that of the pixels that they come from, where these are gray.
#[test]
fn planes_become_the_file_that_pixels_do() {
    for (size, way) in [((33, 21), (true, false)), ((64, 16), (true, true)), ((5, 40), (false, false))] {
        let (pixels, options) = (picture(size, Color::Gray), options(80, way));
        let wanted = encode_new(&pixels, size, Color::Gray, &options);
        let (width, height) = (usize::from(size.0), usize::from(size.1));
        let mut file = Vec::new();
        let fill = |component: usize, row: usize, out: &mut [f32]| {
            assert_eq!(component, 0);
            let stride = out.len() / 8;
            for (n, out) in out.chunks_exact_mut(stride).enumerate() {
                let line = &pixels[(row + n).min(height - 1) * width..][..width];
                for (x, out) in out.iter_mut().enumerate() {
                    *out = f32::from(line[x.min(width - 1)]) - 128.0;
                }
            }
        };
        encode_planes(size, Color::Gray, &options, &mut EncodeScratch::default(), &mut file, fill).unwrap();
        assert!(file == wanted, "{size:?} {way:?}");
    }
}

/// Eight rows are asked for of each component in turn, colours at half the size.
#[test]
fn components_are_asked_for_at_their_own_size() {
    let mut asked = Vec::new();
    let fill = |component, row, out: &mut [f32]| {
        asked.push((component, row, out.len() / 8));
        out.fill(0.0);
    };
    let options = options(80, (true, false));
    encode_planes((20, 18), Color::Rgb, &options, &mut EncodeScratch::default(), &mut Vec::new(), fill)
        .unwrap();
    assert_eq!(
        asked,
        [(0, 0, 32), (0, 8, 32), (1, 0, 16), (2, 0, 16), (0, 16, 32), (0, 24, 32), (1, 8, 16), (2, 8, 16)]
    );
    let nothing = encode_planes(
        (0, 1),
        Color::Rgb,
        &options,
        &mut EncodeScratch::default(),
        &mut Vec::new(),
        |_, _, _| {},
    );
    assert_eq!(nothing, Err(EncodeError::Empty));
}
