//! GIF89a by the `gif` crate, which reads and writes single frames; putting them on the canvas is done here.

use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, DisposalMethod, Frame, MemoryLimit, Repeat};
use imgserve_base::format::Format;
use imgserve_sdk::{ImageRef, PixelFormat};

use crate::bounds::Bounds;
use crate::canvas::{Area, Canvas};
use crate::codec::{self, Codec, DecodedFrame, Loops};
use crate::color;
use crate::convert::convert;
use crate::error::CodecError;
use crate::header::{Cost, Header, SoFar};
use crate::orientation::Orientation;

pub(super) const CODEC: Codec = Codec {
    format: Format::Gif,
    probe,
    decode: Some(|bytes, header, _, bounds| Ok(Box::new(Frames::new(bytes, header, bounds)?))),
    part: None,
    encode: Some(|options, (width, height)| Ok(Box::new(Sink::new(options.loops, width, height)?))),
};

/// From here on a pixel is opaque: GIF knows no half transparency.
const ALPHA_THRESHOLD: u8 = 128;
/// Of the quantizer, 1 (best) to 30; its documentation calls 10 a good compromise.
const QUANTIZER_SPEED: i32 = 10;

/// A picture's bytes: canvas, what a frame hides for a while, the delivered copy, and the frame's colour numbers.
const BYTES_PER_PIXEL: u64 = 4 + 4 + 4 + 1;

fn probe(bytes: &[u8], complete: bool, bounds: &Bounds) -> Result<Option<Header>, CodecError> {
    let Some(&[w0, w1, h0, h1, flags]) = bytes.get(6..11).and_then(|screen| screen.first_chunk::<5>()) else {
        return Ok(None);
    };
    let (width, height) = (u32::from(u16::from_le_bytes([w0, w1])), u32::from(u16::from_le_bytes([h0, h1])));
    if width == 0 || height == 0 {
        return Err(malformed("a screen without area"));
    }
    let mut header = Header::still(Format::Gif, (width, height), Orientation::UPRIGHT, PixelFormat::Rgba8);
    header.cost = Cost { fixed: BYTES_PER_PIXEL * u64::from(width) * u64::from(height), scaled: 0 };
    let so_far = count_frames(bytes, 13 + table_bytes(flags), (width, height), bounds);
    if complete && so_far.frames == 0 {
        return Err(malformed("no frame"));
    }
    if so_far.frames > 0 {
        header.so_far = so_far;
    }
    header.frames = complete.then_some(so_far.frames);
    Ok(Some(header))
}

/// Bytes of the colour table that a flags byte announces.
fn table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// Frames that begin before the end of the bytes, as many as matter: past the limit they are not counted. What is wrong with
/// them is for the decoder to say.
fn count_frames(bytes: &[u8], mut at: usize, (width, height): (u32, u32), bounds: &Bounds) -> SoFar {
    let canvas = u64::from(width) * u64::from(height);
    let mut found = SoFar::default();
    while found.frames <= bounds.max_frames {
        let data = match bytes.get(at) {
            Some(0x21) => at + 2,
            Some(0x2C) => {
                let Some(&[w0, w1, h0, h1, flags]) = bytes.get(at + 5..at + 10) else { return found };
                let side = |low, high| u64::from(u16::from_le_bytes([low, high]));
                // It may be larger than the canvas, and is unpacked all the same.
                found.add(side(w0, w1) * side(h0, h1), canvas);
                at + 11 + table_bytes(flags)
            }
            _ => return found,
        };
        let Some(end) = skip_sub_blocks(bytes, data) else { return found };
        at = end;
    }
    found
}

/// Past the sub-blocks, each behind its length, and the one of length 0 that ends them.
fn skip_sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match usize::from(*bytes.get(at)?) {
            0 => return Some(at + 1),
            length => at += 1 + length,
        }
    }
}

/// Frames as they are shown: each the whole canvas.
struct Frames<'a> {
    decoder: gif::Decoder<&'a [u8]>,
    canvas: Canvas,
    undo: Undo,
    bounds: Bounds,
    shown: u32,
    /// Why its colours are not in sRGB.
    unconverted: Option<String>,
}

impl<'a> Frames<'a> {
    fn new(bytes: &'a [u8], header: &Header, bounds: &Bounds) -> Result<Self, CodecError> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        // A frame may be larger than the canvas; one byte a pixel, it stays within the same limit.
        let bytes_limit = NonZeroU64::new(bounds.max_pixels).unwrap_or(NonZeroU64::MIN);
        options.set_memory_limit(MemoryLimit::Bytes(bytes_limit));
        let decoder = options.read_info(bytes).map_err(malformed)?;
        if (u32::from(decoder.width()), u32::from(decoder.height())) != (header.width, header.height) {
            return Err(malformed("not the file that was probed"));
        }
        let canvas = Canvas::new(header.width, header.height);
        Ok(Self { decoder, canvas, undo: Undo::Nothing, bounds: *bounds, shown: 0, unconverted: None })
    }
}

