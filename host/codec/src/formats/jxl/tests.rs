//! Files that libjxl wrote, of pictures that are known here.

use imgserve_base::format::Format;
use imgserve_fuzz::seeds;
use imgserve_sdk::{DecodeHint, Image, PixelFormat};
use jxl::api::{
    JxlColorEncoding, JxlColorProfile, JxlDecoder, JxlPrimaries, JxlTransferFunction, JxlWhitePoint,
};

use crate::codec::Loops;
use crate::orientation::Orientation;
use crate::samples::{BOUNDS, decode, decode_one, decode_with_fault, distance, gradient, header};
use crate::{Bounds, CodecError, Decoder, EncodeOptions, Encoder, Probe, convert};

fn seed(name: &str) -> Vec<u8> {
    let all = seeds(include_str!("../../../fuzz/seeds/jxl.txt"));
    all.into_iter().find(|seed| seed.name == name).expect(name).bytes
}

/// The gradient that the seeds show, with an alpha that grows to the right.
fn picture(format: PixelFormat) -> Image {
    let mut image = gradient(9, 7, PixelFormat::Rgba8);
    let pixels = image.data_mut().as_chunks_mut::<4>().0.iter_mut();
    pixels.enumerate().for_each(|(at, pixel)| pixel[3] = 28 * (at % 9) as u8);
    let opaque = gradient(9, 7, format);
    if format == PixelFormat::Rgba8 { image } else { opaque }
}

#[test]
fn what_was_written_without_loss_is_read_exactly() {
    for name in ["lossless", "container", "progressive"] {
        assert_eq!(decode_one(&seed(name)), picture(PixelFormat::Rgb8), "{name}");
    }
    assert_eq!(decode_one(&seed("lossless-alpha")), picture(PixelFormat::Rgba8));
    let rgba = picture(PixelFormat::Rgba8);
    let (pixels, _) = rgba.data().as_chunks::<4>();
    let gray = decode_one(&seed("gray"));
    assert_eq!(gray.format(), PixelFormat::Gray8);
    assert!(gray.data().iter().eq(pixels.iter().map(|[red, ..]| red)));
    let gray = decode_one(&seed("gray-alpha"));
    assert!(
        gray.data().as_chunks().0.iter().eq(pixels
            .iter()
            .map(|&[y, _, _, a]| [y, y, y, a])
            .collect::<Vec<_>>()
            .iter())
    );
}

#[test]
fn sixteen_bits_are_kept() {
    let rgb = picture(PixelFormat::Rgb8);
    let wide = |channel: u8, x: usize| (257 * u16::from(channel) + 3 * x as u16).to_le_bytes();
    for (name, gray) in [("wide", false), ("wide-gray", true)] {
        let read = decode_one(&seed(name));
        assert_eq!(read.format(), PixelFormat::Rgba16);
        for (at, (pixel, [r, g, b])) in
            read.data().as_chunks::<8>().0.iter().zip(rgb.data().as_chunks::<3>().0).enumerate()
        {
            let [g, b] = if gray { [*r, *r] } else { [*g, *b] };
            let meant = [wide(*r, at % 9), wide(g, at % 9), wide(b, at % 9), [255; 2]].concat();
            assert_eq!(pixel[..], meant, "{name} {at}");
        }
    }
}

#[test]
fn what_was_written_with_a_loss_is_nearly_the_same() {
    let near = |name, picture: &Image, most| {
        let away = distance(&decode_one(&seed(name)), picture);
        assert!(away <= most, "{name}: {away}");
    };
    near("lossy", &picture(PixelFormat::Rgb8), 14);
    let turned = Orientation::from_exif(6).upright(picture(PixelFormat::Rgb8));
    near("turned-jpeg", &turned, 14);
    for name in ["lossy-alpha", "premultiplied"] {
        let (read, meant) = (decode_one(&seed(name)), picture(PixelFormat::Rgba8));
        let clear = |image: &Image| convert(image.as_ref(), PixelFormat::Rgb8);
        assert!(distance(&clear(&read), &clear(&meant)) <= 16, "{name}");
        let alpha = |image: &Image| -> Vec<u8> { image.data().iter().skip(3).step_by(4).copied().collect() };
        assert!(alpha(&read).iter().zip(alpha(&meant)).all(|(a, b)| a.abs_diff(b) <= 5), "{name}");
    }
}

#[test]
fn an_animation_has_its_frames_delays_and_loops() {
    let file = seed("animated");
    let header = header(&file).unwrap();
    assert_eq!((header.frames, header.pixels), (Some(3), PixelFormat::Rgba8));
    let decoder = Decoder::new(&file, &header, &DecodeHint::default(), &BOUNDS).unwrap();
    assert_eq!(decoder.loops(), Loops::Forever);
    let frames = decode(&file).unwrap();
    for (frame, color) in frames.iter().zip([[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 0]]) {
        assert_eq!(frame.delay_ms, 100);
        let pixel = &frame.image.data()[..4];
        assert!(pixel[3] == color[3] && (color[3] == 0 || pixel == color), "{pixel:?}");
    }
}

