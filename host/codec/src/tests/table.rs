//! The table of names and the table of codecs are walked together: what the one says, the other does.

use imgserve_base::format::{Format, Sniff, sniff};
use imgserve_sdk::{DecodeHint, Image, PixelFormat};

use crate::samples::{BOUNDS, all, decode, decode_one, encode, gradient, header};
use crate::{CodecError, Decoder, EncodeOptions, Encoder, convert};

#[test]
fn each_format_has_a_sample_whose_magic_is_its_own() {
    let samples = all();
    for format in Format::ALL {
        let mut own = samples.iter().filter(|(_, of, _)| *of == format).peekable();
        assert!(own.peek().is_some(), "{format}");
        for (name, _, file) in own {
            assert_eq!(sniff(file), Sniff::Is(format), "{name}");
        }
        for word in format.extensions().iter().chain([&format.name()]) {
            assert_eq!(Format::from_name(word), Some(format), "{word}");
        }
    }
}

#[test]
fn what_is_said_to_be_decoded_is_and_the_rest_is_refused() {
    for (name, format, file) in all() {
        let header = header(&file).unwrap();
        match Decoder::new(&file, &header, &DecodeHint::default(), &BOUNDS) {
            Ok(mut decoder) => {
                assert!(format.can_decode(), "{name}");
                let image = decoder.next_frame().unwrap().unwrap().image;
                assert_eq!((image.width(), image.height()), (header.width, header.height), "{name}");
            }
            Err(error) => {
                assert!(
                    !format.can_decode() && matches!(error, CodecError::Unsupported { .. }),
                    "{name}: {error}"
                );
            }
        }
    }
}

#[test]
fn what_is_said_to_be_written_is_up_to_the_longest_side() {
    for format in Format::ALL {
        let (options, side) = (EncodeOptions::default(), format.max_side());
        assert!(
            matches!(Encoder::new(format, &options, side + 1, 1), Err(CodecError::Encode { .. })),
            "{format}"
        );
        assert_eq!(Encoder::new(format, &options, 1, 1).is_ok(), format.can_encode(), "{format}");
        if format.can_encode() {
            let file = encode(format, gradient(side, 2, PixelFormat::Rgb8).as_ref(), 80);
            let header = header(&file).unwrap();
            assert_eq!((header.format, header.width, header.height), (format, side, 2));
            assert_eq!(decode_one(&file).width(), side, "{format}");
        }
    }
}

/// 12 × 12 pixels of three colours in blocks, as files of few colours have them.
fn blocks(pixels: PixelFormat, colors: [[u8; 4]; 3]) -> Image {
    let data = (0..144).flat_map(|at| colors[at % 12 / 4]).collect();
    convert(Image::new(12, 12, PixelFormat::Rgba8, data).unwrap().as_ref(), pixels)
}

const COLORS: [[u8; 4]; 3] = [[250, 10, 20, 255], [30, 240, 40, 255], [50, 60, 230, 255]];

#[test]
fn quality_counts_where_there_is_a_loss_and_nowhere_else() {
    let picture = blocks(PixelFormat::Rgb8, COLORS);
    for format in Format::written() {
        let [low, high] = [5, 95].map(|quality| encode(format, picture.as_ref(), quality));
        assert_eq!(low != high, format.is_lossy(), "{format}");
        let read = convert(decode_one(&low).as_ref(), PixelFormat::Rgb8);
        assert_eq!(read != picture, format.is_lossy(), "{format}");
    }
}

#[test]
fn alpha_is_kept_where_it_is_said_to_be() {
    let holey = blocks(PixelFormat::Rgba8, [COLORS[0], [0; 4], COLORS[2]]);
    for format in Format::written() {
        let read = decode_one(&encode(format, holey.as_ref(), 90));
        let clear = |image: &Image| convert(image.as_ref(), PixelFormat::Rgba8).data()[4 * 6 + 3] == 0;
        assert_eq!(clear(&read), format.keeps_alpha(), "{format}");
    }
}

#[test]
fn as_many_bits_are_kept_as_are_said_to_be() {
    // Of each channel, values between two that 8 bits can say.
    let data =
        (0..144_u16).flat_map(|at| [at * 450 + 100, at * 300 + 77, 999, 65_535]).flat_map(u16::to_le_bytes);
    let wide = Image::new(12, 12, PixelFormat::Rgba16, data.collect()).unwrap();
    for format in Format::written() {
        let read = decode_one(&encode(format, wide.as_ref(), 95));
        assert_eq!(read == wide, format.bits() == 16 && !format.is_lossy(), "{format}");
        assert_eq!(read.format() != PixelFormat::Rgba16, format.bits() == 8, "{format}");
    }
}

#[test]
fn more_than_one_frame_is_kept_where_it_is_said_to_be() {
    for format in Format::written() {
        let mut encoder = Encoder::new(format, &EncodeOptions::default(), 12, 12).unwrap();
        for turn in 0..3 {
            let mut colors = COLORS;
            colors.rotate_left(turn);
            encoder.push(blocks(PixelFormat::Rgb8, colors).as_ref(), 100).unwrap();
        }
        let file = encoder.finish().unwrap();
        let frames = decode(&file).unwrap();
        let kept = if format.can_animate() { 3 } else { 1 };
        assert_eq!((header(&file).unwrap().frames, frames.len()), (Some(kept), kept as usize), "{format}");
        let first = convert(frames[0].image.as_ref(), PixelFormat::Rgb8);
        let [red, green, blue] = first.data()[..3] else { panic!("three channels") };
        assert!(red > 200 && green < 60 && blue < 60, "{format}: the first frame is first");
    }
}