impl codec::Frames for Frames<'_> {
    fn next_frame(&mut self) -> Result<Option<DecodedFrame>, CodecError> {
        let Some(frame) = self.decoder.next_frame_info().map_err(malformed)? else {
            return if self.shown == 0 { Err(malformed("no frame")) } else { Ok(None) };
        };
        self.bounds.check_size(u32::from(frame.width), u32::from(frame.height))?;
        // What was read is only the frame's head: its pixels are read into the same buffer.
        let mut frame = frame.clone();
        let mut indices = vec![0; self.decoder.buffer_size()];
        self.decoder.read_into_buffer(&mut indices).map_err(malformed)?;
        frame.buffer = indices.into();
        let palette = self.decoder.palette().map_err(malformed)?;
        std::mem::replace(&mut self.undo, Undo::Nothing).apply(&mut self.canvas);
        let [left, top, width, height] = [frame.left, frame.top, frame.width, frame.height].map(u32::from);
        let part = Area::new(&self.canvas, left, top, width, height);
        self.undo = match frame.dispose {
            DisposalMethod::Any | DisposalMethod::Keep => Undo::Nothing,
            DisposalMethod::Background => Undo::Clear(part),
            DisposalMethod::Previous => Undo::Restore(part, self.canvas.copy(part)),
        };
        draw(&mut self.canvas, part, &frame, palette);
        self.shown += 1;
        let (image, unconverted) = color::to_srgb(self.canvas.image(), self.decoder.icc_profile());
        self.unconverted = unconverted;
        Ok(Some(DecodedFrame { image, delay_ms: u32::from(frame.delay) * 10 }))
    }

    fn unconverted(&self) -> Option<&str> {
        self.unconverted.as_deref()
    }

    fn loops(&self) -> Loops {
        match self.decoder.repeat() {
            Repeat::Infinite => Loops::Forever,
            Repeat::Finite(repetitions) => Loops::Times(u32::from(repetitions) + 1),
        }
    }
}

/// What is to be done before the next frame is drawn.
enum Undo {
    Nothing,
    Clear(Area),
    /// What was there, which is no more than the frame hides.
    Restore(Area, Vec<[u8; 4]>),
}

impl Undo {
    fn apply(self, canvas: &mut Canvas) {
        match self {
            Self::Nothing => {}
            Self::Clear(part) => canvas.clear(part),
            Self::Restore(part, saved) => canvas.put_back(part, &saved),
        }
    }
}

fn draw(canvas: &mut Canvas, part: Area, frame: &Frame<'_>, palette: &[u8]) {
    let (colors, _) = palette.as_chunks::<3>();
    let rows = frame.buffer.chunks_exact(usize::from(frame.width).max(1));
    for (target, row) in canvas.rows(part).zip(rows) {
        for (pixel, &index) in target.iter_mut().zip(row) {
            // A number without a colour shows what is below it, as in browsers.
            if let Some(&[r, g, b]) = colors.get(usize::from(index))
                && frame.transparent != Some(index)
            {
                *pixel = [r, g, b, 255];
            }
        }
    }
}

/// A GIF being written: each frame has its own palette and covers the canvas.
struct Sink {
    encoder: gif::Encoder<Vec<u8>>,
    loops: Loops,
    frames: u32,
}

impl Sink {
    fn new(loops: Loops, width: u32, height: u32) -> Result<Self, CodecError> {
        let side = |side: u32| u16::try_from(side).map_err(encode_error);
        let encoder =
            gif::Encoder::new(Vec::new(), side(width)?, side(height)?, &[]).map_err(encode_error)?;
        Ok(Self { encoder, loops, frames: 0 })
    }

    /// Nothing is said of a GIF that is played once: that is what its absence means.
    fn write_loops(&mut self) -> Result<(), CodecError> {
        let repeat = match self.loops {
            Loops::Forever => Repeat::Infinite,
            Loops::Times(0 | 1) => return Ok(()),
            Loops::Times(times) => Repeat::Finite(u16::try_from(times - 1).unwrap_or(u16::MAX)),
        };
        self.encoder.set_repeat(repeat).map_err(encode_error)
    }
}

impl codec::Sink for Sink {
    fn push(&mut self, image: ImageRef<'_>, delay_ms: u32) -> Result<(), CodecError> {
        if self.frames == 0 {
            self.write_loops()?;
        }
        let mut pixels = convert(image, PixelFormat::Rgba8).into_data();
        for pixel in pixels.as_chunks_mut::<4>().0 {
            // One value for all that is transparent, so that it takes one place in the palette.
            *pixel = if pixel[3] < ALPHA_THRESHOLD { [0; 4] } else { [pixel[0], pixel[1], pixel[2], 255] };
        }
        let mut frame =
            Frame::from_rgba_speed(image.width() as u16, image.height() as u16, &mut pixels, QUANTIZER_SPEED);
        frame.delay = u16::try_from(delay_ms.saturating_add(5) / 10).unwrap_or(u16::MAX);
        // The next frame may have holes, through which this one must not be seen.
        frame.dispose = DisposalMethod::Background;
        self.frames += 1;
        self.encoder.write_frame(&frame).map_err(encode_error)
    }

    fn finish(self: Box<Self>) -> Result<Option<Vec<u8>>, CodecError> {
        let file = self.encoder.into_inner().map_err(encode_error)?;
        Ok((self.frames > 0).then_some(file))
    }
}

fn encode_error(error: impl std::fmt::Display) -> CodecError {
    CodecError::encode(Format::Gif, error)
}

fn malformed(text: impl std::fmt::Display) -> CodecError {
    CodecError::malformed(Format::Gif, text)
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::DecodeHint;

    use super::*;
    use crate::Decoder;
    use crate::samples::*;

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
        let so_far = |bounds| probe(&file, true, &bounds).unwrap().unwrap().so_far;
        let all = Bounds { max_frames: 100, ..BOUNDS };
        assert_eq!(so_far(all), SoFar { frames: 30, pixels: 30_000 });
        assert_eq!(so_far(Bounds { max_frames: 4, ..BOUNDS }).frames, 5);
    }

    #[test]
    fn the_number_of_frames_waits_for_the_end() {
        let file = animation(Format::Gif, &[RED, GREEN], Loops::Forever);
        assert_eq!(probe(&file[..20], false, &BOUNDS).unwrap().unwrap().frames, None);
        assert_eq!(probe(&file, true, &BOUNDS).unwrap().unwrap().frames, Some(2));
    }
}
