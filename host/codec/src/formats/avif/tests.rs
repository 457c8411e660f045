//! Files that libavif wrote, of pictures that are known here.

use imgserve_fuzz::seeds;
use imgserve_sdk::{DecodeHint, Image, PixelFormat};

use crate::codec::Loops;
use crate::orientation::Orientation;
use crate::samples::{BOUNDS, decode, decode_one, decode_with_fault, distance, gradient, header};
use crate::{Bounds, CodecError, Decoder, Probe, convert};

fn seed(name: &str) -> Vec<u8> {
    let all = seeds(include_str!("../../../fuzz/seeds/avif.txt"));
    all.into_iter().find(|seed| seed.name == name).expect(name).bytes
}

/// The gradient that the seeds show, with an alpha that grows to the right if there is any.
fn picture(format: PixelFormat) -> Image {
    let mut image = gradient(9, 7, format);
    if format == PixelFormat::Rgba8 {
        let pixels = image.data_mut().as_chunks_mut::<4>().0.iter_mut();
        pixels.enumerate().for_each(|(at, pixel)| pixel[3] = 28 * (at % 9) as u8);
    }
    image
}

/// A part of a picture.
fn part(image: &Image, left: usize, top: usize, width: usize, height: usize) -> Image {
    let row = image.width() as usize * 3;
    let rows = image.data().chunks_exact(row).skip(top).take(height);
    let data = rows.flat_map(|row| row[3 * left..3 * (left + width)].to_vec()).collect();
    Image::new(width as u32, height as u32, PixelFormat::Rgb8, data).unwrap()
}

#[test]
fn what_was_written_without_loss_is_read_exactly() {
    assert_eq!(decode_one(&seed("lossless")), picture(PixelFormat::Rgb8));
    assert_eq!(decode_one(&seed("lossless-alpha")), picture(PixelFormat::Rgba8));
    let red: Vec<u8> = picture(PixelFormat::Rgb8).data().iter().step_by(3).copied().collect();
    let gray = decode_one(&seed("gray"));
    assert_eq!((gray.format(), gray.data()), (PixelFormat::Gray8, &red[..]));
}

#[test]
fn a_picture_is_cut_and_then_turned_and_then_mirrored() {
    let whole = picture(PixelFormat::Rgb8);
    assert_eq!(decode_one(&seed("cropped")), part(&whole, 2, 2, 5, 4));
    // A quarter to the left, of which left and right change places: rows and columns do.
    let turned = Orientation { transpose: true, flip_x: false, flip_y: true }.upright(whole);
    let mirrored = Orientation { transpose: false, flip_x: true, flip_y: false }.upright(turned);
    assert_eq!(decode_one(&seed("turned-mirrored")), mirrored);
}

#[test]
fn a_grid_is_put_together() {
    let image = decode_one(&seed("grid"));
    assert_eq!((image.width(), image.height()), (128, 128));
    for (x, y, color) in
        [(63, 63, [200, 30, 40]), (64, 63, [30, 200, 40]), (63, 64, [30, 40, 200]), (64, 64, [120; 3])]
    {
        let at = 3 * (y * 128 + x);
        assert_eq!(image.data()[at..at + 3], color, "{x} {y}");
    }
}

