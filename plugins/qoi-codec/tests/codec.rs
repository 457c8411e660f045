//! What the codec reads and writes, and how it refuses what is none or only part of a file.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use imgserve_sdk::codec::Error;
use imgserve_sdk::{Image, PixelFormat, testing};
use qoi_codec::Qoi;

/// Noise on a gradient, so that every kind of chunk is written.
fn picture(width: u32, height: u32, format: PixelFormat) -> Image {
    let mut state = 1_u32;
    let data = (0..format.bytes(width, height)).map(|i| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if i % 97 < 40 { 7 } else { (i / 9) as u8 ^ (state >> (24 + i % 8)) as u8 }
    });
    Image::new(width, height, format, data.collect()).unwrap()
}

#[test]
fn what_is_written_is_read_again_exactly() {
    for format in [PixelFormat::Rgb8, PixelFormat::Rgba8] {
        for (width, height) in [(1, 1), (1, 300), (300, 1), (97, 61)] {
            let image = picture(width, height, format);
            let (file, decoded) = testing::encode::<Qoi>("qoi", &image, 80).unwrap();
            assert!(file.starts_with(b"qoif"));
            assert_eq!(decoded.frames[0].image, image, "{width}x{height} {format:?}");
        }
    }
    assert!(matches!(
        testing::encode::<Qoi>("heic", &picture(1, 1, PixelFormat::Rgb8), 80),
        Err(Error::Unsupported(_))
    ));
}

#[test]
fn files_that_are_cut_off_or_claim_too_much_are_refused() {
    let (file, _) = testing::encode::<Qoi>("qoi", &picture(20, 10, PixelFormat::Rgba8), 80).unwrap();
    for length in 4..file.len() {
        let error = testing::decode::<Qoi>(&file[..length]).unwrap_err();
        assert!(matches!(error, Error::Malformed(_)), "{length} bytes: {error:?}");
    }
    // 400 million pixels in 22 bytes: refused without taking 1.6 GB for them.
    let huge = [b"qoif\0\0\x4e\x20\0\0\x4e\x20\x04\0".as_slice(), &[0; 8]].concat();
    assert_eq!(testing::decode::<Qoi>(&huge), Err(Error::malformed("it ends before its last pixel")));
    let channels = [b"qoif\0\0\0\x01\0\0\0\x01\x05\0".as_slice(), &[0; 12]].concat();
    assert!(testing::probe::<Qoi>(&channels).is_err());
}
