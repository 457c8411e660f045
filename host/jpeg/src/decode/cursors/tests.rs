//! That cursors make the same of every scan as the usual way, and when they are used.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::*;
use crate::{DecodeError, DecodeOptions, Picture, Region, Scratch, decode, decode_planes};

const SCALES: [Scale; 2] = [Scale::Eighth, Scale::Quarter];
const SAMPLINGS: [(u8, u8); 4] = [(2, 2), (2, 1), (1, 2), (1, 1)];

/// Waves and noise of changing strength, and some stripes: a photograph to the decoder.
fn pixels(width: usize, height: usize, channels: usize, seed: u32) -> Vec<u8> {
    let mut noise = seed;
    let sample = |at: usize| {
        let (x, y, channel) = (at / channels % width, at / channels / width, at % channels);
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let strength = 1.0 + 40.0 * (x as f32 * 0.013 + y as f32 * 0.021 + channel as f32).sin().abs();
        let wave = (x as f32 * 0.07 + channel as f32).sin() * 60.0 + (y as f32 * 0.05).cos() * 50.0 + 128.0;
        let stripes = if (x / 48 + y / 32) % 5 == 0 { (x % 2) as f32 * 120.0 - 60.0 } else { 0.0 };
        (wave + stripes + strength * ((noise >> 24) as f32 / 255.0 - 0.5)) as u8
    };
    (0..width * height * channels).map(sample).collect()
}

fn file((width, height): (usize, usize), sampling: Option<(u8, u8)>, quality: u8) -> Vec<u8> {
    let (channels, color) = if sampling.is_some() { (3, ColorType::Rgb) } else { (1, ColorType::Luma) };
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality);
    if let Some((h, v)) = sampling {
        encoder.set_sampling_factor(SamplingFactor::from_factors(h, v).unwrap());
    }
    let pixels = pixels(width, height, channels, width as u32);
    encoder.encode(&pixels, width as u16, height as u16, color).unwrap();
    file
}

fn options(scale: Scale, cursors: Cursors) -> DecodeOptions {
    DecodeOptions { cursors, ..DecodeOptions::at(scale).reduced_by(Reduction::Lowest) }
}

/// By cursors and the usual way.
fn both(file: &[u8], options: DecodeOptions, scratch: &mut Scratch) -> [Result<Picture, DecodeError>; 2] {
    [Cursors::Wherever, Cursors::Never]
        .map(|cursors| decode(file, &DecodeOptions { cursors, ..options }, scratch))
}

/// Whether cursors have met since the scratch was made.
fn met(scratch: &Scratch) -> bool {
    scratch.cursors.met > 0
}

#[test]
fn pictures_are_the_usual_ways_bit_for_bit() {
    let mut scratch = Scratch::new();
    for (number, sampling) in SAMPLINGS.map(Some).into_iter().chain([None]).enumerate() {
        for quality in [30, 80, 97] {
            let size = (410 + 7 * number, 300 + 13 * number);
            let file = file(size, sampling, quality);
            for scale in SCALES {
                let parts = [(0, 0, 9999, 9999), (100, 60, 90, 120), (0, 150, 500, 40), (300, 0, 60, 30)];
                for (x, y, width, height) in parts {
                    let region = Region { x, y, width, height };
                    let options = options(scale, Cursors::Never).within(region);
                    let [cursors, usual] = both(&file, options, &mut scratch).map(Result::unwrap);
                    assert_eq!(cursors, usual, "{sampling:?} {quality} {scale:?} {region:?}");
                    assert_eq!(usual.damage, None);
                }
                let mut fresh = Scratch::new();
                decode(&file, &options(scale, Cursors::Wherever), &mut fresh).unwrap();
                assert!(met(&fresh), "{sampling:?} {quality} {scale:?}: no cursors were used");
            }
        }
    }
}

#[test]
fn samples_are_the_usual_ways_as_well() {
    let file = file((333, 222), Some((2, 2)), 85);
    for scale in SCALES {
        let mut scratches = [Scratch::new(), Scratch::new()];
        let [one, other] = &mut scratches;
        let cursors = decode_planes(&file, &options(scale, Cursors::Wherever), one).unwrap();
        let usual = decode_planes(&file, &options(scale, Cursors::Never), other).unwrap();
        for (cursors, usual) in cursors.planes.iter().zip(&usual.planes) {
            assert_eq!(cursors.samples, usual.samples);
        }
        assert!(met(&scratches[0]));
    }
}

/// Whatever is done to the data.
#[test]
fn damage_is_the_usual_ways() {
    let (mut scratch, mut noise, mut damaged, mut undamaged) = (Scratch::new(), 1_u32, 0, 0);
    let mut random = |below: usize| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 8) as usize % below
    };
    for sampling in [Some((2, 2)), Some((1, 1)), None] {
        let sound = file((250, 200), sampling, 80);
        let scan = sound.windows(2).position(|bytes| bytes == [0xFF, 0xDA]).unwrap() + 14;
        for round in 0..400 {
            let mut bytes = sound.clone();
            let at = scan + random(bytes.len() - scan - 20);
            match round % 5 {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << random(8),
                2 => bytes[at..at + 20].iter_mut().for_each(|byte| *byte = random(255) as u8),
                3 => drop(bytes.drain(at..at + 1 + random(9))),
                // A table, or another header.
                _ => bytes[2 + random(scan - 2)] = random(256) as u8,
            }
            let options = DecodeOptions { max_pixels: 1 << 18, ..options(SCALES[round % 2], Cursors::Never) };
            let [cursors, usual] = both(&bytes, options, &mut scratch);
            assert_eq!(cursors, usual, "{sampling:?} {round} at {at}");
            let found = usual.is_ok_and(|picture| picture.damage.is_some());
            (damaged, undamaged) = (damaged + usize::from(found), undamaged + usize::from(!found));
        }
    }
    assert!(damaged > 300 && undamaged > 200, "{damaged} {undamaged}");
}

