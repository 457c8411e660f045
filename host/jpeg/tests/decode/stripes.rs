//! Patterns as fine as the samples that a smaller picture has no room for.

use std::f64::consts::PI;

use imgserve_jpeg::{
    Color, Cursors, DecodeOptions, EncodeOptions, EncodeScratch, Picture, Reduction, Scale, Scratch, decode,
    encode,
};

use super::difference;
use super::writer::{Frame, Scan, Writer};

const SIDE: u16 = 96;

/// Black and white by a pixel's place, as a file.
fn file(white: impl Fn(u32, u32) -> bool, options: &EncodeOptions) -> Vec<u8> {
    grays(|x, y| if white(x, y) { 255 } else { 0 }, options)
}

/// The same of any grays.
fn grays(gray: impl Fn(u32, u32) -> u8, options: &EncodeOptions) -> Vec<u8> {
    let side = u32::from(SIDE);
    let pixels: Vec<u8> = (0..side * side).flat_map(|at| [gray(at % side, at / side); 3]).collect();
    let mut file = Vec::new();
    encode(&pixels, SIDE, SIDE, Color::Rgb, options, &mut EncodeScratch::default(), &mut file).unwrap();
    file
}

fn reduced(file: &[u8], scale: Scale, reduction: Reduction) -> Picture {
    decode(file, &DecodeOptions::at(scale).reduced_by(reduction), &mut Scratch::new()).unwrap()
}

/// A pattern, whether a pixel is white in it, and the scales that have no room for it.
type Pattern = (&'static str, fn(u32, u32) -> bool, &'static [Scale]);

#[test]
fn fine_patterns_become_one_gray() {
    const BOTH: &[Scale] = &[Scale::Half, Scale::Quarter];
    let patterns: [Pattern; 5] = [
        ("columns of a pixel", |x, _| x % 2 == 1, BOTH),
        ("rows of a pixel", |_, y| y % 2 == 1, BOTH),
        ("a board of pixels", |x, y| (x + y) % 2 == 1, BOTH),
        ("columns of two pixels", |x, _| x / 2 % 2 == 1, &[Scale::Quarter]),
        ("a board of two pixels", |x, y| (x / 2 + y / 2) % 2 == 1, &[Scale::Quarter]),
    ];
    for (name, white, scales) in patterns {
        for quality in [30, 50, 75, 90, 95, 100] {
            for progressive in [false, true] {
                for subsample_chroma in [false, true] {
                    let file = file(white, &EncodeOptions { quality, subsample_chroma, progressive });
                    for &scale in scales {
                        let picture = reduced(&file, scale, Reduction::Lowest);
                        let (least, most) =
                            (picture.data.iter().min().unwrap(), picture.data.iter().max().unwrap());
                        // What is left is the encoder's rounding.
                        assert!(
                            most - least <= 12 && (120..=135).contains(least),
                            "{name}, quality {quality}, progressive {progressive}, {scale:?}: {least} to {most}"
                        );
                    }
                }
            }
        }
    }
}

/// Their frequency has others on both sides, which are short enough to be passed over together with it.
#[test]
fn stripes_are_found_among_other_high_frequencies() {
    let wave = |at: u32, frequency: u32| (f64::from((2 * (at % 8) + 1) * frequency) * PI / 16.0).cos();
    let gray = |x, y| {
        let stripes = if x % 2 == 1 { 80.0 } else { -80.0 };
        (128.0 + stripes + wave(x, 6) * (9.0 + 15.0 * wave(y, 1))).round() as u8
    };
    let file = grays(gray, &EncodeOptions { quality: 50, ..EncodeOptions::default() });
    for scale in [Scale::Half, Scale::Quarter] {
        let data = reduced(&file, scale, Reduction::Lowest).data;
        let (least, most) = (data.iter().min().unwrap(), data.iter().max().unwrap());
        assert!(most - least <= 20, "{scale:?}: {least} to {most}");
    }
}

/// A code may pass over many zeros, so that whoever looks at several codes at once ends far behind the first.
#[test]
fn a_strong_frequency_is_found_before_many_zeros() {
    let mut frame = Frame::noise(64, 64, &[(1, 1)], 5);
    // Of all others only a long value would be too strong, which no look-up holds here.
    let quantizers = |k: usize| if matches!(k, 1 | 28) { 110 } else { 1 };
    frame.quantization = vec![std::array::from_fn(quantizers); 2];
    for block in &mut frame.components[0].blocks {
        *block = [0; 64];
        // Level 2 at frequency 7 is too strong, and a third of the picture's contrast at a low one shows whether it is seen.
        (block[1], block[27], block[28], block[50]) = (3, 1, 2, 1);
    }
    let file = Writer::new().long_codes().file(&frame, &[Scan::Sequential(vec![0])], 0);
    let mean = reduced(&file, Scale::Quarter, Reduction::Mean).data;
    for cursors in [Cursors::Never, Cursors::Wherever] {
        let mut options = DecodeOptions::at(Scale::Quarter).reduced_by(Reduction::Lowest);
        options.cursors = cursors;
        let lowest = decode(&file, &options, &mut Scratch::new()).unwrap().data;
        assert!(difference(&lowest, &mean) <= 1, "{cursors:?}: {}", difference(&lowest, &mean));
    }
}

#[test]
fn edges_of_full_contrast_stay_sharp() {
    // White shapes on black, their edges anywhere in a block.
    let shapes = |x: u32, y: u32| (x / 21 + y / 27) % 2 == 1;
    for quality in [50, 75, 90, 95] {
        let file = file(shapes, &EncodeOptions { quality, ..EncodeOptions::default() });
        for scale in [Scale::Half, Scale::Quarter] {
            let [lowest, mean] =
                [Reduction::Lowest, Reduction::Mean].map(|by| reduced(&file, scale, by).data);
            assert!(difference(&lowest, &mean) > 10, "quality {quality}, {scale:?}: they are averaged");
        }
    }
}

/// A part of a picture may be striped: what lies beside it is as without.
#[test]
fn what_lies_beside_stripes_is_left_alone() {
    let shape = |x: u32, y: u32| x < 48 && (x / 21 + y / 27) % 2 == 1;
    let options = EncodeOptions { subsample_chroma: false, ..EncodeOptions::default() };
    let (plain, striped) =
        (file(shape, &options), file(|x, y| shape(x, y) || (x >= 64 && x % 2 == 1), &options));
    let rows = |file: &[u8]| {
        let picture = reduced(file, Scale::Half, Reduction::Lowest);
        let row = 3 * picture.width as usize;
        picture.data.chunks(row).map(|pixels| pixels[..row * 60 / 96].to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(rows(&plain), rows(&striped));
}
