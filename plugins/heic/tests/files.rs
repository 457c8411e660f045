//! What is read of files that others have written, and how it refuses what is none or only part of a file.
//!
//! `*.hex` are files of generated pictures, written by libheif 1.23 with x265 (Pillow's plugin `pillow-heif`): `small`, 32 × 24 pixels cut
//! out of 64 × 64; `rgba`, 32 × 32, the right half transparent; `deep`, as `small`, of 10 bits.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use heic::Heic;
use imgserve_sdk::codec::Error;
use imgserve_sdk::{Image, PixelFormat, testing};

fn file(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn small() -> Vec<u8> {
    file(include_str!("small.hex"))
}

fn decoded(file: &[u8]) -> Image {
    testing::decode::<Heic>(file).unwrap().frames.remove(0).image
}

/// The largest difference of any sample to the picture that was written.
fn distance(image: &Image, wanted: impl Fn(u32, u32) -> Vec<u8>) -> u8 {
    let places = (0..image.height()).flat_map(|y| (0..image.width()).map(move |x| (x, y)));
    let wanted: Vec<u8> = places.flat_map(|(x, y)| wanted(x, y)).collect();
    assert_eq!(wanted.len(), image.data().len());
    image.data().iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

fn along(at: u32, length: u32) -> u8 {
    (at * 255 / (length - 1)) as u8
}

#[test]
fn a_picture_is_cut_out_of_what_was_coded() {
    let image = decoded(&small());
    assert_eq!((image.width(), image.height(), image.format()), (32, 24, PixelFormat::Rgb8));
    // Its colours have half of the resolution, and there is a loss.
    let largest = distance(&image, |x, y| vec![along(x, 32), along(y, 24), 255 - along(x, 32)]);
    assert!(largest < 24, "{largest}");
}

#[test]
fn alpha_is_a_picture_of_its_own() {
    let image = decoded(&file(include_str!("rgba.hex")));
    assert_eq!((image.width(), image.height(), image.format()), (32, 32, PixelFormat::Rgba8));
    let alpha: Vec<u8> = image.data().iter().skip(3).step_by(4).copied().collect();
    assert!(
        alpha.chunks(32).all(|row| row[..12].iter().all(|a| *a > 240) && row[20..].iter().all(|a| *a < 15))
    );
}

#[test]
fn more_than_eight_bits_are_kept() {
    let image = decoded(&file(include_str!("deep.hex")));
    assert_eq!((image.width(), image.height(), image.format()), (32, 24, PixelFormat::Rgba16));
    let samples: Vec<u16> =
        image.data().chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let red = |x: usize| samples[4 * x];
    assert!(red(0) < 4000 && red(31) > 61_000, "{} {}", red(0), red(31));
    assert!((30_000 - 3000..30_000 + 3000).contains(&samples[4 * 16 + 2]) && samples[3] == u16::MAX);
    // Between two levels of 8 bits.
    assert!((0..32).any(|x| red(x) % 257 > 64 && red(x) % 257 < 192));
}

#[test]
fn a_header_is_told_by_the_boxes_alone() {
    let file = small();
    let meta_ends = 28 + 0x17c;
    let header = testing::probe::<Heic>(&file[..meta_ends]).unwrap();
    assert_eq!((header.width, header.height), (32, 24));
    assert!(header.peak_bytes > 32 * 24 * 6);
    for end in 12..meta_ends {
        assert!(matches!(testing::probe::<Heic>(&file[..end]), Err(Error::Malformed(_))), "{end}");
    }
}

#[test]
fn what_is_cut_off_or_another_codecs_is_refused() {
    let whole = small();
    for end in (whole.len() / 2..whole.len()).step_by(7) {
        assert!(matches!(testing::decode::<Heic>(&whole[..end]), Err(Error::Malformed(_))), "{end}");
    }
    let at = whole.windows(4).position(|word| word == b"hvc1").unwrap();
    let other = [&whole[..at], b"av01".as_slice(), &whole[at + 4..]].concat();
    let error = testing::probe::<Heic>(&other).unwrap_err();
    assert_eq!(error, Error::unsupported("a picture of type av01, which is none of HEVC"));
}

#[test]
fn changed_bytes_are_an_error_or_a_picture_of_the_size_that_was_told() {
    let whole = small();
    let mut state = 7_u64;
    for _ in 0..600 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut file = whole.clone();
        let at = 8 + (state >> 33) as usize % (file.len() - 8);
        file[at] ^= (state >> 24) as u8 | 1;
        if let Ok(header) = testing::probe::<Heic>(&file)
            && u64::from(header.width) * u64::from(header.height) < 1 << 20
        {
            // It holds the one against the other.
            let _ = testing::decode::<Heic>(&file);
        }
    }
}
