//! GIFs by another writer, as they are shown; ours, as they are read; and what is wrong with many.

use gif::{DisposalMethod, Frame};
use imgserve_base::format::Format;
use imgserve_sdk::{DecodeHint, Image, PixelFormat};

use crate::color::samples::swap;
use crate::header::SoFar;
use crate::samples::*;
use crate::{Bounds, DecodedFrame, Decoder, EncodeOptions, Encoder, Loops, convert};

const RED: [u8; 4] = [255, 0, 0, 255];
const GREEN: [u8; 4] = [0, 255, 0, 255];
const NONE: [u8; 4] = [0; 4];

/// A 4×1 GIF; each frame gives left edge, width, colour number (2 is transparent) and disposal.
fn drawn(frames: &[(u16, u16, u8, DisposalMethod)]) -> Vec<[[u8; 4]; 4]> {
    let mut encoder = gif::Encoder::new(Vec::new(), 4, 1, &[255, 0, 0, 0, 255, 0, 9, 9, 9]).unwrap();
    for &(left, width, index, dispose) in frames {
        let buffer = vec![index; usize::from(width)].into();
        let frame =
            Frame { left, width, height: 1, dispose, buffer, transparent: Some(2), ..Frame::default() };
        encoder.write_frame(&frame).unwrap();
    }
    let frames = decode(&encoder.into_inner().unwrap()).unwrap();
    frames.iter().map(|frame| frame.image.data().as_chunks().0.try_into().unwrap()).collect()
}

#[test]
fn frames_are_drawn_and_disposed_of_as_the_specification_says() {
    use DisposalMethod::{Background, Keep, Previous};
    let shown = drawn(&[(0, 4, 0, Keep), (1, 2, 1, Previous), (3, 1, 1, Background), (0, 1, 2, Keep)]);
    assert_eq!(shown[0], [RED, RED, RED, RED]);
    assert_eq!(shown[1], [RED, GREEN, GREEN, RED]);
    assert_eq!(shown[2], [RED, RED, RED, GREEN], "the second frame is undone");
    assert_eq!(shown[3], [RED, RED, RED, NONE], "the third leaves a hole, the fourth is transparent");
}

#[test]
fn a_frame_beyond_the_canvas_is_cut_off() {
    let shown = drawn(&[(2, 4, 1, DisposalMethod::Background), (9, 3, 0, DisposalMethod::Keep)]);
    assert_eq!(shown[0], [NONE, NONE, GREEN, GREEN]);
    assert_eq!(shown[1], [NONE; 4]);
}

#[test]
fn an_animation_comes_back_with_its_colours_delays_holes_and_loops() {
    let colors = [[255, 0, 0, 255], [0, 0, 255, 200], [9, 9, 9, 127], [0, 255, 0, 255]];
    for loops in [Loops::Forever, Loops::Times(1), Loops::Times(3)] {
        let file = animation(Format::Gif, &colors, loops);
        let header = header(&file).unwrap();
        assert_eq!(header.frames, Some(4));
        let decoder = Decoder::new(&file, &header, &DecodeHint::default(), &BOUNDS).unwrap();
        assert_eq!(decoder.loops(), loops);
        let frames = decode(&file).unwrap();
        let shown: Vec<_> = frames.iter().map(|frame| frame.image.data()[..4].to_vec()).collect();
        assert_eq!(shown, [RED, [0, 0, 255, 255], NONE, GREEN]);
        assert!(frames.iter().all(|frame| frame.delay_ms == 100));
    }
}

