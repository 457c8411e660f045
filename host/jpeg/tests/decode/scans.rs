//! Every sampling in every kind of scan: the samples are what the DCT's definition says.

use imgserve_jpeg::{ColorModel, DecodeOptions, Reduction, Scale, Scratch, decode};

use super::writer::{Frame, Scan, Writer};
use super::{SCALES, channel, decoded, difference, reference};

/// Sampling factors of the components; chroma that is not what 4:2:0 and the like have, too.
pub(crate) const SAMPLINGS: [&[(usize, usize)]; 14] = [
    &[(1, 1)],
    &[(2, 2)],
    &[(1, 1), (1, 1), (1, 1)],
    &[(2, 1), (1, 1), (1, 1)],
    &[(1, 2), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(4, 1), (1, 1), (1, 1)],
    &[(1, 4), (1, 1), (1, 1)],
    &[(4, 2), (1, 1), (1, 1)],
    &[(2, 2), (2, 1), (1, 2)],
    &[(1, 1), (2, 2), (2, 1)],
    &[(2, 2), (1, 1), (2, 2), (1, 1)],
    &[(1, 1), (1, 1), (1, 1), (1, 1)],
    &[(3, 1), (1, 1), (1, 1)],
];

/// Ways to write the same coefficients.
pub(crate) fn scripts(components: usize) -> Vec<(&'static str, Vec<Scan>)> {
    let all: Vec<usize> = (0..components).collect();
    let each = |scan: &dyn Fn(usize) -> Scan| all.iter().map(|&index| scan(index)).collect::<Vec<_>>();
    let mut deep = vec![Scan::DcFirst(all.clone(), 2)];
    deep.extend(each(&|c| Scan::AcFirst(c, (1, 5), 3)));
    deep.extend(each(&|c| Scan::AcFirst(c, (6, 63), 2)));
    deep.push(Scan::DcRefinement(all.clone(), 1));
    deep.extend(each(&|c| Scan::AcRefinement(c, (1, 5), 2)));
    deep.extend([1, 0].iter().flat_map(|&low| each(&|c| Scan::AcRefinement(c, (1, 63), low))));
    deep.extend(each(&|c| Scan::DcRefinement(vec![c], 0)));
    let simple = [vec![Scan::DcFirst(all.clone(), 0)], each(&|c| Scan::AcFirst(c, (1, 63), 0))].concat();
    vec![
        ("sequential", vec![Scan::Sequential(all.clone())]),
        ("not interleaved", each(&|c| Scan::Sequential(vec![c]))),
        ("spectral selection", simple),
        ("successive approximation", deep),
    ]
}

/// Checks each component against the reference: the same at 1/8, within 1 elsewhere.
#[track_caller]
fn check(frame: &Frame, file: &[u8], name: &str) {
    for scale in SCALES {
        let picture = decoded(file, scale).unwrap();
        let side = reference::side(scale);
        assert_eq!(picture.width as usize, (frame.width * side).div_ceil(8), "{name}");
        assert_eq!(picture.height as usize, (frame.height * side).div_ceil(8), "{name}");
        assert_eq!(picture.damage, None, "{name} {scale:?}");
        let tolerance = u8::from(scale != Scale::Eighth);
        for (index, expected) in reference::components(frame, scale).iter().enumerate() {
            let most = difference(&channel(&picture, index), expected);
            assert!(most <= tolerance, "{name} {scale:?}, component {index}: a difference of {most}");
        }
    }
}

#[test]
fn every_sampling_in_every_kind_of_scan() {
    for (number, factors) in SAMPLINGS.iter().enumerate() {
        let frame = Frame::noise(61 + number, 43 - number, factors, number as u64).rgb();
        for (name, scans) in scripts(factors.len()) {
            for restart in [0, 1, 3] {
                let file = Writer::new().file(&frame, &scans, restart);
                check(&frame, &file, &format!("{factors:?} {name}, restarts {restart}"));
            }
        }
    }
}

