//! WebP (RFC 9649): its chunks are walked here, pictures are read by image-webp, in safe Rust (`frames`), and
//! written by libwebp, the only encoder that does lossy well (`sink`, `libwebp`), which also reads what is there of damaged ones
//! where they are to be shown. `beside` is what stands beside the pictures.

mod beside;
mod chunk;
mod frames;
mod libwebp;
mod sink;

use imgserve_base::format::Format;
use imgserve_sdk::PixelFormat;

use crate::codec::Codec;
use crate::color;
use crate::error::CodecError;
use crate::header::{Cost, Header, SoFar};
use crate::orientation::Orientation;
use chunk::{chunk, malformed, next};

pub(super) use frames::still;

pub(super) const CODEC: Codec = Codec {
    format: Format::WebP,
    probe: |bytes, complete, bounds| probe(bytes, complete, bounds.repair),
    decode: Some(|bytes, header, _, bounds| Ok(Box::new(frames::Frames::new(bytes, header, bounds)?))),
    part: None,
    encode: Some(|options, size| Ok(Box::new(sink::Sink::new(options, size)?))),
    beside: Some(beside::HOLDER),
};

/// What image-webp takes of each pixel at its peak: planes, alpha, and RGBA.
const DECODER_BYTES: u64 = 8;
/// What an animation takes beside that: a frame's picture and the canvas.
const CANVAS_BYTES: u64 = 8;

fn probe(bytes: &[u8], complete: bool, repair: bool) -> Result<Option<Header>, CodecError> {
    let Some((name, size, data)) = chunk(bytes, 12) else { return Ok(None) };
    let found = match name {
        b"VP8 " => lossy_size(data).map(|size| (size, false)),
        b"VP8L" => lossless_size(data),
        b"VP8X" => return extended(bytes, (complete, repair), data, next(12, size)),
        _ => return Err(malformed("the first chunk is not a picture's")),
    };
    let Some((coded, alpha)) = found else {
        let short = data.len() < 10 && size >= data.len();
        return if short { Ok(None) } else { Err(malformed("bad picture header")) };
    };
    describe(coded, alpha, Orientation::UPRIGHT, Some(1)).map(Some)
}

/// Whether it has a colour profile that is not sRGB's.
pub(super) fn names_colors(bytes: &[u8]) -> bool {
    frames::find(bytes, b"ICCP").is_some_and(|icc| !color::is_srgb(icc))
}

fn describe(
    coded: (u32, u32),
    alpha: bool,
    orientation: Orientation,
    frames: Option<u32>,
) -> Result<Header, CodecError> {
    if coded.0 == 0 || coded.1 == 0 {
        return Err(malformed("a picture without area"));
    }
    let pixels = if alpha { PixelFormat::Rgba8 } else { PixelFormat::Rgb8 };
    let mut header = Header::still(Format::WebP, coded, orientation, pixels);
    let delivered = pixels.bytes_per_pixel() as u64 * if orientation == Orientation::UPRIGHT { 1 } else { 2 };
    let canvas = if frames == Some(1) { 0 } else { CANVAS_BYTES };
    let fixed = (DECODER_BYTES + canvas + delivered) * u64::from(coded.0) * u64::from(coded.1);
    (header.cost, header.frames) = (Cost { fixed, scaled: 0 }, frames);
    Ok(header)
}

/// Of a VP8 key frame (RFC 6386, section 9.1).
fn lossy_size(data: &[u8]) -> Option<(u32, u32)> {
    let [tag, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1] = *data.first_chunk::<10>()? else { return None };
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
    (tag & 1 == 0).then_some((side(w0, w1), side(h0, h1)))
}

