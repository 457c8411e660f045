//! Tests that hold for every format: probing any beginning, cut-off and mutated files, limits, round trips.

mod table;

use std::time::{Duration, Instant};

use imgserve_base::format::Format;
use imgserve_sdk::{DecodeHint, Image, PixelFormat};
use proptest::prelude::*;

use crate::samples::{
    BOUNDS, Sample, all, decode, decode_at, decode_one, distance, encode, gradient, header,
};
use crate::{Bounds, CodecError, Decoder, EncodeOptions, Encoder, Header, Probe, convert, estimate, probe};

#[test]
fn each_format_is_told_by_its_content_and_decodes_as_its_header_says() {
    for (name, format, file) in all() {
        let header = header(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(header.format, format, "{name}");
        let source = header.source(Vec::new());
        assert_eq!((source.format.as_str(), source.width), (format.name(), header.width));
        if format.can_decode() {
            let frames = decode(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(frames.len(), header.frames.unwrap() as usize, "{name}");
            assert!(
                estimate(&header, &DecodeHint::default()) >= frames[0].image.data().len() as u64,
                "{name}"
            );
        }
    }
}

#[test]
fn any_beginning_of_a_file_gives_its_header_or_asks_for_more() {
    for (name, _, file) in all() {
        let whole = header(&file).unwrap();
        for end in 0..file.len() {
            match probe(&file[..end], false, &BOUNDS) {
                Ok(Probe::NeedMore) => {}
                Ok(Probe::Header(mut early)) => {
                    early.frames = early.frames.or(whole.frames);
                    assert!((1..=whole.so_far.frames).contains(&early.so_far.frames), "{name} at {end}");
                    assert!(early.so_far.pixels <= whole.so_far.pixels, "{name} at {end}");
                    early.so_far = whole.so_far;
                    assert_eq!(early, whole, "{name} at {end}");
                }
                Err(error) => panic!("{name} at {end}: {error}"),
            }
            let _ = probe(&file[..end], true, &BOUNDS);
        }
    }
}

#[test]
fn a_header_is_known_long_before_the_end() {
    for format in Format::written() {
        let width = format.max_side().min(300);
        let file = encode(format, gradient(width, 200, PixelFormat::Rgb8).as_ref(), 80);
        assert!(file.len() > 700, "{format}");
        let early = probe(&file[..700], false, &BOUNDS).unwrap();
        assert!(
            matches!(early, Probe::Header(header) if (header.width, header.height) == (width, 200)),
            "{format}"
        );
    }
}

/// How many frames a file has, and what is wrong with them.
fn frames(file: &[u8], header: &Header, repair: bool) -> Result<(u32, Option<String>), CodecError> {
    let bounds = Bounds { repair, ..BOUNDS };
    let mut decoder = Decoder::new(file, header, &DecodeHint::default(), &bounds)?;
    let mut count = 0;
    while decoder.next_frame()?.is_some() {
        count += 1;
    }
    Ok((count, decoder.damage().map(str::to_owned)))
}

#[test]
fn a_file_that_is_cut_off_is_malformed_and_an_animation_ends_there() {
    for (name, format, file) in all().into_iter().filter(|(_, format, _)| format.can_decode()) {
        // Half of each is beyond the header and well before the end of the picture.
        let cut = &file[..file.len() / 2];
        let Ok(header) = header(cut) else { continue };
        match frames(cut, &header, false) {
            Err(CodecError::Malformed { format: told, .. }) => assert_eq!(told, format, "{name}"),
            Ok((1, Some(_))) if name.starts_with("animated") => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_file_that_is_cut_off_is_repaired_in_every_format() {
    for (name, _, file) in all().into_iter().filter(|(_, format, _)| format.can_decode()) {
        let cut = &file[..file.len() - file.len() / 8];
        let bounds = Bounds { repair: true, ..BOUNDS };
        let Ok(Probe::Header(header)) = probe(cut, true, &bounds) else { continue };
        let repaired = frames(cut, &header, true);
        match name.starts_with("animated") {
            // Which may be cut off between two frames.
            true => assert!(matches!(repaired, Ok((2.., _))), "{name}: {repaired:?}"),
            false => assert!(matches!(repaired, Ok((1, Some(_)))), "{name}: {repaired:?}"),
        }
    }
}

#[test]
fn a_tail_that_is_odd_or_lacks_only_its_end_is_no_damage() {
    for (name, format, file) in all().into_iter().filter(|(_, format, _)| format.can_decode()) {
        let expected = decode(&file).unwrap();
        let longer = [&file[..], b"what others have put behind it"].concat();
        // The mark of the end, of formats that have one: EOI, IEND, the trailer.
        let end = match format {
            Format::Jpeg => 2,
            Format::Png => 12,
            Format::Gif => 1,
            _ => 0,
        };
        for odd in [&longer[..], &file[..file.len() - end]] {
            let found = header(odd).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(frames(odd, &found, false), Ok((expected.len() as u32, None)), "{name}");
            assert!(decode(odd).unwrap() == expected, "{name}");
        }
    }
}

#[test]
fn what_is_no_image_is_not_recognised() {
    for bytes in [
        &b""[..],
        b"x",
        b"<!DOCTYPE html><html><body>404</body></html>",
        b"%PDF-1.7\n%some more text",
        &[0; 64],
    ] {
        assert_eq!(probe(bytes, true, &BOUNDS), Err(CodecError::Unrecognized), "{bytes:?}");
    }
    assert_eq!(probe(b"", false, &BOUNDS), Ok(Probe::NeedMore));
    let svgz = probe(&[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], true, &BOUNDS).unwrap_err();
    assert!(svgz.to_string().contains("compressed data"), "{svgz}");
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    let side = |n: u32| n.to_be_bytes();
    let png = [
        b"\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR".as_slice(),
        &side(100_000),
        &side(100_000),
        b"\x08\x06\0\0\0crc.\0\0\0\x01IDAT",
    ]
    .concat();
    let jpeg = b"\xFF\xD8\xFF\xC0\0\x11\x08\xFF\xFF\xFF\xFF\x03\x01\x22\0\x02\x11\x01\x03\x11\x01";
    let gif = b"GIF89a\xFF\xFF\xFF\xFF\0\0\0";
    let webp = b"RIFF\x16\0\0\0WEBPVP8X\x0A\0\0\0\0\0\0\0\xFF\xFF\0\xFF\xFF\0";
    let tiff = b"II*\0\x08\0\0\0\x05\0\
        \0\x01\x04\0\x01\0\0\0\0\0\x01\0\x01\x01\x04\0\x01\0\0\0\0\0\x01\0\
        \x06\x01\x03\0\x01\0\0\0\x01\0\0\0\x11\x01\x04\0\x01\0\0\0\x08\0\0\0\
        \x17\x01\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0";
    let bmp =
        [b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\0\xA0\0\0\0\xA0\0\0\x01\0\x18\0".as_slice(), &[0; 24]]
            .concat();
    for bomb in [&png[..], jpeg, gif, webp, tiff, &bmp] {
        let error = probe(bomb, false, &BOUNDS).unwrap_err();
        assert!(
            matches!(error, CodecError::Limit { key: "[limits] max_source_pixels", .. }),
            "{bomb:?}: {error}"
        );
    }
}

#[test]
fn too_many_frames_are_refused_by_header_and_decoder() {
    let few = Bounds { max_frames: 2, ..BOUNDS };
    for (name, _, file) in all().into_iter().filter(|(name, ..)| name.starts_with("animated")) {
        assert!(
            matches!(probe(&file, true, &few), Err(CodecError::Limit { value: 3, limit: 2, .. })),
            "{name}"
        );
        let header = header(&file).unwrap();
        let result = Decoder::new(&file, &header, &DecodeHint::default(), &few).and_then(|mut decoder| {
            while decoder.next_frame()?.is_some() {}
            Ok(())
        });
        assert!(matches!(result, Err(CodecError::Limit { what: "frames", .. })), "{name}");
    }
}

#[test]
fn frames_have_no_more_pixels_together_than_one_may_have() {
    for (name, _, file) in all() {
        let header = header(&file).unwrap();
        let area = u64::from(header.width) * u64::from(header.height);
        assert_eq!(header.so_far.pixels, area * u64::from(header.so_far.frames), "{name}");
        let enough = Bounds { max_pixels: header.so_far.pixels, ..BOUNDS };
        assert_eq!(enough.check_all_frames(&header), Ok(()), "{name}");
        let short = Bounds { max_pixels: header.so_far.pixels - 1, ..BOUNDS };
        let refused = short.check_all_frames(&header).unwrap_err();
        assert!(refused.to_string().contains("[limits] max_source_pixels"), "{name}: {refused}");
    }
}

#[test]
fn what_is_written_reads_back_nearly_the_same() {
    // A GIF has too few colours for it.
    for format in Format::written().filter(|format| *format != Format::Gif) {
        for pixels in PixelFormat::ALL {
            let picture = gradient(64, 48, pixels);
            let read = decode_one(&encode(format, picture.as_ref(), 95));
            // What is gained by XYB is not counted in levels.
            let allowed = match format {
                Format::Jxl => 26,
                format if format.is_lossy() => 12,
                _ => 0,
            };
            let seen = convert(read.as_ref(), PixelFormat::Rgb8);
            let meant = convert(picture.as_ref(), PixelFormat::Rgb8);
            assert!(distance(&seen, &meant) <= allowed, "{format} {pixels:?}: {}", distance(&seen, &meant));
        }
    }
}

/// A gradient with every alpha in it, and colours where it is clear.
fn clear_and_opaque(pixels: PixelFormat) -> Image {
    let mut picture = gradient(64, 48, pixels);
    let bytes = pixels.bytes_per_pixel();
    if pixels.has_alpha() {
        let alphas = (0..=255_u8).cycle();
        picture
            .data_mut()
            .chunks_exact_mut(bytes)
            .zip(alphas)
            .for_each(|(pixel, alpha)| pixel[bytes - 1] = alpha);
    }
    picture
}

#[test]
fn without_loss_each_pixel_is_kept_where_that_can_be_asked_for() {
    let options = EncodeOptions { quality: 1, lossless: true, ..EncodeOptions::default() };
    for format in Format::written() {
        let encoder = Encoder::new(format, &options, 64, 48);
        assert_eq!(encoder.is_ok(), format.can_be_lossless(), "{format}");
        // A GIF has few colours, and is as exact as it ever is.
        if encoder.is_err() || format == Format::Gif {
            continue;
        }
        for pixels in PixelFormat::ALL
            .into_iter()
            .filter(|pixels| *pixels != PixelFormat::Rgba16 || format.bits() == 16)
        {
            let picture = clear_and_opaque(pixels);
            let mut encoder = Encoder::new(format, &options, 64, 48).unwrap();
            encoder.push(picture.as_ref(), 0).unwrap();
            let read = decode_one(&encoder.finish().unwrap());
            assert!(convert(read.as_ref(), pixels) == picture, "{format} {pixels:?}");
        }
    }
}

#[test]
fn an_animation_without_loss_keeps_each_frame() {
    let options = EncodeOptions { lossless: true, ..EncodeOptions::default() };
    let frames = [PixelFormat::Rgb8, PixelFormat::Rgba8].map(clear_and_opaque);
    let mut encoder = Encoder::new(Format::WebP, &options, 64, 48).unwrap();
    frames.iter().for_each(|frame| encoder.push(frame.as_ref(), 100).unwrap());
    let read = decode(&encoder.finish().unwrap()).unwrap();
    for (read, meant) in read.iter().zip(&frames) {
        // Where nothing is seen, an animation keeps what was there before.
        let seen = |image: &Image| convert(image.as_ref(), PixelFormat::Rgb8);
        assert!(seen(&read.image) == seen(meant));
    }
    assert_eq!(read.len(), 2);
}

#[test]
fn quality_is_paid_for_in_bytes() {
    let picture = gradient(200, 150, PixelFormat::Rgb8);
    for format in Format::written().filter(|format| format.is_lossy()) {
        let sizes = [10, 60, 95].map(|quality| encode(format, picture.as_ref(), quality).len());
        assert!(sizes.is_sorted() && sizes[0] < sizes[2], "{format}: {sizes:?}");
    }
}

#[test]
fn an_encoder_refuses_what_its_format_cannot_hold() {
    let options = EncodeOptions::default();
    for (format, width, height) in [
        (Format::WebP, 16_384, 1),
        (Format::Jpeg, 1, 65_536),
        (Format::Png, 0, 1),
        (Format::Ico, 257, 1),
        (Format::Svg, 1, 1),
    ] {
        assert!(
            matches!(Encoder::new(format, &options, width, height), Err(CodecError::Encode { .. })),
            "{format}"
        );
    }
    for format in Format::written() {
        let mut encoder = Encoder::new(format, &options, 2, 2).unwrap();
        assert!(encoder.push(gradient(3, 2, PixelFormat::Rgb8).as_ref(), 0).is_err());
        assert!(encoder.finish().is_err(), "{format}: no frame was taken");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_mutated_file_is_answered_soon_and_without_a_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let files = sample_files();
        let (name, _, file) = which.get(files);
        let mut file = file.clone();
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let start = Instant::now();
        let _ = probe(&file, false, &BOUNDS);
        let _ = decode(&file);
        let _ = decode_at(&file, 0.125);
        prop_assert!(start.elapsed() < Duration::from_secs(5), "{} took {:?}", name, start.elapsed());
    }
}

fn sample_files() -> &'static [Sample] {
    static FILES: std::sync::OnceLock<Vec<Sample>> = std::sync::OnceLock::new();
    FILES.get_or_init(all)
}