#[test]
fn codes_longer_than_the_lookups() {
    let frame = Frame::noise(50, 70, &[(2, 2), (1, 1), (1, 1)], 7).rgb();
    for (name, scans) in scripts(3) {
        check(&frame, &Writer::new().long_codes().file(&frame, &scans, 0), name);
    }
}

#[test]
fn sixteen_bit_quantisers() {
    let mut frame = Frame::noise(30, 20, &[(1, 1), (1, 1), (1, 1)], 3).rgb();
    frame.quantization[0][5] = 300;
    frame.quantization[1][1] = 256;
    for (name, scans) in scripts(3) {
        check(&frame, &Writer::new().file(&frame, &scans, 0), name);
    }
}

#[test]
fn small_pictures() {
    for factors in [SAMPLINGS[0], SAMPLINGS[3], SAMPLINGS[5], SAMPLINGS[6]] {
        for (width, height) in
            [(1, 1), (2, 1), (1, 2), (3, 5), (5, 3), (8, 8), (9, 17), (16, 16), (17, 9), (33, 1)]
        {
            let frame = Frame::noise(width, height, factors, (width * height) as u64).rgb();
            let file = Writer::new().file(&frame, &[Scan::Sequential(frame.all())], 0);
            check(&frame, &file, &format!("{width}x{height} {factors:?}"));
        }
    }
}

/// Blocks whose last coefficient is written have no end-of-block code.
#[test]
fn full_blocks() {
    let mut frame = Frame::noise(40, 24, &[(2, 1), (1, 1), (1, 1)], 5).rgb();
    for block in frame.components.iter_mut().flat_map(|component| &mut component.blocks).step_by(2) {
        block[63] = if block[0] > 0 { 3 } else { -2 };
    }
    for (name, scans) in scripts(3) {
        check(&frame, &Writer::new().file(&frame, &scans, 0), name);
        check(&frame, &Writer::new().long_codes().file(&frame, &scans, 0), name);
    }
}

#[test]
fn colours_are_converted() {
    let factors = [(1, 1); 3];
    let frame = Frame::noise(40, 30, &factors, 11);
    let file = Writer::new().file(&frame, &[Scan::Sequential(frame.all())], 0);
    let raw = Writer::new().file(&frame.clone().rgb(), &[Scan::Sequential(frame.all())], 0);
    let (picture, raw) = (decoded(&file, Scale::Full).unwrap(), decoded(&raw, Scale::Full).unwrap());
    assert_eq!((picture.color, raw.color), (ColorModel::Rgb, ColorModel::Rgb));
    let expected: Vec<u8> = raw.data.chunks_exact(3).flat_map(rgb).collect();
    assert!(difference(&picture.data, &expected) <= 1);
}

/// JFIF's conversion, in floating point.
fn rgb(ycc: &[u8]) -> [u8; 3] {
    let [y, cb, cr] = [f64::from(ycc[0]), f64::from(ycc[1]) - 128.0, f64::from(ycc[2]) - 128.0];
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|value| value.round() as u8)
}

fn adobe(transform: u8) -> Vec<u8> {
    [b"Adobe\0\x64\0\0\0\0", &[transform][..]].concat()
}