/// Of a VP8L picture, and whether it says to use its alpha (RFC 9649, section 3.4).
fn lossless_size(data: &[u8]) -> Option<((u32, u32), bool)> {
    let [0x2F, bits @ ..] = *data.first_chunk::<5>()? else { return None };
    let bits = u32::from_le_bytes(bits);
    Some((((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), bits >> 28 & 1 != 0))
}

/// The extended form: a canvas, and EXIF only behind the pictures, which must be there if the size is to be known.
fn extended(
    bytes: &[u8],
    (complete, repair): (bool, bool),
    data: &[u8],
    first: usize,
) -> Result<Option<Header>, CodecError> {
    let Some(&[flags, _, _, _, w0, w1, w2, h0, h1, h2]) = data.first_chunk::<10>() else { return Ok(None) };
    let side = |a, b, c| u32::from_le_bytes([a, b, c, 0]) + 1;
    let canvas = (side(w0, w1, w2), side(h0, h1, h2));
    let (alpha, exif, animated) = (flags & 0x10 != 0, flags & 0x08 != 0, flags & 0x02 != 0);
    let found = Chunks::walk(bytes, first, canvas)?;
    let orientation = match found.exif {
        Some(block) => Orientation::from_exif_block(block),
        None if exif && !complete => return Ok(None),
        None => Orientation::UPRIGHT,
    };
    // One that is cut off is shown where it is repaired, or if it is the first, and then it is an error.
    let shown = if repair { found.frames } else { found.whole.max(found.frames.min(1)) };
    let frames = if animated { complete.then_some(shown) } else { Some(1) };
    if frames == Some(0) {
        return Err(malformed("no frame"));
    }
    let mut header = describe(canvas, alpha, orientation, frames)?;
    if animated && found.frames > 0 {
        let pixels = u64::from(canvas.0) * u64::from(canvas.1);
        header.so_far = SoFar { frames: found.frames, pixels: pixels.saturating_mul(found.frames.into()) };
    }
    Ok(Some(header))
}

#[derive(Default)]
struct Chunks<'a> {
    /// Frames that begin.
    frames: u32,
    /// Those that are all there.
    whole: u32,
    exif: Option<&'a [u8]>,
}

impl<'a> Chunks<'a> {
    /// Walks the chunks that are there, and refuses a picture larger than its canvas: the limit on pixels is held
    /// against the canvas.
    fn walk(bytes: &'a [u8], mut at: usize, canvas: (u32, u32)) -> Result<Self, CodecError> {
        let mut found = Self::default();
        while let Some((name, size, data)) = chunk(bytes, at) {
            match name {
                b"ANMF" => {
                    found.frames += 1;
                    found.whole += u32::from(data.len() == size);
                    let mut inner = 16;
                    while let Some((name, size, data)) = chunk(data, inner) {
                        check_picture(name, data, canvas)?;
                        inner = next(inner, size);
                    }
                }
                b"EXIF" if data.len() == size && found.exif.is_none() => found.exif = Some(data),
                _ => check_picture(name, data, canvas)?,
            }
            at = next(at, size);
        }
        Ok(found)
    }
}