#[test]
fn many_colours_are_reduced_to_256() {
    let picture = gradient(64, 48, PixelFormat::Rgb8);
    let read = decode_one(&encode(Format::Gif, picture.as_ref(), 80));
    let meant = convert(picture.as_ref(), PixelFormat::Rgba8);
    let off: u64 = read.data().iter().zip(meant.data()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(off / (read.data().len() as u64) < 8, "{off}");
}

#[test]
fn a_frame_larger_than_the_canvas_counts_as_what_it_is_and_none_is_counted_past_the_limit() {
    let mut encoder = gif::Encoder::new(Vec::new(), 4, 1, &[255, 0, 0]).unwrap();
    for _ in 0..30 {
        let frame = Frame { width: 50, height: 20, buffer: vec![0; 1000].into(), ..Frame::default() };
        encoder.write_frame(&frame).unwrap();
    }
    let file = encoder.into_inner().unwrap();
    let so_far = |bounds| super::probe(&file, true, &bounds).unwrap().unwrap().so_far;
    let all = Bounds { max_frames: 100, ..BOUNDS };
    assert_eq!(so_far(all), SoFar { frames: 30, pixels: 30_000 });
    assert_eq!(so_far(Bounds { max_frames: 4, ..BOUNDS }).frames, 5);
}

#[test]
fn the_number_of_frames_waits_for_the_end() {
    let file = animation(Format::Gif, &[RED, GREEN], Loops::Forever);
    assert_eq!(super::probe(&file[..20], false, &BOUNDS).unwrap().unwrap().frames, None);
    assert_eq!(super::probe(&file, true, &BOUNDS).unwrap().unwrap().frames, Some(2));
}

/// Two frames of 32 × 32, red and then green, by another writer.
fn red_and_green() -> Vec<u8> {
    let mut encoder = gif::Encoder::new(Vec::new(), 32, 32, &[255, 0, 0, 0, 255, 0]).unwrap();
    for index in 0..2 {
        // Not one colour throughout, so that it takes some bytes.
        let buffer: Vec<u8> =
            (0..1024_u32).map(|at| if at % 7 == at / 32 % 5 { 1 - index } else { index }).collect();
        let frame = Frame { width: 32, height: 32, buffer: buffer.into(), ..Frame::default() };
        encoder.write_frame(&frame).unwrap();
    }
    encoder.into_inner().unwrap()
}

/// The frames, and what was wrong.
fn shown(bytes: &[u8], repair: bool) -> (Vec<DecodedFrame>, Option<String>) {
    let bounds = Bounds { repair, ..BOUNDS };
    let Ok(crate::Probe::Header(header)) = crate::probe(bytes, true, &bounds) else { panic!("not probed") };
    let mut decoder = Decoder::new(bytes, &header, &DecodeHint::default(), &bounds).unwrap();
    let frames: Vec<_> = std::iter::from_fn(|| decoder.next_frame().unwrap()).collect();
    assert!(frames.len() <= header.frames.unwrap() as usize);
    (frames, decoder.damage().map(str::to_owned))
}

#[test]
fn a_tail_that_is_missing_or_odd_is_no_damage() {
    let whole = red_and_green();
    let expected = shown(&whole, false);
    assert_eq!((expected.0.len(), &expected.1), (2, &None));
    let end = whole.len() - 1;
    let without_trailer = whole[..end].to_vec();
    let without_terminator = whole[..end - 1].to_vec();
    let odd = [&whole[..end], &[0, 0, 0x3B, 1, 2, 3]].concat();
    let extended = [&whole[..end], b"\x21\xFE\x05comm"].concat();
    for file in [without_trailer, without_terminator, odd, extended] {
        assert_eq!(shown(&file, false), expected, "{} bytes", file.len());
        assert_eq!(header(&file).unwrap().frames, Some(2));
    }
}

#[test]
fn an_animation_that_breaks_off_is_shown_up_to_there_and_more_of_it_if_repaired() {
    let whole = red_and_green();
    let expected = shown(&whole, false).0;
    let cut = &whole[..whole.len() - 40];
    assert_eq!(header(cut).unwrap().frames, Some(1), "a frame that is cut off is not counted");
    let (frames, damage) = shown(cut, false);
    assert_eq!(frames, expected[..1]);
    assert_eq!(damage.as_deref(), Some("frame 2: cut off; it ends before that"));
    let (frames, damage) = shown(cut, true);
    assert_eq!((frames.len(), damage.as_deref()), (2, Some("frame 2: cut off")));
    let (top, bottom) = frames[1].image.data().split_at(64);
    assert_eq!(top, &expected[1].image.data()[..64], "as far as it goes");
    assert_eq!(
        bottom[bottom.len() - 64..],
        expected[0].image.data()[4032..],
        "and below it the frame before"
    );

    // In the first frame there is nothing below.
    let first = &whole[..whole.len() / 2 - 40];
    assert!(decode(first).unwrap_err().to_string().contains("cut off"));
    let (frames, damage) = shown(first, true);
    assert_eq!((frames.len(), damage.as_deref()), (1, Some("frame 1: cut off")));
    assert_eq!(frames[0].image.data()[4092..], [128, 128, 128, 255]);

    // Codes that mean nothing, in the middle of the second.
    let mut broken = whole.clone();
    let at = whole.len() - 60;
    broken[at..at + 20].fill(0xFF);
    let (frames, damage) = shown(&broken, false);
    assert_eq!((frames.len(), damage.is_some()), (1, true), "{damage:?}");
}

#[test]
fn interlaced_rows_are_put_in_order() {
    let mut encoder = gif::Encoder::new(Vec::new(), 1, 9, &[0; 27]).unwrap();
    // The rows in the order of appendix E: 0 8, 4, 2 6, 1 3 5 7.
    let palette: Vec<u8> = (0..9).flat_map(|row| [row, row, row]).collect();
    let buffer = vec![0, 8, 4, 2, 6, 1, 3, 5, 7].into();
    let frame =
        Frame { width: 1, height: 9, buffer, interlaced: true, palette: Some(palette), ..Frame::default() };
    encoder.write_frame(&frame).unwrap();
    let image = decode_one(&encoder.into_inner().unwrap());
    let reds: Vec<u8> = image.data().iter().step_by(4).copied().collect();
    assert_eq!(reds, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

/// A GIF of ours, of these pictures.
fn written(frames: &[Image]) -> Vec<u8> {
    let options = EncodeOptions::default();
    let mut encoder = Encoder::new(Format::Gif, &options, frames[0].width(), frames[0].height()).unwrap();
    frames.iter().for_each(|frame| encoder.push(frame.as_ref(), 50).unwrap());
    encoder.finish().unwrap()
}

/// Its frames as another reader finds them: left, top, width, height, colours of its own, disposal, whether it has a transparent
/// colour.
fn told(file: &[u8]) -> Vec<([u16; 4], usize, DisposalMethod, bool)> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    let mut decoder = options.read_info(file).unwrap();
    let mut told = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        let own = frame.palette.as_ref().map_or(0, |palette| palette.len() / 3);
        let place = [frame.left, frame.top, frame.width, frame.height];
        told.push((place, own, frame.dispose, frame.transparent.is_some()));
    }
    told
}

/// A white picture with a square of a colour at (x, 3).
fn square(x: usize, color: [u8; 4]) -> Image {
    let mut data = [255; 4].repeat(20 * 10);
    for at in (3..6).flat_map(|y| (x..x + 4).map(move |x| 4 * (y * 20 + x))) {
        data[at..at + 4].copy_from_slice(&color);
    }
    Image::new(20, 10, PixelFormat::Rgba8, data).unwrap()
}

#[test]
fn frames_are_cut_to_what_changes_and_share_their_colours() {
    let frames = [square(2, RED), square(3, RED), square(3, GREEN), square(3, GREEN)];
    let file = written(&frames);
    let places: Vec<_> = told(&file);
    assert_eq!(places[0], ([0, 0, 20, 10], 0, DisposalMethod::Keep, true));
    // What the square has left and what it has come to: from 2 to 6.
    assert_eq!(places[1], ([2, 3, 5, 3], 0, DisposalMethod::Keep, true));
    assert_eq!(places[2], ([3, 3, 4, 3], 0, DisposalMethod::Keep, true), "a new colour joins the others");
    assert_eq!(places[3].0, [0, 0, 1, 1], "nothing has changed");
    let read = decode(&file).unwrap();
    assert!(read.iter().map(|frame| &frame.image).eq(&frames));
}

#[test]
fn a_hole_is_cleared_by_the_frame_before_it_which_has_a_transparent_colour() {
    let frames = [square(2, RED), square(2, NONE), square(10, RED), square(10, RED)];
    let file = written(&frames);
    for (place, _, dispose, transparent) in told(&file) {
        assert!(transparent || dispose != DisposalMethod::Background, "{place:?}");
    }
    assert_eq!(told(&file)[0].2, DisposalMethod::Background);
    let read = decode(&file).unwrap();
    assert!(read.iter().map(|frame| &frame.image).eq(&frames));
    // A hole outside of what the frame before it had changed.
    let mut hole = square(10, RED);
    hole.data_mut()[..4].fill(0);
    let frames = [square(2, RED), square(10, RED), hole, square(10, GREEN)];
    let read = decode(&written(&frames)).unwrap();
    assert!(read.iter().map(|frame| &frame.image).eq(&frames));
}

#[test]
fn a_frame_of_colours_that_the_others_have_not_gets_its_own() {
    let many = |salt: u8| {
        let pixel = |at: u32| [at as u8, (at >> 3) as u8 ^ salt, salt, 255];
        Image::new(40, 40, PixelFormat::Rgba8, (0..1600).flat_map(pixel).collect()).unwrap()
    };
    let frames = [many(0), many(255), many(254)];
    let file = written(&frames);
    let own: Vec<usize> = told(&file).iter().map(|frame| frame.1).collect();
    assert_eq!(own[0], 0);
    assert_eq!(own[1], 256);
    for (read, meant) in decode(&file).unwrap().iter().zip(&frames) {
        let off: u64 =
            read.image.data().iter().zip(meant.data()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(off / 6400 < 8, "{off}");
    }
}

#[test]
fn an_animation_that_is_made_smaller_takes_fewer_bytes() {
    // A ball on a gradient, as it is and at half the size.
    let ball = |size: u32, at: u32| {
        let mut picture = gradient(2 * size, size, PixelFormat::Rgb8);
        for (x, y) in (0..2 * size).flat_map(|x| (0..size).map(move |y| (x, y))) {
            let (dx, dy) = (f64::from(x) - f64::from(at * size / 75), f64::from(y) - f64::from(size) / 2.0);
            let near = (f64::from(size) / 8.0 - dx.hypot(dy)).clamp(0.0, 1.0);
            let start = 3 * (y * 2 * size + x) as usize;
            for (to, from) in picture.data_mut()[start..start + 3].iter_mut().zip([255.0, 0.0, 0.0]) {
                *to = (f64::from(*to) * (1.0 - near) + from * near) as u8;
            }
        }
        picture
    };
    let [large, small] = [150, 75].map(|size| {
        let frames: Vec<Image> = (0..30).map(|at| ball(size, at * 5)).collect();
        (written(&frames).len(), written(&frames[..1]).len())
    });
    assert!(small.0 < large.0, "{small:?} {large:?}");
    assert!(small.0 < 5 * small.1, "thirty frames of which little changes: {small:?}");
}

#[test]
fn without_any_colours_numbers_are_grays() {
    let mut file = red_and_green();
    // Its table of two colours goes, and what announces it.
    file[10] = 0;
    file.drain(13..19);
    let image = &shown(&file, false).0[0].image;
    let grays: Vec<[u8; 4]> = image.data().as_chunks::<4>().0.to_vec();
    assert!(grays.contains(&[0, 0, 0, 255]) && grays.contains(&[1, 1, 1, 255]), "{:?}", &grays[..8]);
}

#[test]
fn a_colour_profile_is_followed_or_said_to_be_none() {
    let file = animation(Format::Gif, &[RED, GREEN], Loops::Forever);
    let with_profile = |profile: &[u8]| {
        let first = 13 + (3 << ((file[10] & 7) + 1));
        let mut extension = b"\x21\xFF\x0BICCRGBG1012".to_vec();
        for piece in profile.chunks(255) {
            extension.push(piece.len() as u8);
            extension.extend(piece);
        }
        [&file[..first], &extension, &[0], &file[first..]].concat()
    };
    // Red and green change places.
    let swapped = decode(&with_profile(&swap())).unwrap();
    let shown: Vec<&[u8]> = swapped.iter().map(|frame| &frame.image.data()[..4]).collect();
    assert!(shown[0][0] < 3 && shown[0][1] > 252 && shown[1][0] > 252 && shown[1][1] < 3, "{shown:?}");
    let (image, fault) = decode_with_fault(&with_profile(b"not a profile"));
    assert!(image.data()[..4] == RED && fault.unwrap().contains("no ICC profile"));
}