#[test]
fn colours_become_those_of_srgb() {
    for (name, wanted, most) in [
        ("p3", [255, 0, 0], 6),
        // What paper is, with room for lights above it: 58 % of PQ, 75 % of HLG.
        ("pq", [229; 3], 6),
        ("hlg", [229; 3], 6),
        ("pq-lossy", [229; 3], 8),
    ] {
        let (image, fault) = decode_with_fault(&seed(name));
        let near = image.data()[..3].iter().zip(wanted).all(|(got, wanted)| got.abs_diff(wanted) <= most);
        assert!(near && fault.is_none(), "{name}: {:?} {fault:?}", &image.data()[..3]);
    }
}

#[test]
fn a_damaged_picture_is_shown_as_far_as_it_goes_and_is_gray_where_it_does_not() {
    let bounds = Bounds { repair: true, ..BOUNDS };
    let file = seed("lossless-alpha");
    let cut = &file[..file.len() - 8];
    assert!(matches!(decode(cut), Err(CodecError::Malformed { .. })));
    let Ok(Probe::Header(header)) = crate::probe(cut, true, &bounds) else { panic!("no header") };
    let mut decoder = Decoder::new(cut, &header, &DecodeHint::default(), &bounds).unwrap();
    let frame = decoder.next_frame().unwrap().unwrap();
    assert_eq!(frame.image.data()[..4], [128, 128, 128, 255]);
    assert_eq!(decoder.damage(), Some("the file is cut off"));
    assert_eq!(decoder.next_frame(), Ok(None));
}

#[test]
fn an_animation_ends_before_what_is_damaged() {
    let file = seed("animated");
    for repair in [false, true] {
        let bounds = Bounds { repair, ..BOUNDS };
        let cut = &file[..file.len() - 4];
        let Ok(Probe::Header(header)) = crate::probe(cut, true, &bounds) else { panic!("no header") };
        assert_eq!((header.frames, header.so_far.frames), (Some(2), 3));
        let mut decoder = Decoder::new(cut, &header, &DecodeHint::default(), &bounds).unwrap();
        let shown = std::iter::from_fn(|| decoder.next_frame().unwrap()).count();
        assert_eq!(shown, 2);
        let damage = decoder.damage().unwrap();
        assert!(damage.contains("frame 3: the file is cut off; it ends before that"), "{damage}");
    }
}

#[test]
fn a_size_that_is_too_much_is_refused_by_the_header() {
    // The size header: not small, 30 bits of height less one, and the same of width (ISO/IEC 18181-1, section D.2).
    let (side, mut bits) = (100_000_u128, 0_u128);
    let mut bytes = vec![0xFF, 0x0A];
    let mut length = 0;
    for (value, width) in [(0, 1), (3, 2), (side, 30), (0, 3), (3, 2), (side, 30), (1, 1), (1, 1)] {
        bits |= value << length;
        length += width;
    }
    bytes.extend(bits.to_le_bytes());
    bytes.extend([0xFF; 32]);
    let refused = crate::probe(&bytes, false, &BOUNDS);
    assert!(
        matches!(&refused, Err(CodecError::Limit { key: "[limits] max_source_pixels", .. })),
        "{refused:?}"
    );
    assert_eq!(Format::from_content(&bytes), Some(Format::Jxl));
}

#[test]
fn display_p3_is_told_by_its_name() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    for (pixels, lossless) in [PixelFormat::Rgb8, PixelFormat::Rgba8, PixelFormat::Rgba16]
        .into_iter()
        .flat_map(|p| [(p, false), (p, true)])
    {
        let given = gradient(48, 32, pixels);
        let options = EncodeOptions { quality: 98, lossless, display_p3: true, ..EncodeOptions::default() };
        let mut encoder = Encoder::new(Format::Jxl, &options, 48, 32).unwrap();
        encoder.push(given.as_ref(), 0).unwrap();
        let file = encoder.finish().unwrap();
        let mut decoder = JxlDecoder::new(super::options(&BOUNDS, true));
        decoder.process(&mut file.as_slice(), None, None).unwrap();
        let Some(JxlColorProfile::Simple(JxlColorEncoding::RgbColorSpace {
            white_point,
            primaries,
            transfer_function,
            ..
        })) = decoder.embedded_color_profile()
        else {
            panic!("{pixels:?}")
        };
        assert_eq!((white_point, primaries), (&JxlWhitePoint::D65, &JxlPrimaries::P3), "{pixels:?}");
        assert_eq!(transfer_function, &JxlTransferFunction::SRGB, "{pixels:?}");
        let (meant, unconverted) = crate::to_srgb(given, Some(&profile));
        assert_eq!(unconverted, None);
        let narrow = |image: &Image| convert(image.as_ref(), PixelFormat::Rgb8);
        let (shown, meant) = (narrow(&decode_one(&file)), narrow(&meant));
        // What a loss changes at the edge of sRGB's gamut is cut off there or not: some samples are far off, most hardly.
        let off = shown.data().iter().zip(meant.data()).map(|(one, other)| u32::from(one.abs_diff(*other)));
        let mean = f64::from(off.sum::<u32>()) / meant.data().len() as f64;
        let right = if lossless { distance(&shown, &meant) <= 1 } else { mean < 2.0 };
        assert!(right, "{pixels:?} {lossless}: {mean}");
    }
}