#[test]
fn all_kinds_of_samples_are_nearly_what_was_written() {
    let meant = picture(PixelFormat::Rgb8);
    // Colours at half the columns, and rows, are between their neighbours' where a gradient has none any more.
    for (name, most) in
        [("yuv420", 22), ("yuv422", 20), ("limited", 3), ("bt709", 2), ("bits10", 2), ("bits12", 22)]
    {
        let read = decode_one(&seed(name));
        let wide = name.starts_with("bits");
        assert_eq!(read.format() == PixelFormat::Rgba16, wide, "{name}");
        let away = distance(&convert(read.as_ref(), PixelFormat::Rgb8), &meant);
        assert!(away <= most, "{name}: {away}");
    }
    for name in ["bits10-alpha", "premultiplied"] {
        let read = convert(decode_one(&seed(name)).as_ref(), PixelFormat::Rgba8);
        for (pixel, meant) in
            read.data().as_chunks::<4>().0.iter().zip(picture(PixelFormat::Rgba8).data().as_chunks::<4>().0)
        {
            assert!(pixel[3].abs_diff(meant[3]) <= 1, "{name}: {pixel:?} {meant:?}");
            // What is nearly clear says little of its colour.
            let most = if name == "premultiplied" { 255 / meant[3].max(2) + 2 } else { 2 };
            let near = pixel.iter().zip(meant).take(3).all(|(a, b)| a.abs_diff(*b) <= most);
            assert!(near || meant[3] == 0, "{name}: {pixel:?} {meant:?}");
        }
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
    assert_eq!(frames.len(), 3);
    for (frame, color) in frames.iter().zip([[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 0]]) {
        assert_eq!(frame.delay_ms, 100);
        let pixel = &frame.image.data()[..4];
        let near = pixel.iter().zip(color).all(|(a, b)| a.abs_diff(b) <= 3);
        assert!(near && pixel[3] == color[3], "{pixel:?}");
    }
}

#[test]
fn colours_become_those_of_srgb() {
    for (name, wanted, most) in [
        ("p3", [255, 0, 0], 6),
        // What paper is, with room for lights above it: 58 % of PQ, 75 % of HLG.
        ("pq", [229; 3], 6),
        ("hlg", [229; 3], 6),
    ] {
        let (image, fault) = decode_with_fault(&seed(name));
        let pixel = convert(image.as_ref(), PixelFormat::Rgb8).into_data();
        let near = pixel[..3].iter().zip(wanted).all(|(got, wanted)| got.abs_diff(wanted) <= most);
        assert!(near && fault.is_none(), "{name}: {:?} {fault:?}", &pixel[..3]);
    }
}

fn repaired(file: &[u8]) -> (Image, Option<String>) {
    let bounds = Bounds { repair: true, ..BOUNDS };
    let Ok(Probe::Header(header)) = crate::probe(file, true, &bounds) else { panic!("no header") };
    let mut decoder = Decoder::new(file, &header, &DecodeHint::default(), &bounds).unwrap();
    let image = decoder.next_frame().unwrap().unwrap().image;
    (image, decoder.damage().map(str::to_owned))
}

#[test]
fn what_is_missing_is_gray() {
    let file = seed("grid");
    let cut = &file[..file.len() - 10];
    assert!(matches!(decode(cut), Err(CodecError::Malformed { .. })));
    let (image, damage) = repaired(cut);
    assert_eq!(damage.as_deref(), Some("the file is cut off"));
    let (first, last) = (&image.data()[..3], &image.data()[3 * 128 * 128 - 3..]);
    assert_eq!((first, last), (&[200, 30, 40][..], &[128; 3][..]));
    let file = seed("lossless-alpha");
    let (image, damage) = repaired(&file[..file.len() - 40]);
    assert!(damage.is_some());
    assert_eq!(image.data().len(), 9 * 7 * 4);
}

/// The same file with other bytes of the same length in the place of the first ones like these.
fn replaced(mut file: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = file.windows(from.len()).position(|window| window == from).unwrap();
    file[at..at + to.len()].copy_from_slice(to);
    file
}

#[test]
fn what_has_to_be_followed_and_is_not_known_is_refused() {
    let file = replaced(seed("turned-mirrored"), b"irot", b"iXYZ");
    let refused = header(&file).unwrap_err();
    assert!(refused.to_string().contains("the essential property iXYZ is not known here"), "{refused}");
}

#[test]
fn a_size_that_is_too_much_or_none_is_refused_by_the_header() {
    let [real, large, none] =
        [[9, 7], [100_000, 100_000], [0, 7]].map(|size: [u32; 2]| size.map(u32::to_be_bytes).concat());
    let file = replaced(seed("lossless"), &real, &large);
    let refused = crate::probe(&file, false, &BOUNDS);
    assert!(
        matches!(&refused, Err(CodecError::Limit { key: "[limits] max_source_pixels", .. })),
        "{refused:?}"
    );
    let none = replaced(seed("lossless"), &real, &none);
    assert!(matches!(header(&none), Err(CodecError::Malformed { .. })));
    // What is coded is not what is said.
    let other = replaced(seed("lossless"), &real, &[0, 0, 0, 8, 0, 0, 0, 7]);
    assert!(matches!(decode(&other), Err(CodecError::Malformed { .. })));
}