fn check_picture(name: &[u8; 4], data: &[u8], canvas: (u32, u32)) -> Result<(), CodecError> {
    let size = match name {
        b"VP8 " => lossy_size(data),
        b"VP8L" => lossless_size(data).map(|(size, _)| size),
        _ => None,
    };
    if size.is_some_and(|(width, height)| width > canvas.0 || height > canvas.1) {
        return Err(malformed("a picture larger than its canvas"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::{DecodeHint, Image};

    use super::*;
    use crate::codec::Loops;
    use crate::samples::*;
    use crate::{Bounds, Decoder, Probe};

    /// The extended form of a still: canvas, picture, EXIF.
    fn with_exif(file: &[u8], (width, height): (u32, u32), orientation: u8) -> Vec<u8> {
        let side = |side: u32| (side - 1).to_le_bytes();
        let chunk = |name: &[u8; 4], data: &[u8]| {
            [name, &(data.len() as u32).to_le_bytes()[..], data, &[0][..data.len() % 2]].concat()
        };
        let canvas = [&[0x08, 0, 0, 0][..], &side(width)[..3], &side(height)[..3]].concat();
        let exif = [b"Exif\0\0".as_slice(), &exif(orientation)].concat();
        let body = [b"WEBP", &chunk(b"VP8X", &canvas)[..], &file[12..], &chunk(b"EXIF", &exif)].concat();
        [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
    }

    #[test]
    fn exif_behind_the_picture_is_waited_for() {
        let picture = gradient(40, 20, PixelFormat::Rgb8);
        let file = with_exif(&encode(Format::WebP, picture.as_ref(), 90), (40, 20), 6);
        assert_eq!(probe(&file[..file.len() - 40], false, false), Ok(None));
        let header = header(&file).unwrap();
        assert_eq!((header.width, header.height), (20, 40));
        let turned = Orientation::from_exif(6).upright(picture);
        assert!(distance(&decode_one(&file), &turned) < 16);
    }

    #[test]
    fn an_animation_comes_back_with_its_colours_delays_and_loops() {
        let colors = [[255, 0, 0, 255], [0, 0, 255, 255], [0, 0, 0, 0]];
        for loops in [Loops::Forever, Loops::Times(1), Loops::Times(3)] {
            let file = animation(Format::WebP, &colors, loops);
            let header = header(&file).unwrap();
            assert_eq!((header.frames, header.pixels), (Some(3), PixelFormat::Rgba8));
            let decoder = Decoder::new(&file, &header, &DecodeHint::default(), &BOUNDS).unwrap();
            assert_eq!(decoder.loops(), loops);
            let frames = decode(&file).unwrap();
            for (frame, color) in frames.iter().zip(colors) {
                let pixel = &frame.image.data()[..4];
                assert!(pixel[3] == color[3], "{pixel:?}");
                assert!(
                    color[3] == 0 || pixel.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 12),
                    "{pixel:?}"
                );
                assert_eq!(frame.delay_ms, 100);
            }
        }
    }

    #[test]
    fn a_picture_larger_than_its_canvas_is_refused_unread() {
        let file =
            with_exif(&encode(Format::WebP, gradient(40, 20, PixelFormat::Rgb8).as_ref(), 90), (40, 19), 1);
        assert!(matches!(probe(&file, true, false), Err(CodecError::Malformed { .. })));
    }

    #[test]
    fn alpha_is_kept() {
        let clear = Image::new(16, 16, PixelFormat::Rgba8, [10, 200, 30, 77].repeat(256)).unwrap();
        let read = decode_one(&encode(Format::WebP, clear.as_ref(), 80));
        assert!(read.data().chunks_exact(4).all(|pixel| pixel[3] == 77));
    }

    /// Pixels that no coder makes small, with an alpha between.
    fn noise(format: PixelFormat, seed: u32) -> Image {
        let mut state = seed;
        let data = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let data = data.take(format.bytes(64, 64) as usize).collect();
        Image::new(64, 64, format, data).unwrap()
    }

    fn repaired(file: &[u8]) -> (Vec<Image>, Option<String>) {
        let bounds = Bounds { repair: true, ..BOUNDS };
        let Ok(Probe::Header(header)) = crate::probe(file, true, &bounds) else { panic!("no header") };
        let mut decoder = Decoder::new(file, &header, &DecodeHint::default(), &bounds).unwrap();
        let frames = std::iter::from_fn(|| decoder.next_frame().unwrap()).map(|frame| frame.image).collect();
        (frames, decoder.damage().map(str::to_owned))
    }

    /// The first row of an image, and its last one.
    fn ends(image: &Image) -> (&[u8], &[u8]) {
        let row = image.data().len() / image.height() as usize;
        (&image.data()[..row], &image.data()[image.data().len() - row..])
    }

    #[test]
    fn what_is_there_of_a_picture_that_is_cut_off_is_shown_and_the_rest_is_gray() {
        let (rgb, rgba) = (noise(PixelFormat::Rgb8, 1), noise(PixelFormat::Rgba8, 2));
        let lossless = |picture: &Image| encode_bitmap(image::ImageFormat::WebP, picture);
        for (kind, file) in [
            ("lossy", encode(Format::WebP, rgb.as_ref(), 80)),
            ("lossy with alpha", encode(Format::WebP, rgba.as_ref(), 80)),
            ("lossless", lossless(&rgb)),
            ("lossless with alpha", lossless(&rgba)),
        ] {
            let (whole, cut) = (decode_one(&file), &file[..file.len() - file.len() / 8]);
            assert!(matches!(decode(cut), Err(CodecError::Malformed { .. })), "{kind}");
            let (frames, damage) = repaired(cut);
            assert_eq!(damage.as_deref(), Some("the file is cut off"), "{kind}");
            let ((first, _), (shown, last)) = (ends(&whole), ends(&frames[0]));
            assert!(first.iter().zip(shown).all(|(a, b)| a.abs_diff(*b) <= 2), "{kind}");
            let gray: &[u8] = if whole.format().has_alpha() { &[128, 128, 128, 255] } else { &[128; 3] };
            assert_eq!(last, gray.repeat(64), "{kind}");
        }
    }

    #[test]
    fn of_a_frame_that_is_cut_off_the_rest_is_as_the_one_before_left_it() {
        let options = crate::EncodeOptions::default();
        let mut encoder = crate::Encoder::new(Format::WebP, &options, 64, 64).unwrap();
        for seed in [3, 4] {
            encoder.push(noise(PixelFormat::Rgb8, seed).as_ref(), 100).unwrap();
        }
        let file = encoder.finish().unwrap();
        let cut = &file[..file.len() - file.len() / 16];
        let whole: Vec<Image> = decode(&file).unwrap().into_iter().map(|frame| frame.image).collect();
        let (frames, damage) = repaired(cut);
        assert_eq!(damage.as_deref(), Some("frame 2: the file is cut off"));
        assert!(frames.len() == 2 && frames[0] == whole[0]);
        let ((first, _), (shown, last)) = (ends(&whole[1]), ends(&frames[1]));
        assert!(first.iter().zip(shown).all(|(a, b)| a.abs_diff(*b) <= 2));
        assert_eq!(last, ends(&whole[0]).1);
    }
}