/// A prospect with one fault.
#[test]
fn cursors_are_used_where_they_gain_something() {
    let good = Prospect {
        wish: Cursors::WhereFaster,
        scale: Scale::Quarter,
        reduction: Reduction::Lowest,
        missing: 0,
        restart_interval: 0,
        side: 4,
        pairs: 2,
        bytes: 400_000,
        mcus: (8000, 8000),
        blocks: 6,
    };
    assert!(good.is_good());
    assert!(Prospect { scale: Scale::Eighth, ..good }.is_good());
    assert!(Prospect { mcus: (2001, 8000), ..good }.is_good(), "a quarter of the picture is enough");
    let never = [
        ("scale", Prospect { scale: Scale::Half, ..good }),
        ("full scale", Prospect { scale: Scale::Full, ..good }),
        ("reduction", Prospect { reduction: Reduction::Mean, ..good }),
        ("a component alone", Prospect { missing: 1, ..good }),
        ("restart markers", Prospect { restart_interval: 100, ..good }),
        ("blocks of 8 x 8 samples", Prospect { side: 8, ..good }),
        ("tables", Prospect { pairs: 3, ..good }),
        ("nobody wants it", Prospect { wish: Cursors::Never, ..good }),
    ];
    let slower = [
        ("a small file", Prospect { bytes: 99_000, mcus: (2000, 2000), ..good }),
        ("a small part", Prospect { mcus: (1900, 8000), ..good }),
        ("a drawing", Prospect { bytes: 140_000, ..good }),
        ("noise", Prospect { bytes: 800_000, ..good }),
    ];
    for (name, prospect) in never.iter().chain(&slower) {
        assert!(!prospect.is_good(), "{name}");
    }
    for (name, prospect) in never.iter().take(7) {
        assert!(!Prospect { wish: Cursors::Wherever, ..*prospect }.is_good(), "{name}");
    }
    for (name, prospect) in slower {
        assert!(Prospect { wish: Cursors::Wherever, ..prospect }.is_good(), "{name}");
    }
}

/// Each of these must be seen in the file.
#[test]
fn what_a_file_is_decides() {
    let decoded = |sampling, set: &dyn Fn(&mut Encoder<&mut Vec<u8>>), cursors, scale| {
        let (width, height) = (800, 700);
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, 85);
        encoder.set_sampling_factor(sampling);
        set(&mut encoder);
        encoder.encode(&pixels(width, height, 3, 1), width as u16, height as u16, ColorType::Rgb).unwrap();
        let mut scratch = Scratch::new();
        decode(&file, &options(scale, cursors), &mut scratch).unwrap();
        met(&scratch)
    };
    let (usual, quarter) = (SamplingFactor::F_2_2, Scale::Quarter);
    assert!(decoded(usual, &|_| (), Cursors::WhereFaster, quarter));
    assert!(!decoded(usual, &|_| (), Cursors::Never, quarter));
    assert!(!decoded(usual, &|encoder| encoder.set_progressive(true), Cursors::Wherever, quarter));
    assert!(!decoded(usual, &|encoder| encoder.set_restart_interval(50), Cursors::Wherever, quarter));
    assert!(!decoded(usual, &|_| (), Cursors::Wherever, Scale::Half));
    // The encoder gives each of these components a scan of its own.
    let four = SamplingFactor::from_factors(4, 1).unwrap();
    assert!(!decoded(four, &|_| (), Cursors::Wherever, quarter));
}

/// What repeats itself is noticed soon, and the usual way goes on.
#[test]
fn a_pattern_is_left_to_the_usual_way() {
    let (width, height) = (1600, 900);
    let tile: Vec<u8> =
        (0..16 * 16 * 3_u32).map(|n| 90 + (n.wrapping_mul(2_654_435_761) >> 27) as u8).collect();
    let pixel = |at: usize| tile[(at / 3 / width % 16 * 16 + at / 3 % width % 16) * 3 + at % 3];
    let pattern: Vec<u8> = (0..3 * width * height).map(pixel).collect();
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 80);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(&pattern, width as u16, height as u16, ColorType::Rgb).unwrap();
    assert!(file.len() > LEAST_BYTES, "{}", file.len());
    let mut scratch = Scratch::new();
    let pictures = [Cursors::WhereFaster, Cursors::Wherever, Cursors::Never]
        .map(|cursors| decode(&file, &options(Scale::Quarter, cursors), &mut scratch).unwrap());
    assert!(pictures[0] == pictures[2] && pictures[1] == pictures[2]);
    let mut scratch = Scratch::new();
    decode(&file, &options(Scale::Quarter, Cursors::WhereFaster), &mut scratch).unwrap();
    assert!(!met(&scratch) && scratch.cursors.bytes() < 500_000, "{}", scratch.cursors.bytes());
}

#[test]
fn memory_is_bounded() {
    let mut scratch = Scratch::new();
    // The most values for each bit: blocks of nothing but a DC.
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 50);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(&[128; 3 * 4000 * 3000], 4000, 3000, ColorType::Rgb).unwrap();
    decode(&file, &options(Scale::Quarter, Cursors::Wherever), &mut scratch).unwrap();
    assert!(scratch.cursors.bytes() < 6 << 20, "{}", scratch.cursors.bytes());
    scratch.release(0);
    assert_eq!(scratch.bytes(), 0);
}