#[test]
fn adobes_marker_tells_the_colours() {
    let file = |components: usize, marks: &[(u8, Vec<u8>)]| {
        let frame = Frame::noise(24, 16, &[(1, 1); 4][..components], 13);
        let mut writer = Writer::new();
        marks.iter().for_each(|(marker, body)| writer.segment(*marker, body));
        let file = writer.file(&frame, &[Scan::Sequential(frame.all())], 0);
        (reference::components(&frame, Scale::Full), decoded(&file, Scale::Full).unwrap())
    };
    let jfif = (0xE0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0".to_vec());
    let raw = |(components, picture): &(Vec<Vec<u8>>, imgserve_jpeg::Picture)| {
        difference(&channel(picture, 0), &components[0]) <= 1
    };
    assert!(raw(&file(3, &[(0xEE, adobe(0))])), "Adobe's RGB");
    assert!(!raw(&file(3, &[(0xEE, adobe(1))])), "Adobe's YCbCr");
    assert!(!raw(&file(3, &[jfif, (0xEE, adobe(0))])), "JFIF is YCbCr whatever Adobe says");
    assert!(!raw(&file(3, &[])), "YCbCr unless something says otherwise");
    let cmyk = file(4, &[]);
    assert!(raw(&cmyk));
    assert_eq!((cmyk.1.color, cmyk.1.adobe), (ColorModel::Cmyk, false));
    let inverted = file(4, &[(0xEE, adobe(0))]);
    assert!(raw(&inverted) && inverted.1.adobe);
    let (components, ycck) = file(4, &[(0xEE, adobe(2))]);
    for (at, ink) in ycck.data.chunks_exact(4).enumerate() {
        let [y, cb, cr] = [0, 1, 2].map(|index| components[index][at]);
        let expected = rgb(&[y, cb, cr]).map(|value| 255 - value);
        assert!(difference(&ink[..3], &expected) <= 3 && ink[3].abs_diff(components[3][at]) <= 1);
    }
}

/// The lowest frequencies alone: of a picture that has no others, the samples that the smaller transform makes of them.
#[test]
fn the_lowest_frequencies_alone() {
    let mut frame = Frame::noise(32, 32, &[(1, 1); 3], 17).rgb();
    let places = reference::places();
    let options = |scale| DecodeOptions::at(scale).reduced_by(Reduction::Lowest);
    let file = |frame: &Frame, scans: &[Scan]| Writer::new().file(frame, scans, 0);
    for scale in [Scale::Quarter, Scale::Half] {
        let side = reference::side(scale);
        for (_, scans) in scripts(3) {
            let before = decode(&file(&frame, &scans), &options(scale), &mut Scratch::new()).unwrap();
            let mut lower = frame.clone();
            for block in lower.components.iter_mut().flat_map(|component| &mut component.blocks) {
                for (value, (row, column)) in block.iter_mut().zip(places) {
                    if row >= side || column >= side {
                        *value = 0;
                    }
                }
            }
            let after = decode(&file(&lower, &scans), &options(scale), &mut Scratch::new()).unwrap();
            assert_eq!(before.data, after.data, "higher frequencies do not matter");
        }
    }
    // One wave of the smaller transform: cos((2x + 1)π / 2N) for N samples.
    for block in frame.components.iter_mut().flat_map(|component| &mut component.blocks) {
        *block = [0; 64];
        block[1] = 40;
    }
    let quantiser = f64::from(frame.quantization[0][1]);
    let file = file(&frame, &[Scan::Sequential(frame.all())]);
    for scale in [Scale::Quarter, Scale::Half] {
        let side = reference::side(scale);
        let picture = decode(&file, &options(scale), &mut Scratch::new()).unwrap();
        for (x, &sample) in channel(&picture, 0)[..side].iter().enumerate() {
            let wave = ((2 * x + 1) as f64 * std::f64::consts::PI / (2 * side) as f64).cos();
            let expected = 128.0 + 40.0 * quantiser * wave * 0.5 * 0.125_f64.sqrt();
            assert!((f64::from(sample) - expected).abs() <= 1.0, "{scale:?} {x}: {sample}, not {expected}");
        }
    }
}

#[test]
fn a_progressive_files_colours_have_the_resolution_of_a_sequential_ones() {
    let frame = Frame::noise(64, 48, &[(2, 2), (1, 1), (1, 1)], 5);
    let options = DecodeOptions::at(Scale::Eighth).reduced_by(Reduction::Lowest);
    let pictures = scripts(3).into_iter().map(|(name, scans)| {
        (name, decode(&Writer::new().file(&frame, &scans, 0), &options, &mut Scratch::new()).unwrap())
    });
    let mut pictures = pictures.collect::<Vec<_>>().into_iter();
    let (_, first) = pictures.next().unwrap();
    for (name, picture) in pictures {
        assert!(difference(&first.data, &picture.data) <= 2, "{name}");
    }
}
