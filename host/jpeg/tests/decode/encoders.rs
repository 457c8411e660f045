//! Files of another encoder, against another decoder's picture at full size, reduced to means.

use imgserve_jpeg::{ColorModel, Picture, Scale};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::{SCALES, decoded, reference};

const SIZES: [(u16, u16); 4] = [(64, 48), (61, 35), (16, 16), (7, 130)];

/// Smooth waves, so that what chroma subsampling and interpolation change is little.
fn pixels(width: u16, height: u16, channels: usize) -> Vec<u8> {
    let sample = |at: usize| {
        let (x, y) = (at / channels % usize::from(width), at / channels / usize::from(width));
        let wave = (x as f32 / 9.0 + (at % channels) as f32).sin() + (y as f32 / 13.0).cos();
        (wave * 55.0 + 128.0) as u8
    };
    (0..usize::from(width) * usize::from(height) * channels).map(sample).collect()
}

fn encoded(
    color: ColorType,
    (width, height): (u16, u16),
    set: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let channels = match color {
        ColorType::Luma => 1,
        ColorType::Rgb => 3,
        _ => 4,
    };
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 90);
    set(&mut encoder);
    encoder.encode(&pixels(width, height, channels), width, height, color).unwrap();
    file
}

/// Compares each pixel that stands for whole blocks of pixels with their mean, and all at full size.
#[track_caller]
fn check(file: &[u8], tolerance: impl Fn(Scale) -> f64, name: &str) {
    let mut decoder = jpeg_decoder::Decoder::new(file);
    let full = decoder.decode().unwrap();
    let width = usize::from(decoder.info().unwrap().width);
    for scale in SCALES {
        let picture = decoded(file, scale).unwrap();
        assert_eq!(picture.damage, None, "{name}");
        let wide = 8 / reference::side(scale);
        for (at, (mean, ours)) in means(&full, width, wide, &picture) {
            assert!((mean - ours).abs() <= tolerance(scale), "{name} {scale:?} at {at}: {ours}, not {mean}");
        }
    }
}

/// Each sample's place, the mean of those it stands for, and itself; edges that are no whole squares are left out.
fn means<'p>(
    full: &'p [u8],
    width: usize,
    wide: usize,
    picture: &'p Picture,
) -> impl Iterator<Item = (usize, (f64, f64))> + 'p {
    let channels = picture.data.len() / (picture.width * picture.height) as usize;
    // jpeg-decoder gives ink as its complement.
    let complement = if picture.color == ColorModel::Cmyk { 255 } else { 0 };
    let height = full.len() / channels / width;
    picture.data.iter().enumerate().filter_map(move |(at, &ours)| {
        let (pixel, channel) = (at / channels, at % channels);
        let (x, y) = (pixel % picture.width as usize * wide, pixel / picture.width as usize * wide);
        if x + wide > width || y + wide > height {
            return None;
        }
        let sample =
            |i: usize| full[((y + i / wide) * width + x + i % wide) * channels + channel] ^ complement;
        let sum: u32 = (0..wide * wide).map(|i| u32::from(sample(i))).sum();
        Some((at, (f64::from(sum) / (wide * wide) as f64, f64::from(ours))))
    })
}

#[test]
fn every_kind_of_file() {
    for (width, height) in SIZES {
        for kind in 0..8 {
            let set = |encoder: &mut Encoder<&mut Vec<u8>>| {
                // With the others the encoder counts too few symbols, and panics.
                encoder.set_optimized_huffman_tables(kind == 1);
                encoder.set_progressive(kind & 2 != 0);
                if kind & 4 != 0 {
                    encoder.set_restart_interval(3);
                }
            };
            let name = |what: &str| format!("{what} {width}x{height} kind {kind}");
            check(&encoded(ColorType::Luma, (width, height), set), |_| 1.5, &name("gray"));
            for color in [ColorType::Rgb, ColorType::Cmyk, ColorType::CmykAsYcck] {
                let set = |encoder: &mut Encoder<&mut Vec<u8>>| {
                    encoder.set_sampling_factor(SamplingFactor::F_1_1);
                    set(encoder);
                };
                check(&encoded(color, (width, height), set), |_| 3.5, &name(&format!("{color:?}")));
            }
        }
    }
}

/// Interpolation at full size differs, and at 1/8 there is none: a colour then stands for up to 32 pixels.
#[test]
fn every_subsampling() {
    for (h, v) in [(2, 1), (1, 2), (2, 2), (4, 1), (4, 2), (1, 4), (2, 4)] {
        for progressive in [false, true] {
            let set = |encoder: &mut Encoder<&mut Vec<u8>>| {
                encoder.set_sampling_factor(SamplingFactor::from_factors(h, v).unwrap());
                encoder.set_progressive(progressive);
            };
            let file = encoded(ColorType::Rgb, (128, 96), set);
            let tolerance = |scale| match scale {
                Scale::Eighth => f64::from(16 * h * v),
                Scale::Quarter => f64::from(10 * h * v).max(20.0),
                Scale::Half => f64::from(4 * h * v).max(12.0),
                Scale::Full => 12.0,
            };
            check(&file, tolerance, &format!("{h}x{v}"));
        }
    }
    assert_eq!(Scale::Eighth.apply(129), 17);
}
